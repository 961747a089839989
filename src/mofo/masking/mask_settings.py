"""What a user can choose about masks, and how many tokens that hides."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from mofo.types import SettingsError, TokenGrid

STRATEGIES = ("tube", "random", "motion", "visible_share", "hide_motion", "block")
# Shares are taken to a millionth and computed with as whole numbers: what 0.29 * 100 rounds to
# would otherwise depend on the last bit of a float, and on the device.
MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """Which tokens are hidden from the encoder.

    Attributes:
        strategy: one of ``STRATEGIES``; each is explained at ``make_mask``.
        ratio: share of all positions that is hidden, between 0 and 1, both excluded.
        inside: for "motion", the share of the positions inside the motion area that is hidden.
        rho: for "visible_share", the share of the visible tokens that is taken from the area.
        block: for "block", the side of a block in tokens.

    Raises:
        SettingsError: an unknown strategy or a value out of its range; all of them at once.
    """

    strategy: str = "motion"
    ratio: float = 0.9
    inside: float = 0.75
    rho: float = 0.5
    block: int = 4

    def __post_init__(self) -> None:
        problems = []
        if self.strategy not in STRATEGIES:
            near = difflib.get_close_matches(str(self.strategy), STRATEGIES, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            problems.append(
                f"strategy {self.strategy!r} is unknown: choose from {', '.join(STRATEGIES)}{hint}"
            )
        if not _is_number(self.ratio) or not 0 < self.ratio < 1:
            problems.append(f"ratio {self.ratio} is not between 0 and 1, both excluded")
        for name, share in (("inside", self.inside), ("rho", self.rho)):
            if not _is_number(share) or not 0 <= share <= 1:
                problems.append(f"{name} {share} is not between 0 and 1")
        if not isinstance(self.block, int) or isinstance(self.block, bool) or self.block < 1:
            problems.append(f"block {self.block} is not a whole number above 0")
        if problems:
            raise SettingsError("mask: " + "; ".join(problems))


def hidden_positions(settings: MaskSettings, grid: TokenGrid) -> int:
    """K, the hidden tokens of each time slot: ``floor(ratio * P)``, the same in every sample.

    Raises:
        SettingsError: nothing would be hidden, or nothing visible; a block larger than the frame.
    """
    hidden = millionths(settings.ratio) * grid.positions // MILLION
    if not 0 < hidden < grid.positions:
        what = "leaves none visible" if hidden else "hides none"
        raise SettingsError(
            f"mask: ratio {settings.ratio} {what} of the {grid.positions} positions of "
            f"{grid.height}x{grid.width} pixels in patches of {grid.patch}"
        )
    if settings.strategy == "block" and settings.block > min(grid.h, grid.w):
        raise SettingsError(
            f"mask: block {settings.block} is larger than the grid of {grid.h}x{grid.w} tokens"
        )
    return hidden


def hidden_count(settings: MaskSettings, grid: TokenGrid) -> int:
    """How many of a sample's N tokens are hidden: K in each of the t time slots, always.

    Raises:
        SettingsError: as ``hidden_positions``.
    """
    return hidden_positions(settings, grid) * grid.t


def decoded_count(settings: MaskSettings, grid: TokenGrid, share: float) -> int:
    """How many hidden tokens of a sample the decoder predicts: ``share`` of them, half up.

    Raises:
        SettingsError: ``share`` is not above 0 and at most 1, or selects nothing; and as
            ``hidden_positions``.
    """
    if not _is_number(share) or not 0 < share <= 1:
        raise SettingsError(f"decoder: share {share} of the hidden tokens is not in (0, 1]")
    hidden = hidden_count(settings, grid)
    count = (2 * millionths(share) * hidden + MILLION) // (2 * MILLION)
    if count == 0:
        raise SettingsError(f"decoder: share {share} selects none of {hidden} hidden tokens")
    return count


def millionths(share: float) -> int:
    """A share between 0 and 1 as a whole number of millionths."""
    return round(share * MILLION)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
