"""Marks on frames: boxes, motion areas, hidden patches, heat. All return or change RGB pictures."""

from __future__ import annotations

import cv2
import numpy as np

from mofo.report.figures.layout import Colour
from mofo.types import MotionArea

# Orange and blue are told apart by everybody.
AREA, MOVER = (255, 140, 0), (60, 170, 255)
_HIDDEN = 40
_TINT = 0.55  # of a motion field where all of a cell moves
_DIMMED, _STRONGEST = 0.55, 0.75  # of the frame below the heat; of the heat where it is greatest


def draw_box(picture_HW3: np.ndarray, box_4: np.ndarray, thick: int, colour: Colour = AREA) -> None:
    """Draws a box (pixels of the picture) into a picture, on the box's inside."""
    x1, y1, x2, y2 = (round(float(value)) for value in box_4)
    # On the inside, so that an area that touches the border is seen.
    inset = thick // 2
    corners = (x1 + inset, y1 + inset), (x2 - 1 - inset, y2 - 1 - inset)
    cv2.rectangle(picture_HW3, *corners, colour, thick)


def draw_area(picture_HW3: np.ndarray, area: MotionArea, t: int) -> np.ndarray:
    """Returns a copy with the motion of frame ``t``: field as a tint, box thick, movers thin."""
    drawn_HW3 = picture_HW3.copy()
    if area.field_Tyx is not None:
        drawn_HW3 = draw_field(picture_HW3, area.field_Tyx[t] / 255)
    height, width = drawn_HW3.shape[:2]
    scale_4 = np.array([width / area.width, height / area.height] * 2)
    thick = max(1, round(min(height, width) / 90))
    if not area.valid_T[t]:
        return drawn_HW3
    if len(area.movers[t]) > 1:
        for box_4 in area.movers[t]:
            draw_box(drawn_HW3, box_4 * scale_4, max(1, thick // 2), MOVER)
    draw_box(drawn_HW3, area.box_T4[t] * scale_4, thick)
    return drawn_HW3


def draw_field(picture_HW3: np.ndarray, share_yx: np.ndarray) -> np.ndarray:
    """Returns a copy that is orange where a motion field (0 to 1, any grid over it) says so."""
    size = (picture_HW3.shape[1], picture_HW3.shape[0])
    share_HW = cv2.resize(share_yx.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    tint_HW1 = _TINT * np.clip(share_HW, 0, 1)[..., None]
    return ((1 - tint_HW1) * picture_HW3 + tint_HW1 * np.array(AREA)).round().astype(np.uint8)


def draw_tokens(frame_HWC: np.ndarray, motion_hw: np.ndarray, inside_hw: np.ndarray) -> np.ndarray:
    """Returns a frame with the motion of its tokens, 0 to 1, as a tint; those inside outlined."""
    down, across = (frame_HWC.shape[k] // motion_hw.shape[k] for k in (0, 1))
    drawn_HW3 = draw_field(frame_HWC, motion_hw.repeat(down, 0).repeat(across, 1))
    outline_tokens(drawn_HW3, inside_hw)
    return drawn_HW3


def draw_mask(
    frame_HWC: np.ndarray,
    hidden_hw: np.ndarray,
    inside_hw: np.ndarray,
    decoded_hw: np.ndarray | None = None,
) -> np.ndarray:
    """Returns a frame with its hidden patches dark and the tokens of the motion area outlined.

    Args:
        frame_HWC: its sides are multiples of the grid's.
        hidden_hw: bool, the mask of the frame's time slot.
        inside_hw: bool, tokens inside the motion area.
        decoded_hw: bool, hidden tokens that the decoder predicts: blue instead of dark.
    """
    height, width = frame_HWC.shape[:2]
    down, across = height // hidden_hw.shape[0], width // hidden_hw.shape[1]
    paint_hw3 = np.full((*hidden_hw.shape, 3), _HIDDEN, np.float32)
    if decoded_hw is not None:
        paint_hw3[decoded_hw] = MOVER
    paint_HW3 = paint_hw3.repeat(down, 0).repeat(across, 1)
    hidden_HW1 = hidden_hw.repeat(down, 0).repeat(across, 1)[..., None]
    # A trace of what is hidden stays, so that the picture can be read.
    drawn_HW3 = np.where(hidden_HW1, 0.85 * paint_HW3 + 0.15 * frame_HWC, frame_HWC)
    drawn_HW3 = drawn_HW3.astype(np.uint8)
    outline_tokens(drawn_HW3, inside_hw)
    return drawn_HW3


def outline_tokens(picture_HW3: np.ndarray, inside_hw: np.ndarray) -> None:
    """Draws an orange line along the inner border of tokens; the sides are multiples of theirs."""
    height, width = picture_HW3.shape[:2]
    down, across = height // inside_hw.shape[0], width // inside_hw.shape[1]
    inside_HW = inside_hw.repeat(down, 0).repeat(across, 1).astype(np.uint8)
    picture_HW3[inside_HW > cv2.erode(inside_HW, np.ones((5, 5)), borderValue=0)] = AREA


def draw_heat(frame_HW3: np.ndarray, value_hw: np.ndarray) -> np.ndarray:
    """Returns the frame in dim grey, with values in 0..1 on a coarse grid as colours over it."""
    size = (frame_HW3.shape[1], frame_HW3.shape[0])
    value_HW = cv2.resize(value_hw.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    value_HW1 = np.clip(value_HW, 0, 1)[..., None]
    colour_HW3 = cv2.applyColorMap((255 * value_HW1).astype(np.uint8), cv2.COLORMAP_INFERNO)
    grey_HW1 = _DIMMED * cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY)[..., None]
    share_HW1 = _STRONGEST * np.sqrt(value_HW1)  # weak values are seen, too
    mixed_HW3 = (1 - share_HW1) * grey_HW1 + share_HW1 * colour_HW3[..., ::-1]
    return np.ascontiguousarray(mixed_HW3.round().astype(np.uint8))
