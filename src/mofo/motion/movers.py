"""Boxes around the movers of one frame, from its motion field and the pixels that changed."""

from __future__ import annotations

import cv2
import numpy as np

_MOVING = 0.5  # share of a cell from which on it belongs to a mover
_LEAST = 0.12  # weight of a mover, as a share of the heaviest one's
_SURELY = 23  # tenths of the noise that a pixel has surely changed by
_FEW = 6  # changed pixels under which they do not move an edge
_SQUARE = np.ones((3, 3), np.uint8)
_TRIM = 0.002  # share of the changed pixels that may stick out of the box at each side


def frame_movers(field_yx: np.ndarray, changed_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes of the movers.

    The cells of a mover say where its edges are to within a cell; within that, the pixels that
    changed decide.

    Args:
        field_yx: float32, share of each cell that moves.
        changed_HW: uint8, change of the pixels at half size, tenths of the noise.
        size: width and height of the frame in pixels.

    Returns:
        float32 ``(K, 4)``, pixels of the frame.
    """
    count, label_yx, stats, _ = cv2.connectedComponentsWithStats(
        (field_yx > _MOVING).view(np.uint8), connectivity=8
    )
    if count < 2:
        return np.zeros((0, 4), np.float32)
    weight = np.bincount(label_yx.ravel(), field_yx.ravel(), count)
    weight[0] = 0
    rows, columns = changed_HW.shape
    surely_HW = cv2.compare(changed_HW, _SURELY, cv2.CMP_GT)
    wide, tall = columns / field_yx.shape[1], rows / field_yx.shape[0]
    boxes = []
    for k in np.flatnonzero(weight >= _LEAST * weight.max()).tolist():
        x, y, across, down = stats[k, :4].tolist()
        box = [x * wide, y * tall, (x + across) * wide, (y + down) * tall]
        near_yx = cv2.dilate((label_yx == k).view(np.uint8), _SQUARE)
        near_HW = cv2.resize(near_yx, (columns, rows), interpolation=cv2.INTER_NEAREST)
        hit_HW = cv2.bitwise_and(near_HW, surely_HW)
        by_column = cv2.reduce(hit_HW, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0]
        by_row = cv2.reduce(hit_HW, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]
        if by_row.sum() >= _FEW:
            (x1, x2), (y1, y2) = _extent(by_column), _extent(by_row)
            edges = zip((x1, y1, x2, y2), box, (wide, tall, wide, tall), strict=True)
            box = [min(max(edge, side - cell), side + cell) for edge, side, cell in edges]
        boxes.append(box)
    width, height = size
    scale = np.array([width / columns, height / rows] * 2)
    return np.clip(np.array(boxes) * scale, 0, [width, height] * 2).astype(np.float32)


def _extent(counts: np.ndarray) -> tuple[int, int]:
    """Half-open range that holds all but ``_TRIM`` of the counts at each end."""
    heap = np.cumsum(counts)
    first, last = np.searchsorted(heap, np.array([_TRIM, 1 - _TRIM]) * heap[-1]).tolist()
    return first, last + 1
