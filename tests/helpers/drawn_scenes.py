"""Videos of drawn pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mofo.video.writer import VideoWriter

SIZE = (120, 160)  # height and width


def write(path: Path, picture: Callable[[int], np.ndarray], frames: int = 50) -> Path:
    """A video of grey pictures."""
    with VideoWriter(path, fps=25) as writer:
        for t in range(frames):
            writer.write(np.repeat(picture(t)[..., None], 3, axis=2))
    return path
