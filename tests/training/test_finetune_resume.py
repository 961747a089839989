"""A fine-tuning that is killed, divided or stopped is the same as one that is not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from helpers.changes import changed
from mofo.models.fusion import FUSIONS
from mofo.training.checkpoint import CheckpointFolder, open_checkpoint
from mofo.training.journal import read_journal
from mofo.training.trainer import train

STEPS = 30  # so many that a fast machine has not ended before the last kill
TWO = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


def lines_of(settings, key, name="metrics.jsonl"):
    return [line[key] for line in read_journal(Path(settings.run.out) / name)]


def assert_same_run(settings, other):
    assert lines_of(settings, "step") == list(range(len(lines_of(settings, "step"))))
    assert lines_of(settings, "loss") == lines_of(other, "loss")
    one, two = (read_journal(Path(s.run.out) / "validation.jsonl") for s in (settings, other))
    assert one == two
    ours, theirs = open_checkpoint(settings.run.out), open_checkpoint(other.run.out)
    assert ours.metadata.history == theirs.metadata.history
    for found, wanted in (
        (ours.model(), theirs.model()),
        (ours.average(), theirs.average()),
        (ours.optimiser(), theirs.optimiser()),
    ):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.items())
    folders = [CheckpointFolder(Path(s.run.out) / "checkpoints", 1) for s in (settings, other)]
    assert folders[0].best() == folders[1].best()


def launch(settings, tmp_path, *before):
    recipe = tmp_path / f"{Path(settings.run.out).name}.yaml"
    settings.write(recipe)
    return subprocess.Popen(
        [sys.executable, "-m", *before, "mofo", "finetune", "--config", str(recipe), "--quiet"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=900)
    return process.returncode, out, err


def newest(settings) -> int:
    return max(CheckpointFolder(Path(settings.run.out) / "checkpoints", 1).steps(), default=0)


@pytest.mark.slow
def test_killed_at_random_and_still_the_same_bit_for_bit(tuned, tmp_path):
    """Everything random is on: drop path, augmentation, mixing, balanced order; and an average."""
    tuned = changed(tuned, "data", balance=0.5)
    tuned = changed(tuned, "optim", ema_decay=0.9, epochs=STEPS / 3)
    steady = changed(tuned, "run", out=str(tmp_path / "steady"), workers=2, save_every=2)
    code, _, err = finish(launch(steady, tmp_path))
    assert code == 0, err
    broken = changed(steady, "run", out=str(tmp_path / "broken"))
    rng = random.Random(11)
    killed_at: list[int] = []
    for kills in range(3):
        goal = (killed_at[-1] if killed_at else 0) + rng.randint(2, 5)
        process = launch(broken, tmp_path)
        while newest(broken) < goal and process.poll() is None:
            time.sleep(0.005)
        # In a step, in the writing of a checkpoint, in a validation.
        time.sleep(rng.uniform(0, 0.3))
        assert process.poll() is None, f"ended before kill {kills}: {finish(process)}"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        killed_at.append(newest(broken))
    assert killed_at[-1] < STEPS
    code, _, err = finish(launch(broken, tmp_path))
    assert code == 0, err
    assert len(lines_of(broken, "loss")) == STEPS
    assert lines_of(broken, "step", "validation.jsonl") == list(range(2, STEPS + 1, 2))
    assert_same_run(steady, broken)


def test_stopping_and_going_on_in_one_process(tuned, tmp_path):
    tuned = changed(tuned, "optim", ema_decay=0.8)
    whole = changed(tuned, "run", out=str(tmp_path / "whole"), workers=1)
    train(whole)
    for stop in (3, 4, 9, 0):
        report = train(changed(tuned, "run", stop_at=stop))
        assert report.steps == (stop or 12)
    assert_same_run(whole, tuned)
    again = train(tuned)  # nothing is left to do, and nothing changes
    assert again.finished
    assert again.validation == report.validation
    assert_same_run(whole, tuned)


def test_accumulating_is_a_larger_batch(plain_tuned, tmp_path):
    """Without mixing, whose partner is of the same pass."""
    whole = changed(plain_tuned, "run", out=str(tmp_path / "whole"), micro_batch=4)
    parts = changed(plain_tuned, "run", out=str(tmp_path / "parts"), micro_batch=1)
    train(whole)
    train(parts)
    assert lines_of(parts, "loss") == pytest.approx(lines_of(whole, "loss"), rel=1e-5)
    for key in ("loss", "top1"):
        found, wanted = (lines_of(s, key, "validation.jsonl") for s in (parts, whole))
        assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.slow
def test_two_processes_are_one(plain_tuned, tmp_path):
    """Without mixing and drop path, which are of a pass and of a process."""
    plain_tuned = changed(plain_tuned, "optim", ema_decay=0.8)
    single = changed(plain_tuned, "run", out=str(tmp_path / "single"))
    double = changed(plain_tuned, "run", out=str(tmp_path / "double"), micro_batch=1)
    train(single)
    code, _, err = finish(launch(double, tmp_path, *TWO))
    assert code == 0, err
    assert lines_of(double, "loss") == pytest.approx(lines_of(single, "loss"), rel=1e-5)
    for key in ("loss", "top1", "videos"):
        found, wanted = (lines_of(s, key, "validation.jsonl") for s in (double, single))
        assert found == pytest.approx(wanted, rel=1e-5)
    ours, theirs = open_checkpoint(double.run.out), open_checkpoint(single.run.out)
    for found, wanted in ((ours.model(), theirs.model()), (ours.average(), theirs.average())):
        for name, tensor in wanted.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
def test_no_fusion_leaves_a_parameter_unused(tuned, tmp_path, fusion):
    """Two processes, some clips without motion; DDP looks for no unused parameters."""
    chosen = changed(changed(tuned, "model", fusion=fusion), "optim", epochs=1)
    chosen = changed(chosen, "run", micro_batch=1, out=str(tmp_path / fusion))
    code, out, err = finish(launch(chosen, tmp_path, *TWO))
    assert code == 0, err
    assert "3 of 3 steps" in out
