import importlib.util
import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest

from helpers.runs import command, make, run, wait_for
from helpers.stored import rows
from mofo.motion.merge import scan
from mofo.motion.parts import parts
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.system import progress as progress_module
from mofo.system.processes import Terminated, starting_workers, terminable, usable_cpus
from mofo.system.progress import Progress, clock
from mofo.types import MofoError


def test_workers_that_die_or_hang_cost_one_video_each(tmp_path, log):
    videos = make(tmp_path / "v")
    for name in ("die", "segv", "hang", "bug", "memory"):
        make(videos, [f"{name}.mp4"], do=name)
    report = run(videos, tmp_path / "out", workers=2, timeout=6)
    assert report.failures == (
        ("bug.mp4", "internal error: ZeroDivisionError: a bug"),
        ("die.mp4", "the worker process died (exit code -9: out of memory?)"),
        ("hang.mp4", "gave up: no progress for 6 seconds"),
        ("memory.mp4", "out of memory"),
        ("segv.mp4", "the worker process died (exit code -11: a crash in a decoder?)"),
    )
    assert report.done == 6
    for name in ("die", "segv", "hang", "bug", "memory"):
        (videos / f"{name}.mp4").unlink()
    run(videos, tmp_path / "alone")
    assert rows(tmp_path / "out") == rows(tmp_path / "alone")


def test_slow_videos_that_move_on_are_not_given_up(tmp_path, log):
    videos = make(tmp_path / "v", ["a.mp4"], frames=20, sleep=0.2)
    assert run(videos, tmp_path / "out", workers=1, timeout=3).done == 1


@pytest.mark.parametrize("flow", ["dis", "codec"])
def test_a_killed_run_goes_on_and_repeats_nothing(tmp_path, log, flow):
    names = [f"{number:02}.mp4" for number in range(16)]
    videos, out = make(tmp_path / "v", names), tmp_path / "out"
    if flow == "codec":  # the same in the middle of a change of settings
        run(videos, out)
        log()
    main = subprocess.Popen(
        command(videos, out, "--workers", "2", "--flow", flow),
        stderr=subprocess.DEVNULL,
        env=os.environ | {"STUB_SLEEP": "0.01"},
    )
    wait_for(lambda: len(parts(out)) >= 5)
    main.kill()
    main.wait()
    workers = {int(line.split()[-1]) for line in (tmp_path / "log").read_text().splitlines()}
    assert len(workers) == 2
    # The workers end by themselves.
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    log()
    settings = DetectSettings(flow=flow)
    finished = sum(held.current for held in scan(out, settings).held.values())
    assert 4 <= finished < 16
    report = run(videos, out, settings=settings)
    assert (report.skipped, report.done) == (finished, 16 - finished)
    assert len(log()) == 16 - finished
    run(videos, tmp_path / "fresh", settings=DetectSettings(flow=flow))
    assert rows(out) == rows(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 75),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, 75, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_keeps_what_is_finished(tmp_path, log, number, code):
    names = [f"{number:02}.mp4" for number in range(16)]
    videos, out = make(tmp_path / "v", names), tmp_path / "out"
    main = subprocess.Popen(
        command(videos, out, "--workers", "2"),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"STUB_SLEEP": "0.03"},
    )
    wait_for(lambda: len(parts(out)) >= 3)
    main.send_signal(number)
    told = main.communicate(timeout=240)[1]
    assert main.returncode == code
    last = told.splitlines()[-1]
    assert last.startswith("mofo detect: stopped: ")
    assert "run the same command to go on from here" in last
    assert "Traceback" not in told
    kept = len(AreaStore.open(out))
    assert 3 <= kept < 16
    log()
    assert run(videos, out).done == 16 - kept
    assert len(log()) == 16 - kept


UNGUARDED = "import mofo\nprint(mofo.detect_many('v', 'o', workers=2).done)\n"
GUARDED = (
    "import mofo\nif __name__ == '__main__':\n"
    "    print(mofo.detect_many('v', 'o', workers=2).done)\n"
)
FUNCTION = (
    "import mofo\ndef work():\n    print(mofo.detect_many('v', 'o', workers=2).done)\n"
    "if __name__ == '__main__':\n    print('guarded, but not this')\nwork()\n"
)


@pytest.mark.parametrize(
    ("script", "warned"), [(UNGUARDED, True), (GUARDED, False), (FUNCTION, True)]
)
def test_a_script_without_main_guard_works_in_its_own_process(script, warned, tmp_path, log):
    make(tmp_path / "v")
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 + (script is FUNCTION)
    assert done.stdout.split()[-1] == "6"
    assert ("`if __name__ == '__main__':`" in done.stderr) == warned


def test_ray_does_the_same(tmp_path, log):
    videos = make(tmp_path / "v")
    if importlib.util.find_spec("ray") is None:
        with pytest.raises(MofoError, match=r"pip install 'mofo\[ray\]'"):
            run(videos, tmp_path / "out", engine="ray")
        pytest.skip("Ray is not installed")
    make(videos, ["die.mp4"], do="die")
    with mock.patch.dict(os.environ):  # Ray leaves variables behind
        report = run(videos, tmp_path / "out", engine="ray", workers=2)
    assert (report.done, report.failed) == (6, 1)
    assert "worker process died" in report.failures[0][1]
    run(videos / "b", tmp_path / "fresh")
    assert len(AreaStore.open(tmp_path / "out")) == 6


def test_usable_cpus_respects_limits(tmp_path):
    group = tmp_path / "sys/fs/cgroup/job"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
    here = usable_cpus(tmp_path, {})
    assert here == len(os.sched_getaffinity(0))
    assert usable_cpus(tmp_path, {"SLURM_CPUS_PER_TASK": "1"}) == 1
    (group / "cpu.max").write_text("max 100000\n")
    assert usable_cpus(tmp_path, {}) == here
    (group / "cpu.max").write_text("100000 100000\n")
    assert usable_cpus(tmp_path, {}) == 1
    (group / "cpu.max").write_text("50000 100000\n")
    assert usable_cpus(tmp_path, {}) == 1


def test_progress_in_a_file_is_a_line_now_and_then(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress(10, stream=stream)
    for _ in range(4):
        now[0] += 10
        progress.finished(50)
        progress.beat(frames_running=20)
    progress.close()
    assert stream.getvalue() == (
        "detect: 3 of 10 videos, 0.10 videos/s, 6 frames/s, 1 min 10 s left\n"
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (61, "1 min 01 s"), (7800, "2 h 10 min")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux lists them")
def test_what_is_started_while_stops_are_held_is_blind_to_them():
    """Also the first process of all, together with which multiprocessing starts its tracker."""
    script = (
        "import multiprocessing, signal\n"
        "from mofo.system.processes import starting_workers\n"
        "process = multiprocessing.get_context('spawn').Process(target=signal.pthread_sigmask, "
        "args=(signal.SIG_BLOCK, ()))\n"
        "with starting_workers():\n"
        "    process.start()\n"
        "    lines = open(f'/proc/{process.pid}/status').read().splitlines()\n"
        "process.kill()\n"
        "process.join()\n"
        "[blocked] = [int(line.split()[1], 16) for line in lines if line.startswith('SigBlk')]\n"
        "for stop in (signal.SIGINT, signal.SIGTERM):\n"
        "    assert blocked >> (stop - 1) & 1, stop\n"
        "assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())\n"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stop_that_another_thread_takes_waits_until_a_worker_has_begun():
    """Libraries have threads that do not block signals."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    reached = []
    try:
        with pytest.raises(Terminated), terminable():  # noqa: PT012
            with starting_workers():
                os.kill(os.getpid(), signal.SIGTERM)
                while signal.sigpending():
                    pass
                reached.append("the end")
            reached.append("too far")
    finally:
        done.set()
        thread.join()
    assert len(reached) == 1
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
