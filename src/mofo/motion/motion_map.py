"""Motion map of the paper: how much the flow's derivatives add up over eight flows (section 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

WINDOW = 8  # flows: t-3 .. t+4
_BEFORE = 3
_BORDER = 8  # pixels at short side 240
_ACROSS = np.array([-1, 0, 1], np.float32)
_ALONG = np.ones(3, np.float32)


def flow_gradient(flow_HW2: np.ndarray, border: int) -> np.ndarray:
    """Motion map of a summed flow: mean over u and v of the length of its Prewitt gradient.

    Args:
        flow_HW2: float32, pixels.
        border: pixels at each side that are set to 0.

    Returns:
        float32 ``(H, W)``.
    """
    total_HW = np.zeros(flow_HW2.shape[:2], np.float32)
    for part_HW in cv2.split(flow_HW2):
        x_HW = cv2.sepFilter2D(part_HW, cv2.CV_32F, _ACROSS, _ALONG)
        y_HW = cv2.sepFilter2D(part_HW, cv2.CV_32F, _ALONG, _ACROSS)
        total_HW += cv2.magnitude(x_HW, y_HW)
    total_HW *= 0.5
    if border:
        total_HW[:border] = total_HW[-border:] = 0
        total_HW[:, :border] = total_HW[:, -border:] = 0
    return total_HW


def motion_maps(flows: Iterable[np.ndarray | None]) -> Iterator[np.ndarray]:
    """Motion map of each frame of a clip, as its flows stream by.

    The gradient is linear, so the sum over the window is taken of the flows, and that sum runs: a
    flow is added and one is taken away for each frame. Sums are kept in float32 and made afresh
    every 64 frames, so that rounding does not pile up.

    Args:
        flows: one entry a frame: the flow from the frame before, float32 ``(H, W, 2)``. The first
            entry is None, since nothing leads to the first frame. N frames have N - 1 flows; the
            last one stands for the missing flow of the last frame.

    Yields:
        float32 ``(H, W)``, one a frame; nothing for a clip of a single frame.
    """
    held: deque[np.ndarray] = deque()
    running_HW2: np.ndarray | None = None
    border, taken, seen, given = 0, 0, 0, 0
    for flow_HW2 in _last_repeated(flows):
        if running_HW2 is None:
            running_HW2 = np.zeros_like(flow_HW2)
            border = round(_BORDER * min(flow_HW2.shape[:2]) / 240)
        held.append(flow_HW2)
        running_HW2 += flow_HW2
        seen += 1
        if len(held) > WINDOW:
            running_HW2 -= held.popleft()
            taken += 1
            if taken % 64 == 0:
                running_HW2 = np.asarray(np.sum(list(held), axis=0, dtype=np.float32))
        # Frame t has the flows t-3 .. t+4; the first frames share the clip's first eight.
        while len(held) == WINDOW and given + WINDOW - _BEFORE <= seen:
            yield flow_gradient(running_HW2, border)
            given += 1
    while running_HW2 is not None and given < seen:  # the last frames share the last eight
        yield flow_gradient(running_HW2, border)
        given += 1


def _last_repeated(flows: Iterable[np.ndarray | None]) -> Iterator[np.ndarray]:
    last: np.ndarray | None = None
    for flow_HW2 in flows:
        if flow_HW2 is not None:
            last = flow_HW2
            yield flow_HW2
    if last is not None:
        yield last
