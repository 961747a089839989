"""What files are like: opened side by side, for size, rate and number of frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from mofo.datasets.catalog_file import Looks
from mofo.types import VideoError
from mofo.video.index import FrameIndex, index_frames

_AT_ONCE = 256


def looks_of(index: FrameIndex) -> Looks:
    """Size, rate and number of frames, as counted, not as the file says."""
    seconds_T = index.seconds_T
    fps = None
    if len(index) > 1:
        fps = float(np.round((len(index) - 1) / (seconds_T[-1] - seconds_T[0]), 4))
    return Looks(index.width, index.height, fps, len(index))


def probe(paths: Iterable[str], workers: int) -> Iterator[tuple[str, Looks | VideoError]]:
    """Open files, decoding no more of each than one frame where that is enough.

    Args:
        paths: each once.
        workers: threads; libraries release Python's lock while they read and decode.

    Yields:
        In the order of the paths: what a file is like, or why it cannot be read.
    """
    rest = iter(paths)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        while some := list(islice(rest, _AT_ONCE)):
            yield from zip(some, pool.map(_look, some), strict=True)


def _look(path: str) -> Looks | VideoError:
    try:
        return looks_of(index_frames(path))
    except VideoError as error:
        return error
