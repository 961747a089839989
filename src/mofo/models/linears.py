"""Linear layers that keep less for the backward pass.

Autograd keeps the input of every linear layer. Behind a LayerNorm or a GELU that input is cheap to
compute again from what is kept anyway. Doing so spares 6 of the 16 tensors of a token's width that
a transformer block would keep, for about 1 % of the time. Under ``torch.compile`` the plain
operations are used: the compiler makes the same choice by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import skip_init


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


def gelu_linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """``layer(gelu(x))`` for x of shape (..., D); the exact GELU."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return layer(F.gelu(x))
    weight, bias = _cast(x.device.type, layer.weight, layer.bias)
    return _GeluLinear.apply(x, weight, bias)


def _cast(device: str, *tensors: Tensor | None) -> tuple[Any, ...]:
    """To the type that autocast would use, in the sight of autograd."""
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(None if tensor is None else tensor.to(dtype) for tensor in tensors)


def _linear_gradients(
    grad: Tensor, inputs: Tensor, needs: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of weight and bias of a linear layer."""
    grad_2d = grad.flatten(0, -2)
    weight = grad_2d.T @ inputs.flatten(0, -2) if needs[0] else None
    # Quicker than sum(0).
    bias = torch.mv(grad_2d.T, grad_2d.new_ones(len(grad_2d))) if needs[1] else None
    return weight, bias


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
        found = [
            _linear_gradients(grad, normed.to(grad.dtype), (needs_weight, needs_bias))
            for grad, needs_bias in zip(grads, needs_biases, strict=True)
        ]
        del normed
        grad_weights, grad_biases = zip(*found, strict=True)
        grad_x = grad_gain = grad_shift = None
        if any(needs_input):
            first, *others = zip(grads, weight.chunk(len(grads)), strict=True)
            grad_RD = first[0].flatten(0, -2) @ first[1]
            for grad, of_one in others:
                # In place; torch's counter of FLOPs does not know addmm_.
                torch.addmm(grad_RD, grad.flatten(0, -2), of_one, out=grad_RD)
            grad_x, grad_gain, grad_shift = torch.ops.aten.native_layer_norm_backward(
                grad_RD.view_as(x).to(x.dtype),
                x,
                gain_D.shape,
                mean,
                rstd,
                gain_D,
                shift_D,
                list(needs_input),
            )
        grad_weight = torch.cat(grad_weights) if needs_weight else None
        return grad_x, grad_gain, grad_shift, grad_weight, None, *grad_biases


class _GeluLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(F.gelu(x).to(weight.dtype), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs = ctx.needs_input_grad
        grad_weight, grad_bias = _linear_gradients(grad, F.gelu(x).to(grad.dtype), needs[1:])
        grad_x = None
        if needs[0]:
            grad_x = torch.ops.aten.gelu_backward((grad @ weight).to(x.dtype), x)
        return grad_x, grad_weight, grad_bias
