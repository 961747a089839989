"""A bright rectangle on dark ground where a box says, and where it is found again."""

from __future__ import annotations

import numpy as np

BRIGHT, DARK = 235, 40


def paint(boxes_T4: np.ndarray, width: int, height: int) -> np.ndarray:
    """RGB uint8 ``(T, H, W, 3)``: one rectangle a frame, whole pixels."""
    frames = np.full((len(boxes_T4), height, width, 3), DARK, np.uint8)
    for frame, (x1, y1, x2, y2) in zip(frames, np.asarray(boxes_T4, int), strict=True):
        frame[y1:y2, x1:x2] = BRIGHT
    return frames


def bright_box(image_HW3: np.ndarray) -> np.ndarray | None:
    """Box around the bright pixels, with edges between pixels; None if there are none."""
    bright = image_HW3.mean(-1) > (BRIGHT + DARK) / 2
    if not bright.any():
        return None
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def walk(frames: int, width: int, height: int, seed: int) -> np.ndarray:
    """Boxes float32 ``(T, 4)``, whole pixels, that move and change their size."""
    rng = np.random.default_rng(seed)
    times = np.linspace(0, 1, frames)[:, None]
    sizes = rng.uniform(0.15, 0.5, (2, 2)) * [width, height]
    places = rng.uniform(0, 0.5, (2, 2)) * [width, height]
    size_T2 = sizes[0] + times * (sizes[1] - sizes[0])
    place_T2 = places[0] + times * (places[1] - places[0])
    return np.rint(np.concatenate([place_T2, place_T2 + size_T2], 1)).astype(np.float32)
