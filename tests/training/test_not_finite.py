import pytest
import torch

from helpers.changes import changed
from mofo.cli import main
from mofo.training import pretrain_task as module
from mofo.training.checkpoint import CheckpointError
from mofo.training.pretrain_task import PretrainStep
from mofo.training.replay import NotFiniteError, replay
from mofo.training.trainer import train


def break_at(monkeypatch, step, how):
    """From a step's first pass on, ``how`` changes the model."""
    real = PretrainStep.__call__
    calls = []

    def call(self, model, batch):
        calls.append(0)
        if len(calls) == step + 1:
            how(model)
        return real(self, model, batch)

    monkeypatch.setattr(PretrainStep, "__call__", call)


def spoil(model):
    with torch.no_grad():
        model.decoder.blocks[0].attention.qkv.weight.fill_(float("inf"))


def test_a_loss_that_is_no_number_is_captured_and_replayed(settings, monkeypatch, capsys):
    break_at(monkeypatch, 5, spoil)
    with pytest.raises(NotFiniteError) as caught:
        train(settings)
    text = str(caught.value)
    assert "\n" not in text
    assert "loss of step 5 is nan" in text
    assert "the last checkpoint is of step 4" in text
    path = text.rpartition("--replay ")[2]
    monkeypatch.undo()
    lines = replay(path)
    assert "step 5: loss was nan in no; 4 clips" in lines[0]
    assert any("weights: 1 are no numbers already" in line for line in lines)
    assert any(line.startswith("fp32: the first module") and "decoder" in line for line in lines)
    assert sum("clip" in line and "alone gives nan" in line for line in lines) == 8
    assert main(["pretrain", "--replay", path]) == 0
    assert "step 5" in capsys.readouterr().out


def test_what_was_learned_before_is_kept_and_can_be_gone_on_with(settings, monkeypatch):
    whole = train(changed(settings, "run", out=settings.run.out + "-whole"))
    break_at(monkeypatch, 7, spoil)
    with pytest.raises(NotFiniteError):
        train(settings)
    monkeypatch.undo()
    assert train(settings).loss == whole.loss


def test_a_gradient_that_is_no_number_changes_nothing(settings, monkeypatch):
    class Spoilt(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float("nan")

    real = module.PretrainStep.__call__
    monkeypatch.setattr(
        PretrainStep,
        "__call__",
        lambda self, model, batch: (r := real(self, model, batch))._replace(
            loss=Spoilt.apply(r.loss)
        ),
    )
    with pytest.raises(NotFiniteError, match="gradient of step 0 is nan"):
        train(settings)


def test_in_accumulation_the_pass_to_blame_is_captured(settings, monkeypatch):
    break_at(monkeypatch, 9, spoil)  # two passes a step: the second one of step 4
    with pytest.raises(NotFiniteError, match="loss of step 4"):
        train(changed(settings, "run", micro_batch=2))


def test_files_that_hold_no_batch(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="cannot be read"):
        replay(tmp_path / "a")
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "b")
    with pytest.raises(CheckpointError, match="no captured batch"):
        replay(tmp_path / "b")
