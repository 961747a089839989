"""Where each frame of a file is: time stamps and key frames, found without decoding it.

Frames are numbered as ``VideoReader`` numbers them: all that can be decoded, in display order. What
a file says about itself is believed as long as nothing contradicts it, in three steps: the sample
table of an mp4; the packets, read through once; the frames themselves, decoded once.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import OrderedDict
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

import av
import numpy as np

from mofo.types import VideoError
from mofo.video.container import demuxed, open_video
from mofo.video.location import file_state, locate
from mofo.video.reader import VideoReader, orientation

# An old encoder's hidden reference frames are packets of their own, and no frames.
_HIDDEN_FRAMES = frozenset({"vp8"})
# MPEG-4 "not coded" packets give no frame; they are a header and nothing else.
_EMPTY_PACKETS = frozenset({"mpeg4", "msmpeg4v2", "msmpeg4v3", "h263"})
_EMPTY = 8
_MARGIN = 1e-6  # seconds: times are rounded in lists and in files


class Source(IntEnum):
    """What an index was made from, the more reliable the higher."""

    TABLE = 0
    PACKETS = 1
    FRAMES = 2


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """The frames of one file.

    Attributes:
        source: what was believed; with ``FRAMES``, frames can only be counted from the beginning.
        width, height: pixels of the upright frame, at full resolution.
        rotation, mirrored: as in ``VideoInfo``.
        stamps: time stamp of each frame in units of ``time_base`` seconds, rising (a ``range`` if
            all are the same apart); with ``FRAMES`` float64 seconds.
        time_base: seconds.
        keys: int32, frames that decoding may be able to start at, or frames shortly before those.
        places: int64, bytes from the beginning of the file to the packet of each key frame, by
            which a seek is known to have landed there; None if times are in the file's own table.
    """

    source: Source
    width: int
    height: int
    rotation: int
    mirrored: bool
    codec: str
    stamps: range | np.ndarray
    time_base: Fraction
    keys: np.ndarray
    places: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def seconds_T(self) -> np.ndarray:
        """Float64, presentation time of each frame as in the file (it need not start at 0)."""
        return self.seconds_of(0, len(self))

    def seconds_of(self, start: int, stop: int) -> np.ndarray:
        """``seconds_T[start:stop]``, at the cost of these frames alone."""
        stamps_T = np.asarray(self.stamps[start:stop], np.float64)
        if self.source is Source.FRAMES:
            return stamps_T
        return stamps_T * self.time_base.numerator / self.time_base.denominator

    @property
    def bytes(self) -> int:
        """Memory taken, about."""
        stamps = 0 if isinstance(self.stamps, range) else self.stamps.nbytes
        places = 0 if self.places is None else self.places.nbytes
        return 1000 + stamps + self.keys.nbytes + places

    def position(self, stamp: int | None) -> int | None:
        """Number of the frame with this time stamp; None if there is no such frame."""
        if stamp is None:
            return None
        if isinstance(self.stamps, range):
            at, rest = divmod(stamp - self.stamps.start, self.stamps.step)
            return at if rest == 0 and 0 <= at < len(self.stamps) else None
        at = int(self.stamps.searchsorted(stamp))
        return at if at < len(self.stamps) and self.stamps[at] == stamp else None

    def key_before(self, frame: int) -> int:
        """The last frame up to ``frame`` that decoding may be able to start at; 0 if none is."""
        at = int(self.keys.searchsorted(frame, "right"))
        return int(self.keys[at - 1]) if at else 0

    def is_at_key(self, frame: int, place: int | None) -> bool:
        """Whether a packet with the time stamp of ``frame``, at that byte, is the one indexed.

        Some containers (AVI) only count packets: where the list that they seek by lacks some, times
        after a seek belong to other frames than times of reading through.
        """
        if self.places is None:
            return True
        at = int(self.keys.searchsorted(frame))
        return at < len(self.keys) and self.keys[at] == frame and self.places[at] == place

    def segment(self, start: float | None, end: float | None) -> tuple[int, int]:
        """Frames that begin from ``start`` on and before ``end``, as ``(first, stop)``.

        Where none does, since a picture is held for longer than that, the one that is on the screen
        at ``start``. ``start``, ``end``: seconds since the first frame; None is the file's own
        beginning or end.

        Returns:
            ``first >= stop`` if the file has ended by then.
        """
        first = 0 if start is None else self._shown_before(start - _MARGIN)
        stop = len(self) if end is None else self._shown_before(end - _MARGIN)
        if first >= stop and first > 0 and (end is None or end > (start or 0)):
            last = self.seconds_of(max(0, len(self) - 2), len(self))
            held = float(last[-1] - last[0])  # the last picture is held as long as the one before
            elapsed = float(last[-1] - self.seconds_of(0, 1)[0])
            if first < len(self) or (start or 0) < elapsed + held - _MARGIN:
                return first - 1, first
        return first, stop

    def _shown_before(self, seconds: float) -> int:
        """How many frames are shown before a time since the first; no array is made for it."""
        if seconds <= 0:
            return 0
        if isinstance(self.stamps, range):
            return min(len(self), ceil(seconds / float(self.stamps.step * self.time_base)))
        if self.source is Source.FRAMES:
            return int(self.stamps.searchsorted(self.stamps[0] + seconds))
        last = int(self.stamps[-1]) + 1
        return int(
            self.stamps.searchsorted(min(last, self.stamps[0] + ceil(seconds / self.time_base)))
        )


def index_frames(path: str | os.PathLike[str], least: Source = Source.TABLE) -> FrameIndex:
    """Number the frames of a file."""
    path = os.fspath(path)
    if least < Source.FRAMES:
        container, stream = open_video(path, {})
        with container:
            found = _without_decoding(path, container, stream, least)
        if found is not None:
            return found
    with VideoReader(path, colour=None) as reader:
        seconds_T = np.array([frame.time for frame in reader], np.float64)
        info = reader.info
    if len(seconds_T) == 0:
        raise VideoError(path, "no frame can be decoded")
    return FrameIndex(
        Source.FRAMES, info.width, info.height, info.rotation, info.mirrored, info.codec,
        seconds_T, Fraction(1), np.zeros(0, np.int32),
    )  # fmt: skip


def _without_decoding(path: str, container: Any, stream: Any, least: Source) -> FrameIndex | None:
    """From the table or the packets; None if they do not tell."""
    packets: list[_Packet] = []
    first: Any = None
    codec = stream.codec_context.codec.canonical_name
    doubtful = codec in _HIDDEN_FRAMES
    is_mov = container.format.name.startswith("mov")
    told = False  # whether the file tells presentation from decoding time
    stamps: range | np.ndarray | None = None
    keys = np.zeros(0, np.int32)
    places: np.ndarray | None = None
    with contextlib.suppress(av.FFmpegError, OSError):  # the end of a truncated file
        for packet in demuxed(container, stream):
            if packet.size and not packet.is_discard:
                packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, packet.pos))
                told |= is_mov and packet.pts != packet.dts
                doubtful |= packet.is_corrupt
                doubtful |= packet.size < _EMPTY and codec in _EMPTY_PACKETS
            if first is None:
                frames = []
                try:
                    frames = packet.decode()
                except (av.FFmpegError, OSError):
                    doubtful = True
                if frames:
                    first = frames[0]
                    if least is Source.TABLE and is_mov and not doubtful:
                        stamps, keys = _from_table(path, stream, packets, first.pts, told)
                        if stamps is not None:
                            break
    source = Source.TABLE
    if stamps is None and first is not None and not doubtful:
        source = Source.PACKETS
        stamps, keys, places = _from_packets(stream, packets, first.pts, told)
    if stamps is None or first is None:
        return None
    rotation, mirrored = orientation(first)
    size = (first.width, first.height)
    width, height = size[::-1] if rotation in (90, 270) else size
    return FrameIndex(
        source,
        width,
        height,
        rotation,
        mirrored,
        codec,
        stamps,
        stream.time_base,
        keys,
        places,
    )


def _from_table(
    path: str, stream: Any, packets: list[_Packet], begin: int, told: bool
) -> tuple[range | None, np.ndarray]:
    """Mp4 and its kin list all samples in front of the data, by decoding time.

    That gives presentation times only if all frames last equally long. If frames may be reordered,
    it must show within the first packets, by their order or by times that differ (``told``), or
    the file does not tell presentation from decoding time.
    """
    entries = stream.index_entries
    nothing = None, np.zeros(0, np.int32)
    ordered = _is_ordered(packets)
    if (
        not 1 < len(entries) == stream.frames
        or begin is None
        or any(packet.pts is None or packet.pts < begin for packet in packets)
        or (stream.codec_context.has_b_frames and ordered and not told)
    ):
        return nothing
    rows = [(e.timestamp, e.is_keyframe, e.is_discard, e.pos + e.size) for e in entries]
    table_T4 = np.array(rows, np.int64)
    steps_T = np.diff(table_T4[:, 0])
    step = int(steps_T[0])
    if step < 1 or (steps_T != step).any() or table_T4[:, 2].any():
        return nothing
    if table_T4[:, 3].max() > locate(path).size:  # truncated
        return nothing
    stamps = range(begin, begin + step * len(entries), step)
    return stamps, np.flatnonzero(table_T4[:, 1]).astype(np.int32)


def _from_packets(
    stream: Any, packets: list[_Packet], begin: int | None, told: bool
) -> tuple[range | np.ndarray | None, np.ndarray, np.ndarray | None]:
    nothing = None, np.zeros(0, np.int32), None
    if not packets or any(packet.pts is None for packet in packets):
        return nothing
    stamps_T = np.array([packet.pts for packet in packets], np.int64)
    sorted_T = np.sort(stamps_T)
    steps_T = np.diff(sorted_T)
    # Where frames are reordered but time stamps are not, they belong to other frames (avi); so do
    # they where they are out of order in a stream that has no frames to reorder, or where a frame
    # is shown before it is decoded.
    is_ordered = bool((sorted_T == stamps_T).all())
    has_b_frames = stream.codec_context.has_b_frames
    is_foreign = is_ordered and not told if has_b_frames else not is_ordered
    # Where the first frames cannot be decoded (cut in the middle), packets are not frames.
    if (steps_T < 1).any() or is_foreign or _is_late(packets) or sorted_T[0] != begin:
        return nothing
    key_packets = [packet for packet in packets if packet.is_key]
    keys = np.searchsorted(sorted_T, np.array([packet.pts for packet in key_packets]))
    order = np.argsort(keys)
    places = np.array([-1 if packet.pos is None else packet.pos for packet in key_packets])
    stamps: range | np.ndarray = sorted_T
    if len(steps_T) and (steps_T == steps_T[0]).all():
        step = int(steps_T[0])
        stamps = range(int(sorted_T[0]), int(sorted_T[0]) + step * len(sorted_T), step)
    return stamps, keys[order].astype(np.int32), places[order].astype(np.int64)


class _Packet(NamedTuple):
    """What a packet says about its frame."""

    pts: int | None
    dts: int | None
    is_key: bool
    pos: int | None


def _is_ordered(packets: list[_Packet]) -> bool:
    return all((a.pts or 0) <= (b.pts or 0) for a, b in itertools.pairwise(packets))


def _is_late(packets: list[_Packet]) -> bool:
    """Whether a frame is to be shown before it is decoded, or decoding times fall."""
    times = [(packet.pts, packet.dts) for packet in packets if packet.dts is not None]
    return any(pts is not None and pts < dts for pts, dts in times) or any(
        later < dts for (_, dts), (_, later) in itertools.pairwise(times)
    )


class IndexCache:
    """Indexes of the files that this process has seen, as long as they fit into the memory given.

    What it gives does not depend on what it was asked before. ``limit``: bytes; the indexes used
    least recently go first.
    """

    def __init__(self, limit: int = 64 << 20) -> None:
        self._limit = limit
        self._used = 0
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"_limit": self._limit, "_used": 0, "_known": OrderedDict()}

    def get(self, path: str, least: Source = Source.TABLE) -> FrameIndex:
        """The index of a file, made anew if the file has changed since."""
        state = file_state(path)
        if state[1] < 0:
            return index_frames(path)  # says why
        known = self._known.get(path)
        if known is None or known.state != state:
            self._drop(path)
            known = self._known[path] = _Known(state, {})
        self._known.move_to_end(path)
        if least not in known.indexes:
            try:
                index = index_frames(path, least)
            except BaseException:
                self._drop(path)
                raise
            of = (source for source in Source if least <= source <= index.source)
            known.indexes.update(dict.fromkeys(of, index))
            self._used += index.bytes
            while self._used > self._limit and len(self._known) > 1:
                self._drop(next(iter(self._known)))
        return known.indexes[least]

    def _drop(self, path: str) -> None:
        known = self._known.pop(path, None)
        if known is not None:
            self._used -= sum(index.bytes for index in {*known.indexes.values()})


@dataclass(frozen=True, slots=True)
class _Known:
    """Indexes of a file, by the least that was to be believed; and the file's time and size."""

    state: tuple[int, int]
    indexes: dict[Source, FrameIndex]
