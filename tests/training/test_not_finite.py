"""A loss or gradient that is not finite: nothing is learned from it, and it can be replayed."""

import pytest
import torch
from safetensors.torch import save_file

from helpers.changes import changed
from helpers.trainings import lines_of
from mofo.cli import main
from mofo.training.checkpoint import CheckpointError
from mofo.training.finetune_step import FinetuneStep
from mofo.training.pretrain_task import PretrainStep
from mofo.training.replay import NotFiniteError, replay
from mofo.training.trainer import train

STEPS = {"pretrain": PretrainStep, "finetune": FinetuneStep}


@pytest.fixture(params=STEPS)
def chosen(request):
    return request.getfixturevalue({"pretrain": "settings", "finetune": "tuned"}[request.param])


def break_at(monkeypatch, settings, number):
    """At a forward step, a weight becomes infinite."""
    kind = STEPS[settings.task]
    real, calls = kind.__call__, []

    def call(self, model, batch):
        calls.append(0)
        if len(calls) == number + 1:
            with torch.no_grad():
                model.encoder.blocks[1].mlp.fc1.weight.fill_(float("inf"))
        return real(self, model, batch)

    monkeypatch.setattr(kind, "__call__", call)


def test_the_batch_is_captured_and_replayed_and_the_run_continues(chosen, monkeypatch, capsys):
    whole = changed(chosen, "run", out=chosen.run.out + "-whole", stop_at=6)
    train(whole)
    break_at(monkeypatch, chosen, 5)
    with pytest.raises(NotFiniteError) as caught:
        train(chosen)
    monkeypatch.undo()
    text = str(caught.value)
    assert "\n" not in text
    assert "loss of step 5 is nan" in text
    assert "the last checkpoint is of step 4" in text
    path = text.rpartition(f"mofo {chosen.task} --replay ")[2]
    lines = replay(path)
    assert "step 5: loss was nan in no; 4 clips" in lines[0]
    assert any("weights: 1 are no numbers already" in line for line in lines)
    assert any(line.startswith("fp32: the first module") and "blocks.1" in line for line in lines)
    assert sum("clip" in line and "alone gives nan" in line for line in lines) == 8
    assert main([chosen.task, "--replay", path]) == 0
    assert "step 5" in capsys.readouterr().out
    train(changed(chosen, "run", stop_at=6))
    assert lines_of(chosen, "loss") == lines_of(whole, "loss")


def test_a_gradient_that_is_no_number_changes_nothing(settings, monkeypatch):
    class Spoilt(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float("nan")

    def spoil(self, model, batch):
        output = real(self, model, batch)
        return output._replace(loss=Spoilt.apply(output.loss))

    real = PretrainStep.__call__
    monkeypatch.setattr(PretrainStep, "__call__", spoil)
    with pytest.raises(NotFiniteError, match="gradient of step 0 is nan"):
        train(settings)


def test_in_accumulation_the_pass_to_blame_is_captured(settings, monkeypatch):
    break_at(monkeypatch, settings, 9)  # two passes a step: the second one of step 4
    with pytest.raises(NotFiniteError, match="loss of step 4"):
        train(changed(settings, "run", micro_batch=2))


def test_files_that_hold_no_batch(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="cannot be read"):
        replay(tmp_path / "a")
    save_file({"a": torch.ones(1)}, tmp_path / "b")
    with pytest.raises(CheckpointError, match="no captured batch"):
        replay(tmp_path / "b")
