"""Flow for free: the motion vectors that H.264 and MPEG-4 files carry, as a coarse field.

Vectors serve compression, not truth: they are noisy where there is little texture. They come with
decoding at almost no cost. Small pictures of the frames are read beside them, since vectors alone
tell movers from noise badly (average precision .75 on real clips; .90 with pictures).
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator

import cv2
import numpy as np

from mofo.motion.flow.backend import (
    FLOWS,
    FlowBackend,
    FlowFrame,
    FlowStream,
    FlowUnavailableError,
    Reader,
    field_cells,
)
from mofo.video.cuts import CutDetector
from mofo.video.inputs import VideoPath
from mofo.video.reader import VideoReader

_EVERY = 4  # frames of which one is looked at: pictures cost more than vectors
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
    speed = 0.3
    fallback = "dis"

    @contextlib.contextmanager
    def open(
        self, path: VideoPath, short_side: int, *, cuts: bool, reader: Reader = VideoReader
    ) -> Iterator[FlowStream]:
        """See ``FlowBackend.open``."""
        with reader(path, colour=None) as probe:
            info = probe.info
        if not has_vectors(info.codec) or info.mirrored:
            raise _no_vectors()
        turned = info.rotation in (90, 270)
        coded = (info.height, info.width) if turned else (info.width, info.height)
        field = VectorField(*coded, min(1.0, short_side / min(coded)))
        columns, rows = (max(1, round(side * field.scale)) for side in coded)
        half, cells = (max(1, columns // 2), max(1, rows // 2)), field_cells((columns, rows))[::-1]
        with reader(
            path,
            colour="gray",
            size=half[::-1] if turned else half,
            chroma=cells[::-1] if turned else cells,
            motion_vectors=True,
            every=_EVERY,
        ) as frames:
            yield _VectorStream(frames, field, (columns, rows), cuts)


class _VectorStream(FlowStream):
    def __init__(
        self, reader: VideoReader, field: VectorField, size: tuple[int, int], cuts: bool
    ) -> None:
        self._field, self._cuts = field, cuts
        self.reader, self.rotation, self.size = reader, reader.info.rotation, size
        self.shape_hw, self.cell, self.field_yx = field.shape_hw, field.cell, field_cells(size)
        self.every = _EVERY

    def __iter__(self) -> Iterator[FlowFrame]:
        waiting: list[tuple[FlowFrame, np.ndarray | None, int]] = []
        first, seen, detector = True, False, CutDetector()
        for frame in self.reader:
            cut = False
            if frame.image is not None and self._cuts:
                # A cut is where the encoder saw one, too: the frame before may be some frames away.
                cut = detector.step(frame.image) and frame.kind == "I"
            begins = first or cut
            distance = self._field.distance(frame.kind, frame.order, frame.referred)
            # Nothing leads to a frame that begins a shot, whatever it was predicted from.
            vectors = None if begins else frame.vectors
            found = FlowFrame(
                frame.index,
                frame.time,
                begins,
                cut,
                None if frame.image is None else _coded(frame.image, self.rotation),
                None if frame.chroma is None else _coded(frame.chroma, self.rotation),
            )
            waiting.append((found, vectors, distance))
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


def _coded(image: np.ndarray, rotation: int) -> np.ndarray:
    """An upright picture as it was coded, since vectors are not turned either."""
    return np.ascontiguousarray(np.rot90(image, rotation // 90)) if rotation else image


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
        scale: as given.
    """

    def __init__(self, width: int, height: int, scale: float) -> None:
        # Small partitions are worth keeping in small frames only.
        self._side = 8 if min(width, height) <= 400 else 16
        self.shape_hw = (-(-height // self._side), -(-width // self._side))
        self.cell = self._side * scale
        self.scale = scale
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
            np.array([-self.scale / distances[t] for t in full], np.float32), lengths
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
