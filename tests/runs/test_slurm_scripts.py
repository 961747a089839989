"""Job scripts: a signal reaches all tasks, and what is not finished goes into the queue again."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "runs/slurm"
# Stands for mofo: says who it is, waits for a signal, and ends as the test says.
MOFO = """#!/usr/bin/env bash
trap 'kill $!; exit $CODE' USR1
echo "${RANK:-0} of ${WORLD_SIZE:-1}: $*" >> started
[ "$CODE" = 0 ] && exit 0
sleep 60 & wait
"""
# Starts two tasks, hands signals on, and ends with the highest exit code.
SRUN = """#!/usr/bin/env bash
tasks=()
for n in 0 1; do SLURM_PROCID=$n SLURM_LOCALID=$n SLURM_NTASKS=2 "$@" & tasks+=($!); done
again=1; trap 'again=1; kill -USR1 "${tasks[@]}"' USR1
while [ $again = 1 ]; do
  again=0; highest=0
  for task in "${tasks[@]}"; do wait $task; code=$?; (( code > highest )) && highest=$code; done
done
exit $highest
"""
SCONTROL = """#!/usr/bin/env bash
if [ "$1" = show ]; then echo node1; else echo "$*" >> requeued; fi
"""


@pytest.mark.parametrize(("code", "requeued"), [(75, True), (1, False), (0, False)])
@pytest.mark.parametrize("script", ["train.sh", "detect.sh"])
def test_what_was_stopped_is_queued_again(tmp_path, script, code, requeued):
    for name, text in (("mofo", MOFO), ("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_ARRAY_JOB_ID": "7",
             "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}  # fmt: skip
    job = subprocess.Popen(
        ["bash", str(SCRIPTS / script), "pretrain", "x"],
        cwd=tmp_path,
        env=os.environ | slurm | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CODE": str(code)},
    )
    started, tasks = tmp_path / "started", 2 if script == "train.sh" else 1
    while not started.exists() or len(started.read_text().splitlines()) < tasks:
        time.sleep(0.01)
    if code:
        job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=240) == code
    assert (tmp_path / "requeued").exists() == requeued
    if script == "train.sh":
        lines = sorted(started.read_text().splitlines())
        assert lines == [f"{rank} of 2: pretrain x" for rank in (0, 1)]
