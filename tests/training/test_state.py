import pytest
import torch

from mofo.masking import Mask
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.training.optim import adamw, set_rate
from mofo.training.pretrain_settings import OptimSettings
from mofo.training.sharding import model_tensors, optimiser_tensors, restore
from mofo.types import TokenGrid

GRID = TokenGrid(4, 32, 32)


def build(*, compiled=False):
    model = MaskedAutoencoder(ModelSettings.named("nano", grid=GRID))
    wrapped = torch.compile(model, backend="eager") if compiled else model
    return model, wrapped, adamw(wrapped, OptimSettings())


def step(wrapped, optimiser, number):
    draw = torch.Generator().manual_seed(number)
    frames = torch.randint(256, (2, 4, 32, 32, 3), dtype=torch.uint8, generator=draw)
    mask = Mask.of((torch.arange(GRID.tokens) < GRID.tokens - 2).expand(2, -1))
    set_rate(optimiser, 1e-3 * (number + 1))
    loss = wrapped(frames, mask).loss
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
    return loss.item()


@pytest.mark.parametrize("compiled", [False, True])
def test_a_restored_state_goes_on_bit_for_bit(compiled):
    _, whole, optimiser = build(compiled=compiled)
    expected = [step(whole, optimiser, n) for n in range(6)]
    _, half, optimiser = build(compiled=compiled)
    found = [step(half, optimiser, n) for n in range(3)]
    copies = [
        {name: tensor.clone() for name, tensor in tensors.items()}
        for tensors in (model_tensors(half), optimiser_tensors(half, optimiser))
    ]
    _, fresh, optimiser = build(compiled=compiled)
    restore(fresh, optimiser, *copies)
    found += [step(fresh, optimiser, n) for n in range(3, 6)]
    assert found == expected


def test_names_are_the_models_own_whatever_wraps_it():
    model, wrapped, optimiser = build(compiled=True)
    step(wrapped, optimiser, 0)
    assert set(model_tensors(wrapped)) == set(model.state_dict())
    weights = {name.partition("/")[2] for name in optimiser_tensors(wrapped, optimiser)}
    assert weights == {name for name, _ in model.named_parameters()}


def test_vectors_do_not_decay():
    model, _, optimiser = build()
    decaying = {id(p) for p in optimiser.param_groups[0]["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in decaying) == (parameter.ndim > 1), name
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.05, 0.0]
