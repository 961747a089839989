from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.changes import changed
from mofo.training.checkpoint import open_checkpoint
from mofo.training.finetune_task import FinetuneTask
from mofo.training.optim import WeightAverage
from mofo.training.saved_models import open_classifier
from mofo.training.trainer import train


def test_equal_to_a_hand_computation_and_gone_after_use():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    average = WeightAverage(layer.parameters(), 0.75)
    wanted = layer.weight.detach().clone()
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        with torch.no_grad():
            layer.weight.copy_(torch.randn(2, 2, generator=generator))
        average.update()
        wanted = 0.75 * wanted + 0.25 * layer.weight.detach()
    now = layer.weight.detach().clone()
    with average.in_place():
        torch.testing.assert_close(layer.weight.detach(), wanted)
    assert torch.equal(layer.weight, now)
    with pytest.raises(RuntimeError, match="in use"), average.in_place():
        raise RuntimeError("in use")
    assert torch.equal(layer.weight, now)


def test_of_a_run(tuned):
    """Every step's weights are kept as checkpoints: their average, computed apart."""
    chosen = changed(changed(tuned, "optim", ema_decay=0.6), "run", save_every=1, keep_last=12)
    train(chosen)
    wanted = {k: p.detach().clone() for k, p in FinetuneTask(chosen).build().named_parameters()}
    folder = Path(chosen.run.out) / "checkpoints"
    for step in range(1, 13):
        saved = open_checkpoint(folder / f"step_{step:08d}")
        for name, tensor in saved.model().items():
            if name in wanted:
                wanted[name] = 0.6 * wanted[name] + 0.4 * tensor
    average = saved.average()
    for name, tensor in wanted.items():
        torch.testing.assert_close(average[name], tensor, rtol=1e-5, atol=1e-6)
    assert not torch.equal(average["head.linear.label.weight"],
                           saved.model()["head.linear.label.weight"])  # fmt: skip
    # And it is what is used.
    best = open_classifier(chosen.run.out)
    given = best.model.state_dict()["head.linear.label.weight"]
    assert torch.equal(given, best.checkpoint.average()["head.linear.label.weight"])
