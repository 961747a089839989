"""Pictures of masks: what the encoder sees of a frame, and where the motion area is."""

from __future__ import annotations

import cv2
import numpy as np

_AREA = (255, 140, 0)  # RGB, as in all pictures of motion areas
_DECODED = (60, 170, 255)
_DARK = 40


def draw_mask(
    frame_HWC: np.ndarray,
    hidden_hw: np.ndarray,
    inside_hw: np.ndarray,
    decoded_hw: np.ndarray | None = None,
) -> np.ndarray:
    """A frame with its hidden patches dark and the outline of the motion area in orange.

    Args:
        frame_HWC: uint8 RGB; its sides are multiples of the grid's.
        hidden_hw: bool, the mask of the frame's time slot.
        inside_hw: bool, the motion area of the slot in tokens.
        decoded_hw: bool, hidden tokens that the decoder predicts: blue instead of dark.

    Returns:
        uint8 ``(H, W, 3)`` RGB, a new picture.
    """
    height, width = frame_HWC.shape[:2]
    down, across = height // hidden_hw.shape[0], width // hidden_hw.shape[1]
    paint_hw3 = np.full((*hidden_hw.shape, 3), _DARK, np.float32)
    if decoded_hw is not None:
        paint_hw3[decoded_hw] = _DECODED
    paint_HW3 = paint_hw3.repeat(down, 0).repeat(across, 1)
    hidden_HW1 = hidden_hw.repeat(down, 0).repeat(across, 1)[..., None]
    # A trace of what is hidden stays, so that the picture can be read.
    drawn_HW3 = np.where(hidden_HW1, 0.85 * paint_HW3 + 0.15 * frame_HWC, frame_HWC)
    drawn_HW3 = drawn_HW3.astype(np.uint8)
    inside_HW = inside_hw.repeat(down, 0).repeat(across, 1).astype(np.uint8)
    drawn_HW3[inside_HW > cv2.erode(inside_HW, np.ones((5, 5)), borderValue=0)] = _AREA
    return drawn_HW3
