"""Small videos in which it is known what moves."""

from pathlib import Path

import numpy as np
import pytest

from helpers.drawn_scenes import SIZE, write
from helpers.scenes import Waves, disk, shift


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: still.mp4, pan.mp4 (camera only), mover.mp4, follow.mp4 (both), parts.mp4.

    The last one has a second of black, a second of a still picture, then a mover after a cut, all
    between bars that take a quarter of the frame.
    """
    folder = tmp_path_factory.mktemp("videos")
    ground, thing = Waves(1), Waves(2).picture(*SIZE)
    noise = np.random.default_rng(0).integers(-2, 3, (50, *SIZE))

    def scene(t: int, camera: float, mover: float, waves: Waves = ground) -> np.ndarray:
        image_HW = waves.picture(*SIZE, shift(-camera * t, 0)) + noise[t % 50]
        if mover:
            inside_HW = disk(*SIZE, 40 + (mover - camera) * t, 60, 22)
            image_HW[inside_HW] = np.roll(thing, round((mover - camera) * t), 1)[inside_HW]
        return np.clip(image_HW, 16, 235).astype(np.uint8)

    def parts(t: int) -> np.ndarray:
        image_HW = scene(0, 0, 0) if t < 50 else scene(t - 50, 0, 1.6, Waves(7))
        image_HW = image_HW if t >= 25 else np.zeros(SIZE, np.uint8)
        image_HW[:15], image_HW[-15:] = 0, 0
        return image_HW

    for name, camera, mover in (
        ("still", 0, 0),
        ("pan", 1.5, 0),
        ("mover", 0, 1.6),
        ("follow", 1.5, 1.6),
    ):
        write(folder / f"{name}.mp4", lambda t, c=camera, m=mover: scene(t, c, m))
    write(folder / "parts.mp4", parts, 100)
    return folder
