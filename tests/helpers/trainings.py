"""Trainings as processes of their own, and whether two runs are the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from helpers.forked import processes_of as processes_of
from mofo.training.checkpoint import CheckpointFolder, open_checkpoint
from mofo.training.journal import read_journal

TWO = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


def lines_of(settings: Any, key: str, name: str = "metrics.jsonl") -> list[Any]:
    return [line[key] for line in read_journal(Path(settings.run.out) / name)]


def folder_of(settings: Any) -> CheckpointFolder:
    return CheckpointFolder(Path(settings.run.out) / "checkpoints", 1)


def newest(settings: Any) -> int:
    return max(folder_of(settings).steps(), default=0)


def launch(settings: Any, tmp_path: Path, *before: str, prefix: tuple[str, ...] = ()) -> Any:
    """``mofo pretrain`` or ``mofo finetune`` in a session of its own."""
    recipe = tmp_path / f"{Path(settings.run.out).name}.yaml"
    settings.write(recipe)
    words = ["mofo", settings.task, "--config", str(recipe), "--quiet"]
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", *before, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_step(settings: Any, process: Any, step: int) -> None:
    while newest(settings) < step:
        assert process.poll() is None, finish(process)
        time.sleep(0.005)


def finish(process: Any) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def kill(process: Any) -> None:
    """SIGKILL to the process and its loader workers."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def assert_same_run(settings: Any, other: Any) -> None:
    """Losses, validations, weights, averages and moments are equal to the last bit."""
    assert lines_of(settings, "step") == list(range(len(lines_of(settings, "step"))))
    assert lines_of(settings, "loss") == lines_of(other, "loss")
    files = [Path(each.run.out) / "validation.jsonl" for each in (settings, other)]
    assert files[0].exists() == files[1].exists()
    if files[0].exists():
        assert read_journal(files[0]) == read_journal(files[1])
    ours, theirs = open_checkpoint(settings.run.out), open_checkpoint(other.run.out)
    assert ours.metadata.history == theirs.metadata.history
    notes = [Path(each.run.out) / "checkpoints/best.json" for each in (settings, other)]
    assert notes[0].read_text() == notes[1].read_text()
    for found, wanted in (
        (ours.model(), theirs.model()),
        (ours.average() or {}, theirs.average() or {}),
        (ours.optimiser(), theirs.optimiser()),
    ):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.items())


def assert_alike(settings: Any, other: Any) -> None:
    """Two divisions of the same work: sums in another order."""
    import pytest

    assert lines_of(settings, "loss") == pytest.approx(lines_of(other, "loss"), rel=1e-5)
    if settings.task == "finetune":
        for key in ("loss", "top1", "videos"):
            found, wanted = (lines_of(s, key, "validation.jsonl") for s in (settings, other))
            assert found == pytest.approx(wanted, rel=1e-5)
    ours, theirs = open_checkpoint(settings.run.out), open_checkpoint(other.run.out)
    for name, tensor in theirs.best_weights().items():
        torch.testing.assert_close(ours.best_weights()[name], tensor, rtol=1e-3, atol=1e-5)
