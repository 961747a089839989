"""The thrifty layers give what the plain ones give, and keep less."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.inputs import generator, randomise
from mofo.models.linears import linear, norm_linear, norm_linears


class Both(nn.Module):
    """A norm and two layers, by ours or by plain operations."""

    def __init__(self, plain: bool) -> None:
        super().__init__()
        self.plain = plain
        self.norm = nn.LayerNorm(16, eps=1e-6)
        self.first = nn.Linear(16, 32)
        self.second = nn.Linear(32, 16)
        randomise(self, 3)

    def forward(self, x):
        if self.plain:
            return self.second(F.gelu(self.first(self.norm(x))))
        hidden = norm_linear(x, self.norm, self.first)
        return linear(hidden, self.second, gelu=True)


def run(plain, *, dtype=None, frozen=(), leaf=True):
    module = Both(plain)
    for name in frozen:
        module.get_parameter(name).requires_grad_(False)
    x = torch.randn(2, 5, 16, generator=generator(4)).requires_grad_(leaf)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is not None):
        y = module(x)
    y.float().square().sum().backward()
    grads = {name: p.grad for name, p in module.named_parameters()} | {"x": x.grad}
    return y, grads


@pytest.mark.parametrize("leaf", [True, False])
@pytest.mark.parametrize(
    "frozen", [(), ("first.weight", "norm.bias"), ("norm.weight", "norm.bias", "second.bias")]
)
def test_same_result_and_gradients(frozen, leaf):
    wanted, wanted_grads = run(True, frozen=frozen, leaf=leaf)
    found, found_grads = run(False, frozen=frozen, leaf=leaf)
    assert torch.equal(found, wanted)
    for name, grad in wanted_grads.items():
        if grad is None:
            assert found_grads[name] is None, name
        else:
            torch.testing.assert_close(found_grads[name], grad, msg=name)


@pytest.mark.parametrize("without", [(), (1,), (0, 1, 2)])
def test_several_layers_are_those_of_one(without):
    norm, weight = nn.LayerNorm(16), nn.Parameter(0.1 * torch.randn(48, 16, generator=generator(5)))
    drawn = torch.randn(3, 16, generator=generator(6)).unbind()
    biases = [None if n in without else nn.Parameter(bias) for n, bias in enumerate(drawn)]
    known = [bias for bias in biases if bias is not None]
    x = torch.randn(2, 5, 16, generator=generator(4), requires_grad=True)
    packed = torch.cat([torch.zeros(16) if bias is None else bias for bias in biases])
    wanted = F.linear(norm(x), weight, packed).chunk(3, 2)
    found = norm_linears(x, norm, weight, biases)
    assert all(part.is_contiguous() for part in found)
    gradients = []
    for parts in (found, wanted):
        factors = (0.5, -2.0, 3.0)
        loss = sum(f * part.square().sum() for f, part in zip(factors, parts, strict=True))
        gradients.append(torch.autograd.grad(loss, [x, *norm.parameters(), weight, *known]))
    torch.testing.assert_close(*gradients)
    with torch.no_grad():
        torch.testing.assert_close(norm_linears(x, norm, weight, biases), wanted)


@pytest.mark.parametrize("kind", ["float32", "float64", "autocast"])
@pytest.mark.parametrize("part", [1, 96, 1 << 21])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("gelu", [False, True])
def test_a_layer_in_parts_and_onto_something(gelu, adds, part, kind, monkeypatch):
    monkeypatch.setattr("mofo.models.linears._PART", part)
    dtype = torch.float64 if kind == "float64" else torch.float32
    layer = nn.Linear(32, 16)
    randomise(layer, 3)
    layer = layer.to(dtype)
    x = torch.randn(2, 7, 32, generator=generator(4)).to(dtype)
    # As it is in a block that leaves out the first tokens.
    onto = torch.randn(2, 9, 16, generator=generator(5)).to(dtype)[:, 2:] if adds else None
    inputs = [tensor.requires_grad_() for tensor in (x, onto) if tensor is not None]
    before = [tensor.detach().clone() for tensor in inputs]

    def plain(x, layer, gelu, onto):
        branch = layer(F.gelu(x) if gelu else x)
        return branch if onto is None else onto + branch

    results = []
    for way in (linear, plain):
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
            y = way(x, layer, gelu=gelu, onto=onto)
        results.append((y, *torch.autograd.grad(y.square().sum(), [*inputs, *layer.parameters()])))
    near = {"rtol": 0.02, "atol": 0.02} if kind == "autocast" else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(*results, **near)
    torch.testing.assert_close(inputs, before, rtol=0, atol=0)  # nothing was added to them
    with torch.no_grad():
        torch.testing.assert_close(
            linear(x, layer, gelu=gelu, onto=onto), plain(x, layer, gelu, onto), rtol=0, atol=0
        )


def test_a_single_row_is_not_added_to_the_bias():
    layer = nn.Linear(32, 16)
    randomise(layer, 3)
    before = layer.bias.detach().clone()
    x = torch.randn(1, 32, generator=generator(4))
    torch.testing.assert_close(linear(x, layer), layer(x))
    assert torch.equal(layer.bias, before)


def test_same_under_autocast():
    wanted, wanted_grads = run(True, dtype=torch.bfloat16)
    found, found_grads = run(False, dtype=torch.bfloat16)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, wanted)
    for name, grad in wanted_grads.items():
        assert found_grads[name].dtype == torch.float32
        torch.testing.assert_close(found_grads[name], grad, rtol=0.02, atol=0.02, msg=name)


def test_less_is_kept():
    """Of the tensors with a row for each token, only the inputs of norm and GELU."""

    def kept(plain: bool) -> list[int]:
        module, sizes = Both(plain), set()
        x = torch.randn(2, 50, 16, generator=generator(4), requires_grad=True)

        def note(tensor):
            if tensor.numel() >= x.numel() and not isinstance(tensor, nn.Parameter):
                sizes.add((tensor.data_ptr(), tensor.numel()))
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            module(x)
        return sorted(size for _, size in sizes)

    assert kept(plain=False) == [1600, 3200]
    assert kept(plain=True) == [1600, 1600, 3200, 3200]
