"""Fusions: all tokens of a clip to one vector, with or without the motion area.

``cross_attention`` is MOFO's (Ahmadian et al., arXiv 2308.12447): the tokens inside the motion area
ask those outside it. The others are what it has to be compared with:

| fusion | attention | area |
|---|---|---|
| ``mean`` (VideoMAE) | no | no |
| ``weighted_mean`` | no | yes |
| ``attentive`` | the same block, asked by one learned query | no |
| ``cross_attention`` | yes | yes |

All take ``fusion(tokens_BND, inside_BN)``. Nothing waits for the device, all shapes are known
beforehand, and no sample's result depends on the others'. A sample with nothing inside or nothing
outside is no special case to the caller, see each fusion.
"""

from __future__ import annotations

import difflib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mofo.models.linears import blank_linear, norm_linear
from mofo.models.vit import Mlp
from mofo.types import SettingsError

_OUTSIDE = 0.5  # weight of the mean outside, where the mean inside has 1
_QUERY_STD = 0.02


class CrossAttention(nn.Module):
    """A block with LayerNorm first in which some vectors ask and others answer.

    Queries and tokens have a LayerNorm each. As in the encoder, keys have no bias.
    """

    def __init__(self, width: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self._heads = heads
        self.query_norm = nn.LayerNorm(width, eps=norm_eps)
        self.token_norm = nn.LayerNorm(width, eps=norm_eps)
        self.query = blank_linear(width, width)
        self.key_value = blank_linear(width, 2 * width, bias=False)
        self.v_bias = nn.Parameter(torch.empty(width))
        self.project = blank_linear(width, width)
        self.mlp = Mlp(width, norm_eps)

    def forward(
        self, asking_BQD: Tensor, tokens_BND: Tensor, keys_BN: Tensor | None = None
    ) -> Tensor:
        """What asks, plus the answers, through the MLP: (B, Q, D).

        Args:
            asking_BQD: B may be 1: the same for all samples.
            tokens_BND: what answers.
            keys_BN: bool, the tokens that may be attended to; at least one in each sample. None:
                all.
        """
        q_BhQd, k_BhNd, v_BhNd = self._queries_keys_values(asking_BQD, tokens_BND)
        keys_B11N = None if keys_BN is None else keys_BN[:, None, None, :]
        mixed_BhQd = F.scaled_dot_product_attention(q_BhQd, k_BhNd, v_BhNd, attn_mask=keys_B11N)
        x_BQD = asking_BQD + self.project(mixed_BhQd.transpose(1, 2).flatten(2))
        return x_BQD + self.mlp(x_BQD)

    @torch.no_grad()
    def attention(
        self, asking_BQD: Tensor, tokens_BND: Tensor, keys_BN: Tensor | None = None
    ) -> Tensor:
        """The weights, (B, heads, Q, N): each row sums to 1. For pictures: it keeps them all."""
        q_BhQd, k_BhNd, _ = self._queries_keys_values(asking_BQD, tokens_BND)
        score_BhQN = (q_BhQd @ k_BhNd.transpose(2, 3)).float() * q_BhQd.shape[3] ** -0.5
        if keys_BN is not None:
            score_BhQN = score_BhQN.masked_fill(~keys_BN[:, None, None, :], float("-inf"))
        return score_BhQN.softmax(3)

    def _queries_keys_values(
        self, asking_BQD: Tensor, tokens_BND: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        query = self.query
        q_BQD = norm_linear(asking_BQD, self.query_norm, query.weight, query.bias)
        bias = torch.cat([torch.zeros_like(self.v_bias), self.v_bias])
        kv_BNE = norm_linear(tokens_BND, self.token_norm, self.key_value.weight, bias)
        q_BhQd = q_BQD.unflatten(2, (self._heads, -1)).transpose(1, 2)
        k_BhNd, v_BhNd = kv_BNE.unflatten(2, (2, self._heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return q_BhQd.expand(len(tokens_BND), -1, -1, -1), k_BhNd, v_BhNd


class Fusion(nn.Module):
    """What all fusions have in common."""

    def forward(
        self,
        tokens_BND: Tensor,
        inside_BN: Tensor,
        *,
        most_inside: int | None = None,
        return_attention: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Tokens to features (B, D).

        Args:
            tokens_BND: of the encoder.
            inside_BN: bool, tokens inside the motion area.
            most_inside: that no sample has more tokens inside, if the caller knows: work is then
                spared where only these ask (``cross_attention``).
            return_attention: give a pair: the features, and weights (B, heads, Q, N), float32
                without a gradient: how much each token counts, for each of Q that ask.
        """
        features_BD = self.features(tokens_BND, inside_BN, most_inside)
        if not return_attention:
            return features_BD
        with torch.no_grad():
            return features_BD, self.attention(tokens_BND, inside_BN)

    def features(self, tokens_BND: Tensor, inside_BN: Tensor, most_inside: int | None) -> Tensor:
        """The features (B, D)."""
        raise NotImplementedError

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """The weights (B, heads, Q, N)."""
        raise NotImplementedError


class Mean(Fusion):
    """The mean over all tokens; knows nothing of the area."""

    def features(self, tokens_BND: Tensor, inside_BN: Tensor, most_inside: int | None) -> Tensor:
        """See the class."""
        return tokens_BND.mean(1)

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """The same for all tokens; heads and Q are 1."""
        return _share(torch.ones_like(inside_BN))[:, None, None]


class WeightedMean(Fusion):
    """``(mean inside + 0.5 mean outside) / 1.5``; the mean of all where one of both is empty."""

    def features(self, tokens_BND: Tensor, inside_BN: Tensor, most_inside: int | None) -> Tensor:
        """See the class."""
        in_BD = _mean_of(tokens_BND, _all_if_none(inside_BN))
        out_BD = _mean_of(tokens_BND, _all_if_none(~inside_BN))
        return (in_BD + _OUTSIDE * out_BD) / (1 + _OUTSIDE)

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """The weights of the mean; heads and Q are 1."""
        in_BN, out_BN = _share(_all_if_none(inside_BN)), _share(_all_if_none(~inside_BN))
        return ((in_BN + _OUTSIDE * out_BN) / (1 + _OUTSIDE))[:, None, None]


class Attentive(Fusion):
    """One learned query asks all tokens, in the same block as ``cross_attention``'s.

    It knows nothing of the area, so that the two tell whether the area matters or the attention.
    """

    def __init__(self, width: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self.query_D = nn.Parameter(torch.empty(width))
        self.block = CrossAttention(width, heads, norm_eps)

    def features(self, tokens_BND: Tensor, inside_BN: Tensor, most_inside: int | None) -> Tensor:
        """See the class."""
        return self.block(self.query_D[None, None], tokens_BND).squeeze(1)

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """What the learned query looks at; Q is 1."""
        return self.block.attention(self.query_D[None, None], tokens_BND)


class InsideOutside(Fusion):
    """``cross_attention``: the tokens inside ask those outside, then the mean over those inside.

    Nothing inside: the mean of all tokens as they came. Nothing outside: the tokens inside ask
    themselves.

    Without ``most_inside``, all tokens ask, and what those outside are told is thrown away: the
    price of shapes that are the same for all areas.

    Raises:
        SettingsError: more tokens are inside than ``most_inside``. Looked for on the CPU only:
            elsewhere it would make the device wait, and the last ones inside are left out.
    """

    def __init__(self, width: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self.block = CrossAttention(width, heads, norm_eps)

    def features(self, tokens_BND: Tensor, inside_BN: Tensor, most_inside: int | None) -> Tensor:
        """See the class."""
        asking_BQD, counts_BQ = tokens_BND, inside_BN
        if most_inside is not None:
            _check_most(inside_BN, most_inside)
            # A stable sort puts the tokens inside first, in order: no count is asked for.
            order_BN = (~inside_BN).to(torch.uint8).argsort(dim=1, stable=True)
            index_BQ = order_BN[:, :most_inside]
            counts_BQ = inside_BN.gather(1, index_BQ)
            index_BQD = index_BQ[..., None].expand(-1, -1, tokens_BND.shape[2])
            asking_BQD = tokens_BND.gather(1, index_BQD)
        told_BQD = self.block(asking_BQD, tokens_BND, _all_if_none(~inside_BN))
        any_B1 = inside_BN.any(dim=1, keepdim=True)
        return torch.where(any_B1, _mean_of(told_BQD, counts_BQ), tokens_BND.mean(1))

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """What each token inside looks at; Q is N, the rows of tokens outside are 0."""
        weight_BhNN = self.block.attention(tokens_BND, tokens_BND, _all_if_none(~inside_BN))
        return weight_BhNN * inside_BN[:, None, :, None]


_WITH_BLOCK: dict[str, type[Attentive] | type[InsideOutside]] = {
    "cross_attention": InsideOutside,
    "attentive": Attentive,
}
_WITHOUT: dict[str, type[Fusion]] = {"mean": Mean, "weighted_mean": WeightedMean}
FUSIONS = (*_WITH_BLOCK, *_WITHOUT)


def make_fusion(name: str, width: int, heads: int | None = None, norm_eps: float = 1e-6) -> Fusion:
    """The fusion of that name; its weights are to be drawn (``draw_fusion``).

    Args:
        name: one of ``FUSIONS``.
        width: of the tokens.
        heads: of the attention. None: MOFO's 3, or 4 where the width is no multiple of 3.
        norm_eps: epsilon of the block's LayerNorms.

    Raises:
        SettingsError: an unknown name, or heads that do not divide the width.
    """
    check_fusion(name)
    if name in _WITHOUT:
        return _WITHOUT[name]()
    return _WITH_BLOCK[name](width, fusion_heads(width, heads), norm_eps)


def check_fusion(name: str) -> None:
    """Raises a SettingsError for an unknown name."""
    if name not in FUSIONS:
        near = difflib.get_close_matches(name, FUSIONS, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise SettingsError(f"fusion {name!r} is unknown: choose from {', '.join(FUSIONS)}{hint}")


def fusion_heads(width: int, heads: int | None = None) -> int:
    """The number of heads asked for; None: 3, or 4 where the width is no multiple of 3.

    Raises:
        SettingsError: the width is no multiple of it.
    """
    if heads is None:
        heads = 4 if width % 3 else 3
    if heads < 1 or width % heads:
        raise SettingsError(f"fusion: width {width} is not a multiple of {heads} heads")
    return heads


@torch.no_grad()
def draw_fusion(fusion: Fusion, generator: torch.Generator) -> None:
    """The learned query N(0, 0.02); all else is drawn by ``vit.draw_weights``."""
    if isinstance(fusion, Attentive):
        fusion.query_D.normal_(std=_QUERY_STD, generator=generator)


def _check_most(inside_BN: Tensor, most: int) -> None:
    tokens = inside_BN.shape[1]
    if not 1 <= most <= tokens:
        raise SettingsError(f"most_inside {most} is not within 1 and the {tokens} tokens")
    if inside_BN.device.type == "cpu" and not torch.compiler.is_compiling():
        found = int(inside_BN.sum(1).max())
        if found > most:
            raise SettingsError(f"a sample has {found} tokens inside, but most_inside is {most}")


def _all_if_none(some_BN: Tensor) -> Tensor:
    """The same tokens; all of them in samples that have none."""
    return some_BN | ~some_BN.any(dim=1, keepdim=True)


def _share(some_BN: Tensor) -> Tensor:
    """What each token contributes to the mean over these, float32 (B, N)."""
    return some_BN / some_BN.sum(1, keepdim=True)


def _mean_of(tokens_BND: Tensor, some_BN: Tensor) -> Tensor:
    """Mean over some of the tokens, (B, D); 0 where there are none."""
    # Chosen, not multiplied by 0: whatever the others hold does not count.
    chosen_BND = torch.where(some_BN[..., None], tokens_BND, 0.0)
    return chosen_BND.sum(1) / some_BN.sum(1, keepdim=True).clamp(min=1)
