"""Where a token stands: the fixed sine-cosine table that is added to the tokens."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mofo.types import TokenGrid

_LONGEST = 10000.0


def sincos_table(tokens: int, width: int) -> Tensor:
    """Sines (even channels) and cosines (odd) of a token's number ``p``, float32 (N, D).

    The angle in channel ``i`` is ``p / 10000^(2 * floor(i / 2) / D)``.
    """
    # In float64: the cosine of 1567 radians in float32 would be off by 1e-4.
    token_N1 = torch.arange(tokens, dtype=torch.float64)[:, None]
    channel_D = torch.arange(width)
    wave_D = _LONGEST ** (2 * (channel_D // 2).double() / width)
    angle_ND = token_N1 / wave_D
    return torch.where(channel_D % 2 == 0, angle_ND.sin(), angle_ND.cos()).float()


def resized_table(
    table_ND: Tensor, made_for: tuple[int, int, int], wanted: tuple[int, int, int]
) -> Tensor:
    """The table of a grid (t, h, w) for another one: trilinear, centres of tokens as the points.

    The same grid gives the same numbers.
    """
    if made_for == wanted:
        return table_ND
    table_1Dthw = table_ND.T.reshape(1, -1, *made_for)
    resized_1Dthw = F.interpolate(table_1Dthw, size=wanted, mode="trilinear", align_corners=False)
    return resized_1Dthw.flatten(2)[0].T.contiguous()


class PositionTable(nn.Module):
    """The table for a grid, which remembers the grid that the weights beside it were made for.

    A model's weights know the places of the grid they were trained on. Loaded into a model with
    another grid, the table is therefore interpolated from that one. The state holds the three
    numbers t, h, w (``made_for``) instead of the table itself, so that weights can go from any
    grid to any other, and back, without loss.
    """

    table_ND: Tensor
    made_for: Tensor

    def __init__(self, grid: TokenGrid, width: int) -> None:
        super().__init__()
        self._grid = (grid.t, grid.h, grid.w)
        self._width = width
        self.register_buffer("made_for", torch.tensor(self._grid))
        self.register_buffer("table_ND", sincos_table(grid.tokens, width), persistent=False)

    def forward(self, index_BM: Tensor | None = None) -> Tensor:
        """Positions of the tokens ``index_BM``, float32 (B, M, D); without, of all: (N, D)."""
        return self.table_ND if index_BM is None else self.table_ND[index_BM]

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        super()._load_from_state_dict(*arguments, **named)
        t, h, w = self.made_for.tolist()
        table_ND = resized_table(sincos_table(t * h * w, self._width), (t, h, w), self._grid)
        self.table_ND = table_ND.to(self.table_ND)
