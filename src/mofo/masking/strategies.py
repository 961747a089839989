"""Which tokens are hidden: every strategy behind one signature, exact counts in every sample.

A mask is a pure function of the motion area and of a sample's noise: only the order of the noise
values matters, so the same sample has the same mask on every device, in every batch and worker.
Nothing here draws random numbers, loops over samples or waits for the device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mofo.masking.mask_settings import MILLION, MaskSettings, hidden_positions, millionths
from mofo.masking.select import smallest
from mofo.types import TokenGrid


def make_mask(
    settings: MaskSettings, grid: TokenGrid, inside_Bthw: Tensor, noise_BN: Tensor
) -> Tensor:  # mask_BN
    """The tokens hidden from the encoder.

    With P positions, K = floor(ratio * P) of them are hidden in each time slot (together, for
    "random"). All strategies but "random" and "hide_motion" hide *tubes*: the same positions in
    all time slots. n is the number of positions inside the motion area; tubes need one area for
    the clip, so a position counts as inside if it is inside in **any** slot (an area that differs
    between slots is joined).

    ``tube``
        K positions, uniformly (VideoMAE, arXiv 2203.12602). The area plays no part.
    ``random``
        K * t of all N tokens, uniformly (Feichtenhofer et al., arXiv 2205.09113). The area plays
        no part.
    ``motion``
        m = round(inside * n) of the n positions inside, K - m of those outside, each uniformly
        (MOFO, arXiv 2308.12447, section 3.2).
    ``visible_share``
        round(rho * (P - K)) of the visible positions are inside the area, the others outside; so
        rho says directly how much of what the encoder sees is motion.
    ``hide_motion``
        All of the area is hidden, and the rest of K uniformly outside it, in each time slot by the
        slot's own area: the hidden region goes along with the motion (after MGM, arXiv
        2308.12962, which hides a box around the motion vectors). With one area for the clip these
        are tubes too. Where the area is larger than K, K positions of it.
    ``block``
        Squares of ``block`` x ``block`` positions at uniform places are hidden one after the
        other until K positions are (the last one in part), through all time slots, as the blocks
        of V-JEPA (arXiv 2404.08471) are. Squares go on at the opposite edge, so no place is hidden
        more often than another. The area plays no part.

    Rounding is half up. The **spill rule** holds for all three that look at the area: as there are
    only P - n positions outside, m is clamped to [K - (P - n), min(n, K)]; counts stay exact, and
    what was asked for is missed by as little as possible. At 90 % of 14x14 positions "motion"
    with inside = 0.75 is exact up to n = 82 (42 % of the frame); beyond, all of the outside is
    hidden. Without motion (n = 0) all three give exactly the mask that "tube" makes of the same
    noise.

    Args:
        settings: strategy and shares.
        grid: the clip's tokens.
        inside_Bthw: bool, tokens inside the motion area.
        noise_BN: float in [0, 1), drawn uniformly by each sample's own generator. Strategies that
            decide on positions use the first P values.

    Returns:
        ``mask_BN``, bool, True = hidden; exactly ``hidden_count(settings, grid)`` in each row.

    Raises:
        SettingsError: nothing would be hidden, or nothing visible, or a block is too large.
        ValueError: the shapes do not fit the grid.
    """
    batch = len(noise_BN)
    if noise_BN.shape != (batch, grid.tokens) or inside_Bthw.shape != (
        batch, grid.t, grid.h, grid.w,
    ):  # fmt: skip
        raise ValueError(
            f"make_mask: area {tuple(inside_Bthw.shape)} and noise {tuple(noise_BN.shape)} instead "
            f"of (B, {grid.t}, {grid.h}, {grid.w}) and (B, {grid.tokens})"
        )
    hidden = hidden_positions(settings, grid)
    if settings.strategy == "random":
        return smallest(noise_BN, hidden * grid.t)
    noise_BP = noise_BN[:, : grid.positions]
    if settings.strategy == "tube":
        mask_BsP = _first(_order(noise_BP), hidden)[:, None]
    elif settings.strategy == "block":
        mask_BsP = _first(_block_order(noise_BP, grid, settings.block), hidden)[:, None]
    else:
        inside_BtP = inside_Bthw.flatten(2)
        if settings.strategy != "hide_motion":
            inside_BtP = inside_BtP.any(1, keepdim=True)
        mask_BsP = _by_region(settings, inside_BtP, _order(noise_BP), hidden)
    return mask_BsP.expand(batch, grid.t, grid.positions).reshape(batch, grid.tokens)


def _order(noise_BP: Tensor) -> Tensor:
    """Positions by rising noise; stable, so that equal values are in the same order everywhere."""
    return noise_BP.argsort(dim=1, stable=True)


def _first(order_BP: Tensor, count: int) -> Tensor:
    """(B, P) bool: the first ``count`` positions of each order."""
    chosen_BP = torch.zeros_like(order_BP, dtype=torch.bool)
    return chosen_BP.scatter(1, order_BP[:, :count], True)


def _by_region(
    settings: MaskSettings, inside_BsP: Tensor, order_BP: Tensor, hidden: int
) -> Tensor:  # mask_BsP
    """Hides the first m inside and the first ``hidden - m`` outside, in the order given."""
    positions = order_BP.shape[1]
    inside_Bs1 = inside_BsP.sum(2, keepdim=True)
    if settings.strategy == "motion":
        asked_Bs1 = _half_up(settings.inside, inside_Bs1)
    elif settings.strategy == "visible_share":
        visible = positions - hidden
        asked_Bs1 = inside_Bs1 - (2 * millionths(settings.rho) * visible + MILLION) // (2 * MILLION)
    else:  # hide_motion
        asked_Bs1 = inside_Bs1
    # The spill rule.
    least_Bs1 = (hidden - (positions - inside_Bs1)).clamp(min=0)
    m_Bs1 = torch.minimum(torch.maximum(asked_Bs1, least_Bs1), inside_Bs1.clamp(max=hidden))

    order_BsP = order_BP[:, None].expand_as(inside_BsP)
    # In the order of the noise: is it inside, and the how manieth of its region is it (from 1)?
    ordered_BsP = inside_BsP.gather(2, order_BsP)
    rank_inside_BsP = ordered_BsP.cumsum(2)
    rank_outside_BsP = (~ordered_BsP).cumsum(2)
    hide_BsP = torch.where(
        ordered_BsP, rank_inside_BsP <= m_Bs1, rank_outside_BsP <= hidden - m_Bs1
    )
    return torch.zeros_like(inside_BsP).scatter(2, order_BsP, hide_BsP)


def _block_order(noise_BP: Tensor, grid: TokenGrid, side: int) -> Tensor:
    """Positions in the order in which they are covered.

    Every position is the middle of one block, and blocks come in the order of their middles'
    noise: a position is covered when the block of the smallest noise around it comes.
    """
    noise_B1hw = noise_BP.reshape(-1, 1, grid.h, grid.w)
    before, after = (side - 1) // 2, side // 2
    around_B1hw = F.pad(noise_B1hw, (before, after, before, after), mode="circular")
    covered_BP = -F.max_pool2d(-around_B1hw, side, stride=1).flatten(1)
    # Within a block, by the position's own noise: two stable sorts, the finer one first.
    order_BP = _order(noise_BP)
    return order_BP.gather(1, _order(covered_BP.gather(1, order_BP)))


def _half_up(share: float, count: Tensor) -> Tensor:
    """``share * count``, rounded half up, in whole numbers: the same on every device."""
    return (2 * millionths(share) * count + MILLION) // (2 * MILLION)
