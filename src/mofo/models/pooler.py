"""V-JEPA's attentive pooler: blocks of self-attention, then a learned query (arXiv 2404.08471)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mofo.models.fusion import FUSIONS, Fusion
from mofo.models.layers import MLP_RATIO, empty_linear

_QUERY_STD = 0.02


class _Projections(nn.Module):
    """Queries, keys and values of several heads; where asked for, a projection of what is mixed."""

    def __init__(self, width: int, heads: int, *, out: bool) -> None:
        super().__init__()
        self._heads = heads
        self.q_proj = empty_linear(width, width)
        self.k_proj = empty_linear(width, width)
        self.v_proj = empty_linear(width, width)
        self.out_proj = empty_linear(width, width) if out else nn.Identity()

    def forward(self, query_BQD: Tensor, context_BND: Tensor) -> Tensor:
        q_BhQd, k_BhNd, v_BhNd = (
            proj(x).unflatten(2, (self._heads, -1)).transpose(1, 2)
            for proj, x in (
                (self.q_proj, query_BQD),
                (self.k_proj, context_BND),
                (self.v_proj, context_BND),
            )
        )
        mixed_BhQd = F.scaled_dot_product_attention(q_BhQd, k_BhNd, v_BhNd)
        return self.out_proj(mixed_BhQd.transpose(1, 2).flatten(2))

    def weights(self, query_BQD: Tensor, context_BND: Tensor) -> Tensor:
        """Attention (B, heads, Q, N), float32."""
        q_BhQd = self.q_proj(query_BQD).unflatten(2, (self._heads, -1)).transpose(1, 2)
        k_BhNd = self.k_proj(context_BND).unflatten(2, (self._heads, -1)).transpose(1, 2)
        return (q_BhQd @ k_BhNd.mT * q_BhQd.shape[3] ** -0.5).float().softmax(3)


class _Layer(nn.Module):
    """Attention with a residual, then an MLP with one; the context is normed before each."""

    def __init__(self, width: int, heads: int, norm_eps: float, *, out: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.attention = _Projections(width, heads, out=out)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.fc1 = empty_linear(width, MLP_RATIO * width)
        self.fc2 = empty_linear(MLP_RATIO * width, width)

    def forward(self, x_BND: Tensor, query_BQD: Tensor | None = None) -> Tensor:
        """Tokens to tokens; with a query, which is not normed, to what it has gathered."""
        normed_BND = self.norm1(x_BND)
        if query_BQD is None:
            y = x_BND + self.attention(normed_BND, normed_BND)
        else:
            y = query_BQD + self.attention(query_BQD, normed_BND)
        return y + self.fc2(F.gelu(self.fc1(self.norm2(y))))


@FUSIONS.register("vjepa_pooler")
class VJEPAPooler(Fusion):
    """Tokens attend to each other in some blocks; then a learned query attends to all of them.

    Its features go to the heads without a further LayerNorm, as in V-JEPA's classifiers. ``width``,
    ``heads``, ``norm_eps``: see ``Fusion``.
    """

    has_attention = True
    norms = False
    description = "not at all: blocks of self-attention and a learned query (V-JEPA's classifiers)"
    attended = "What the learned query attends to, mean over heads; it knows nothing of motion."

    def __init__(self, width: int, heads: int, norm_eps: float = 1e-6, *, depth: int = 3) -> None:
        super().__init__(width, heads, norm_eps)
        self.query_11D = nn.Parameter(torch.empty(1, 1, width))
        self.layers = nn.ModuleList(_Layer(width, heads, norm_eps, out=True) for _ in range(depth))
        self.gather = _Layer(width, heads, norm_eps, out=False)

    def features(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """See the class."""
        query_B1D = self.query_11D.expand(len(tokens_BND), -1, -1)
        return self.gather(self._mixed(tokens_BND), query_B1D).squeeze(1)

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """What the learned query attends to; Q is 1."""
        context_BND = self.gather.norm1(self._mixed(tokens_BND))
        query_B1D = self.query_11D.expand(len(tokens_BND), -1, -1)
        return self.gather.attention.weights(query_B1D, context_BND)

    @torch.no_grad()
    def init_extra(self, generator: torch.Generator) -> None:
        """Draws the learned query from N(0, 0.02); gains of the norms are 1."""
        self.query_11D.normal_(std=_QUERY_STD, generator=generator)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)

    def _mixed(self, tokens_BND: Tensor) -> Tensor:
        for layer in self.layers:
            tokens_BND = layer(tokens_BND)
        return tokens_BND
