"""What a user can choose about masks, and what every kind of mask has in common.

A strategy decides which tokens are hidden. Register a class to use it in recipes:

    @MASKS.register("stripes")
    class Stripes(MaskStrategy): ...

    MaskSettings(strategy="stripes")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mofo.registry import Registry, unknown
from mofo.types import SettingsError, TokenGrid

# Shares are taken to a millionth and computed with as whole numbers: what 0.29 * 100 rounds to
# would otherwise depend on the last bit of a float, and on the device.
MILLION = 1_000_000

JOINS = ("max", "mean")

MASKS: Registry[type[MaskStrategy]] = Registry("mask strategy")


class MaskStrategy:
    """Which tokens are hidden: of each of the t time slots K = floor(ratio * P).

    A mask is a pure function of the clip's motion and of a sample's noise, so the same sample has
    the same mask in every batch and worker. Draw no random numbers, do not loop over samples, do
    not wait for the device.

    Args:
        settings: shares.
        grid: the clip's tokens.

    Attributes:
        settings, grid: as given.
        hidden_per_slot: K.
        num_hidden: hidden tokens of a sample, ``K * t``.
        uses_motion: whether motion makes a difference.
        follows: whether the published strategy goes by each time slot's own motion, and not by that
            of the whole clip; ``MaskSettings.per_slot`` overrules it.
        description: in one line, for people.
    """

    uses_motion: ClassVar[bool] = False
    follows: ClassVar[bool] = False
    description: ClassVar[str]

    def __init__(self, settings: MaskSettings, grid: TokenGrid) -> None:
        self.settings, self.grid = settings, grid
        self.hidden_per_slot = hidden_positions(settings, grid)
        self.num_hidden = self.hidden_per_slot * grid.t

    @property
    def per_slot(self) -> bool:
        """Whether each time slot goes by its own motion; otherwise tubes go by the clip's."""
        return self.follows if self.settings.per_slot is None else self.settings.per_slot

    @property
    def area_span(self) -> str:
        """What to ask ``token_area`` for: the area of the whole "clip" or of each "tubelet"."""
        return "tubelet" if self.per_slot else "clip"

    def hidden(self, motion_Bthw: Tensor, noise_BN: Tensor) -> Tensor:
        """The hidden tokens, ``hidden_BN``; ``num_hidden`` in each row.

        Args:
            motion_Bthw: of each token, float in [0, 1]; or bool, tokens inside the motion area.
            noise_BN: float in [0, 1), drawn uniformly by each sample's own generator.
        """
        raise NotImplementedError

    def inside(self, motion_Bthw: Tensor) -> Tensor:
        """The tokens that count as moving, bool (B, t, h, w): in tubes all slots are the same."""
        motion_BsP = self._joined(motion_Bthw)
        inside_BsP = motion_BsP
        if motion_BsP.dtype != torch.bool:
            inside_BsP = motion_BsP >= self.settings.motion_threshold
        return inside_BsP.unflatten(2, (self.grid.h, self.grid.w)).expand(motion_Bthw.shape)

    def spilled(self, motion_Bthw: Tensor) -> Tensor:
        """Samples in which the asked share inside is impossible and was missed, bool (B,)."""
        return torch.zeros(motion_Bthw.shape[0], dtype=torch.bool, device=motion_Bthw.device)

    def _joined(self, motion_Bthw: Tensor) -> Tensor:
        """Motion of the positions: of each slot (B, t, P), or joined over the clip (B, 1, P)."""
        motion_BtP = motion_Bthw.flatten(2)
        if self.per_slot:
            return motion_BtP
        if motion_BtP.dtype == torch.bool:
            return motion_BtP.any(1, keepdim=True)
        if self.settings.join == "mean":
            return motion_BtP.mean(1, keepdim=True)
        return motion_BtP.amax(1, keepdim=True)


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """Which tokens are hidden from the encoder.

    Attributes:
        strategy: one of ``MASKS``; each class says what it does.
        ratio: share of all positions that is hidden, between 0 and 1, both excluded.
        inside_ratio: for "motion", the share of the positions inside the motion area that is
            hidden.
        visible_inside_ratio: for "visible_share", the share of the visible tokens that is taken
            from the area.
        block: for "block", the side of a block in tokens.
        temperature: for "weighted", not 0: above, what moves is hidden rather than the rest, the
            surer the nearer to 0; below 0, it is shown.
        per_slot: whether each time slot goes by its own motion (exact counts in each), or tubes by
            the motion of the clip. None: as the strategy was published.
        join: how tubes join the motion of a position over the slots: "max" or "mean". Areas
            (bool) are always united.
        motion_threshold: motion, in (0, 1], from which on a token is inside.

    Raises:
        SettingsError: an unknown strategy or a value out of its range; all of them at once.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # in recipes

    strategy: str = "motion"
    ratio: float = 0.9
    inside_ratio: float = 0.75
    visible_inside_ratio: float = 0.5
    block: int = 4
    temperature: float = 1.0
    per_slot: bool | None = None
    join: str = "max"
    motion_threshold: float = 0.5

    def __post_init__(self) -> None:
        problems = []
        try:
            MASKS.check(self.strategy)
        except SettingsError as error:
            problems.append(str(error))
        if not _is_number(self.ratio) or not 0 < self.ratio < 1:
            problems.append(f"ratio {self.ratio} is not between 0 and 1, both excluded")
        for name in ("inside_ratio", "visible_inside_ratio"):
            share = getattr(self, name)
            if not _is_number(share) or not 0 <= share <= 1:
                problems.append(f"{name} {share} is not between 0 and 1")
        if not isinstance(self.block, int) or isinstance(self.block, bool) or self.block < 1:
            problems.append(f"block {self.block} is not a whole number above 0")
        if not _is_number(self.temperature) or not abs(self.temperature) > 0:
            problems.append(f"temperature {self.temperature} is not a number other than 0")
        if not _is_number(self.motion_threshold) or not 0 < self.motion_threshold <= 1:
            problems.append(f"motion_threshold {self.motion_threshold} is not in (0, 1]")
        if self.join not in JOINS:
            problems.append(unknown("join", self.join, JOINS))
        if problems:
            raise SettingsError("mask: " + "; ".join(problems))

    def build(self, grid: TokenGrid) -> MaskStrategy:
        """Returns the strategy for clips of these tokens.

        Raises:
            SettingsError: nothing would be hidden, or nothing visible; a block larger than a frame.
        """
        return MASKS[self.strategy](self, grid)


def hidden_positions(settings: MaskSettings, grid: TokenGrid) -> int:
    """K, the hidden tokens of each time slot: ``floor(ratio * P)``, the same in every sample."""
    hidden = millionths(settings.ratio) * grid.positions // MILLION
    if not 0 < hidden < grid.positions:
        what = "leaves none visible" if hidden else "hides none"
        raise SettingsError(
            f"mask: ratio {settings.ratio} {what} of the {grid.positions} positions of "
            f"{grid.height}x{grid.width} pixels in patches of {grid.patch}"
        )
    return hidden


def decoded_count(num_hidden: int, share: float) -> int:
    """How many hidden tokens of a sample the decoder predicts: ``share`` of them, half up."""
    if not _is_number(share) or not 0 < share <= 1:
        raise SettingsError(f"decoder: share {share} of the hidden tokens is not in (0, 1]")
    count = (2 * millionths(share) * num_hidden + MILLION) // (2 * MILLION)
    if count == 0:
        raise SettingsError(f"decoder: share {share} selects none of {num_hidden} hidden tokens")
    return count


def millionths(share: float) -> int:
    """A share between 0 and 1 as a whole number of millionths."""
    return round(share * MILLION)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
