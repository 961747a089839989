"""Which tokens an encoder computes, if not all: those that move most, and an even grid of the rest.

What stands still costs an encoder as much as what moves. With ``keep`` 0.4 the tokens that move
most and a few of all others go into the first block, in every sample as many. A way to choose is a
class; register one to use it in recipes:

    @TOKEN_CHOICES.register("left")
    class Left(TokenChoice): ...

    TokenSettings(keep=0.4, by="left")
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import pooled_motion
from mofo.masking.mask import Mask, smallest
from mofo.registry import Registry, unknown
from mofo.types import SettingsError, TokenGrid

TOKEN_CHOICES: Registry[type[TokenChoice]] = Registry("way to choose tokens")

_MOVES = 0.25  # motion from which on a clip should not lose a token, where clips differ in number
_ODD = (0.8191725, 0.6710436, 0.5497004)  # steps of an even order in t, y, x (Roberts' R3 sequence)
_TIE = 1e-4  # below the step of a token's motion: 1 / (255 * 16)


class TokenChoice:
    """How much each token is worth keeping.

    Attributes:
        uses_motion: whether the clip's motion makes a difference.
        description: in one line, for people.
    """

    uses_motion: ClassVar[bool] = False
    description: ClassVar[str]

    @staticmethod
    def score(
        grid: TokenGrid, frames_BTHWC: Tensor, motion_Bthw: Tensor, noise_BN: Tensor
    ) -> Tensor:
        """A score in [0, 1], float (B, t, h, w); of equal ones those in an even order are kept.

        Args:
            grid: the clip's tokens.
            frames_BTHWC: uint8, or float in [0, 1].
            motion_Bthw: how much of each token moves by itself, float in [0, 1].
            noise_BN: of the samples, see ``ClipSample``.
        """
        raise NotImplementedError


@TOKEN_CHOICES.register("motion")
class MovingTokens(TokenChoice):
    """What moves by itself, camera taken out."""

    uses_motion = True
    description = "the tokens that move most, camera taken out"

    @staticmethod
    def score(
        grid: TokenGrid, frames_BTHWC: Tensor, motion_Bthw: Tensor, noise_BN: Tensor
    ) -> Tensor:
        """See the class."""
        return motion_Bthw


class RunTokens(TokenChoice):
    """Each place once, and again whenever it moves: runs of still tokens become their first.

    Run-length tokens (Choudhury et al., arXiv 2411.05222) of a fixed number, camera taken out.
    What ``merge`` "static" chooses by.
    """

    uses_motion = True
    description = "each place once, and again as long as it moves and when it has come to rest"

    @staticmethod
    def score(
        grid: TokenGrid, frames_BTHWC: Tensor, motion_Bthw: Tensor, noise_BN: Tensor
    ) -> Tensor:
        """1 in the first slot; then the motion of the slot or of the one before."""
        later_Bthw = torch.maximum(motion_Bthw[:, 1:], motion_Bthw[:, :-1])
        return torch.cat([torch.ones_like(motion_Bthw[:, :1]), later_Bthw], 1)


@TOKEN_CHOICES.register("random")
class RandomTokens(TokenChoice):
    """Any: what others have to be compared with."""

    description = "any tokens"

    @staticmethod
    def score(
        grid: TokenGrid, frames_BTHWC: Tensor, motion_Bthw: Tensor, noise_BN: Tensor
    ) -> Tensor:
        """See the class."""
        return noise_BN.unflatten(1, (grid.t, grid.h, grid.w))


@TOKEN_CHOICES.register("difference")
class ChangingTokens(TokenChoice):
    """Where pixels change from frame to frame, whoever moves: the camera counts, too."""

    description = "the tokens whose pixels change most from frame to frame, camera and all"

    @staticmethod
    def score(
        grid: TokenGrid, frames_BTHWC: Tensor, motion_Bthw: Tensor, noise_BN: Tensor
    ) -> Tensor:
        """The mean difference of green to the next frame; of the last frame to the one before."""
        if grid.frames == 1:
            return torch.zeros_like(motion_Bthw)
        green_BTHW = frames_BTHWC[..., 1].float()
        change_BTHW = (green_BTHW[:, 1:] - green_BTHW[:, :-1]).abs()
        change_BTHW = torch.cat([change_BTHW, change_BTHW[:, -1:]], 1)
        scale = 255 if frames_BTHWC.dtype == torch.uint8 else 1
        return F.avg_pool3d(change_BTHW, (grid.tubelet, grid.patch, grid.patch)) / scale


@dataclass(frozen=True, kw_only=True)
class TokenSettings:
    """Which tokens the encoder computes. Section ``tokens`` of recipes.

    Attributes:
        keep: share of the tokens that are computed, the same number in each sample; 1: all.
        by: one of ``TOKEN_CHOICES``.
        merge: "static": of tokens that stand still in time only the first is kept, those that move
            and come to rest all, ``keep`` in all; in place of ``by``. Empty: nothing is merged.
        even: share of the kept ones that are an even grid of all others.
        least: in evaluation and prediction by "motion": clips in which less moves keep half as
            many, or a quarter, down to this share; 0: all keep as many.

    Raises:
        SettingsError: an unknown name, or a share out of its range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # in recipes

    keep: float = 1.0
    by: str = "motion"
    merge: str = ""
    even: float = 0.2
    least: float = 0.0

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.keep <= 1:
            problems.append(f"keep {self.keep} is not in (0, 1]")
        if not 0 <= self.even < 1:
            problems.append(f"even {self.even} is not in [0, 1)")
        if not 0 <= self.least <= self.keep:
            problems.append(f"least {self.least} is not between 0 and keep {self.keep}")
        TOKEN_CHOICES.check(self.by)
        if self.least and self.choice is not MovingTokens:
            problems.append(f"least goes by motion, not by {self.merge or self.by!r}")
        if self.merge not in ("", "static"):
            problems.append(unknown("merge", self.merge, ("static",)))
        if self.merge and self.by != "motion":
            problems.append(f"merge {self.merge} chooses tokens itself, not by {self.by!r}")
        if problems:
            raise SettingsError("tokens: " + "; ".join(problems))

    def __str__(self) -> str:
        down = f", down to {self.least:g}" if self.least else ""
        how = f"merged where {self.merge}" if self.merge else f"by {self.by}"
        return f"{self.keep:g} of them{down}, {how}" if self.leaves_out else "all"

    def changed(self, **fields: Any) -> TokenSettings:
        """These with other values, but for those that are None.

        Raises:
            SettingsError: an impossible value.
        """
        given = {name: value for name, value in fields.items() if value is not None}
        if "keep" in given and "least" not in given:
            given["least"] = 0.0
        if "by" in given and "merge" not in given:
            given["merge"] = ""
        return replace(self, **given)

    @property
    def choice(self) -> type[TokenChoice]:
        """How tokens are chosen."""
        return RunTokens if self.merge else TOKEN_CHOICES[self.by]

    @property
    def leaves_out(self) -> bool:
        """Whether not all tokens are kept."""
        return self.keep < 1

    @property
    def uses_motion(self) -> bool:
        """Whether the clip's motion makes a difference."""
        return self.leaves_out and self.choice.uses_motion

    @property
    def shares(self) -> list[float]:
        """The shares that a clip may keep in a test, falling."""
        shares = [self.keep]
        while self.least and shares[-1] / 2 >= self.least:
            shares.append(shares[-1] / 2)
        return shares

    def count(self, grid: TokenGrid, share: float, per_slot: bool = False) -> int:
        """Tokens kept of a clip, at this share; with ``per_slot`` a multiple of its slots."""
        parts = grid.t if per_slot else 1
        return parts * max(1, round(share * grid.tokens / parts))

    def choose(
        self,
        grid: TokenGrid,
        frames_BTHWC: Tensor,
        motion_Bthw: Tensor,
        noise_BN: Tensor,
        *,
        per_slot: bool = False,
        share: float | None = None,
    ) -> Tensor:
        """The kept tokens, ``keep_BV``: int64, ascending numbers, see ``TokenGrid``.

        No random number is drawn, and no device is waited for.

        Args:
            grid, frames_BTHWC, motion_Bthw, noise_BN: see ``TokenChoice.score``.
            per_slot: of each time slot as many.
            share: in place of ``keep``.
        """
        score_Bthw = self.choice.score(grid, frames_BTHWC, motion_Bthw, noise_BN)
        parts = grid.t if per_slot else 1
        kept = self.count(grid, share or self.keep, per_slot)
        count = kept // parts
        even = int(self.even * count)
        order_pM = _even_order(grid, score_Bthw.device).unflatten(0, (parts, -1))
        score_BpM = score_Bthw.float().flatten(1).unflatten(1, (parts, -1))
        key_RM = (_TIE * order_pM - score_BpM).flatten(0, 1)
        kept_RM = smallest(key_RM, count - even)
        if even:
            rest_RM = order_pM.repeat(len(score_Bthw), 1).masked_fill(kept_RM, 2.0)
            kept_RM = kept_RM | smallest(rest_RM, even)
        left_out_BN = ~kept_RM.unflatten(0, (-1, parts)).flatten(1)
        return Mask.counted(left_out_BN, grid.tokens - kept).visible_BV

    def of_clips(
        self, clips: ClipBatch, grid: TokenGrid, *, per_slot: bool = False
    ) -> Tensor | None:
        """The kept tokens of clips as they are, or None: all."""
        if not self.leaves_out:
            return None
        inputs = clips.frames_BTHWC, motion_map(clips, grid), clips.noise_BN
        return self.choose(grid, *inputs, per_slot=per_slot)

    def groups(
        self, clips: ClipBatch, grid: TokenGrid, *, per_slot: bool = False
    ) -> list[tuple[Tensor, Tensor]] | None:
        """Rows of clips that keep as many tokens, with those; None: all keep as many.

        A clip keeps the least of ``shares`` that holds all that moves in it.
        """
        shares = self.shares
        if len(shares) == 1:
            return None
        motion_Bthw = motion_map(clips, grid)
        moving_BtP = (motion_Bthw >= _MOVES).flatten(2)
        # As many of each slot: the busiest slot decides.
        num_B = grid.t * moving_BtP.sum(2).amax(1) if per_slot else moving_BtP.sum((1, 2))
        room_S = [self.count(grid, share, per_slot) * (1 - self.even) for share in shares]
        fits_B = [sum(num <= room for room in room_S[1:]) for num in num_B.tolist()]
        groups = []
        for place, share in enumerate(shares):
            row_b = torch.tensor([row for row, fit in enumerate(fits_B) if fit == place])
            if len(row_b):
                row_b = row_b.to(motion_Bthw.device)
                every = clips.frames_BTHWC, motion_Bthw, clips.noise_BN
                own = (values[row_b] for values in every)
                groups.append((row_b, self.choose(grid, *own, per_slot=per_slot, share=share)))
        return groups


def motion_map(clips: ClipBatch, grid: TokenGrid) -> Tensor:
    """How much of each token of clips moves, float32 ``motion_Bthw``.

    Raises:
        ValueError: the clips have no motion map.
    """
    if clips.motion_Btyx is None:
        raise ValueError("tokens: these clips have boxes only, no motion map")
    return pooled_motion(clips.motion_Btyx.float() / 255, grid)


@lru_cache(maxsize=8)
def _even_order(grid: TokenGrid, device: torch.device) -> Tensor:
    """A number in [0, 1) for each token: those below any share are spread evenly, float32 (N,)."""
    places = torch.cartesian_prod(*(torch.arange(n).double() for n in (grid.t, grid.h, grid.w)))
    return (places @ torch.tensor(_ODD, dtype=torch.float64)).frac().float().to(device)
