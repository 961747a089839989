"""An open video file: its container, its video stream, and what is wrong with them.

``VideoReader`` is the public face; here are the dealings with FFmpeg and the file system.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av

from mofo.types import VideoError
from mofo.video.location import Location, locate
from mofo.video.storage import is_url, open_bytes, reasons
from mofo.video.truncation import own_duration, truncation

_TEXT_DEMUXERS = frozenset({"tty", "bin", "xbin", "adf", "idf"})  # "decode" any text as ANSI art
MAX_PIXELS = 100_000_000  # of a frame; three times 8K. A file of a few kB can hold larger ones
# For what FFmpeg decodes on opening, not for the stream's own decoder: nothing, and at once.
_UNPROBED = {"skip_frame": "all", "analyzeduration": "1"}
# Start code and header of a slice: nal_unit_type 1 to 5 under any nal_ref_idc (H.264, 7.3.1).
_SLICE = re.compile(rb"\x00\x00\x01([\x01-\x05\x21-\x25\x41-\x45\x61-\x65])")


class Container:
    """An open container, its video stream, and the count of what was wrong with it.

    ``coding_order``: mark frames as ``CodingOrder`` does.

    Attributes:
        fps: average frames per second or None; frames: their number or None; duration: seconds or
            None.
        first: the first decoded frame, until ``decode`` hands it out.
    """

    def __init__(self, path: str, options: dict[str, str], *, coding_order: bool = False) -> None:
        self._path = path
        self.used = False  # whether decode() has been called
        self._packets = self._bad = self._damaged = 0
        self._end = ""
        self._container, self._stream = open_video(path, options)
        try:
            stream = self._stream
            self.codec = stream.codec_context.codec.canonical_name
            self._order = CodingOrder(stream.codec_context) if coding_order else None
            self.fps = _positive(stream.average_rate) or _positive(stream.guessed_rate)
            self.frames = stream.frames or None
            self.duration = own_duration(stream) or _positive(
                Fraction(self._container.duration or 0, av.time_base)
            )
            self._frames = self._decode()
            first = next(self._frames, None)
            if first is None:
                why = self._end or (f"{self._bad} corrupt packets" if self._bad else "no data")
                raise VideoError(path, f"no frame can be decoded ({why})")
            self.first = first
        except BaseException:
            self._container.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._frames.close()
        self._container.close()

    def decode(self) -> Iterator[av.VideoFrame]:
        """All frames, the one that was decoded at the beginning first."""
        first = self.first
        del self.first
        yield first
        del first
        yield from self._frames

    def _decode(self) -> Any:
        packets = demuxed(self._container, self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self._end = reason_of(error)
                return
            if packet is None:
                return
            self._packets += packet.size > 0
            if self._order is not None and packet.size:
                self._order.mark(packet)
            try:
                frames = packet.decode()
            except (av.FFmpegError, OSError):
                self._bad += 1
                continue
            for frame in frames:
                self._damaged += frame.is_corrupt
                yield frame

    def complaints(self, last: int, end: float, back: int) -> list[str]:
        """What was wrong, one line each. ``end``: time in seconds at which it ends."""
        lines = []
        # Program streams (mpg, vob) give some pictures a time; FFmpeg guesses those of the others.
        if back and self._container.format.name != "mpeg":
            lines.append(f"{back} time stamps do not rise: the frame rate was used there")
        reason = self.truncation(self._packets - self._bad, end)
        if reason is not None:
            lines.append(f"truncated after frame {last}: {reason}")
        if self._bad or self._damaged:
            lines.append(f"{self._bad} corrupt packets skipped, {self._damaged} frames damaged")
        return lines

    def truncation(self, packets: int, end: float) -> str | None:
        """Why the file is known to lack pictures at its end; None if it is not.

        ``end``: time in seconds at which the last one ends.
        """
        return truncation(self._path, self._container, self._stream, packets, end, self._end)


class CodingOrder:
    """Marks packets with ``(order, referred)``, which their frames then have as ``opaque``.

    FFmpeg returns frames in display order and tells neither in which order they were coded nor from
    which of them others may be predicted. Both can be read from the packets.

    ``order`` rises from packet to packet. ``referred`` says whether others may be predicted from
    the frame, None where the codec does not say so in a place that is quick to find.
    """

    def __init__(self, context: Any) -> None:
        context.copy_opaque = True
        self._count = 0
        self._referred = _referred_of(context.name, bytes(context.extradata or b""))

    def mark(self, packet: Any) -> None:
        """Marks the next packet in the file."""
        # A tuple made anew: PyAV tells marks apart by their address.
        packet.opaque = (self._count, self._referred(packet))
        self._count += 1


def _referred_of(codec: str, extradata: bytes) -> Callable[[Any], bool | None]:
    if codec != "h264":
        return lambda packet: None
    if extradata[:1] == b"\1" and len(extradata) > 4:
        size = (extradata[4] & 3) + 1  # as in mp4: each unit follows its length
        return lambda packet: referred_by_length(packet, size)
    return referred_by_start_code


def referred_by_length(packet: Any, size: int) -> bool | None:
    """Whether an H.264 picture is referred to; lengths of its units are of ``size`` bytes."""
    data = memoryview(packet)
    at, last = 0, len(data) - size - 1
    while at <= last:
        header = data[at + size]
        if 1 <= header & 31 <= 5:  # a slice
            return header & 0x60 != 0
        at += size + int.from_bytes(data[at : at + size], "big")
    return None


def referred_by_start_code(packet: Any) -> bool | None:
    """Whether an H.264 picture whose units follow start codes is referred to."""
    found = _SLICE.search(packet)
    return None if found is None else found[1][0] & 0x60 != 0


def demuxed(container: Any, stream: Any) -> Iterator[Any]:
    """Packets of a stream. PyAV's own generator, dropped before its end, keeps some memory."""
    with contextlib.closing(container.demux(stream)) as packets:
        yield from packets


def open_video(path: str, options: dict[str, str], *, probe: bool = True) -> tuple[Any, Any]:
    """Container and video stream of a file, its decoder set to one thread.

    Args:
        probe: let FFmpeg decode a frame to learn what the container does not say. Without, in a
            container that says all, a file is open three times as fast.
    """
    arguments = check_readable(path).for_ffmpeg()
    if not probe:
        arguments["options"] |= _UNPROBED
    try:
        container = av.open(**arguments, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise VideoError(path, f"not a video that FFmpeg can read ({reason_of(error)})") from None
    try:
        stream = _video_stream(path, container)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)} | options
    except BaseException:
        container.close()
        raise
    return container, stream


def _video_stream(path: str, container: Any) -> Any:
    """The video stream; attached pictures (cover art) are none."""
    if container.format.name in _TEXT_DEMUXERS:
        raise VideoError(path, "not a video that FFmpeg can read (it is text)")
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise VideoError(path, "has no video stream")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise VideoError(path, "no decoder for its video codec")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        most = f"{MAX_PIXELS / 1e6:g} million are the most"
        raise VideoError(path, f"frames of {width:,} x {height:,} pixels: {most}")
    return stream


def check_readable(path: str) -> Location:
    """Where a video lies; say in one line what is against reading it. Never blocks on a pipe."""
    location = locate(path)
    if location.file == path and not is_url(path):  # shards and URLs have been read by now
        with reasons(path), open_bytes(path) as file:
            is_empty = not file.read(1)
    else:
        is_empty = not location.size
    if is_empty:
        raise VideoError(path, "is empty (0 bytes)")
    return location


def reason_of(error: BaseException) -> str:
    """The error's text without the file's name, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def _positive(rate: Fraction | None) -> float | None:
    return float(rate) if rate and rate > 0 else None
