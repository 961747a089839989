"""Two and more processes train as one does, and stop, fail and go on as one."""

import collections
import os
import shutil
import signal
import time
from functools import partial

import pytest
import torch

from helpers.changes import changed
from helpers.ranks import ranks
from helpers.trainings import assert_alike, folder_of, lines_of, newest
from mofo import cli
from mofo.training.callbacks import Callback
from mofo.training.checkpoint import open_checkpoint
from mofo.training.trainer import train
from mofo.types import SettingsError


class Seen(Callback):
    """Writes down which videos each step of this process was given, and how much it holds."""

    def __init__(self, folder):
        self.folder = folder

    def on_start(self, trainer):
        rank = trainer.accelerator.process_index
        self.file = (self.folder / f"seen-{trainer.start}-{rank}.txt").open("w")
        parameters = list(trainer.model.parameters())
        whole = sum(p.numel() for p in parameters)
        held = sum(p.to_local().numel() if trainer.is_sharded else p.numel() for p in parameters)
        share = 1 / trainer.division.processes if trainer.is_sharded else 1
        assert held <= 1.05 * share * whole + 1000

    def on_batch(self, trainer, step, batch):
        self.file.writelines(f"{step} {row}\n" for row in batch.index_B.tolist())

    def on_end(self, trainer):
        self.file.close()


def command(settings, tmp_path):
    """``mofo pretrain`` or ``mofo finetune``, in a process with a rank."""
    recipe = tmp_path / "recipe.yaml"
    settings.write(recipe)
    return lambda rank: cli.main([settings.task, "--config", str(recipe), "--quiet"])


@pytest.mark.slow
@pytest.mark.parametrize(("task", "shard"), [("pretrain", False), ("finetune", True)])
def test_saved_with_some_and_gone_on_with_others(request, tmp_path, task, shard):
    """The same losses, validations and weights as one process; each sample once."""
    chosen = request.getfixturevalue("settings" if task == "pretrain" else "plain_tuned")
    if task == "finetune":
        chosen = chosen.change(optim={"ema_decay": 0.8, "clip_grad_norm": 1.0})
    whole = changed(chosen, "run", out=str(tmp_path / "whole"))
    train(whole)
    divided = changed(chosen, "run", out=str(tmp_path / "divided"), shard=shard)

    for processes, stop_at in ((2, 5), (4, 8), (1, 0)):
        part = changed(divided, "run", stop_at=stop_at)
        codes, ended = ranks(processes, partial(_train, part, tmp_path))
        assert codes == [0] * processes, ended.err
    assert_alike(divided, whole)
    seen = [line for file in tmp_path.glob("seen-*") for line in file.read_text().splitlines()]
    assert {len(rows) for rows in _by_step(seen).values()} == {4}
    videos = 8 if task == "pretrain" else 12
    times = collections.Counter(line.split()[1] for line in seen)
    assert times == {str(row): 12 * 4 // videos for row in range(videos)}


def _train(settings, folder, rank):
    train(settings, callbacks=[Seen(folder)])


def _by_step(seen):
    steps = collections.defaultdict(set)
    for line in seen:
        steps[int(line.split()[0])].add(line.split()[1])
    return steps


def test_a_number_of_processes_that_does_not_fit_is_refused(settings, tmp_path):
    run = command(changed(settings, "run", stop_at=3), tmp_path)
    assert ranks(2, run)[0] == [1, 1]  # stopped at run.stop_at
    codes, ended = ranks(3, run)
    assert codes == [2, 2, 2]
    assert "cannot be divided among 3 processes" in ended.err
    assert "use 1, 2, 4 processes" in ended.err
    with pytest.raises(SettingsError, match=r"optim.batch 4, now 6"):
        train(changed(settings, "optim", batch=6))


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_to_one_process_stops_all(settings, tmp_path, number):
    long = changed(settings, "optim", epochs=400)

    def send(processes):
        end = time.monotonic() + 120
        while newest(long) < 4 and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(processes[0], number)

    codes, ended = ranks(2, command(long, tmp_path), during=send)
    assert codes == [75, 75], ended.err
    assert ended.err.splitlines() == [
        f"stopped by {number.name}; the same command continues from here"
    ]
    assert newest(long) == len(lines_of(long, "loss")) == int(ended.out.split()[0])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_during_validation_saves_first_and_validates_later(
    plain_tuned, tmp_path, monkeypatch, processes
):
    whole = changed(plain_tuned, "run", out=str(tmp_path / "whole"), micro_batch=2)
    train(whole)
    broken = changed(whole, "run", out=str(tmp_path / "broken"))
    run = command(broken, tmp_path)

    def in_validation(rank):
        from mofo.training import validation

        score = validation.score

        def signalled(*arguments):
            if rank == processes - 1:
                os.kill(os.getpid(), signal.SIGUSR1)
            return score(*arguments)

        validation.score = signalled
        return run(rank)

    codes, ended = ranks(processes, in_validation)
    assert codes == [75] * processes, ended.err
    assert "the same command continues from here" in ended.err
    saved = open_checkpoint(folder_of(broken).place(4))
    assert (saved.step, saved.metadata.validation, folder_of(broken).best()) == (4, {}, None)
    codes, ended = ranks(processes, run)
    assert codes == [0] * processes, ended.err
    assert lines_of(broken, "step", "validation.jsonl") == [4, 8, 12]
    assert_alike(broken, whole)
    assert folder_of(broken).best() == folder_of(whole).best()


def test_unreadable_videos_of_any_process_are_noted(settings, videos, tmp_path):
    folder = tmp_path / "some"
    shutil.copytree(videos, folder)
    whole = next(folder.iterdir()).read_bytes()
    for name in ("x.mp4", "y.mp4"):  # begin like videos, and hold no frame
        (folder / name).write_bytes(whole[:2000])
    chosen = settings.change(
        data={"source": [str(folder)], "areas": "dis", "max_unreadable": 1},
        optim={"batch": 2, "epochs": 2}, run={"micro_batch": 1},
    )  # fmt: skip
    codes, ended = ranks(2, command(chosen, tmp_path))
    assert codes == [0, 0], ended.err
    assert "2 videos cannot be read" in ended.out
    assert torch.isfinite(torch.tensor(lines_of(chosen, "loss"))).all()


def test_a_process_that_hangs_is_named_and_ends_the_run(settings, tmp_path):
    chosen = changed(changed(settings, "optim", epochs=400), "run", patience=5)
    run = command(chosen, tmp_path)

    def hanging(rank):
        from mofo.clips.dataset import ClipDataset

        read, calls = ClipDataset.__getitems__, []

        def reads(self, keys):
            calls.append(keys)
            if rank == 1 and len(calls) == 6:
                time.sleep(300)
            return read(self, keys)

        ClipDataset.__getitems__ = reads
        return run(rank)

    codes, ended = ranks(2, hanging)
    assert codes == [1, 1]
    assert len(ended.err.splitlines()) == 1, ended.err
    assert "process 1 of 2 reads the clips of step 5 since 5 s" in ended.err
    assert newest(chosen) == 4
