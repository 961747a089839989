from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """Encodes RGB frames straight with PyAV, independent of ``VideoWriter``."""

    from helpers.drawn import moving

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
        # Without it x264's choices hang on what was in memory before, see ``VideoWriter``.
        steady = {"mbtree": "0"} if codec == "libx264" else {}
        with av.open(str(path), "w", options=muxer or {}) as container:
            stream: Any = container.add_stream(codec, rate=25, options=steady | (options or {}))
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


def _clip(name: str) -> Path:
    from helpers.realclips import real_clip

    return real_clip(name)


@pytest.fixture(scope="session")
def bikes() -> Path:
    return _clip("bikes.mp4")


@pytest.fixture(scope="session")
def carphone() -> Path:
    return _clip("carphone_pristine.mp4")
