"""Boxes of all videos of a data set in memory, from a store of motion areas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mofo.datasets.catalog import Video
from mofo.motion.detect_plan import read_failures
from mofo.motion.records import storable
from mofo.motion.store import AreaStore
from mofo.types import StoreError, VideoError


class StoredBoxes(NamedTuple):
    """Boxes of one video.

    ``box_T4`` float32, ``valid_T`` bool: as in ``MotionArea``. ``width``, ``height``: of the frames
    they refer to, pixels.
    """

    box_T4: np.ndarray
    valid_T: np.ndarray
    width: int
    height: int


class AreaTable:
    """The boxes of ``videos``, row by row: 17 bytes a frame, shared by forked workers.

    A look into the store costs as much as decoding half a clip, and reading all of it a few seconds
    for ten million frames; so it is read once.

    Args:
        store: holds the videos under their keys, or else under the end of their paths.
        videos: rows of a catalog; several may be stretches of one file.

    Raises:
        StoreError: videos are missing, and the detection did not say that they are unreadable.
    """

    def __init__(self, store: AreaStore, videos: Sequence[Video]) -> None:
        failures = read_failures(store.folder)
        self._failed: dict[int, tuple[str, str]] = {}
        missing: list[Video] = []
        row_of: dict[str, int] = {}  # key in the store -> place in the arrays
        self._place = np.zeros(len(videos), np.int64)
        for row, video in enumerate(videos):
            key = _key_in(store, video)
            reason = failures.get(storable(video.key)) or failures.get(storable(video.path))
            if key is not None:
                self._place[row] = row_of.setdefault(key, len(row_of))
            elif reason is not None:
                self._failed[row] = (video.path, reason)
            else:
                missing.append(video)
        if missing:
            more = f" and {len(missing) - 1} more of {len(videos)}" if len(missing) > 1 else ""
            raise StoreError(
                f"{store.folder}: no motion area of {missing[0].path}{more}: run "
                f"`mofo detect` with the same sources and --out {store.folder}"
            )
        self._read(store, row_of)

    def _read(self, store: AreaStore, row_of: dict[str, int]) -> None:
        about = store.videos().select(["video", "frames", "width", "height"]).to_pydict()
        frames = np.zeros(len(row_of), np.int64)
        self._size = np.zeros((len(row_of), 2), np.int32)
        for key, *numbers in zip(*about.values(), strict=True):
            place = row_of.get(key)
            if place is not None:
                frames[place], *self._size[place] = numbers
        self._end = np.cumsum(frames)
        self._begin = self._end - frames
        self._box_F4 = np.zeros((int(frames.sum()), 4), np.float32)
        self._valid_F = np.zeros(len(self._box_F4), bool)
        for key, box_T4, valid_T in store.boxes():
            place = row_of.get(key)
            if place is not None:
                span = slice(self._begin[place], self._end[place])
                self._box_F4[span], self._valid_F[span] = box_T4, valid_T

    def __getitem__(self, row: int) -> StoredBoxes:
        """Boxes of the video in a row of the catalog.

        Raises:
            VideoError: the detection could not read this video.
        """
        if row in self._failed:
            raise VideoError(*self._failed[row])
        place = self._place[row]
        span = slice(self._begin[place], self._end[place])
        width, height = (int(side) for side in self._size[place])
        return StoredBoxes(self._box_F4[span], self._valid_F[span], width, height)


def _key_in(store: AreaStore, video: Video) -> str | None:
    if video.key in store:
        return storable(video.key)
    try:
        return store.find(video.path)
    except StoreError:
        return None
