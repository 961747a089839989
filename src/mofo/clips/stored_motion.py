"""Motion from a store that `mofo detect` made, of all videos of a data set."""

from __future__ import annotations

import os
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mofo.clips.plan import FrameMotion
from mofo.clips.sources import MOTION_SOURCES, ClipRequest, MotionChoice, MotionSource
from mofo.datasets.video import Video
from mofo.motion.detect_plan import read_failures
from mofo.motion.listed import Spans
from mofo.motion.records import storable
from mofo.motion.store import AreaStore
from mofo.system.files import temporary_beside
from mofo.types import StoreError, VideoError
from mofo.video.clip import IndexMismatchError
from mofo.video.index import Source

_PIECE = 32  # frames that are packed together
_SLACK = 0.05  # seconds; notes are rounded, and a frame is held for a while


@MOTION_SOURCES.register("store")
class StoredMotion(MotionSource):
    """As detected before, over whole videos."""

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
        return FrameMotion(
            stored.box_T4[frames] * np.tile(scale_2, 2),
            stored.valid_T[frames],
            self._table.field(request.row, frames),
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

    ``box_T4``, ``valid_T``: as in ``MotionArea``. ``width``, ``height``: of the frames that boxes
    refer to, pixels. ``spans``: only these were looked at, seconds; none: all.
    """

    box_T4: np.ndarray
    valid_T: np.ndarray
    width: int
    height: int
    spans: Spans = ()


class AreaTable:
    """Boxes and fields of ``videos``, row by row.

    Reading one video from the store costs as much as decoding half a clip, and reading all of it a
    few seconds for ten million frames; so it is read once. Boxes take 17 bytes a frame of memory,
    fields some 300, in a temporary file that all processes share. ``store``: holds the videos under
    their keys, or else under the end of their paths. ``videos``: rows of a catalog; several may be
    segments of one file.
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
        names = ["video", "spans", "frames", "width", "height", "field_rows", "field_columns"]
        about = store.videos().select(names).to_pydict()
        frames = np.zeros(len(row_of), np.int64)
        self._size = np.zeros((len(row_of), 2), np.int32)
        self._shape = np.zeros((len(row_of), 2), np.int32)
        self._spans: dict[int, Spans] = {}
        for key, spans, count, width, height, *shape in zip(*about.values(), strict=True):
            place = row_of.get(key)
            if place is not None:
                if spans:
                    self._spans[place] = tuple(map(tuple, spans))
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
        self._fields = PackedFields(len(row_of))
        if self._shape.any():
            pairs = ((row_of.get(key), field_Tyx) for key, field_Tyx in store.fields())
            self._fields.fill((place, field) for place, field in pairs if place is not None)

    def __getitem__(self, row: int) -> StoredArea:
        """Boxes and field of the video in a row of the catalog."""
        if row in self._failed:
            raise VideoError(*self._failed[row])
        place = self._place[row]
        span = slice(self._begin[place], self._end[place])
        width, height = (int(side) for side in self._size[place])
        boxes = self._box_F4[span], self._valid_F[span]
        return StoredArea(*boxes, width, height, self._spans.get(int(place), ()))

    def field(self, row: int, frames: slice) -> np.ndarray | None:
        """The field of frames of a video, uint8 (T, rows, columns); None: the store has none."""
        place = int(self._place[row])
        rows, columns = (int(side) for side in self._shape[place])
        return self._fields.frames(place, frames, (rows, columns)) if rows else None


class PackedFields:
    """Fields of videos, compressed, in a temporary file that processes share.

    A field is mostly 0: packed it takes a fifth of its cells. The file goes with the process that
    made it.
    """

    def __init__(self, videos: int) -> None:
        self._first_V = np.zeros(videos, np.int64)  # number of a video's first piece
        self._ends: list[int] | np.ndarray = [0]  # of the pieces, in the file
        self._path, self._bytes = "", np.zeros(0, np.uint8)

    def fill(self, fields: Iterable[tuple[int, np.ndarray]]) -> None:
        """Packs fields, uint8 (T, rows, columns), each with the number of its video; once."""
        ends = [0]
        place = temporary_beside(Path(tempfile.gettempdir(), "mofo-fields"))
        with place.open("xb") as file:
            weakref.finalize(self, _remove, str(place), os.getpid())
            for video, field_Tyx in fields:
                self._first_V[video] = len(ends) - 1
                for start in range(0, len(field_Tyx), _PIECE):
                    piece = zlib.compress(field_Tyx[start : start + _PIECE].tobytes(), 1)
                    ends.append(ends[-1] + file.write(piece))
        self._ends, self._path = np.array(ends), str(place)
        self._map()

    def frames(self, video: int, span: slice, shape_yx: tuple[int, int]) -> np.ndarray:
        """The field of frames ``span.start`` to ``span.stop`` of a video, (T, rows, columns)."""
        first, last = span.start // _PIECE, (span.stop - 1) // _PIECE
        pieces = range(self._first_V[video] + first, self._first_V[video] + last + 1)
        raw = b"".join(
            zlib.decompress(self._bytes[self._ends[n] : self._ends[n + 1]].tobytes())
            for n in pieces
        )
        field_Tyx = np.frombuffer(raw, np.uint8).reshape(-1, *shape_yx)
        begin = span.start - first * _PIECE
        return field_Tyx[begin : begin + span.stop - span.start]

    def _map(self) -> None:
        if self._path and Path(self._path).stat().st_size:  # an empty file cannot be mapped
            self._bytes = np.memmap(self._path, np.uint8, "r")

    def __getstate__(self) -> tuple[object, ...]:
        return self._first_V, self._ends, self._path

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._first_V, self._ends, self._path = state
        self._bytes = np.zeros(0, np.uint8)
        self._map()


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
