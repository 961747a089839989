"""Which hidden tokens the decoder predicts, if not all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from mofo.masking.mask import smallest
from mofo.types import TokenGrid


def running_cell(grid: TokenGrid, hidden_BN: Tensor, noise_BN: Tensor, count: int) -> Tensor:
    """The hidden tokens to decode: half of each 2x2 cell of positions, another half as time goes.

    In each cell of 2x2 positions a window of neighbouring places moves on by one place around the
    cell with every time slot, and hidden tokens in the window are decoded: each hidden position is
    predicted now and then, and each moment somewhere (VideoMAE V2, arXiv 2303.16727, section 3.2;
    the cell is that of MAR, arXiv 2207.11660). Where the window stands at first is drawn for each
    sample.

    The count is exact. With tubes and a number of time slots that is a multiple of 4 the window
    gives it by itself (at shares of 1/4, 1/2, 3/4 of the hidden tokens); otherwise the tokens that
    are missing come from the next place of the window, or those too many are left out, by rising
    noise. ``hidden_BN``: bool, True = hidden. ``count``: tokens to decode in each sample, from 1 to
    those that are hidden.

    Returns:
        ``target_BN``, bool, True = predicted; a subset of ``hidden_BN``.
    """
    # Around the cell, so that places in turn are neighbours: 0 1
    #                                                         3 2
    row_h1 = torch.arange(grid.h, device=hidden_BN.device)[:, None] % 2
    column_1w = torch.arange(grid.w, device=hidden_BN.device)[None] % 2
    place_hw = torch.where(row_h1 == 0, column_1w, 3 - column_1w)
    slot_t11 = torch.arange(grid.t, device=hidden_BN.device)[:, None, None]
    # Fine digits of a noise value: as good as independent of its rank, which made the mask.
    start_B1 = (torch.frac(noise_BN[:, :1] * 4096) * 4).floor()
    turn_BN = (place_hw - slot_t11).flatten()[None] - start_B1
    turn_BN = turn_BN.remainder(4)  # 0 is decoded first, 3 last
    # Half the noise: it never reaches the next turn, not even when rounded.
    key_BN = (turn_BN + noise_BN / 2).masked_fill(~hidden_BN, float("inf"))
    return smallest(key_BN, count) & hidden_BN
