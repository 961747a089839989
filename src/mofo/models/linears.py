"""Linear layers that keep less for the backward pass.

Autograd keeps the input of every linear layer. Behind a LayerNorm or a GELU that input is cheap to
compute again from what is kept anyway. Doing so spares 6 of the 16 tensors of a token's width that
a transformer block would keep, for 1 to 2 % of the time. Under ``torch.compile`` the plain
operations are used: the compiler makes the same choice by itself.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import skip_init


def blank_linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer with memory for its weights but no values: no random number is drawn."""
    return skip_init(nn.Linear, inputs, outputs, bias=bias)


def norm_linear(x: Tensor, norm: nn.LayerNorm, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``linear(norm(x))`` for x of shape (..., D)."""
    return norm_linears(x, norm, weight, bias, 1)[0]


def norm_linears(
    x: Tensor, norm: nn.LayerNorm, weight: Tensor, bias: Tensor | None, parts: int
) -> tuple[Tensor, ...]:
    """``linear(norm(x))`` for x of shape (..., D), cut into equal parts of its last dimension.

    Each part is contiguous: attention reads queries, keys and values of their own faster than three
    strips of one tensor, and their gradients need not be put together.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return F.linear(norm(x), weight, bias).chunk(parts, dim=-1)
    weight, bias = _cast(x.device.type, weight, bias)
    return _NormLinears.apply(x, norm.weight, norm.bias, weight, bias, norm.eps, parts)


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
        bias: Tensor | None,
        eps: float,
        parts: int,
    ) -> tuple[Tensor, ...]:
        normed = F.layer_norm(x, gain_D.shape, gain_D, shift_D, eps).to(weight.dtype)
        ctx.save_for_backward(x, gain_D, shift_D, weight)
        ctx.eps = eps
        biases = [None] * parts if bias is None else bias.chunk(parts)
        return tuple(
            F.linear(normed, *of_part) for of_part in zip(weight.chunk(parts), biases, strict=True)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gain_D, shift_D, weight = ctx.saved_tensors
        needs = ctx.needs_input_grad
        normed, mean, rstd = torch.native_layer_norm(x, gain_D.shape, gain_D, shift_D, ctx.eps)
        found = [_linear_gradients(grad, normed.to(grad.dtype), needs[3:5]) for grad in grads]
        del normed
        grad_weight, grad_bias = (_joined(of_parts) for of_parts in zip(*found, strict=True))
        grad_x = grad_gain = grad_shift = None
        if any(needs[:3]):
            first, *others = zip(grads, weight.chunk(len(grads)), strict=True)
            grad_RD = first[0].flatten(0, -2) @ first[1]
            for grad, of_part in others:
                grad_RD = torch.addmm(grad_RD, grad.flatten(0, -2), of_part)
            grad_x, grad_gain, grad_shift = torch.ops.aten.native_layer_norm_backward(
                grad_RD.view_as(x).to(x.dtype),
                x,
                gain_D.shape,
                mean,
                rstd,
                gain_D,
                shift_D,
                list(needs[:3]),
            )
        return grad_x, grad_gain, grad_shift, grad_weight, grad_bias, None, None


def _joined(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    """One below the other; None if there is nothing."""
    known = [part for part in parts if part is not None]
    return torch.cat(known) if len(known) > 1 else parts[0]


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
