"""The strategies of masks, and the function that makes one: exact counts in every sample.

With P positions, K = floor(ratio * P) of them are hidden in each time slot. *Tubes* are the same
positions in all time slots; strategies that use motion can also go slot by slot. n is the number of
positions inside, in a slot or (tubes) in the clip. Rounding is half up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mofo.masking.decode import running_cell
from mofo.masking.mask import Mask, smallest
from mofo.masking.mask_settings import (
    MASKS,
    MILLION,
    MaskSettings,
    MaskStrategy,
    decoded_count,
    millionths,
)
from mofo.types import SettingsError, TokenGrid


def make_mask(
    settings: MaskSettings,
    grid: TokenGrid,
    motion_Bthw: Tensor,
    noise_BN: Tensor,
    decode: float = 1.0,
) -> Mask:
    """Returns the mask of a batch of clips.

    Args:
        settings: strategy and shares.
        grid: the clip's tokens.
        motion_Bthw: of each token: float in [0, 1], how much of it moves by itself; or bool,
            tokens inside the motion area.
        noise_BN: float in [0, 1), drawn uniformly by each sample's own generator. Strategies that
            decide on positions use the first P values.
        decode: share of the hidden tokens that the decoder predicts, see ``running_cell``.

    Raises:
        SettingsError: nothing would be hidden, visible or predicted, or a block is too large.
        ValueError: the shapes do not fit the grid.
    """
    strategy = settings.build(grid)
    wanted = (noise_BN.shape[0], grid.t, grid.h, grid.w)
    if noise_BN.shape[1:] != (grid.tokens,) or motion_Bthw.shape != wanted:
        raise ValueError(
            f"make_mask: motion {tuple(motion_Bthw.shape)} and noise {tuple(noise_BN.shape)} "
            f"instead of (B, {grid.t}, {grid.h}, {grid.w}) and (B, {grid.tokens})"
        )
    hidden_BN, num_hidden = strategy.hidden(motion_Bthw, noise_BN), strategy.num_hidden
    if decode == 1:
        return Mask.counted(hidden_BN, num_hidden)
    num_targets = decoded_count(num_hidden, decode)
    target_BN = running_cell(grid, hidden_BN, noise_BN, num_targets)
    return Mask.counted(hidden_BN, num_hidden, target_BN, num_targets)


class _Positions(MaskStrategy):
    """Strategies that decide on positions, by the first P values of the noise.

    Slots share that noise: where motion stands still, what is hidden are tubes.
    """

    def hidden(self, motion_Bthw: Tensor, noise_BN: Tensor) -> Tensor:
        """See ``MaskStrategy``."""
        grid, batch = self.grid, noise_BN.shape[0]
        hidden_BsP = self.positions(motion_Bthw, noise_BN[:, : grid.positions])
        return hidden_BsP.expand(batch, grid.t, -1).reshape(batch, grid.tokens)

    def positions(self, motion_Bthw: Tensor, noise_BP: Tensor) -> Tensor:
        """The hidden positions, (B, t, P), or (B, 1, P): the same in all time slots."""
        raise NotImplementedError


@MASKS.register("tube")
class Tube(_Positions):
    """K positions, uniformly (VideoMAE, arXiv 2203.12602)."""

    description = "the same random places in all frames (VideoMAE)"

    def positions(self, motion_Bthw: Tensor, noise_BP: Tensor) -> Tensor:
        """See the class."""
        return _first(_order(noise_BP), self.hidden_per_slot)[:, None]


@MASKS.register("random")
class Random(MaskStrategy):
    """K * t of all N tokens, uniformly (Feichtenhofer et al., arXiv 2205.09113)."""

    description = "random places, other ones from frame to frame"

    def hidden(self, motion_Bthw: Tensor, noise_BN: Tensor) -> Tensor:
        """See the class."""
        return smallest(noise_BN, self.num_hidden)


class _Regions(_Positions):
    """Strategies that hide m of the n positions inside the area and K - m of those outside.

    The spill rule: as there are only P - n positions outside, m is clamped to
    [K - (P - n), min(n, K)]; counts stay exact, and what was asked for is missed by as little as
    possible. At 90 % of 14x14 positions ``motion`` with 0.75 is exact up to n = 82 (42 % of the
    frame); beyond, all of the outside is hidden. Without motion (n = 0) the mask is exactly the one
    that ``tube`` makes of the same noise.
    """

    uses_motion = True

    def wanted(self, num_inside: Tensor) -> Tensor:
        """m as asked for, before the spill rule, for n positions inside; int64, of any shape."""
        raise NotImplementedError

    def positions(self, motion_Bthw: Tensor, noise_BP: Tensor) -> Tensor:
        """See the class; in the order of the noise."""
        inside_BsP, order_BP = self._regions(motion_Bthw), _order(noise_BP)
        _, m_Bs1 = self._counts(inside_BsP)
        num_hidden = self.hidden_per_slot
        order_BsP = order_BP[:, None].expand_as(inside_BsP)
        # In the order of the noise: is it inside, and the how manieth of its region is it (from 1)?
        ordered_BsP = inside_BsP.gather(2, order_BsP)
        rank_inside_BsP = ordered_BsP.cumsum(2)
        rank_outside_BsP = (~ordered_BsP).cumsum(2)
        hide_BsP = torch.where(
            ordered_BsP, rank_inside_BsP <= m_Bs1, rank_outside_BsP <= num_hidden - m_Bs1
        )
        return torch.zeros_like(inside_BsP).scatter(2, order_BsP, hide_BsP)

    def spilled(self, motion_Bthw: Tensor) -> Tensor:
        """See ``MaskStrategy``; of a sample without motion nothing was asked."""
        inside_BsP = self._regions(motion_Bthw)
        wanted_Bs1, m_Bs1 = self._counts(inside_BsP)
        return ((wanted_Bs1 != m_Bs1) & inside_BsP.any(2, keepdim=True)).flatten(1).any(1)

    def _regions(self, motion_Bthw: Tensor) -> Tensor:
        """Positions inside, bool (B, t, P), or (B, 1, P) for tubes."""
        slots = self.grid.t if self.per_slot else 1
        return self.inside(motion_Bthw).flatten(2)[:, :slots]

    def _counts(self, inside_BsP: Tensor) -> tuple[Tensor, Tensor]:
        """m as asked for, and by the spill rule, (B, s, 1)."""
        inside_Bs1 = inside_BsP.sum(2, keepdim=True)
        wanted_Bs1 = self.wanted(inside_Bs1)
        outside_Bs1 = inside_BsP.shape[2] - inside_Bs1
        least_Bs1 = (self.hidden_per_slot - outside_Bs1).clamp(min=0)
        most_Bs1 = inside_Bs1.clamp(max=self.hidden_per_slot)
        return wanted_Bs1, torch.minimum(torch.maximum(wanted_Bs1, least_Bs1), most_Bs1)


@MASKS.register("motion")
class Motion(_Regions):
    """``inside_ratio`` of the positions inside the area, the rest outside (MOFO, arXiv 2308.12447,
    section 3.2)."""

    description = "most of the motion area, the rest outside (MOFO)"

    def wanted(self, num_inside: Tensor) -> Tensor:
        """See the class."""
        return _half_up(self.settings.inside_ratio, num_inside)


@MASKS.register("visible_share")
class VisibleShare(_Regions):
    """``visible_inside_ratio`` of the P - K visible positions are inside the area.

    So the ratio says directly how much of what the encoder sees is motion.
    """

    description = "so that a set share of what is visible moves"

    def wanted(self, num_inside: Tensor) -> Tensor:
        """See the class."""
        visible = torch.full_like(num_inside, self.grid.positions - self.hidden_per_slot)
        return num_inside - _half_up(self.settings.visible_inside_ratio, visible)


@MASKS.register("hide_motion")
class HideMotion(_Regions):
    """All of the area, and the rest of K outside it, in each time slot by the slot's own area.

    The hidden region goes along with the motion (after MGM, arXiv 2308.12962, which hides a box
    around the motion vectors). With one area for the clip these are tubes. Where the area is larger
    than K, K positions of it.
    """

    follows = True
    description = "all that moves, going along with it (after MGM)"

    def wanted(self, num_inside: Tensor) -> Tensor:
        """See the class."""
        return num_inside


@MASKS.register("weighted")
class Weighted(_Positions):
    """Positions drawn without replacement, with weights ``exp(motion / temperature)``.

    The K largest of ``motion / temperature + g`` are hidden, with g from Gumbel's law (Gumbel
    top-k, arXiv 1903.06059): no threshold, and every position can be drawn. A temperature near 0
    hides what moves most, a large one gives ``tube``, as does a clip without motion; below 0 it
    shows what moves.
    """

    uses_motion = True
    description = "drawn by weights: the more a place moves, the likelier it is hidden"

    def positions(self, motion_Bthw: Tensor, noise_BP: Tensor) -> Tensor:
        """See the class; in float64, so that equal noise is all that is equal."""
        gumbel_BP = -torch.log(-torch.log1p(-noise_BP.double()))
        motion_BsP = self._joined(motion_Bthw).double()
        key_BsP = motion_BsP / self.settings.temperature + gumbel_BP[:, None]
        order_BsP = (-key_BsP).argsort(dim=2, stable=True)[..., : self.hidden_per_slot]
        return torch.zeros_like(key_BsP, dtype=torch.bool).scatter(2, order_BsP, True)


@MASKS.register("block")
class Block(_Positions):
    """Squares at uniform places, one after the other, until K positions are hidden (V-JEPA, arXiv
    2404.08471).

    The last square is hidden in part. Squares go on at the opposite edge, so no place is hidden
    more often than another.
    """

    description = "squares, the same in all frames (V-JEPA)"

    def __init__(self, settings: MaskSettings, grid: TokenGrid) -> None:
        super().__init__(settings, grid)
        if settings.block > min(grid.h, grid.w):
            raise SettingsError(
                f"mask: block {settings.block} is larger than the grid of {grid.h}x{grid.w} tokens"
            )

    def positions(self, motion_Bthw: Tensor, noise_BP: Tensor) -> Tensor:
        """See the class.

        Every position is the middle of one block, and blocks come in the order of their middles'
        noise: a position is covered when the block of the smallest noise around it comes.
        """
        grid, side = self.grid, self.settings.block
        noise_B1hw = noise_BP.reshape(-1, 1, grid.h, grid.w)
        before, after = (side - 1) // 2, side // 2
        around_B1hw = F.pad(noise_B1hw, (before, after, before, after), mode="circular")
        covered_BP = -F.max_pool2d(-around_B1hw, side, stride=1).flatten(1)
        # Within a block, by the position's own noise: two stable sorts, the finer one first.
        order_BP = _order(noise_BP)
        order_BP = order_BP.gather(1, _order(covered_BP.gather(1, order_BP)))
        return _first(order_BP, self.hidden_per_slot)[:, None]


def _order(noise_BP: Tensor) -> Tensor:
    """Positions by rising noise; stable, so that equal values are in the same order everywhere."""
    return noise_BP.argsort(dim=1, stable=True)


def _first(order_BP: Tensor, count: int) -> Tensor:
    """(B, P) bool: the first ``count`` positions of each order."""
    chosen_BP = torch.zeros_like(order_BP, dtype=torch.bool)
    return chosen_BP.scatter(1, order_BP[:, :count], True)


def _half_up(share: float, count: Tensor) -> Tensor:
    """``share * count``, rounded half up, in whole numbers: the same on every device."""
    return (2 * millionths(share) * count + MILLION) // (2 * MILLION)
