"""From motion to tokens: how much of each token of a clip moves, and which count as inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.registry import choice
from mofo.types import SettingsError, TokenGrid

SPANS = ("clip", "tubelet")
SHAPES = ("box", "field")


@dataclass(frozen=True, kw_only=True)
class MotionSettings:
    """How the motion of a clip becomes that of its tokens. Section ``motion`` of recipes.

    Attributes:
        shape: "box": the box around everything that moves, as in the paper: all tokens that it
            touches are inside. "field": what moves, cell by cell.

    Raises:
        SettingsError: an unknown shape.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # in recipes

    shape: str = "box"

    def __post_init__(self) -> None:
        choice("motion shape", self.shape, SHAPES)

    def tokens(self, clips: ClipBatch, grid: TokenGrid, span: str = "clip") -> Tensor:
        """How much of each token moves, ``motion_Bthw``: bool of boxes, float in [0, 1] of fields.

        Args:
            clips: on any device; nothing waits for it.
            grid: how they are cut into tokens.
            span: of boxes: one area for the "clip" or one for each "tubelet". Fields are always
                given slot by slot; masks and classifiers join them as they need it.

        Raises:
            ValueError: clips of another size, or without a field where it is needed.
        """
        if self.shape == "box":
            return token_area(clips.box_BT4, clips.valid_BT, grid, per=span)
        if clips.motion_Btyx is None:
            raise ValueError("motion: these clips have boxes only, no field")
        return pooled_motion(clips.motion_Btyx.float() / 255, grid)


def pooled_motion(motion_Btyx: Tensor, grid: TokenGrid) -> Tensor:
    """The mean of a map of cells or pixels over each token, ``motion_Bthw``.

    ``motion_Btyx``: float in [0, 1]; a multiple of the grid's rows and columns.
    """
    rows, columns = motion_Btyx.shape[2] // grid.h, motion_Btyx.shape[3] // grid.w
    return F.avg_pool2d(motion_Btyx, (rows, columns))


def inside_tokens(motion_Bthw: Tensor, threshold: float = 0.5, span: str = "tubelet") -> Tensor:
    """Tokens that count as inside the motion area, bool (B, t, h, w).

    ``motion_Bthw``: of ``MotionSettings.tokens``; bool stays as it is.
    ``span``: "clip": a position that is inside in any slot is so in all.
    """
    if motion_Bthw.dtype == torch.bool:
        return motion_Bthw
    inside_Bthw = motion_Bthw >= threshold
    return (
        inside_Bthw.any(1, keepdim=True).expand_as(inside_Bthw) if span == "clip" else inside_Bthw
    )


def token_area(
    box_BT4: Tensor, valid_BT: Tensor, grid: TokenGrid, per: str = "clip"
) -> Tensor:  # inside_Bthw
    """Tokens inside the motion area: those whose patch shares some area with the box around it.

    The box is the hull of the boxes of all valid frames that count (see ``per``), each cut to the
    frame first. A patch that only touches the box along an edge is outside: boxes are half-open.

    Nothing counts of a frame that is not valid, nor of a box that has no area within the frame
    (turned inside out, a line, wholly outside, not a number). If nothing is left, no token is
    inside. No random numbers, no loop over samples, no wait for the device.

    Args:
        box_BT4: float, ``(x1, y1, x2, y2)`` in pixels of the clip's own frames; T must be
            ``grid.frames``.
        valid_BT: bool, whether the frame has a motion area at all.
        grid: how the clip is cut into tokens.
        per: "clip" takes all frames, so the area is the same in every time slot (what masks made
            of tubes need); "tubelet" takes the frames of each time slot by themselves.

    Returns:
        ``inside_Bthw``, bool.

    Raises:
        SettingsError: ``per`` is unknown.
        ValueError: the shapes do not fit the grid.
    """
    if per not in SPANS:
        raise SettingsError(f"per {per!r} is unknown: choose from {', '.join(SPANS)}")
    batch = len(box_BT4)
    if box_BT4.shape != (batch, grid.frames, 4) or valid_BT.shape != (batch, grid.frames):
        raise ValueError(
            f"token_area: boxes {tuple(box_BT4.shape)} and valid {tuple(valid_BT.shape)} "
            f"instead of (B, {grid.frames}, 4) and (B, {grid.frames})"
        )
    # (B, T) -> (B, s, frames that count together); one slot for the whole clip, or t of them.
    slots = 1 if per == "clip" else grid.t
    frames = grid.frames // slots
    box_Bsf4 = box_BT4.float().reshape(batch, slots, frames, 4)
    valid_Bsf = valid_BT.bool().reshape(batch, slots, frames)

    column_from_Bsf, column_to_Bsf = _extent(box_Bsf4[..., 0::2], grid.width)
    row_from_Bsf, row_to_Bsf = _extent(box_Bsf4[..., 1::2], grid.height)
    # A box counts only with width and height: found for both axes before any hull is taken.
    good_Bsf = valid_Bsf & (column_to_Bsf > column_from_Bsf) & (row_to_Bsf > row_from_Bsf)
    in_columns_Bsw = _touched(column_from_Bsf, column_to_Bsf, good_Bsf, grid.w, grid.patch)
    in_rows_Bsh = _touched(row_from_Bsf, row_to_Bsf, good_Bsf, grid.h, grid.patch)
    inside_Bshw = in_rows_Bsh[..., :, None] & in_columns_Bsw[..., None, :]
    return inside_Bshw.expand(batch, grid.t, grid.h, grid.w).contiguous()


def _extent(edges_Bsf2: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Both ends of each box along one axis, cut to the frame."""
    edges_Bsf2 = edges_Bsf2.clamp(0, size)
    return edges_Bsf2[..., 0], edges_Bsf2[..., 1]


def _touched(
    from_Bsf: Tensor, to_Bsf: Tensor, good_Bsf: Tensor, patches: int, patch: int
) -> Tensor:
    """(B, s, patches): which patches along one axis the hull of the good boxes overlaps."""
    none = float("inf")
    low_Bs1 = from_Bsf.masked_fill(~good_Bsf, none).amin(2, keepdim=True)
    high_Bs1 = to_Bsf.masked_fill(~good_Bsf, -none).amax(2, keepdim=True)
    start_p = patch * torch.arange(patches, device=from_Bsf.device)
    return (low_Bs1 < start_p + patch) & (high_Bs1 > start_p)
