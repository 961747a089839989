"""Chosen frames out of the files of a catalog, with their motion area through the same crop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import av
import numpy as np

from mofo.clips.area_table import AreaTable
from mofo.clips.transforms import Geometry
from mofo.datasets.catalog import Video
from mofo.motion.analyse import analyse
from mofo.motion.detect_settings import DetectSettings
from mofo.motion.store import AreaStore
from mofo.types import SettingsError, VideoError
from mofo.video.clip import IndexMismatchError, Segment, read_frames
from mofo.video.container import reason_of
from mofo.video.index import FrameIndex, IndexCache, Source
from mofo.video.picture import crop_picture

# From what is known of a file to the numbers of the wanted frames, never falling, and crops.
Choose = Callable[[FrameIndex], tuple[np.ndarray, list[Geometry]]]
_Found = TypeVar("_Found")


class Cut(NamedTuple):
    """A clip through one geometry; see ``ClipSample`` for the names."""

    frames_THWC: np.ndarray
    box_T4: np.ndarray
    valid_T: np.ndarray


class ClipFiles:
    """The files of a catalog; remembers where their frames are, and their motion areas.

    Args:
        videos: rows of a catalog.
        areas: "store"; "codec" or "dis": found in the stretch that a clip spans; "none".
        store: motion areas, for "store".

    Raises:
        SettingsError: no videos, or no store where one is needed.
        StoreError: the store lacks some of the videos.
    """

    def __init__(self, videos: Sequence[Video], areas: str, store: AreaStore | None = None) -> None:
        if len(videos) == 0:
            raise SettingsError("no videos to take clips from")
        if (store is None) == (areas == "store"):
            raise SettingsError(f'areas are "{areas}": a store is for "store", and only')
        self.videos, self.areas = videos, areas
        self.indexes = IndexCache()
        self._table = None if store is None else AreaTable(store, videos)
        self._told = False

    def read(
        self, row: int, choose: Choose, into: np.ndarray | None = None
    ) -> tuple[np.ndarray, list[Cut]]:
        """Numbers of the frames, and a clip for each geometry, all from one decoding.

        Args:
            row: of the catalog.
            choose: frames and geometries.
            into: memory for the clips' frames, one for each geometry; None: of their own.

        Raises:
            VideoError: the video cannot be used.
        """
        return self._with_index(row, partial(self._read, row, choose, into))

    def boxes(self, row: int, choose: Choose) -> list[tuple[np.ndarray, np.ndarray]]:
        """Boxes and whether they are valid, as in ``read``'s clips, but no frames.

        Raises:
            VideoError: the video cannot be used.
        """
        return self._with_index(row, partial(self._only_boxes, row, choose))

    def _with_index(self, row: int, work: Callable[[FrameIndex], _Found]) -> _Found:
        """Works with the file's index, by a more reliable one if it proves to be wrong."""
        path = self.videos[row].path
        least = Source.TABLE
        while True:
            # Each clip begins with the least: what it is must not depend on earlier ones.
            index = self.indexes.get(path, least)
            try:
                return work(index)
            except IndexMismatchError:
                least = Source(index.source + 1)
            except av.FFmpegError as error:
                raise VideoError(path, reason_of(error)) from None

    def _read(
        self, row: int, choose: Choose, into: np.ndarray | None, index: FrameIndex
    ) -> tuple[np.ndarray, list[Cut]]:
        wanted_T, geometries = choose(index)
        canvas = _Canvas(index, wanted_T, geometries, into)
        found = self._found(row, index, wanted_T, canvas.draw)
        if self.areas not in ("codec", "dis"):
            for number, frame in read_frames(self.videos[row].path, index, wanted_T):
                canvas.draw(number, frame)
        boxes = [_seen(geometry, *found, wanted_T) for geometry in geometries]
        cuts = [Cut(frames, *pair) for frames, pair in zip(canvas.frames, boxes, strict=True)]
        return wanted_T, cuts

    def _only_boxes(
        self, row: int, choose: Choose, index: FrameIndex
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        wanted_T, geometries = choose(index)
        found = self._found(row, index, wanted_T, lambda number, frame: None)
        return [_seen(geometry, *found, wanted_T) for geometry in geometries]

    def _found(
        self,
        row: int,
        index: FrameIndex,
        wanted_T: np.ndarray,
        look: Callable[[int, av.VideoFrame], None],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Boxes of all frames that a clip spans, upright pixels; ``look`` sees what is decoded."""
        path, areas = self.videos[row].path, self.areas
        first, stop = int(wanted_T[0]), int(wanted_T[-1]) + 1
        if areas in ("codec", "dis"):
            reader = partial(Segment, index=index, start=first, stop=stop, on_frame=look)
            area = analyse(path, DetectSettings(flow=areas), reader=reader)
            if area.flow != areas and not self._told:
                self._told = True
                warnings.warn(
                    f"{path}: no motion vectors that can be used ({index.codec}): motion areas of "
                    f"such videos by {area.flow} instead of {areas}, which takes longer",
                    stacklevel=2,
                )
            return area.box_T4, area.valid_T
        if self._table is None:
            return np.zeros((stop - first, 4), np.float32), np.zeros(stop - first, bool)
        stored = self._table[row]
        if len(stored.valid_T) != len(index):
            if index.source is not Source.FRAMES:
                raise IndexMismatchError(path)
            raise VideoError(
                path,
                f"has {len(index)} frames, but the store of motion areas has "
                f"{len(stored.valid_T)}: run `mofo detect` again",
            )
        scale_2 = np.array([index.width / stored.width, index.height / stored.height])
        return stored.box_T4[first:stop] * np.tile(scale_2, 2), stored.valid_T[first:stop]


def stretch_of(video: Video, index: FrameIndex) -> tuple[int, int]:
    """The frames of a video that count, ``(first, stop)``; at least one.

    Raises:
        VideoError: there are none.
    """
    start, stop = index.segment(video.start, video.end)
    if start >= stop:
        end = index.seconds_T[-1] - index.seconds_T[0]
        raise VideoError(
            video.path,
            f"no frame from {video.start or 0:g} s to {video.end or end:g} s: its last one is "
            f"at {end:g} s",
        )
    return start, stop


def _seen(
    geometry: Geometry, box_F4: np.ndarray, valid_F: np.ndarray, wanted_T: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    # Cut to the crop first, frame by frame: the hull of what is seen, not what is seen of the hull.
    return hulls(*geometry.boxes(box_F4, valid_F), wanted_T - wanted_T[0])


class _Canvas:
    """The pictures of a clip, one set for each geometry, drawn while its frames are decoded."""

    def __init__(
        self,
        index: FrameIndex,
        wanted_T: np.ndarray,
        geometries: list[Geometry],
        into: np.ndarray | None,
    ) -> None:
        self.wanted_T = wanted_T
        self._index, self._geometries = index, geometries
        self._slots: dict[int, list[int]] = {}
        for t, number in enumerate(wanted_T.tolist()):
            self._slots.setdefault(number, []).append(t)
        self.frames = [
            np.empty((len(wanted_T), geometry.size[1], geometry.size[0], 3), np.uint8)
            if into is None
            else into[number]
            for number, geometry in enumerate(geometries)
        ]

    def draw(self, number: int, frame: av.VideoFrame) -> None:
        """Draws a frame wherever the clip has it."""
        index = self._index
        slots = self._slots.get(number)
        if slots is None:
            return
        t, *again = slots
        for geometry, frames_THWC in zip(self._geometries, self.frames, strict=True):
            crop_picture(
                frame,
                geometry.crop,
                geometry.size,
                upright=(index.width, index.height),
                rotation=index.rotation,
                mirrored=index.mirrored,
                flip=geometry.flip,
                out=frames_THWC[t],
            )
            frames_THWC[again] = frames_THWC[t]


def hulls(
    box_F4: np.ndarray, valid_F: np.ndarray, start_T: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Box around the boxes of each stretch of frames that begins at ``start_T``.

    Args:
        box_F4: float32, all frames from the first to the last one of a clip.
        valid_F: bool; other boxes do not count.
        start_T: int64, never falling: the stretch ``t`` goes on up to ``start_T[t + 1]``, the last
            one to the end; it holds its own frame at least.

    Returns:
        float32 ``(T, 4)``, zeros where not valid, and bool ``(T,)``: any box there.
    """
    low_F2 = np.where(valid_F[:, None], box_F4[:, :2], np.inf)
    high_F2 = np.where(valid_F[:, None], box_F4[:, 2:], -np.inf)
    # Where two stretches begin at the same frame, reduceat gives that frame alone.
    box_T4 = np.concatenate(
        [np.minimum.reduceat(low_F2, start_T), np.maximum.reduceat(high_F2, start_T)], 1
    )
    valid_T = np.isfinite(box_T4[:, 0])
    return np.where(valid_T[:, None], box_T4, 0).astype(np.float32), valid_T
