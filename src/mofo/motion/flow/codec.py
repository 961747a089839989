"""Flow for free: the motion vectors that H.264 and MPEG-4 files carry, as a coarse field.

Vectors serve compression, not truth: they are noisy where there is little texture. They come with
decoding at almost no cost, and the pixels themselves are not needed.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from mofo.motion.flow.backend import (
    FLOWS,
    FlowBackend,
    FlowFrame,
    FlowStream,
    FlowUnavailableError,
    Reader,
)
from mofo.video.reader import VideoReader

_AT_ONCE = 32  # frames whose vectors are worked on together
# FFmpeg's names of codecs whose decoders export vectors.
_EXPORTING = ("h264", "mpeg4", "msmpeg4", "mpeg1video", "mpeg2video", "h263", "wmv", "flv1")


def has_vectors(codec: str) -> bool:
    """Whether FFmpeg can export motion vectors of this codec."""
    return codec.startswith(_EXPORTING)


@FLOWS.register("codec")
class CodecFlow(FlowBackend):
    """Motion vectors of the file, as a field on a grid of blocks."""

    line = "motion vectors of the file: nearly free, coarse"
    needs_pictures = False
    speed = 0.3
    fallback = "dis"

    @contextlib.contextmanager
    def open(
        self, path: str | Path, short_side: int, *, cuts: bool, reader: Reader = VideoReader
    ) -> Iterator[FlowStream]:
        """See ``FlowBackend.open``. Vectors cannot tell a cut from any other I-frame."""
        with reader(path, colour=None, motion_vectors=True) as frames:
            if not has_vectors(frames.info.codec) or frames.info.mirrored:
                raise _no_vectors()
            yield _VectorStream(frames, short_side)


class _VectorStream(FlowStream):
    def __init__(self, reader: VideoReader, short_side: int) -> None:
        info = reader.info
        size = (info.width, info.height)
        coded = size[::-1] if info.rotation in (90, 270) else size
        scale = min(1.0, short_side / min(coded))
        self._field = VectorField(*coded, scale)
        self.reader, self.rotation = reader, info.rotation
        self.shape_hw, self.cell = self._field.shape_hw, self._field.cell
        self.size = (round(coded[0] * scale), round(coded[1] * scale))

    def __iter__(self) -> Iterator[FlowFrame]:
        waiting: list[tuple[FlowFrame, np.ndarray | None, int]] = []
        first, seen = True, False
        for frame in self.reader:
            # Nothing is known across an I-frame, be it a scene cut or not; so no cuts are noted.
            begins = first or frame.kind == "I"
            distance = self._field.distance(frame.kind, frame.order, frame.referred)
            waiting.append((FlowFrame(frame.index, frame.time, begins), frame.vectors, distance))
            first, seen = False, seen or frame.vectors is not None
            if len(waiting) >= _AT_ONCE:
                yield from self._solved(waiting)
                waiting = []
        yield from self._solved(waiting)
        if not seen:
            raise _no_vectors()

    def _solved(
        self, waiting: list[tuple[FlowFrame, np.ndarray | None, int]]
    ) -> Iterator[FlowFrame]:
        if not waiting:
            return
        frames, vectors, distances = zip(*waiting, strict=True)
        flow_Thw2, confidence_Thw = self._field.fields(list(vectors), list(distances))
        for t, frame in enumerate(frames):
            if vectors[t] is None:
                yield frame
            else:
                yield frame._replace(flow_hw2=flow_Thw2[t], confidence_hw=confidence_Thw[t])


def _no_vectors() -> FlowUnavailableError:
    return FlowUnavailableError("no motion vectors that can be used")


class VectorField:
    """Turns the vectors of each frame into a field on a grid.

    Args:
        width, height: of the coded frame in pixels.
        scale: coded pixels are multiplied by this to give pixels of the analysis.

    Attributes:
        shape_hw: rows and columns of the grid.
        cell: side of a cell in pixels of the analysis.
    """

    def __init__(self, width: int, height: int, scale: float) -> None:
        # Small partitions are worth keeping in small frames only.
        self._side = 8 if min(width, height) <= 400 else 16
        self.shape_hw = (-(-height // self._side), -(-width // self._side))
        self.cell = self._side * scale
        self._scale = scale
        self._position = -1
        # Position and order of coding; H.264 has 16 references at most.
        self._references: deque[tuple[int, int]] = deque(maxlen=16)
        self._latest = -1  # of the B-frames since the last I or P, in order of coding

    def distance(self, kind: str, order: int | None = None, referred: bool | None = None) -> int:
        """Frames from this frame to the one that most of its vectors point to.

        FFmpeg does not say which frame a vector refers to. It is nearly always the nearest of the
        earlier ones that may be: coded before this frame, and an I, a P, or a B that others are
        predicted from (the middle of a run of three B-frames, as x264 has it). Call it once for
        every frame, in display order.

        Args:
            kind: "I", "P", "B" or "?".
            order: place in the order of coding. Without it, B-frames refer to the last I or P.
            referred: whether others are predicted from the frame. Without it, B-frames are taken
                for such if they were coded before one that is shown earlier.
        """
        self._position += 1
        now = math.inf if order is None else order
        past = (at for at, coded in reversed(self._references) if coded <= now)
        distance = self._position - next(past, -1)
        if referred is None:
            referred = kind != "B" or now < self._latest
        if referred:
            self._references.append((self._position, -1 if order is None else order))
        self._latest = max(self._latest, order or 0) if kind == "B" else -1
        return distance

    def fields(
        self, vectors: list[np.ndarray | None], distances: list[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fields of some frames at once: the work a frame is small, numpy's overhead is not.

        Args:
            vectors: of each frame, as ``video.reader.Frame.vectors``.
            distances: of each frame, see ``distance``.

        Returns:
            Flow float32 ``(T, h, w, 2)`` that leads to each frame, in pixels of the analysis a
            frame, and confidence ``(T, h, w)``: 1 where the codec gave vectors, else 0.
        """
        frames, (rows, columns) = len(vectors), self.shape_hw
        size = rows * columns
        flow_Thw2 = np.zeros((frames, rows, columns, 2), np.float32)
        confidence_Thw = np.zeros((frames, rows, columns), np.float32)
        given = [(t, part) for t, part in enumerate(vectors) if part is not None and len(part) > 0]
        if not given:
            return flow_Thw2, confidence_Thw
        full, parts = [t for t, _ in given], [part for _, part in given]
        # Joined as bytes: numpy copies structured records field by field, which is slow.
        joined = np.concatenate([part.view(np.uint8) for part in parts]).view(parts[0].dtype)
        lengths = [len(part) for part in parts]
        frame = np.repeat(np.array(full, np.int32), lengths)
        factor = np.repeat(
            np.array([-self._scale / distances[t] for t in full], np.float32), lengths
        )
        factor /= np.maximum(joined["motion_scale"], 1)
        # Vectors into the future count nothing; so do those without a direction.
        is_past = joined["source"] < 0
        u, v = joined["motion_x"] * factor, joined["motion_y"] * factor
        wide = np.where(is_past, joined["w"], 0).astype(np.int32)
        tall = joined["h"].astype(np.int32)
        left, top = joined["dst_x"] - (wide >> 1), joined["dst_y"] - (tall >> 1)
        shift = self._side.bit_length() - 1
        places, who = [], []
        for dy in range(0, 16, self._side):
            for dx in range(0, 16, self._side):
                inside = np.flatnonzero((wide > dx) & (tall > dy))
                # Cropped or overhanging blocks count at the border.
                x = np.clip((left[inside] + dx) >> shift, 0, columns - 1)
                y = np.clip((top[inside] + dy) >> shift, 0, rows - 1)
                places.append(frame[inside] * size + y * columns + x)
                who.append(inside)
        place, index = np.concatenate(places), np.concatenate(who)
        count = np.bincount(place, minlength=frames * size)
        filled = np.maximum(count, 1)
        for i, part in enumerate((u, v)):
            mean = np.bincount(place, part[index], frames * size) / filled
            flow_Thw2[..., i] = mean.reshape(frames, rows, columns)
        if min(rows, columns) > 2:
            for t in full:
                flow_Thw2[t] = cv2.medianBlur(flow_Thw2[t], 3)
        confidence_Thw[:] = (count > 0).reshape(frames, rows, columns)
        return flow_Thw2, confidence_Thw
