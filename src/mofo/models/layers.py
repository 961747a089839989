"""Layers that encoder, decoder and fusions share: attention, MLP, and what saves memory in them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.utils.checkpoint import checkpoint

MLP_RATIO = 4  # width of the hidden layer, in widths of the token


def recompute(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function(x)``, of which only ``x`` is kept for the backward pass.

    For a cheap operation followed by a linear layer, such as ``fc2(gelu(h))``: autograd would keep
    the layer's input, which is computed again from ``x`` at little cost. The matrix product is not:
    a linear layer stores its input before it multiplies, and checkpointing stops as soon as all
    that was stored the first time is there again. A block so keeps 10 tensors of a token's width
    where it would keep 16.

    Compiled code makes such choices by itself, and transforms of ``torch.func`` cannot keep less.
    """
    if torch.compiler.is_compiling() or is_transformed() or not torch.is_grad_enabled():
        return function(x)
    result: Tensor = checkpoint(function, x, use_reentrant=False)
    return result


def is_transformed() -> bool:
    """Whether a transform of ``torch.func`` runs this code: no hooks, no shapes from values."""
    return torch._C._are_functorch_transforms_active()


def empty_linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer with memory for its weights but no values: no random number is drawn."""
    return skip_init(nn.Linear, inputs, outputs, bias=bias)


@torch.no_grad()
def init_weights(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Sets weights for the start: matrices xavier-uniform, biases zero, gains of LayerNorms one.

    ``module``: on the CPU, or on the generator's device.
    ``generator``: None: one with seed 0. torch's global one is never used.
    """
    generator = generator or torch.Generator().manual_seed(0)
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter, generator=generator)
        else:
            parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)


class Attention(nn.Module):
    """Multi-head self-attention of normed tokens: ``proj(softmax(q k^T / sqrt(d)) v)``.

    Queries and values have a bias; one of the keys would add the same to all scores of a query and
    change nothing.
    """

    def __init__(self, width: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self._heads = heads
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.qkv = empty_linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.empty(width))
        self.v_bias = nn.Parameter(torch.empty(width))
        self.proj = empty_linear(width, width)

    def forward(self, x_BVD: Tensor, num_context: int = 0) -> Tensor:
        """Tokens (B, V, D) to the branch added to them, (B, V - num_context, D).

        ``num_context``: the first tokens, which are attended to but do not attend.
        """
        qkv_BVE = recompute(self._qkv, x_BVD)
        q_BhVd, k_BhVd, v_BhVd = (
            part_BVD.unflatten(2, (self._heads, -1)).transpose(1, 2)
            for part_BVD in qkv_BVE.chunk(3, dim=2)
        )
        mixed_BhVd = F.scaled_dot_product_attention(q_BhVd[:, :, num_context:], k_BhVd, v_BhVd)
        return self.proj(mixed_BhVd.transpose(1, 2).flatten(2))

    def _qkv(self, x_BVD: Tensor) -> Tensor:
        bias_E = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        return self.qkv(self.norm(x_BVD)) + bias_E


class Mlp(nn.Module):
    """Two linear layers on normed tokens with a GELU between them: ``fc2(gelu(fc1(norm(x))))``."""

    def __init__(self, width: int, norm_eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.fc1 = empty_linear(width, MLP_RATIO * width)
        self.fc2 = empty_linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (..., D) to the branch added to them."""
        hidden = recompute(lambda x: self.fc1(self.norm(x)), x)
        return recompute(lambda hidden: self.fc2(F.gelu(hidden)), hidden)
