"""The published recipe done the straightforward way: a yardstick for speed, nothing else.

Written from the description of arXiv 2308.12447: every frame convolves all
eight flows of its own window (by scipy, or by OpenCV, which is much faster at it), the map is a
picture of three equal channels, both blurs are full Gaussians of scipy. Its boxes are not judged
anywhere; the preset "paper" is the one to use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np
import scipy.ndimage
import scipy.signal

_PREWITT_X = np.array([[-1, 0, 1]] * 3, np.float32)
_PREWITT_Y = np.ascontiguousarray(_PREWITT_X.T)

CONVOLVE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "scipy": lambda part_HW, kernel: scipy.signal.convolve2d(part_HW, kernel, mode="same"),
    "OpenCV": lambda part_HW, kernel: cv2.filter2D(part_HW, cv2.CV_32F, kernel),
}


def flow_name() -> str:
    """What ``flows`` uses here: OpenCV's TV-L1 if its optflow module is installed, else DIS."""
    return "OpenCV TV-L1" if hasattr(cv2, "optflow") else "OpenCV DIS medium (no cv2.optflow here)"


def flows(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Flow of each frame to the next, float32 ``(H, W, 2)``; the last one is repeated."""
    if hasattr(cv2, "optflow"):
        solver = cv2.optflow.DualTVL1OpticalFlow_create()
    else:
        solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = [solver.calc(a, b, None) for a, b in pairwise(frames)]
    return [*found, found[-1]]


def motion_map(flow_THW2: Sequence[np.ndarray], t: int, by: str = "scipy") -> np.ndarray:
    """Map of frame ``t``, float32 ``(H, W, 3)``: all derivatives of its window, made afresh."""
    first = min(max(t - 3, 0), max(len(flow_THW2) - 8, 0))
    convolve, magnitudes = CONVOLVE[by], []
    for part in (0, 1):
        window = [flow_HW2[..., part] for flow_HW2 in flow_THW2[first : first + 8]]
        x_HW = sum(convolve(part_HW, _PREWITT_X) for part_HW in window)
        y_HW = sum(convolve(part_HW, _PREWITT_Y) for part_HW in window)
        magnitudes.append(np.sqrt(x_HW**2 + y_HW**2))
    map_HW = (magnitudes[0] + magnitudes[1]) / 2
    map_HW[:8] = map_HW[-8:] = 0
    map_HW[:, :8] = map_HW[:, -8:] = 0
    return np.stack([map_HW] * 3, -1)


def frame_box(map_HW3: np.ndarray) -> tuple[int, int, int, int] | None:
    """Box around the one or two largest regions; None if nothing is left."""
    blurred_HW3 = scipy.ndimage.gaussian_filter(map_HW3, (1, 1, 0))
    blurred_HW3[blurred_HW3 < 0.4 * blurred_HW3.max()] = 0
    blurred_HW3[blurred_HW3 < 1.5 * blurred_HW3.std()] = 0
    wide_HW3 = scipy.ndimage.gaussian_filter(blurred_HW3, (30, 30, 0))
    peak = blurred_HW3.max()
    left_HW = (wide_HW3[..., 0] > peak / 255).astype(np.uint8)
    outlines, _ = cv2.findContours(left_HW, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if peak <= 0 or not outlines:
        return None
    boxes = [cv2.boundingRect(o) for o in sorted(outlines, key=cv2.contourArea)[-2:]]
    corners = [(x, y, x + w, y + h) for x, y, w, h in boxes]
    centres = [np.array([x + w / 2, y + h / 2]) for x, y, w, h in boxes]
    if np.linalg.norm(centres[0] - centres[-1]) > 0.4 * np.hypot(*left_HW.shape):
        corners = corners[-1:]
    x1, y1, x2, y2 = zip(*corners, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


def boxes_from_flows(
    flow_THW2: Sequence[np.ndarray], by: str = "scipy"
) -> list[tuple[int, int, int, int]]:
    """Everything after the flow; ``by`` names the convolution, see ``CONVOLVE``.

    A frame in which nothing is left takes the box before it; a box that is too large or too small
    takes its neighbour's.
    """
    height, width = flow_THW2[0].shape[:2]
    box = (width // 4, height // 4, 3 * width // 4, 3 * height // 4)
    boxes = []
    for t in range(len(flow_THW2)):
        found = frame_box(motion_map(flow_THW2, t, by))
        if found is not None:
            wide, tall = found[2] - found[0], found[3] - found[1]
            if (
                wide <= 0.7 * width
                and tall <= 0.7 * height
                and wide * tall >= 0.01 * width * height
            ):
                box = found
        boxes.append(box)
    return boxes
