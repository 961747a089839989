"""Part of a file, read as ``VideoReader`` reads the whole: for an analysis on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np

from mofo.video.clip import read_frames
from mofo.video.index import FrameIndex
from mofo.video.picture import grey_picture
from mofo.video.reader import Frame, VideoInfo, frame_kind, motion_vectors

Look = Callable[[int, av.VideoFrame], None]


class Stretch:
    """Frames ``start`` to ``stop`` of a file, in display order; can stand in for a ``VideoReader``.

    Args:
        path: the file.
        index: its index.
        start, stop: numbers of the first frame and the one after the last.
        look: is shown each decoded frame and its number before it is handed on, in any order.
        colour: "gray", or None for no images.
        size: ``(width, height)`` of the upright images.
        motion_vectors: deliver the codec's motion vectors.

    Attributes:
        info, size, warnings: as in ``VideoReader``; ``info.frames`` counts the stretch.
    """

    def __init__(
        self,
        path: str,
        *,
        index: FrameIndex,
        start: int,
        stop: int,
        look: Look,
        colour: str | None = "gray",
        size: tuple[int, int] | None = None,
        motion_vectors: bool = False,
    ) -> None:
        self.path, self.warnings = path, list[str]()
        self._index, self._numbers, self._look = index, range(start, stop), look
        self._grey, self._vectors = colour is not None, motion_vectors
        self._seconds_T = index.seconds_of(start, stop)
        span = float(self._seconds_T[-1] - self._seconds_T[0])
        fps = (len(self._numbers) - 1) / span if span > 0 else None
        self.info = VideoInfo(
            path, index.width, index.height, fps, len(self._numbers), span or None,
            index.rotation, index.codec, index.mirrored,
        )  # fmt: skip
        self.size = size or (index.width, index.height)

    def __enter__(self) -> Stretch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing: the file is open while iterating only."""

    def __iter__(self) -> Iterator[Frame]:
        waiting: dict[int, Frame] = {}  # damaged files give some frames late
        next_up = self._numbers.start
        for number, frame in read_frames(
            self.path, self._index, self._numbers, vectors=self._vectors
        ):
            self._look(number, frame)
            waiting[number] = self._frame(number, frame)
            while next_up in waiting:
                yield waiting.pop(next_up)
                next_up += 1

    def _frame(self, number: int, frame: av.VideoFrame) -> Frame:
        index = self._index
        image: np.ndarray | None = None
        if self._grey:
            image = grey_picture(frame, self.size, rotation=index.rotation, mirrored=index.mirrored)
        mark: Any = frame.opaque or (None, None)  # by ``CodingOrder``
        return Frame(
            number,
            float(self._seconds_T[number - self._numbers.start]),
            image,
            bool(frame.key_frame),
            frame_kind(frame),
            motion_vectors(frame, index.codec) if self._vectors else None,
            *mark,
        )
