"""Exactly the wanted frames of a file, and as little decoding as gives them.

Decoding starts at the key frame before the first wanted frame and ends with the packet of the last
one. Between wanted frames, those that no other frame needs are not decoded at all. What comes out
is pixel for pixel what decoding the whole file gives; where a file makes that impossible (a wrong
index, a frame that comes out damaged), it is decoded from its beginning.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import numpy as np

from mofo.types import VideoError
from mofo.video.container import CodingOrder, Container, demuxed, open_video
from mofo.video.index import FrameIndex, Source
from mofo.video.picture import chroma_picture, grey_picture
from mofo.video.reader import Frame, VideoInfo, frame_kind, motion_vectors

# Decoders that, told so, leave out frames that no other frame refers to, and nothing else.
_SKIPPING = frozenset({"h264", "mpeg4", "mpeg2video", "mpeg1video"})
# A seek costs about as much as decoding a frame or two.
_WORTH_SEEKING = 4


class IndexMismatchError(Exception):
    """The file does not hold what its index says: make one from a more reliable source."""


def read_frames(
    path: str | os.PathLike[str],
    index: FrameIndex,
    wanted: Sequence[int] | np.ndarray,
    *,
    vectors: bool = False,
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode some frames of a file.

    A frame is only good until the next one is asked for: use or copy its pixels at once, since
    keeping frames keeps the decoder's memory.

    Args:
        index: its index, see ``index_frames``.
        wanted: numbers of frames, each in ``range(len(index))``, in any order; doubles count once.
        vectors: let frames carry the codec's motion vectors and the marks of ``CodingOrder``.

    Yields:
        Number and frame, in rising order (in damaged files, some may come late).
    """
    path = os.fspath(path)
    missing = sorted({int(frame) for frame in wanted})
    if not missing:
        return
    if missing[0] < 0 or missing[-1] >= len(index):
        raise ValueError(f"frames {missing[0]} to {missing[-1]} of {len(index)} were asked for")
    if index.source is Source.FRAMES:
        yield from _counted(path, missing, vectors)
        return
    for careful in (False, True):
        a_pass = _Pass(path, index, list(missing), vectors=vectors, careful=careful)
        for found, frame in a_pass.run():
            yield found, frame
            missing.remove(found)
        if not missing:
            return
    raise IndexMismatchError(f"{path}: no frame {missing[0]} of {len(index)}")


def _counted(path: str, wanted: list[int], vectors: bool) -> Iterator[tuple[int, av.VideoFrame]]:
    """From the beginning, by counting."""
    source = Container(path, _options(vectors), coding_order=vectors)
    try:
        left = set(wanted)
        for number, frame in enumerate(source.decode()):
            if number in left:
                yield number, frame
                left.discard(number)
                if not left:
                    return
    finally:
        source.close()
    raise VideoError(path, f"frame {min(left)} could be decoded before, but not now")


def _options(vectors: bool) -> dict[str, str]:
    return {"flags2": "+export_mvs"} if vectors else {}


class Segment:
    """Frames ``start`` to ``stop`` of a file, in display order; can stand in for a ``VideoReader``.

    Args:
        start, stop: numbers of the first frame and the one after the last.
        on_frame: called with the number of each decoded frame and the frame, in any order, before
            the frame is yielded.
        colour: "gray", or None for no images.
        size: ``(width, height)`` of the upright images.
        chroma: deliver the colour of frames at this ``(width, height)``, too.
        every: deliver images and colours for every so many frames and for key frames only.

    ``info``, ``size``, ``warnings``: as in ``VideoReader``; ``info.frames`` counts the segment.
    """

    def __init__(
        self,
        path: str,
        *,
        index: FrameIndex,
        start: int,
        stop: int,
        on_frame: Callable[[int, av.VideoFrame], None],
        colour: str | None = "gray",
        size: tuple[int, int] | None = None,
        motion_vectors: bool = False,
        chroma: tuple[int, int] | None = None,
        every: int = 1,
    ) -> None:
        self.path, self.warnings = path, list[str]()
        self._index, self._numbers, self._on_frame = index, range(start, stop), on_frame
        self._grey, self._vectors = colour is not None, motion_vectors
        self._chroma, self._every = chroma, every
        self._seconds_T = index.seconds_of(start, stop)
        span = float(self._seconds_T[-1] - self._seconds_T[0])
        fps = (len(self._numbers) - 1) / span if span > 0 else None
        self.info = VideoInfo(
            path, index.width, index.height, fps, len(self._numbers), span or None,
            index.rotation, index.codec, index.mirrored,
        )  # fmt: skip
        self.size = size or (index.width, index.height)

    def __enter__(self) -> Segment:
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
            self._on_frame(number, frame)
            waiting[number] = self._frame(number, frame)
            while next_up in waiting:
                yield waiting.pop(next_up)
                next_up += 1

    def _frame(self, number: int, frame: av.VideoFrame) -> Frame:
        index = self._index
        image: np.ndarray | None = None
        chroma: np.ndarray | None = None
        upright: dict[str, Any] = {"rotation": index.rotation, "mirrored": index.mirrored}
        shown = (number - self._numbers.start) % self._every == 0 or bool(frame.key_frame)
        if self._grey and shown:
            image = grey_picture(frame, self.size, **upright)
        if self._chroma is not None and shown:
            chroma = chroma_picture(frame, self._chroma, **upright)
        mark: Any = frame.opaque or (None, None)  # by ``CodingOrder``
        return Frame(
            number,
            float(self._seconds_T[number - self._numbers.start]),
            image,
            bool(frame.key_frame),
            frame_kind(frame),
            motion_vectors(frame, index.codec) if self._vectors else None,
            mark[0],
            mark[1],
            chroma,
        )


class _Pass:
    """One reading of a file: quick, or careful, from the beginning and without skipping."""

    def __init__(
        self,
        path: str,
        index: FrameIndex,
        wanted: list[int],
        *,
        vectors: bool,
        careful: bool,
    ) -> None:
        self._path, self._index, self._wanted = path, index, wanted
        self._vectors, self._careful = vectors, careful
        self._skip = not careful and index.codec in _SKIPPING

    def run(self) -> Iterator[tuple[int, av.VideoFrame]]:
        # The sample table of an mp4, once it has proved to be right, says all.
        probe = self._careful or self._index.source is not Source.TABLE
        container, stream = open_video(self._path, _options(self._vectors), probe=probe)
        with container:
            self._order = CodingOrder(stream.codec_context) if self._vectors else None
            for seek, wanted in self._runs():
                packets = self._packets(container, stream, wanted[0], seek)
                for found, frame in self._decoded(stream.codec_context, packets, wanted):
                    if found in wanted and (self._careful or not frame.is_corrupt):
                        yield found, frame

    def _runs(self) -> list[tuple[bool, list[int]]]:
        """Wanted frames that are best decoded in one go, and whether to seek for them."""
        if self._careful:
            return [(False, self._wanted)]
        runs: list[tuple[bool, list[int]]] = []
        last = 0
        for frame in self._wanted:
            seek = self._index.key_before(frame) - last >= _WORTH_SEEKING
            if seek or not runs:
                runs.append((seek, []))
            runs[-1][1].append(frame)
            last = frame
        return runs

    def _packets(self, container: Any, stream: Any, begin: int, seek: bool) -> Iterator[Any]:
        """Packets from a place on from which frame ``begin`` can be decoded; none if it fails."""
        packets = demuxed(container, stream)
        if seek:
            # A container may land late: it seeks by decoding time, or its key frame comes with
            # frames that are shown before it. Then from one key frame earlier.
            key = self._index.key_before(begin)
            for target in (begin, key, self._index.key_before(key - 1)):
                try:
                    container.seek(int(self._index.stamps[target]), stream=stream)
                    packets = demuxed(container, stream)
                    packet = next(packet for packet in packets if packet.is_keyframe)
                except (av.FFmpegError, OSError, StopIteration):
                    continue
                at = self._index.position(packet.pts)
                if at is not None and at <= begin and self._index.is_at_key(at, packet.pos):
                    yield packet
                    break
            else:
                return
        while True:
            try:
                packet = next(packets)
            except (av.FFmpegError, OSError, StopIteration):
                return
            if packet.size == 0:
                return  # the end
            yield packet

    def _decoded(
        self, context: Any, packets: Iterator[Any], wanted: list[int]
    ) -> Iterator[tuple[int, Any]]:
        """Numbered frames, all wanted ones that the packets give among them."""
        last = -1
        # None: everything that the wanted frames need is in the decoder, which need not be fed on
        # until it lets go of them.
        for packet in itertools.chain(self._until_fed(context, packets, wanted), [None]):
            try:
                frames = context.decode(packet)
            except (av.FFmpegError, OSError):
                continue  # what it would have given is missed later on
            for frame in frames:
                found = self._index.position(frame.pts)
                if found is None or found <= last:
                    raise IndexMismatchError(f"{self._path}: frame at {frame.pts} is unexpected")
                last = found
                yield found, frame

    def _until_fed(self, context: Any, packets: Iterator[Any], wanted: list[int]) -> Iterator[Any]:
        """Packets up to that of the last wanted frame; the decoder is told what each is worth."""
        left = set(wanted)
        skips: bool | None = None
        for packet in packets:
            number = self._index.position(packet.pts)
            if self._skip and skips is not (number not in left):
                skips = number not in left
                context.skip_frame = "NONREF" if skips else "DEFAULT"
            if self._order is not None:
                self._order.mark(packet)
            yield packet
            if number is not None:
                left.discard(number)
            if not left:
                return
