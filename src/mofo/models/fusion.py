"""Fusions: all tokens of a clip to one vector, with or without the motion area.

``cross_attention`` is MOFO's (Ahmadian et al., arXiv 2308.12447): the tokens inside the motion area
attend to those outside it. The others are what it has to be compared with; each class says about
itself whether it uses the area and whether it has an attention.

All take ``fusion(tokens_BND, inside_BN)``, and no sample's result depends on another sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mofo.models.layers import Mlp, empty_linear, is_transformed, recompute
from mofo.registry import Registry
from mofo.types import SettingsError


def _own() -> None:
    import mofo.models.pooler  # noqa: F401


FUSIONS: Registry[type[Fusion]] = Registry("fusion", _own)

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # queries, keys, values -> mixed values

_OUTSIDE = 0.5  # weight of the mean outside, where the mean inside has 1
_QUERY_STD = 0.02


class Fusion(nn.Module):
    """Tokens of a clip to one vector.

    Args:
        width: channels of a token.
        heads: of the attention, if it has one.
        norm_eps: epsilon of its LayerNorms.

    Attributes:
        uses_motion: whether the motion area makes a difference.
        has_attention: whether its weights depend on the tokens.
        norms: whether its features go through a LayerNorm before the heads.
        description: what it does with the motion area, in one line, for people.
        attended: what a picture of its weights shows, in one sentence, for people.
    """

    uses_motion: ClassVar[bool] = False
    has_attention: ClassVar[bool] = False
    norms: ClassVar[bool] = True
    description: ClassVar[str]
    attended: ClassVar[str] = "This fusion has no attention: its weights are fixed."

    def __init__(self, width: int, heads: int, norm_eps: float = 1e-6) -> None:
        super().__init__()

    def forward(
        self, tokens_BND: Tensor, inside_BN: Tensor, *, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Tokens to features (B, D).

        Args:
            tokens_BND: of the encoder.
            inside_BN: bool, tokens inside the motion area.
            return_attention: return a pair: the features, and weights (B, heads, Q, N), float32
                without a gradient: how much each token counts for each of Q queries.
        """
        features_BD = self.features(tokens_BND, inside_BN)
        if not return_attention:
            return features_BD
        with torch.no_grad():
            return features_BD, self.attention(tokens_BND, inside_BN)

    def features(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """The features (B, D)."""
        raise NotImplementedError

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """The weights (B, heads, Q, N); a query that counts for nothing has a row of 0."""
        raise NotImplementedError

    def init_extra(self, generator: torch.Generator) -> None:
        """Sets what ``init_weights`` does not set as it should be at the start."""


@FUSIONS.register("mean")
class Mean(Fusion):
    """The mean over all tokens (VideoMAE)."""

    description = "not at all: the mean of all tokens"
    attended = "This fusion has no attention: all tokens count the same."

    def weights(self, inside_BN: Tensor) -> Tensor:
        """Of each token, float32 (B, N); the sum is 1 in each sample."""
        return _shares(torch.ones_like(inside_BN))

    def features(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """The weighted mean, summed in float32 at least."""
        mean_BD = (self.weights(inside_BN)[..., None] * tokens_BND).sum(1)
        return mean_BD.to(tokens_BND.dtype)

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """The weights; heads and Q are 1."""
        return self.weights(inside_BN)[:, None, None]


@FUSIONS.register("first_token")
class FirstToken(Mean):
    """The first token: classifiers of Hugging Face's VideoMAE without mean pooling take it."""

    description = "not at all: the first token stands for the clip"

    def weights(self, inside_BN: Tensor) -> Tensor:
        """See the class."""
        return (torch.arange(inside_BN.shape[1], device=inside_BN.device) == 0).expand(
            inside_BN.shape
        ) * 1.0


@FUSIONS.register("weighted_mean")
class WeightedMean(Mean):
    """``(mean inside + 0.5 mean outside) / 1.5``; the mean of all where one of both is empty."""

    uses_motion = True
    description = "what moves counts more in the mean"
    attended = "This fusion has no attention: weights inside and outside are fixed."

    def weights(self, inside_BN: Tensor) -> Tensor:
        """See the class."""
        in_BN, out_BN = _shares(_all_if_none(inside_BN)), _shares(_all_if_none(~inside_BN))
        return (in_BN + _OUTSIDE * out_BN) / (1 + _OUTSIDE)


class CrossAttention(nn.Module):
    """A block with LayerNorm first in which some vectors attend to others.

    ``y = query + proj(softmax(q k^T / sqrt(d)) v); y + mlp(norm(y))`` with q of the normed query,
    k and v of the normed context. As in the encoder, keys have no bias.
    """

    def __init__(self, width: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self._heads = heads
        self.query_norm = nn.LayerNorm(width, eps=norm_eps)
        self.context_norm = nn.LayerNorm(width, eps=norm_eps)
        self.query = empty_linear(width, width)
        self.key_value = empty_linear(width, 2 * width, bias=False)
        self.v_bias = nn.Parameter(torch.empty(width))
        self.proj = empty_linear(width, width)
        self.mlp = Mlp(width, norm_eps)

    def forward(self, query: Tensor, context: Tensor, attend: Attend | None = None) -> Tensor:
        """Queries (..., D) to (..., D).

        ``attend``: queries, keys and values, projected, to mixed values. None: ``self.attend``.
        """
        q, (k, v) = self._queries(query), self._keys_values(context)
        y = query + self.proj((attend or self.attend)(q, k, v))
        return y + self.mlp(y)

    def attend(
        self, q_BQD: Tensor, k_BND: Tensor, v_BND: Tensor, context_BN: Tensor | None = None
    ) -> Tensor:
        """Attention of all heads, side by side, (B, Q, D).

        ``context_BN``: bool, the tokens that may be attended to, at least one in each sample.
        """
        mask_B11N = None if context_BN is None else context_BN[:, None, None, :]
        q_BhQd, k_BhNd, v_BhNd = map(self._split, (q_BQD, k_BND, v_BND))
        mixed_BhQd = F.scaled_dot_product_attention(q_BhQd, k_BhNd, v_BhNd, attn_mask=mask_B11N)
        return mixed_BhQd.transpose(1, 2).flatten(2)

    @torch.no_grad()
    def attention(
        self, query_BQD: Tensor, context_BND: Tensor, context_BN: Tensor | None = None
    ) -> Tensor:
        """The weights, (B, heads, Q, N): each row sums to 1. For pictures: it keeps them all."""
        k_BhNd = self._split(self._keys_values(context_BND)[0])
        q_BhQd = self._split(self._queries(query_BQD))
        score_BhQN = (q_BhQd @ k_BhNd.transpose(2, 3)).float() * q_BhQd.shape[3] ** -0.5
        if context_BN is not None:
            score_BhQN = score_BhQN.masked_fill(~context_BN[:, None, None, :], float("-inf"))
        return score_BhQN.softmax(3)

    def _queries(self, query: Tensor) -> Tensor:
        return recompute(lambda x: self.query(self.query_norm(x)), query)

    def _keys_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        bias_E = torch.cat([torch.zeros_like(self.v_bias), self.v_bias])
        both = recompute(lambda x: self.key_value(self.context_norm(x)) + bias_E, context)
        keys, values = both.chunk(2, dim=-1)
        return keys, values

    def _split(self, x_BND: Tensor) -> Tensor:
        return x_BND.unflatten(2, (self._heads, -1)).transpose(1, 2)


@FUSIONS.register("attentive")
class Attentive(Fusion):
    """One learned query attends to all tokens, in the same block as ``cross_attention``'s.

    It knows nothing of the area, so that the two tell whether the area matters or the attention.
    """

    has_attention = True
    description = "not at all: a learned query attends to all tokens"
    attended = (
        "What the learned query attends to, mean over heads; it knows nothing of the motion area."
    )

    def __init__(self, width: int, heads: int, norm_eps: float = 1e-6) -> None:
        super().__init__(width, heads, norm_eps)
        self.query_D = nn.Parameter(torch.empty(width))
        self.block = CrossAttention(width, heads, norm_eps)

    def features(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """See the class."""
        query_B1D = self.query_D.expand(tokens_BND.shape[0], 1, -1)
        return self.block(query_B1D, tokens_BND).squeeze(1)

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """What the learned query attends to; Q is 1."""
        return self.block.attention(self.query_D.expand(1, 1, -1), tokens_BND)

    @torch.no_grad()
    def init_extra(self, generator: torch.Generator) -> None:
        """Draws the learned query from N(0, 0.02)."""
        self.query_D.normal_(std=_QUERY_STD, generator=generator)


@FUSIONS.register("cross_attention")
class MotionCrossAttention(Fusion):
    """The tokens inside the area attend to those outside; then the mean over those inside (MOFO).

    Nothing inside: the mean of all tokens as they came. Nothing outside: the tokens inside attend
    to themselves.

    On a CPU only the tokens inside are queries and only those outside are context, as many as each
    sample has. Elsewhere, and in compiled or exported code, shapes must not depend on the area and
    counting would wait for the device: there all tokens attend to those outside, and the results of
    those outside are left out of the mean. Both ways give the same features.
    """

    uses_motion = True
    has_attention = True
    description = "what moves attends to the rest (motion cross-attention)"
    attended = (
        "What the tokens inside the motion area attend to; they can only attend to those outside, "
        "so it is 0 inside. Mean over heads and over all tokens inside."
    )

    def __init__(self, width: int, heads: int, norm_eps: float = 1e-6) -> None:
        super().__init__(width, heads, norm_eps)
        self.block = CrossAttention(width, heads, norm_eps)

    def features(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """See the class."""
        free = tokens_BND.device.type == "cpu" and not torch.compiler.is_compiling()
        way = self.ragged if free and not is_transformed() else self.dense
        attended_BD = way(tokens_BND, inside_BN, _all_if_none(~inside_BN))
        any_B1 = inside_BN.any(dim=1, keepdim=True)
        return torch.where(any_B1, attended_BD, tokens_BND.mean(1))

    def dense(self, tokens_BND: Tensor, inside_BN: Tensor, context_BN: Tensor) -> Tensor:
        """Mean over the tokens inside, (B, D); 0 where there are none. All tokens are queries."""

        def attend(q_BND: Tensor, k_BND: Tensor, v_BND: Tensor) -> Tensor:
            return self.block.attend(q_BND, k_BND, v_BND, context_BN)

        attended_BND = self.block(tokens_BND, tokens_BND, attend)
        # Chosen, not multiplied by 0: whatever the others hold does not count.
        inside_BND = torch.where(inside_BN[..., None], attended_BND, 0.0)
        return inside_BND.sum(1) / inside_BN.sum(1, keepdim=True).clamp(min=1)

    def ragged(self, tokens_BND: Tensor, inside_BN: Tensor, context_BN: Tensor) -> Tensor:
        """The same; only the tokens inside are queries, only the others are context."""
        num_queries, num_context = inside_BN.sum(1).tolist(), context_BN.sum(1).tolist()

        def attend(q_XD: Tensor, k_YD: Tensor, v_YD: Tensor) -> Tensor:
            samples = zip(
                q_XD.split(num_queries), k_YD.split(num_context), v_YD.split(num_context),
                strict=True,
            )  # fmt: skip
            return torch.cat(
                [self.block.attend(q[None], k[None], v[None])[0] for q, k, v in samples]
            )

        tokens_XD = tokens_BND.flatten(0, 1)
        query_XD, context_YD = (
            tokens_XD.index_select(0, chosen_BN.flatten().nonzero().squeeze(1))
            for chosen_BN in (inside_BN, context_BN)
        )
        attended_XD = self.block(query_XD, context_YD, attend)
        samples = attended_XD.split(num_queries)
        return torch.stack([rows_QD.sum(0) / max(1, len(rows_QD)) for rows_QD in samples])

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """What each token inside attends to; Q is N, the rows of tokens outside are 0."""
        weight_BhNN = self.block.attention(tokens_BND, tokens_BND, _all_if_none(~inside_BN))
        return weight_BhNN * inside_BN[:, None, :, None]


def make_fusion(
    name: str,
    width: int,
    heads: int | None = None,
    norm_eps: float = 1e-6,
    **options: Any,
) -> Fusion:
    """Returns a new fusion of that name, whose weights are still to be set.

    ``name``: one of ``FUSIONS``.
    ``heads``: of the attention. None: MOFO's 3, or 4 where the width is no multiple of 3.
    """
    return FUSIONS[name](width, fusion_heads(width, heads), norm_eps, **options)


def fusion_heads(width: int, heads: int | None = None) -> int:
    """Returns the number of heads; None: 3, or 4 where the width is no multiple of 3."""
    if heads is None:
        heads = 4 if width % 3 else 3
    if heads < 1 or width % heads:
        raise SettingsError(f"fusion: width {width} is not a multiple of {heads} heads")
    return heads


def _all_if_none(chosen_BN: Tensor) -> Tensor:
    """The same tokens; all of them in samples that have none."""
    return chosen_BN | ~chosen_BN.any(dim=1, keepdim=True)


def _shares(chosen_BN: Tensor) -> Tensor:
    """What each token contributes to the mean over the chosen ones, float32 (B, N)."""
    return chosen_BN / chosen_BN.sum(1, keepdim=True)
