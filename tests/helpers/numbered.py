"""Videos in which every frame shows its number, in many formats: for tests of exact reading."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from helpers.drawn import texture

WIDTH, HEIGHT = 128, 96
_BITS, _SIDE = 10, 12


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """RGB uint8: a moving texture with the number in black and white squares at the top left."""
    wide = texture(height, width + 400, seed=7)
    image = np.repeat(wide[:, number % 400 : number % 400 + width, None], 3, axis=2)
    for bit in range(_BITS):
        row, column = divmod(bit, 5)
        square = image[row * _SIDE : (row + 1) * _SIDE, column * _SIDE : (column + 1) * _SIDE]
        square[:] = 235 if number >> bit & 1 else 16
    return np.ascontiguousarray(image)


def number_of(grey: np.ndarray) -> int:
    """The number that a frame shows; ``grey`` is its luma at full size."""
    number = 0
    for bit in range(_BITS):
        row, column = divmod(bit, 5)
        y, x = row * _SIDE, column * _SIDE
        number |= int(grey[y + 2 : y + _SIDE - 2, x + 2 : x + _SIDE - 2].mean() > 128) << bit
    return number


def write_numbered(
    path: Path,
    frames: int = 60,
    *,
    codec: str = "libx264",
    ticks: Sequence[int] | None = None,
    muxer: dict[str, str] | None = None,
    rotate: tuple[float, bool] | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    **options: str,
) -> Path:
    """Encodes frames 0, 1, 2 ...; ``ticks``: time of each frame in 1/1000 s instead of 25 a second.

    ``options`` of the encoder, with "_" for "-".
    """
    if codec == "libsvtav1":
        # As root this encoder puts its process under real-time scheduling, and all that it starts.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
            return child.submit(
                _write, path, frames, codec, ticks, muxer, rotate, size, options
            ).result()
    return _write(path, frames, codec, ticks, muxer, rotate, size, options)


def _write(
    path: Path,
    frames: int,
    codec: str,
    ticks: Sequence[int] | None,
    muxer: dict[str, str] | None,
    rotate: tuple[float, bool] | None,
    size: tuple[int, int],
    options: dict[str, str],
) -> Path:
    options = {name.replace("_", "-"): value for name, value in options.items()}
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        if rotate is not None:
            stream.set_display_rotation(rotate[0], hflip=rotate[1])
        if ticks is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
