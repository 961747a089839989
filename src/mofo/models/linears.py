"""Linear layers that keep less for the backward pass, and move less through memory.

Autograd keeps the input of every linear layer. Behind a LayerNorm or a GELU that input is cheap to
compute again from what is kept anyway. Doing so spares 6 of the 16 tensors of a token's width that
a transformer block would keep. What that costs is won back on a CPU: GELU's output is never whole,
only some rows at a time, in memory that stays in the cache; and a branch is added to the tokens by
its last matrix product. Under ``torch.compile`` the plain operations are used: the compiler makes
such choices by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import skip_init

# Values of GELU's output at a time on a CPU: 6 MB. Matrix products of fewer rows are slower, more
# leave the cache, and above 32 MB the allocator asks the system for new pages every time.
_PART = 3 << 19


def blank_linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer with memory for its weights but no values: no random number is drawn."""
    return skip_init(nn.Linear, inputs, outputs, bias=bias)


def norm_linear(x: Tensor, norm: nn.LayerNorm, layer: nn.Linear) -> Tensor:
    """``layer(norm(x))`` for x of shape (..., D)."""
    return norm_linears(x, norm, layer.weight, (layer.bias,))[0]


def norm_linears(
    x: Tensor, norm: nn.LayerNorm, weight: Tensor, biases: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """Several linear layers of ``norm(x)``, for x of shape (..., D): the output of each.

    Each is contiguous: attention reads queries, keys and values of their own faster than three
    strips of one tensor, and their gradients need not be put together.

    Args:
        weight: of all layers, one below the other, as many rows for each.
        biases: one for each layer; None: it has none.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        rows = len(weight) // len(biases)
        bias = torch.cat([weight.new_zeros(rows) if bias is None else bias for bias in biases])
        return F.linear(norm(x), weight, bias).chunk(len(biases), dim=-1)
    weight, *biases = _cast(x.device.type, weight, *biases)
    return _NormLinears.apply(x, norm.weight, norm.bias, weight, norm.eps, *biases)


def linear(
    x: Tensor,
    layer: nn.Linear,
    *,
    bias: Tensor | None = None,
    gelu: bool = False,
    onto: Tensor | None = None,
) -> Tensor:
    """``layer(x)`` or ``layer(gelu(x))`` for x of shape (..., D); the exact GELU.

    Args:
        layer: has a bias.
        bias: used instead.
        onto: what the result is added to, of its shape; none: nothing.
    """
    bias = layer.bias if bias is None else bias
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        branch = F.linear(F.gelu(x) if gelu else x, layer.weight, bias)
        return branch if onto is None else onto + branch
    weight, bias = _cast(x.device.type, layer.weight, bias)
    return _Linear.apply(x, weight, bias, onto, gelu)


def _cast(device: str, *tensors: Tensor | None) -> tuple[Any, ...]:
    """To the type that autocast would use, in the sight of autograd."""
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(None if tensor is None else tensor.to(dtype) for tensor in tensors)


def _plus(total: Tensor | None, one: Tensor, other: Tensor) -> Tensor:
    """A product, added to others in place; torch's counter of FLOPs does not know ``addmm_``."""
    return one @ other if total is None else torch.addmm(total, one, other, out=total)


def _bias_gradient(grad_RD: Tensor) -> Tensor:
    """The sum over rows; quicker than ``sum(0)``."""
    return torch.mv(grad_RD.T, grad_RD.new_ones(len(grad_RD)))


class _NormLinears(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gain_D: Tensor,
        shift_D: Tensor,
        weight: Tensor,
        eps: float,
        *biases: Tensor | None,
    ) -> tuple[Tensor, ...]:
        normed = F.layer_norm(x, gain_D.shape, gain_D, shift_D, eps).to(weight.dtype)
        ctx.save_for_backward(x, gain_D, shift_D, weight)
        ctx.eps = eps
        weights = weight.chunk(len(biases))
        return tuple(F.linear(normed, *of_one) for of_one in zip(weights, biases, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gain_D, shift_D, weight = ctx.saved_tensors
        needs_input, needs_weight = ctx.needs_input_grad[:3], ctx.needs_input_grad[3]
        needs_biases = ctx.needs_input_grad[5:]
        normed, mean, rstd = torch.native_layer_norm(x, gain_D.shape, gain_D, shift_D, ctx.eps)
        grads_RD = [grad.flatten(0, -2) for grad in grads]
        grad_weight = torch.empty_like(weight) if needs_weight else None
        if grad_weight is not None:
            input_RD = normed.flatten(0, -2).to(weight.dtype)
            for grad_RD, rows in zip(grads_RD, grad_weight.chunk(len(grads)), strict=True):
                torch.mm(grad_RD.T, input_RD, out=rows)
            del input_RD
        del normed
        grad_biases = [
            _bias_gradient(grad_RD) if needed else None
            for grad_RD, needed in zip(grads_RD, needs_biases, strict=True)
        ]
        grad_x = grad_gain = grad_shift = None
        if any(needs_input):
            grad_normed_RD: Any = None
            for grad_RD, of_one in zip(grads_RD, weight.chunk(len(grads)), strict=True):
                grad_normed_RD = _plus(grad_normed_RD, grad_RD, of_one)
            grad_x, grad_gain, grad_shift = torch.ops.aten.native_layer_norm_backward(
                grad_normed_RD.view_as(x).to(x.dtype),
                x,
                gain_D.shape,
                mean,
                rstd,
                gain_D,
                shift_D,
                list(needs_input),
            )
        return grad_x, grad_gain, grad_shift, grad_weight, None, *grad_biases


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, onto: Tensor | None, gelu: bool
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.gelu = gelu
        if not _adds_in_place(weight, x, *(() if onto is None else (onto,))):
            branch = F.linear((F.gelu(x) if gelu else x).to(weight.dtype), weight, bias)
            return branch if onto is None else onto + branch
        out = bias.repeat(*x.shape[:-1], 1) if onto is None else onto + bias
        out_RD = out.view(-1, len(weight))
        for rows, input_PH in _inputs(x, weight, gelu):
            torch.addmm(out_RD[rows], input_PH, weight.T, out=out_RD[rows])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, needs_onto = ctx.needs_input_grad[:4]
        grad_RD = grad.flatten(0, -2).to(weight.dtype)
        x_RH = x.flatten(0, -2)
        grad_weight = grad_x = None
        if needs_x and ctx.gelu:
            grad_x = torch.empty_like(x_RH)
        for rows, input_PH in _inputs(x, weight, ctx.gelu):
            part_PD = grad_RD[rows]
            if needs_weight:
                grad_weight = _plus(grad_weight, part_PD.T, input_PH)
            if grad_x is not None:
                grad_input_PH = torch.mm(part_PD, weight, out=input_PH).to(x.dtype)
                torch.ops.aten.gelu_backward.grad_input(
                    grad_input_PH, x_RH[rows], grad_input=grad_x[rows]
                )
        if needs_x:
            grad_x = (grad_RD @ weight).to(x.dtype) if grad_x is None else grad_x
            grad_x = grad_x.view_as(x)
        grad_bias = _bias_gradient(grad_RD) if needs_bias else None
        return grad_x, grad_weight, grad_bias, grad if needs_onto else None, None


def _adds_in_place(weight: Tensor, *others: Tensor) -> bool:
    """Whether matrix products may be added up in place, part by part.

    Not in half precision, which would be rounded after each part; and not on a GPU, whose products
    add a bias at no cost, and where a part is too little work.
    """
    if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64):
        return False
    return all(other.dtype == weight.dtype for other in others)


def _inputs(x: Tensor, weight: Tensor, gelu: bool) -> Iterator[tuple[slice, Tensor]]:
    """The layer's input: which rows, and they; of GELU's, the memory may be used until the next."""
    x_RH = x.flatten(0, -2)
    if not (gelu and len(x_RH) and _adds_in_place(weight, x)):
        yield slice(0, len(x_RH)), (F.gelu(x_RH) if gelu else x_RH).to(weight.dtype)
    else:
        yield from gelu_parts(x_RH)


def gelu_parts(x_RH: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """GELU of some rows at a time: which, and they; the memory may be used until the next."""
    memory_PH: Tensor | None = None
    for rows in row_parts(*x_RH.shape):
        memory_PH = torch.empty_like(x_RH[rows]) if memory_PH is None else memory_PH
        gelu_PH = memory_PH[: rows.stop - rows.start]
        torch.ops.aten.gelu.out(x_RH[rows], out=gelu_PH)
        yield rows, gelu_PH


def row_parts(rows: int, width: int) -> Iterator[slice]:
    """Rows in parts of nearly the same size, the largest first, that fit into a CPU's cache."""
    size = -(-rows // max(1, -(-rows * width // _PART)))
    for start in range(0, rows, max(1, size)):
        yield slice(start, min(start + size, rows))
