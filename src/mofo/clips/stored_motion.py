"""Motion from a store that `mofo detect` made, of all videos of a data set."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mofo.clips.plan import FrameMotion
from mofo.clips.sources import MOTION_SOURCES, ClipRequest, MotionChoice, MotionSource
from mofo.datasets.video import Video
from mofo.motion.detect_plan import read_failures
from mofo.motion.listed import Spans, looked_at
from mofo.motion.records import storable
from mofo.motion.store import AreaStore
from mofo.types import StoreError, VideoError
from mofo.video.clip import IndexMismatchError
from mofo.video.index import Source

_SLACK = 0.05  # seconds; notes are rounded, and a frame is held for a while


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
        """What is known of these frames; boxes scaled where they were found at another size."""
        stored, index, span = self._table[request.row], request.index, request.plan.span
        if len(stored.valid_T) != len(index):
            if index.source is not Source.FRAMES:
                raise IndexMismatchError(request.video.path)
            raise VideoError(
                request.video.path,
                f"has {len(index)} frames, but the store of motion areas has "
                f"{len(stored.valid_T)}: run `mofo detect` again",
            )
        if stored.spans:
            times_T = index.seconds_of(span.start, span.stop) - index.seconds_of(0, 1)[0]
            first, last = times_T[0], times_T[-1]
            if not any(a - _SLACK <= first and last <= b + _SLACK for a, b in stored.spans):
                raise VideoError(
                    request.video.path,
                    f"the store has no motion from {first:.1f} to {last:.1f} s, only of the "
                    "segments that were listed: run `mofo detect` with this list, or --whole-files",
                )
        scale_2 = np.array([index.width / stored.width, index.height / stored.height])
        frames = slice(span.start, span.stop)
        field_Tyx = stored.field_Tyx
        return FrameMotion(
            stored.box_T4[frames] * np.tile(scale_2, 2),
            stored.valid_T[frames],
            None if field_Tyx is None else field_Tyx[frames],
        )

    def moving(self, row: int) -> np.ndarray:
        """See ``MotionSource``."""
        return self._table[row].valid_T

    @classmethod
    def describe(cls, choice: MotionChoice) -> str:
        """Where motion comes from."""
        return f"store {choice.store}"


class StoredArea(NamedTuple):
    """What a store knows of one video.

    ``box_T4``, ``valid_T``, ``field_Tyx``: as in ``MotionArea``. ``width``, ``height``: of the
    frames that boxes refer to, pixels. ``spans``: only these were looked at, seconds; none: all.
    """

    box_T4: np.ndarray
    valid_T: np.ndarray
    field_Tyx: np.ndarray | None
    width: int
    height: int
    spans: Spans = ()


class AreaTable:
    """Boxes and fields of ``videos``, row by row.

    Reading one video from the store costs as much as decoding half a clip, and reading all of it a
    few seconds for ten million frames; so it is read once. Boxes take 17 bytes a frame of memory,
    fields, which take ten times as much, lie in a file that all processes share.

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
        names = ["video", "warnings", "frames", "width", "height", "field_rows", "field_columns"]
        about = store.videos().select(names).to_pydict()
        frames = np.zeros(len(row_of), np.int64)
        self._size = np.zeros((len(row_of), 2), np.int32)
        self._shape = np.zeros((len(row_of), 2), np.int32)
        self._spans: dict[int, Spans] = {}
        for key, notes, count, width, height, *shape in zip(*about.values(), strict=True):
            place = row_of.get(key)
            if place is not None:
                if spans := looked_at(notes):
                    self._spans[place] = spans
                frames[place], self._size[place], self._shape[place] = count, (width, height), shape
        self._end = np.cumsum(frames)
        self._begin = self._end - frames
        self._box_F4 = np.zeros((int(frames.sum()), 4), np.float32)
        self._valid_F = np.zeros(len(self._box_F4), bool)
        for key, box_T4, valid_T in store.boxes():
            place = row_of.get(key)
            if place is not None:
                span = slice(self._begin[place], self._end[place])
                self._box_F4[span], self._valid_F[span] = box_T4, valid_T
        sizes = frames * self._shape.prod(1)
        self._field_begin = np.cumsum(sizes) - sizes
        self._fields = SharedBytes(int(sizes.sum()))
        for key, field_Tyx in store.fields() if sizes.any() else ():
            place = row_of.get(key)
            if place is not None:
                self._fields.write(int(self._field_begin[place]), field_Tyx)

    def __getitem__(self, row: int) -> StoredArea:
        """Boxes and field of the video in a row of the catalog.

        Raises:
            VideoError: the detection could not read this video.
        """
        if row in self._failed:
            raise VideoError(*self._failed[row])
        place = self._place[row]
        span = slice(self._begin[place], self._end[place])
        width, height = (int(side) for side in self._size[place])
        shape = (span.stop - span.start, *self._shape[place])
        field_Tyx = None
        if shape[1]:
            start = int(self._field_begin[place])
            field_Tyx = self._fields.read(start, int(np.prod(shape))).reshape(shape)
        boxes = self._box_F4[span], self._valid_F[span]
        return StoredArea(*boxes, field_Tyx, width, height, self._spans.get(int(place), ()))


class SharedBytes:
    """Bytes in a temporary file that processes share; it goes with the process that made it."""

    def __init__(self, size: int) -> None:
        self._path: str | None = None
        self._bytes = np.zeros(0, np.uint8)
        if size:
            with tempfile.NamedTemporaryFile(prefix="mofo-fields-", delete=False) as file:
                file.truncate(size)
                self._path = file.name
            self._bytes = np.memmap(self._path, np.uint8, "r+")
            weakref.finalize(self, _remove, self._path, os.getpid())

    def write(self, start: int, values: np.ndarray) -> None:
        """Writes uint8 values from a place on."""
        self._bytes[start : start + values.size] = values.ravel()

    def read(self, start: int, count: int) -> np.ndarray:
        """``count`` values from a place on."""
        return self._bytes[start : start + count]

    def __getstate__(self) -> tuple[str | None]:
        return (self._path,)

    def __setstate__(self, state: tuple[str | None]) -> None:
        [path] = state
        self._path = path
        self._bytes = np.memmap(path, np.uint8, "r") if path else np.zeros(0, np.uint8)


def _remove(path: str, process: int) -> None:
    if os.getpid() == process:  # not in a fork
        Path(path).unlink(missing_ok=True)


def _key_in(store: AreaStore, video: Video) -> str | None:
    if video.key in store:
        return storable(video.key)
    try:
        return store.find(video.path)
    except StoreError:
        return None
