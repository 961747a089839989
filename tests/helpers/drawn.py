"""Drawn pictures for tests of videos."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np


def texture(height: int, width: int, *, blur: float = 3.0, seed: int = 0) -> np.ndarray:
    """A grey uint8 picture with structure everywhere."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), blur)
    return np.clip(128 + 45 * noise / noise.std(), 0, 255).astype(np.uint8)


def moving(frames: int, width: int, height: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """RGB frames in which everything moves 2 px to the left a frame."""
    wide = texture(height, width + 2 * frames, seed=seed)
    for i in range(frames):
        grey = wide[:, 2 * i : 2 * i + width]
        yield np.stack([grey, grey // 2 + 60, 255 - grey], axis=-1)
