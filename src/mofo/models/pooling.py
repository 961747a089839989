"""Weighted means over each sample's tokens, taken before the last linear layer, not behind it.

Where the weights sum to 1, a linear layer of the mean is the mean of the layer's outputs. So what
ends in a mean (the fusion ``mean``; the tokens inside, for ``cross_attention``) needs the last
product of its last block once a sample, not once a token. That product is a quarter of all matrix
products of a ViT-B's block, forward and backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mofo.models.linears import gelu_parts, row_parts

Sizes = Sequence[int]


def pooled(x: Tensor, weight: Tensor, sizes: Sizes | None = None) -> Tensor:
    """Weighted sums over each sample's rows, (B, D), in the type of x.

    Args:
        x: (B, N, D); with sizes (X, D), the samples one after the other.
        weight: float32, of each row: (B, N) or (X,). It gets no gradient.
        sizes: rows of each sample, 0 or more. None: N.
    """
    with _no_autocast(x.device.type):
        if sizes is None:
            return _sums(x, weight)
        samples = _samples(x, weight, sizes)
        return torch.cat([_sums(rows_ND[None], of_N[None]) for rows_ND, of_N in samples])


def pooled_gelu(x: Tensor, weight: Tensor, sizes: Sizes | None = None) -> Tensor:
    """The same of ``gelu(x)``, the exact GELU, which is not kept, and never whole on a CPU."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return pooled(F.gelu(x), weight, sizes)
    return _PooledGelu.apply(x, weight, sizes)


def _no_autocast(device: str) -> AbstractContextManager[Any]:
    """Autocast would round the weights of a mean, all to the same side."""
    known = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if known else nullcontext()


def _sums(x_BND: Tensor, weight_BN: Tensor) -> Tensor:
    if x_BND.dtype not in (torch.bfloat16, torch.float16):
        return (weight_BN[:, None].to(x_BND.dtype) @ x_BND).squeeze(1)
    if not x_BND.shape[1]:
        return x_BND.sum(1)
    # A sample's largest weight is made a power of 2: it is then exact, and no sum overflows.
    scale_B1 = torch.frexp(weight_BN.amax(1, keepdim=True)).mantissa
    power_BN = (weight_BN / scale_B1).to(x_BND.dtype)
    return ((power_BN[:, None] @ x_BND).squeeze(1) * scale_B1).to(x_BND.dtype)


class _PooledGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, sizes: Sizes | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.sizes = sizes
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
            return pooled(F.gelu(x), weight, sizes)  # half precision would be rounded at each part
        samples = _samples(x, weight.to(x.dtype), sizes)
        out_BH = x.new_zeros(len(samples), x.shape[-1])
        for sum_H, (x_NH, weight_N) in zip(out_BH, samples, strict=True):
            for rows, gelu_PH in gelu_parts(x_NH):
                sum_H.addmv_(gelu_PH.T, weight_N[rows])
        return out_BH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BH: Tensor) -> tuple[Tensor, None, None]:
        x, weight = ctx.saved_tensors
        grad = torch.empty_like(x)
        if x.device.type != "cpu":
            _gelu_backward(grad_BH[:, None], weight[..., None], x, grad)
            return grad, None, None
        samples, to_fill = _samples(x, weight, ctx.sizes), _samples(grad, weight, ctx.sizes)
        for of_H, (x_NH, weight_N), (grad_NH, _) in zip(grad_BH, samples, to_fill, strict=True):
            for rows in row_parts(*x_NH.shape):
                _gelu_backward(of_H, weight_N[rows, None], x_NH[rows], grad_NH[rows])
        return grad, None, None


def _gelu_backward(grad: Tensor, weight: Tensor, x: Tensor, out: Tensor) -> None:
    """The gradient of x, where that of ``weight * gelu(x)`` is the same for all rows."""
    torch.mul(weight, grad, out=out)
    torch.ops.aten.gelu_backward.grad_input(out, x, grad_input=out)


def _samples(x: Tensor, weight: Tensor, sizes: Sizes | None) -> list[tuple[Tensor, Tensor]]:
    """Rows of each sample, (N, D), and their weights, (N,): parts of the same memory."""
    if sizes is None:
        return list(zip(x, weight, strict=True))
    return list(zip(x.split(list(sizes)), weight.split(list(sizes)), strict=True))
