import os
import signal
import subprocess
import sys
import time

import pytest

from mofo.synth.actions.dataset_writer import ActionSetSettings, write_action_set
from mofo.training.journal import read_journal

FEW, MANY = 300, 5000  # steps: to be done after a stop, and never to be reached
SCRIPT = """
import sys
from pathlib import Path
from mofo.demo.side_by_side import Training, train_all
from mofo.training.pretrain_settings import *
from mofo.types import MofoError
folder, steps, source = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def training(name):
    settings = PretrainSettings(
        data=DataSettings(source=(source,), split="train", areas="none", frames=8, size=32),
        model=ModelChoice(size="nano", patch=8),
        optim=OptimSettings(batch=4, epochs=steps * 4 / 14, warmup_epochs=0),
        run=RunSettings(out=str(folder / name), micro_batch=4, workers=0, log_every=1, trackers=()),
    )
    return Training(name, "pretrain", settings, steps)
try:
    train_all([training("one"), training("two")], progress=False)
    print("done")
except KeyboardInterrupt:
    sys.exit(130)
except MofoError as error:
    print("told:", error)
    sys.exit(1)
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "clips"
    settings = ActionSetSettings(clips=20, size=32, frames=8)
    return write_action_set(folder, settings, workers=0).table


@pytest.fixture
def started(tmp_path, table):
    """Starts two trainings of so many steps; none is left at the end."""
    processes = []

    def start(steps):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path), str(steps), str(table)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()  # closes its pipes, too


def steps_of(run):
    journal = run / "metrics.jsonl"
    return [line["step"] for line in read_journal(journal)] if journal.exists() else []


def until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def children(pid):
    text = subprocess.run(
        ["ps", "-e", "-ww", "-o", "pid=", "-o", "ppid=", "-o", "args="],  # whatever COLUMNS is
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = (line.split(None, 2) for line in text.splitlines())
    return [int(row[0]) for row in rows if row[1] == str(pid) and "spawn_main" in row[2]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_stopped_trainings_save_and_go_on(tmp_path, started, number):
    many = MANY if number == signal.SIGTERM else FEW
    process = started(many)
    runs = tmp_path / "one", tmp_path / "two"
    until(lambda: all(len(steps_of(run)) >= 2 for run in runs), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (130, "", "")
    done = [steps_of(run) for run in runs]
    for run, steps in zip(runs, done, strict=True):
        assert steps == list(range(len(steps)))
        assert [each.name for each in (run / "checkpoints").glob("step_*")] == [
            f"step_{len(steps):08d}"
        ]
    if many == FEW:
        process = started(many)
        out, err = process.communicate(timeout=200)
        assert (process.returncode, out, err) == (0, "done\n", "")
        assert [steps_of(run) for run in runs] == [list(range(many))] * 2


def test_finished_trainings_are_not_done_again_and_errors_are_told(tmp_path, started):
    weights = tmp_path / "one/checkpoints/step_00000003/model.safetensors"
    assert started(3).communicate(timeout=120) == ("done\n", "")
    made = weights.stat().st_mtime_ns
    assert started(3).communicate(timeout=120) == ("done\n", "")
    assert weights.stat().st_mtime_ns == made
    assert steps_of(tmp_path / "one") == [0, 1, 2]
    process = started(5)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert out.startswith("told: ")
    assert "holds a run with other settings (optim.epochs" in out
    assert err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux lists them")
def test_a_training_that_is_killed_is_told_and_takes_none_along(tmp_path, started):
    process = started(MANY)
    until(lambda: all(steps_of(tmp_path / name) for name in ("one", "two")), process)
    victim, *others = children(process.pid)
    assert len(others) == 1
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the worker process died (exit code -9: out of memory?)" in out
    assert err == ""
    assert not children(process.pid)
