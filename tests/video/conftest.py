from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from realclips import real_clip


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


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """Encodes RGB frames straight with PyAV, independent of ``VideoWriter``."""

    def run(
        path: Path,
        frames: Any = None,
        *,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
        rotate: tuple[float, bool] | None = None,
        muxer: dict[str, str] | None = None,
    ) -> Path:
        frames = list(moving(30, 64, 48) if frames is None else frames)
        with av.open(str(path), "w", options=muxer or {}) as container:
            stream: Any = container.add_stream(codec, rate=25, options=options or {})
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pix_fmt
            stream.codec_context.thread_count = 1
            if rotate is not None:
                stream.set_display_rotation(rotate[0], hflip=rotate[1])
            for image in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return run


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., Path]) -> Path:
    """64x48, 30 frames, 25 frames/s, H.264 with B-frames, its index in front."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return encode(path, options={"g": "12"}, muxer={"movflags": "faststart"})


@pytest.fixture(scope="session")
def bikes() -> Path:
    return real_clip("bikes.mp4")


@pytest.fixture(scope="session")
def carphone() -> Path:
    return real_clip("carphone_pristine.mp4")
