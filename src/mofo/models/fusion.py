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
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mofo.models.cross_attention import CrossAttention, spread
from mofo.models.pooling import pooled
from mofo.types import SettingsError

_OUTSIDE = 0.5  # weight of the mean outside, where the mean inside has 1
_QUERY_STD = 0.02


class InsideBound(NamedTuple):
    """How many tokens a batch has inside the motion area at most: known before, work is spared.

    Attributes:
        most: in any one sample.
        total: in all samples together.
    """

    most: int
    total: int


def inside_bound(inside_BN: Tensor, steps: int = 64) -> InsideBound:
    """The bound of a batch; to be asked for where the area is at hand on the CPU.

    Both numbers are rounded up to a ``steps``-th of all tokens, so that few different ones occur:
    memory of few sizes is asked for, and compiled code sees few shapes. Waits for the device if the
    area is on another one than the CPU.
    """
    count_B = inside_BN.sum(1)
    found = torch.stack([count_B.max(), count_B.sum()]).tolist()
    sizes = (inside_BN.shape[1], inside_BN.numel())
    most, total = (
        min(size, max(1, -(-count * steps // size)) * -(-size // steps))
        for count, size in zip(found, sizes, strict=True)
    )
    return InsideBound(most, total)


class Fusion(nn.Module):
    """What all fusions have in common."""

    def forward(
        self,
        tokens_BND: Tensor,
        inside_BN: Tensor,
        *,
        bound: InsideBound | None = None,
        return_attention: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Tokens to features (B, D).

        Args:
            tokens_BND: of the encoder.
            inside_BN: bool, tokens inside the motion area.
            bound: how many tokens are inside at most, if the caller knows: work is then spared
                where only these ask (``cross_attention``). See ``inside_bound``.
            return_attention: give a pair: the features, and weights (B, heads, Q, N), float32
                without a gradient: how much each token counts, for each of Q that ask.
        """
        features_BD = self.features(tokens_BND, inside_BN, bound)
        if not return_attention:
            return features_BD
        with torch.no_grad():
            return features_BD, self.attention(tokens_BND, inside_BN)

    def features(self, tokens_BND: Tensor, inside_BN: Tensor, bound: InsideBound | None) -> Tensor:
        """The features (B, D)."""
        raise NotImplementedError

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """The weights (B, heads, Q, N)."""
        raise NotImplementedError


class Pooling(Fusion):
    """A weighted mean over the tokens; the weights come from the area alone, not from the tokens.

    An encoder that is given the weights makes the mean for less work than all tokens.
    """

    def weights(self, inside_BN: Tensor) -> Tensor:
        """Of each token, float32 (B, N): all above 0; the sum is 1 in each sample."""
        raise NotImplementedError

    def features(self, tokens_BND: Tensor, inside_BN: Tensor, bound: InsideBound | None) -> Tensor:
        """See the class."""
        return pooled(tokens_BND, self.weights(inside_BN))

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """The weights; heads and Q are 1."""
        return self.weights(inside_BN)[:, None, None]


class Mean(Pooling):
    """The mean over all tokens; knows nothing of the area."""

    def weights(self, inside_BN: Tensor) -> Tensor:
        """The same for all tokens."""
        return _share(torch.ones_like(inside_BN))


class WeightedMean(Pooling):
    """``(mean inside + 0.5 mean outside) / 1.5``; the mean of all where one of both is empty."""

    def weights(self, inside_BN: Tensor) -> Tensor:
        """See the class."""
        in_BN, out_BN = _share(_all_if_none(inside_BN)), _share(_all_if_none(~inside_BN))
        return (in_BN + _OUTSIDE * out_BN) / (1 + _OUTSIDE)


class Attentive(Fusion):
    """One learned query asks all tokens, in the same block as ``cross_attention``'s.

    It knows nothing of the area, so that the two tell whether the area matters or the attention.
    """

    def __init__(self, width: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self.query_D = nn.Parameter(torch.empty(width))
        self.block = CrossAttention(width, heads, norm_eps)

    def features(self, tokens_BND: Tensor, inside_BN: Tensor, bound: InsideBound | None) -> Tensor:
        """See the class."""
        return self.block(self.query_D[None, None], tokens_BND).squeeze(1)

    def attention(self, tokens_BND: Tensor, inside_BN: Tensor) -> Tensor:
        """What the learned query looks at; Q is 1."""
        return self.block.attention(self.query_D[None, None], tokens_BND)


class InsideOutside(Fusion):
    """``cross_attention``: the tokens inside ask those outside, then the mean over those inside.

    Nothing inside: the mean of all tokens as they came. Nothing outside: the tokens inside ask
    themselves.

    On a device, and in compiled or exported code, shapes must not depend on the area: without a
    bound all tokens ask there, and what those outside are told is thrown away.

    Raises:
        SettingsError: more tokens are inside than the bound says. Looked for on the CPU only:
            elsewhere it would make the device wait, and the last ones inside are left out.
    """

    def __init__(self, width: int, heads: int, norm_eps: float) -> None:
        super().__init__()
        self.block = CrossAttention(width, heads, norm_eps)

    def features(self, tokens_BND: Tensor, inside_BN: Tensor, bound: InsideBound | None) -> Tensor:
        """See the class."""
        keys_BN = _all_if_none(~inside_BN)
        if bound is not None:
            _check_bound(inside_BN, bound)
        if _calls_are_cheap(tokens_BND):
            told_BD = self._means(tokens_BND, inside_BN, keys_BN)
            if inside_BN.any(dim=1).all():
                return told_BD
        elif bound is None:
            told_BD = _mean_of(self.block(tokens_BND, tokens_BND, keys_BN), inside_BN)
        else:
            told_BD = self._packed(tokens_BND, inside_BN, keys_BN, bound)
        any_B1 = inside_BN.any(dim=1, keepdim=True)
        return torch.where(any_B1, told_BD, tokens_BND.mean(1))

    def _means(self, tokens_BND: Tensor, inside_BN: Tensor, keys_BN: Tensor) -> Tensor:
        """Mean over the tokens inside, (B, D); only these ask, and only keys answer."""
        tokens_YD = tokens_BND.flatten(0, 1)
        chosen = [
            (tokens_YD.index_select(0, some_BN.flatten().nonzero().squeeze(1)), some_BN.sum(1))
            for some_BN in (inside_BN, keys_BN)
        ]
        (asking_XD, asked_B), (answering_YD, answers_B) = chosen
        return self.block.means(asking_XD, asked_B.tolist(), answering_YD, answers_B.tolist())

    def _packed(
        self, tokens_BND: Tensor, inside_BN: Tensor, keys_BN: Tensor, bound: InsideBound
    ) -> Tensor:
        """The same in shapes that are known: a few others ask as well, up to the bound."""
        batch, tokens = inside_BN.shape
        number_BN = inside_BN.cumsum(1) - 1
        rank_BN = (inside_BN.flatten().cumsum(0) - 1).view_as(inside_BN)
        kept_BN = inside_BN & (number_BN < bound.most) & (rank_BN < bound.total)
        # A stable sort puts the tokens inside first, in order: no count is asked for.
        index_X = (~kept_BN).flatten().to(torch.uint8).argsort(stable=True)[: bound.total]
        place_X = index_X // tokens * bound.most + number_BN.flatten()[index_X]
        place_X = place_X.where(kept_BN.flatten()[index_X], batch * bound.most)
        asking_XD = tokens_BND.flatten(0, 1).index_select(0, index_X)
        told_XD = self.block.packed(asking_XD, place_X, bound.most, tokens_BND, keys_BN)
        count_B1 = kept_BN.sum(1, keepdim=True).clamp(min=1)
        return spread(told_XD, place_X, batch, bound.most).sum(1) / count_B1

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
    """The learned query N(0, 0.02); all else is drawn by ``vit.init_weights``."""
    if isinstance(fusion, Attentive):
        fusion.query_D.normal_(std=_QUERY_STD, generator=generator)


def _calls_are_cheap(x: Tensor) -> bool:
    """Whether many small calls cost no more than a large one, and counting makes nobody wait."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _check_bound(inside_BN: Tensor, bound: InsideBound) -> None:
    tokens, total = inside_BN.shape[1], inside_BN.numel()
    if not (1 <= bound.most <= tokens and 1 <= bound.total <= total):
        raise SettingsError(f"{bound} is not within 1 and {tokens} tokens, {total} in the batch")
    if inside_BN.device.type == "cpu" and not torch.compiler.is_compiling():
        count_B = inside_BN.sum(1)
        found = InsideBound(int(count_B.max()), int(count_B.sum()))
        if found.most > bound.most or found.total > bound.total:
            raise SettingsError(f"the motion areas have {found}, above the given {bound}")


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
