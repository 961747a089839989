"""Processes that die: the training ends with one line, keeps its checkpoint, leaves nothing."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import time

import pytest

from helpers.changes import changed
from helpers.trainings import assert_same_run, finish, launch, newest, processes_of, wait_for_step
from mofo.clips.loader import ReadingError, batches
from mofo.training.callbacks import Callback
from mofo.training.trainer import train


class KillReaders(Callback):
    """Kills the processes that read, after some steps."""

    def __init__(self, step, number):
        self.step, self.number = step, number

    def on_step(self, trainer, metrics):
        if metrics.step == self.step:
            for worker in multiprocessing.active_children():
                os.kill(worker.pid, self.number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS, signal.SIGSEGV])
def test_a_dead_reader_ends_the_training_with_one_line(settings, tmp_path, monkeypatch, number):
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.5)
    whole = changed(settings, "run", out=str(tmp_path / "whole"))
    train(whole)
    broken = changed(settings, "run", workers=2)
    with pytest.raises(ReadingError) as caught:
        train(broken, callbacks=[KillReaders(5, number)])
    text = str(caught.value)
    assert "\n" not in text
    assert "run.workers" in text
    assert "--shm-size" in text
    assert "step 4" in text  # the checkpoint that is kept
    assert multiprocessing.active_children() == []
    assert train(broken).finished
    assert_same_run(whole, settings)


@pytest.mark.slow
def test_a_killed_training_leaves_no_process(settings, tmp_path):
    long = changed(changed(settings, "optim", epochs=400), "run", workers=2)
    process = launch(long, tmp_path)
    wait_for_step(long, process, 4)
    assert len(processes_of(process.pid)) > 2  # readers are there
    process.kill()
    process.communicate()  # ends when the readers, who write there, too, have ended
    end = time.monotonic() + 240
    while processes_of(process.pid):
        assert time.monotonic() < end, processes_of(process.pid)
        time.sleep(0.05)


def can_mount():
    words = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]
    return shutil.which("unshare") and not subprocess.run(words, capture_output=True).returncode


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
@pytest.mark.parametrize("size", ["200k", "4k"])
def test_too_little_shared_memory_is_one_line(settings, tmp_path, size):
    """As in a container: 64 MB are the default there, here less for small clips, or for a lock."""
    small = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    chosen = changed(settings, "run", workers=1)
    process = launch(chosen, tmp_path, prefix=("unshare", "-m", "sh", "-c", small, "sh"))
    code, _, err = finish(process)
    assert code == 1
    assert len(err.strip().splitlines()) == 1, err
    assert "--shm-size" in err
    assert newest(chosen) == 0


def test_a_killed_fork_server_is_one_line(monkeypatch):
    class Dying:
        def __init__(self, *_, **__):
            pass

        def __iter__(self):
            raise EOFError("unexpected EOF")

    monkeypatch.setattr("mofo.clips.loader.DataLoader", Dying)
    with pytest.raises(ReadingError, match=r"what starts them died.*run.workers"):
        next(batches([0], [[0]], list, workers=0, pin=False))
