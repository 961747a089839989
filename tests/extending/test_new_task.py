"""A training objective from outside: one class here, run by the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from generated.clips import ClipRecipe, make_clip, write_clip
from mofo.cli import main
from mofo.training.checkpoint import open_checkpoint
from mofo.training.pretrain_task import PretrainTask
from mofo.training.saved_models import encoder_weights
from mofo.training.tasks import TASKS, StepOutput


@TASKS.register("brightness")
class Brightness(PretrainTask):
    """The mean token of a clip predicts how bright the clip is."""

    name = "brightness"

    def forward_step(self, model: torch.nn.Module, batch: Any) -> StepOutput:
        tokens_BND = model.encoder(batch.frames_BTHWC)
        wanted_B = batch.frames_BTHWC.float().mean((1, 2, 3, 4)) / 255
        loss = (tokens_BND.mean((1, 2)) - wanted_B).square().mean()
        # The rest of the model takes no part, but DDP and AdamW want gradients of all of it.
        return StepOutput(loss, {"bright": wanted_B.mean()})


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(4):
        recipe = ClipRecipe(seed=seed, movers=1, frames=8, width=48, height=48)
        write_clip(make_clip(recipe), folder / f"{seed}.mp4")
    return folder


def words(videos, out, *more):
    return [
        "pretrain", "--config", "tiny", "--data.source", str(videos), "--data.areas", "none",
        "--data.frames", "4", "--data.size", "32", "--model.size", "nano", "--optim.batch", "2",
        "--optim.epochs", "10", "--optim.lr", "0.3", "--run.micro_batch", "2", "--run.workers", "0",
        "--run.trackers", "[]", "--run.pictures_every", "0", "--run.out", str(out), *more,
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["option", "recipe"])
def test_trains_resumes_and_leaves_an_encoder(videos, tmp_path, capsys, how):
    out = tmp_path / "run"
    if how == "option":
        command = words(videos, out, "--task", "brightness")
    else:
        (tmp_path / "mine.yaml").write_text("extends: tiny\ntask: brightness\n")
        command = words(videos, out, "--config", str(tmp_path / "mine.yaml"))
    assert main([*command, "--run.stop_at", "4"]) == 1
    assert main(command) == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(20))
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert "bright" in lines[0]
    assert open_checkpoint(out).metadata.task == "brightness"
    _, sizes, weights, *_ = encoder_weights(out)
    assert any(name.startswith("encoder.") for name in weights)
    assert sizes.width == 64


def test_other_tasks_and_verbs_are_one_line(videos, tmp_path, capsys):
    assert main(words(videos, tmp_path / "run", "--task", "brightnes")) == 2
    assert "did you mean 'brightness'?" in capsys.readouterr().err
    assert main(words(videos, tmp_path / "run", "--task", "finetune")) == 2
    assert "is for `mofo finetune`" in capsys.readouterr().err
