"""Print OpenCV's TV-L1 flow of the generated pair that tests/motion/test_tvl1.py compares with.

OpenCV's TV-L1 is in opencv-contrib-python-headless, which must not share an environment with
opencv-python-headless. Regenerate the numbers in an environment of their own:

    python -m venv contrib && contrib/bin/pip install numpy opencv-contrib-python-headless
    contrib/bin/python tests/golden/tvl1_opencv.py

This file needs nothing but numpy (and OpenCV contrib when it is run).
"""

from __future__ import annotations

import numpy as np

HEIGHT, WIDTH = 64, 80
LINEAR = np.array([[1.03, -0.025], [0.025, 1.03]])  # zoom by 3 %, turn by 1.4 degrees
SHIFT = (1.2, -0.8)
# Flow is written down at these rows and columns.
ROWS, COLUMNS = (12, 25, 38, 51), (12, 30, 48, 66)


def texture(x: np.ndarray, y: np.ndarray, seed: int = 0) -> np.ndarray:
    """Grey values 0..255 at any place: 40 plane waves of 8 to 40 pixels, by a fixed rule."""
    k = np.arange(40) + 40 * seed
    length = 8 * 5 ** ((k * 0.618034) % 1)
    angle, phase = 2 * np.pi * ((k * 0.754878) % 1), 2 * np.pi * ((k * 0.569840) % 1)
    total = np.zeros(np.shape(x))
    for size, turn, start in zip(length, angle, phase, strict=True):
        along = np.cos(turn) * x + np.sin(turn) * y
        total = total + np.sqrt(size) * np.sin(2 * np.pi / size * along + start)
    return np.clip(127 + 45 * total / np.sqrt(length.sum() / 2), 0, 255)


def pair(
    height: int = HEIGHT,
    width: int = WIDTH,
    linear: np.ndarray = LINEAR,
    shift: tuple[float, float] = SHIFT,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two uint8 images and the true flow ``(2, H, W)``: ``p -> linear (p - c) + c + shift``."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    offset = np.stack([x - (width - 1) / 2, y - (height - 1) / 2])
    moved = np.array(shift).reshape(2, 1, 1)
    flow = np.einsum("ij,jhw->ihw", linear - np.eye(2), offset) + moved
    back = np.einsum("ij,jhw->ihw", np.linalg.inv(linear), offset - moved) - offset
    first = texture(x, y, seed)
    second = texture(x + back[0], y + back[1], seed)
    return first.round().astype(np.uint8), second.round().astype(np.uint8), flow


if __name__ == "__main__":
    import cv2

    first, second, true = pair()
    flow = cv2.optflow.DualTVL1OpticalFlow_create().calc(first, second, None)
    error = np.hypot(*(flow.transpose(2, 0, 1) - true)).mean()
    print(f"# OpenCV {cv2.__version__}, mean end-point error {error:.4f}; rows of (u, v)")
    for row in ROWS:
        cells = ", ".join(f"({u:.3f}, {v:.3f})" for u, v in flow[row, list(COLUMNS)])
        print(f"    [{cells}],")
