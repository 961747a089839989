"""Which hidden tokens the decoder predicts, if not all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from mofo.masking.mask_settings import MaskSettings, decoded_count
from mofo.masking.select import smallest
from mofo.types import TokenGrid


def running_cell_mask(
    settings: MaskSettings, grid: TokenGrid, mask_BN: Tensor, noise_BN: Tensor, share: float = 0.5
) -> Tensor:  # decode_BN
    """The hidden tokens to decode: half of each 2x2 cell of positions, another half as time goes.

    In each cell of 2x2 positions a window of ``share * 4`` neighbouring places moves on by one
    place around the cell with every time slot, and hidden tokens in the window are decoded: each
    hidden position is predicted now and then, and each moment somewhere (VideoMAE V2, arXiv
    2303.16727, section 3.2; the cell is that of MAR, arXiv 2207.11660). Where the window stands
    at first is drawn for each sample.

    The count is exact. With tubes and a number of time slots that is a multiple of 4 the window
    gives it by itself (at shares of 1/4, 1/2, 3/4); otherwise the tokens that are missing come
    from the next place of the window, or those too many are left out, by rising noise.

    Args:
        settings: what ``mask_BN`` was made with.
        grid: the clip's tokens.
        mask_BN: bool, True = hidden, from ``make_mask`` with the same settings.
        noise_BN: the same sample noise.
        share: how much of the hidden tokens is decoded, above 0, at most 1.

    Returns:
        ``decode_BN``, bool, True = predicted; a subset of ``mask_BN`` with exactly
        ``decoded_count(settings, grid, share)`` in each row.

    Raises:
        SettingsError: ``share`` is out of range or selects nothing.
    """
    count = decoded_count(settings, grid, share)
    # Around the cell, so that places in turn are neighbours: 0 1
    #                                                         3 2
    row_h1 = torch.arange(grid.h, device=mask_BN.device)[:, None] % 2
    column_1w = torch.arange(grid.w, device=mask_BN.device)[None] % 2
    place_hw = torch.where(row_h1 == 0, column_1w, 3 - column_1w)
    slot_t11 = torch.arange(grid.t, device=mask_BN.device)[:, None, None]
    # Fine digits of a noise value: as good as independent of its rank, which made the mask.
    start_B1 = (torch.frac(noise_BN[:, :1] * 4096) * 4).floor()
    turn_BN = (place_hw - slot_t11).flatten()[None] - start_B1
    turn_BN = turn_BN.remainder(4)  # 0 is decoded first, 3 last
    # Half the noise: it never reaches the next turn, not even when rounded.
    key_BN = (turn_BN + noise_BN / 2).masked_fill(~mask_BN, float("inf"))
    return smallest(key_BN, count) & mask_BN
