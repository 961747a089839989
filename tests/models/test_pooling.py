"""Means taken before the last layer are those taken behind it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.inputs import generator, randomise
from mofo.models.model_settings import ModelSettings
from mofo.models.pooling import pooled, pooled_gelu
from mofo.models.vit import Block, Encoder
from mofo.types import TokenGrid

SIZES = (3, 0, 7, 1)


def shares(*shape: int, seed: int = 5) -> Tensor:
    weight = torch.rand(shape, generator=generator(seed)) + 0.1
    return weight / weight.sum(-1, keepdim=True)


def ragged() -> Tensor:
    return torch.cat([shares(size, seed=size) for size in SIZES])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("part", [1, 96, 1 << 21])
@pytest.mark.parametrize("sizes", [None, SIZES])
@pytest.mark.parametrize("gelu", [False, True])
def test_sums_of_rows(gelu, sizes, part, dtype, monkeypatch):
    monkeypatch.setattr("mofo.models.linears._PART", part)
    shape = (4, 6, 16) if sizes is None else (sum(SIZES), 16)
    weight = shares(4, 6) if sizes is None else ragged()
    x = torch.randn(shape, generator=generator(1)).to(dtype).requires_grad_()
    exact = x.detach().double().requires_grad_()
    rows = (F.gelu(exact) if gelu else exact) * weight[..., None]
    samples = rows if sizes is None else rows.split(SIZES)
    wanted = torch.stack([sample.sum(0) for sample in samples])
    found = (pooled_gelu if gelu else pooled)(x, weight, sizes)
    assert found.dtype == dtype
    room = {torch.float64: 1e-6, torch.float32: 1e-6}.get(dtype, 0.02)  # weights are float32
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=room)
    factor = torch.randn(wanted.shape, generator=generator(2))
    (found * factor.to(dtype)).sum().backward()
    (wanted * factor).sum().backward()
    torch.testing.assert_close(x.grad.double(), exact.grad, rtol=0, atol=room)
    with torch.no_grad():
        again = (pooled_gelu if gelu else pooled)(x, weight, sizes)
    torch.testing.assert_close(again, found, rtol=0, atol=room)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mean_in_half_precision_is_rounded_to_no_side(dtype):
    """1 / 1555 would be, in bfloat16 by 0.2 %; and the sum of all is above float16's range."""
    count = 1555
    values = torch.linspace(1000, 2000, 500).to(dtype)
    mean = pooled(values.expand(1, count, -1), torch.full((1, count), 1 / count))
    error = mean.float() / values.float() - 1
    assert error.abs().max() < 2 ** (-7 if dtype == torch.bfloat16 else -10)
    assert error.mean().abs() < 3e-4


def test_autocast_does_not_round():
    weight, x = shares(2, 50), torch.randn(2, 50, 8, generator=generator(1))
    wanted = pooled(x, weight)
    with torch.autocast("cpu", torch.bfloat16):
        found = pooled(x, weight)
    assert torch.equal(found, wanted)


def test_gelu_is_not_kept():
    x = torch.randn(2, 50, 16, generator=generator(4), requires_grad=True)
    sizes = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        pooled_gelu(x, shares(2, 50))
    assert sorted(sizes) == [100, 1600]  # the weights, and what GELU is taken of


@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("drop_path", [0.0, 0.4])
@pytest.mark.parametrize("training", [True, False])
def test_a_block_gives_the_mean_of_its_tokens(training, drop_path, skip):
    block = Block(16, 4, drop_path=drop_path).double()
    randomise(block, 1)
    block.train(training)
    weight = shares(5, 6 - skip)
    results = []
    for early in (True, False):
        torch.manual_seed(3)
        x = torch.randn(5, 6, 16, generator=generator(2)).double().requires_grad_()
        mean = block(x, skip, weight) if early else pooled(block(x, skip), weight)
        grads = torch.autograd.grad(mean.square().sum(), [x, *block.parameters()])
        results.append((mean, *grads))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("final_norm", [False, True])
def test_an_encoder_gives_the_mean_of_its_tokens(final_norm, checkpointing):
    grid = TokenGrid(4, 32, 32)
    settings = ModelSettings.named("nano", grid=grid, activation_checkpointing=checkpointing)
    encoder = Encoder(settings, final_norm=final_norm)
    randomise(encoder, 1)
    frames = torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8, generator=generator(3))
    weight = shares(2, grid.tokens)
    found = encoder(frames, weight_BV=weight)
    wanted = (encoder(frames) * weight[..., None]).sum(1)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    for mean in (found, wanted):
        mean.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
