"""Motion from a store that `mofo detect` made: boxes of all videos of a data set, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mofo.clips.plan import FrameMotion
from mofo.clips.sources import MOTION_SOURCES, ClipRequest, MotionChoice, MotionSource
from mofo.datasets.video import Video
from mofo.motion.detect_plan import read_failures
from mofo.motion.records import storable
from mofo.motion.store import AreaStore
from mofo.types import StoreError, VideoError
from mofo.video.clip import IndexMismatchError
from mofo.video.index import Source


@MOTION_SOURCES.register("store")
class StoredMotion(MotionSource):
    """As detected before, over whole videos.

    Raises:
        StoreError: videos are missing, and the detection did not say that they are unreadable.
    """

    about = "a store of motion areas"
    needs_store = True

    def __init__(self, videos: Sequence[Video], choice: MotionChoice) -> None:
        super().__init__(videos, choice)
        with AreaStore.open(str(choice.store)) as store:
            self._table = AreaTable(store, videos)

    def frame_motion(self, request: ClipRequest) -> FrameMotion:
        """Boxes of these frames, scaled where they were found at another size."""
        stored, index, span = self._table[request.row], request.index, request.plan.span
        if len(stored.valid_T) != len(index):
            if index.source is not Source.FRAMES:
                raise IndexMismatchError(request.video.path)
            raise VideoError(
                request.video.path,
                f"has {len(index)} frames, but the store of motion areas has "
                f"{len(stored.valid_T)}: run `mofo detect` again",
            )
        scale_2 = np.array([index.width / stored.width, index.height / stored.height])
        frames = slice(span.start, span.stop)
        return FrameMotion(stored.box_T4[frames] * np.tile(scale_2, 2), stored.valid_T[frames])

    @classmethod
    def describe(cls, choice: MotionChoice) -> str:
        """Where motion comes from."""
        return f"store {choice.store}"


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

    Reading one video from the store costs as much as decoding half a clip, and reading all of it a
    few seconds for ten million frames; so it is read once.

    Args:
        store: holds the videos under their keys, or else under the end of their paths.
        videos: rows of a catalog; several may be segments of one file.

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
