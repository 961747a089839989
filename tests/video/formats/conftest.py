from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# For the module "trees", however pytest is started.
sys.path[:0] = [str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Makes a real video of half a second wherever it is asked for: mp4, webm or any name."""
    from mofo.video.writer import VideoWriter

    folder = tmp_path_factory.mktemp("tiny")
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    for name in ("clip.mp4", "clip.webm"):
        with VideoWriter(folder / name, fps=25) as writer:
            for shift in range(12):
                writer.write(np.repeat(np.tile(np.roll(ramp, 4 * shift), (48, 1))[..., None], 3, 2))

    def make(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = "clip.webm" if path.suffix == ".webm" else "clip.mp4"
        shutil.copy(folder / kind, path)
        return path

    return make
