"""Pictures of exactly known motion: textures that can be looked up between pixels."""

from __future__ import annotations

import numpy as np


class Waves:
    """A texture without pixels: a sum of plane waves, defined at every real (x, y)."""

    def __init__(self, seed: int = 0, count: int = 24) -> None:
        rng = np.random.default_rng(seed)
        length = np.exp(rng.uniform(np.log(7), np.log(40), count))
        angle = rng.uniform(0, 2 * np.pi, count)
        self._wave_N2 = (2 * np.pi / length)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        self._phase_N = rng.uniform(0, 2 * np.pi, count)

    def picture(self, height: int, width: int, moved_33: np.ndarray | None = None) -> np.ndarray:
        """Uint8 (H, W); what is at p without ``moved_33`` is at ``moved_33 @ p`` with it."""
        back_33 = np.eye(3) if moved_33 is None else np.linalg.inv(moved_33)
        assert np.allclose(back_33[2], [0, 0, 1]), "affine only"
        # A plane wave stays one, and is the product of a column and a row.
        wave_N2 = self._wave_N2 @ back_33[:2, :2]
        phase_N = self._phase_N + self._wave_N2 @ back_33[:2, 2]
        across_NW = np.exp(1j * (wave_N2[:, :1] * np.arange(width) + phase_N[:, None]))
        down_HN = np.exp(1j * np.arange(height)[:, None] * wave_N2[:, 1])
        value_HW = (down_HN @ across_NW).real * (40 / np.sqrt(len(phase_N) / 2))
        return np.clip(np.rint(128 + value_HW), 16, 235).astype(np.uint8)


def pixels(height: int, width: int) -> np.ndarray:
    """Coordinates (x, y) of each pixel, (H, W, 2)."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(float)


def apply(matrix_33: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Maps points (..., 2) by a homography."""
    mapped = xy @ matrix_33[:, :2].T + matrix_33[:, 2]
    return mapped[..., :2] / mapped[..., 2:]


def shift(u: float, v: float) -> np.ndarray:
    return np.array([[1, 0, u], [0, 1, v], [0, 0, 1.0]])


def about(
    height: int, width: int, *, zoom: float = 1.0, roll: float = 0.0, u: float = 0, v: float = 0
) -> np.ndarray:
    """Zoom and roll (degrees) about the middle of the frame, then a shift."""
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    cos, sin = zoom * np.cos(np.deg2rad(roll)), zoom * np.sin(np.deg2rad(roll))
    turn_33 = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    return shift(middle[0] + u, middle[1] + v) @ turn_33 @ shift(*-middle)


def disk(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    """Bool (H, W)."""
    return np.linalg.norm(pixels(height, width) - [x, y], axis=-1) < radius


def iou(one_4: np.ndarray, other_4: np.ndarray) -> float:
    low, high = np.maximum(one_4[:2], other_4[:2]), np.minimum(one_4[2:], other_4[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(np.asarray(box)[2:] - np.asarray(box)[:2])) for box in (one_4, other_4)]
    return common / max(sum(areas) - common, 1e-9)
