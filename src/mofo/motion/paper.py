"""Boxes of the paper's recipe (arXiv 2308.12447), per frame and over time; preset ``paper``.

Pixel constants hold at a short side of 240 and scale with it. Everything stays float32: in the 8
bits of the released code the strongest motion wraps to nothing and small spots vanish.
"""

from __future__ import annotations

import cv2
import numpy as np

_SHRINK = 8  # the wide blur is done on a picture this much smaller
_WIDE_SIGMA = 30.0
# Of the brightest value before the wide blur: one step of 8 bits, where the paper's spots end.
_LEFT_OVER = 1 / 255


def frame_box(map_HW: np.ndarray) -> np.ndarray | None:
    """Box of one motion map, float32 ``(4,)`` in its pixels; None when nothing is left."""
    scale = min(map_HW.shape) / 240
    blurred_HW = cv2.GaussianBlur(map_HW, (0, 0), scale)
    _, deviation = cv2.meanStdDev(blurred_HW)
    peak = float(blurred_HW.max())
    if peak <= 0:
        return None
    least = max(0.4 * peak, 1.5 * float(deviation[0, 0]))
    _, kept_HW = cv2.threshold(blurred_HW, least, 0, cv2.THRESH_TOZERO)
    wide_HW = wide_blur(kept_HW, _WIDE_SIGMA * scale)
    _, left_HW = cv2.threshold(wide_HW, peak * _LEFT_OVER, 1, cv2.THRESH_BINARY)
    count, _, stats, centres = cv2.connectedComponentsWithStats(
        left_HW.astype(np.uint8), connectivity=8
    )
    if count < 2:
        return None
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:2]
    apart = np.linalg.norm(centres[order[0]] - centres[order[-1]])
    if apart > 0.4 * np.hypot(*map_HW.shape):
        order = order[:1]
    corner_K2, size_K2 = stats[order, :2], stats[order, 2:4]
    return np.concatenate([corner_K2.min(0), (corner_K2 + size_K2).max(0)]).astype(np.float32)


def wide_blur(image_HW: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur for large sigmas by way of a smaller picture; error about 1 % of the peak."""
    shrink = max(1, min(_SHRINK, int(sigma / 3)))
    if shrink == 1:
        return cv2.GaussianBlur(image_HW, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT)
    height, width = image_HW.shape
    small_size = (-(-width // shrink), -(-height // shrink))
    # Two boxes make a tent, which keeps the centre of what is smaller than a cell. Borders are
    # mirrored at the edge of the frame; OpenCV's default would take half a cell away from them.
    odd = shrink // 2 * 2 + 1
    small_hw = cv2.resize(
        cv2.blur(image_HW, (odd, odd), borderType=cv2.BORDER_REFLECT),
        small_size,
        interpolation=cv2.INTER_AREA,
    )
    # Variance that the boxes and the enlargement below add by themselves.
    added = (odd**2 + shrink**2 - 2) / 12 + shrink**2 / 6
    rest = (sigma**2 - added) ** 0.5
    small_hw = cv2.GaussianBlur(
        small_hw,
        (0, 0),
        rest * small_size[0] / width,
        sigmaY=rest * small_size[1] / height,
        borderType=cv2.BORDER_REFLECT,
    )
    return cv2.resize(small_hw, (width, height), interpolation=cv2.INTER_LINEAR)


def settled_boxes(boxes: list[np.ndarray | None], width: int, height: int) -> np.ndarray:
    """The paper's rules over time.

    Args:
        boxes: one a frame, None where the frame's map left nothing.
        width, height: of the analysed frame, pixels.

    Returns:
        float32 ``(T, 4)``. Every frame has a box: the recipe knows no "nothing moves".
    """
    central_4 = np.array([width / 4, height / 4, 3 * width / 4, 3 * height / 4], np.float32)
    found: list[np.ndarray] = []
    for box_4 in boxes:
        found.append(box_4 if box_4 is not None else (found[-1] if found else central_4))
    boxes_T4 = _neighbours(np.array(found, np.float32).reshape(-1, 4), width, height)
    boxes_T4 = _undrifted(boxes_T4)
    return _padded(boxes_T4, width, height)


def _neighbours(boxes_T4: np.ndarray, width: int, height: int) -> np.ndarray:
    """Boxes too wide, tall or small take the nearest good one; if none is good, all stay."""
    size_T2 = boxes_T4[:, 2:] - boxes_T4[:, :2]
    bad_T = (
        (size_T2[:, 0] > 0.7 * width)
        | (size_T2[:, 1] > 0.7 * height)
        | (size_T2.prod(1) < 0.01 * width * height)
    )
    good = np.flatnonzero(~bad_T)
    if len(good) == 0:
        return boxes_T4
    frames = np.arange(len(boxes_T4))
    after = np.searchsorted(good, frames)
    right, left = good[np.minimum(after, len(good) - 1)], good[np.maximum(after - 1, 0)]
    nearest = np.where(np.abs(frames - left) <= np.abs(right - frames), left, right)
    return boxes_T4[np.where(bad_T, nearest, frames)]


def _undrifted(boxes_T4: np.ndarray) -> np.ndarray:
    """A box that strays from the running mean takes its predecessor's place."""
    settled_T4 = boxes_T4.copy()
    mean_4 = settled_T4[0].astype(float) if len(settled_T4) else np.zeros(4)
    for t in range(1, len(settled_T4)):
        box_4 = settled_T4[t]
        area = float((box_4[2] - box_4[0]) * (box_4[3] - box_4[1]))
        if ((box_4 - mean_4) ** 2).mean() > 0.1 * area:
            settled_T4[t] = settled_T4[t - 1]
        mean_4 += (settled_T4[t] - mean_4) / (t + 1)
    return settled_T4


def _padded(boxes_T4: np.ndarray, width: int, height: int) -> np.ndarray:
    """5 % more on each side of boxes under 0.4 of the frame, each axis by itself, once."""
    size_T2 = boxes_T4[:, 2:] - boxes_T4[:, :2]
    grow_T2 = np.where(size_T2 < 0.4 * np.array([width, height]), 0.05 * size_T2, 0)
    grown_T4 = np.concatenate([boxes_T4[:, :2] - grow_T2, boxes_T4[:, 2:] + grow_T2], 1)
    return np.clip(grown_T4, 0, [width, height, width, height]).astype(np.float32)
