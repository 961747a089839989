"""Whether a file ends before it should: by the sizes and durations that it gives for itself.

Containers say how many bytes their parts have, which is certain, and how long they last, which may
be the duration of their sound. A file is truncated only if pictures are missing from it.
"""

from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO

import av

from mofo.video.location import locate

_ASF_HEADER = bytes.fromhex("3026B2758E66CF11A6D900AA0062CE6C")
_ASF_FILE_PROPERTIES = bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365")
_MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp")
_PARTS = 100_000  # top-level parts that are read at most


def truncation(
    path: str, container: Any, stream: Any, packets: int, end: float, error: str = ""
) -> str | None:
    """Why a file is known to lack pictures at its end, in a few words; None if it is not.

    ``end``: time in seconds at which the last picture ends, as in the file.
    ``error``: what reading the file ended with, if it was an error.
    """
    if error:
        return error
    if stream.frames and packets >= stream.frames:
        return None
    is_matroska = container.format.name.startswith("matroska")
    begin = float((stream.start_time or 0) * stream.time_base)
    step = 1 / float(stream.average_rate or stream.guessed_rate or 25)
    # Others give all streams the duration of the longest, or estimate it from the file's size.
    has_own = is_matroska or container.format.name.startswith("mov")
    duration = own_duration(stream) if has_own else None
    # Matroska counts from the beginning of the file, others from their first picture.
    reached = end if is_matroska else end - begin
    if stream.frames:
        text = f"{packets} of {stream.frames} frames are in the file"
    else:
        whole = duration or (container.duration or 0) / av.time_base
        text = f"{reached:.2f} s of {whole:.2f} s are in the file" if whole > reached else ""
    has_all = duration is not None and reached > duration - 1.5 * step
    if missing := missing_bytes(path):
        return None if has_all else text or f"its last {missing:,} bytes are missing"
    if stream.frames:  # some may not be shown, and AVI counts pictures that are left out
        return text if duration is not None and not has_all else None
    if duration is not None:
        return text if reached < duration - max(0.5, 0.02 * duration) else None
    whole = (container.duration or 0) / av.time_base
    if reached >= whole - max(0.5, 0.02 * whole):
        return None
    # The container's duration may be that of its sound.
    longest = _end_of_all(path, relative=not is_matroska)
    return text if longest < whole - max(0.5, 0.02 * whole) else None


def own_duration(stream: Any) -> float | None:
    """Seconds that a stream says it lasts; in Matroska, the time at which it ends."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    try:  # Matroska and webm say it in a tag such as 00:00:02.400000000
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except (KeyError, ValueError):
        return None


def _end_of_all(path: str, *, relative: bool) -> float:
    """The time at which the last stream ends."""
    begin, end = float("inf"), 0.0
    try:
        with av.open(**locate(path).for_ffmpeg(), metadata_errors="replace") as container:
            for packet in container.demux():
                if packet.pts is not None and packet.size and packet.time_base is not None:
                    begin = min(begin, float(packet.pts * packet.time_base))
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except (av.FFmpegError, OSError):
        pass
    return end - begin if relative else end


def missing_bytes(path: str) -> int:
    """Bytes that a file lacks by its own account; 0 if it does not say.

    AVI, MP4 and its kin, Matroska and webm, ASF (wmv).
    """
    location = locate(path)
    with location.open() as file:
        first, size = file.read(16), location.size
        file.seek(0)
        try:
            if first[:4] == b"RIFF":
                end = _end_of_riff(file, size)
            elif first[4:8] in _MP4_FIRST:
                end = _end_of_boxes(file, size)
            elif first[:4] == b"\x1a\x45\xdf\xa3":
                end = _end_of_matroska(file)
            elif first == _ASF_HEADER:
                end = _end_of_asf(file)
            else:
                end = 0
        except (struct.error, IndexError):
            return 0
    return max(0, end - size)


def _end_of_riff(file: BinaryIO, size: int) -> int:
    end = 0
    for _ in range(_PARTS):
        file.seek(end)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF" or length in (0, 0xFFFFFFFF):  # never finished
            break
        end += 8 + length
        if end >= size:
            break
        end += length & 1
    return end


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    end = 0
    for _ in range(_PARTS):
        if end + 8 > size:
            break
        file.seek(end)
        length, _ = struct.unpack(">I4s", file.read(8))
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        if length < 8:  # up to the end of the file, or nonsense
            break
        end += length
    return end


def _end_of_matroska(file: BinaryIO) -> int:
    for _ in range(4):  # the head, perhaps filling, the segment
        name = _ebml_number(file, keep_marker=True)
        length = _ebml_number(file)
        if name == 0x18538067:
            return 0 if length is None or name is None else file.tell() + length
        if length is None:
            return 0
        file.seek(length, os.SEEK_CUR)
    return 0


def _ebml_number(file: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """A number of variable length; None if it means "unknown" (RFC 8794, 4 and 6.2)."""
    first = file.read(1)[0]
    length = 9 - first.bit_length()
    rest = file.read(length - 1)
    value = int.from_bytes(bytes([first]) + rest, "big")
    if keep_marker:
        return value
    value &= (1 << 7 * length) - 1
    return None if value == (1 << 7 * length) - 1 else value


def _end_of_asf(file: BinaryIO) -> int:
    file.seek(24)
    (objects,) = struct.unpack("<I", file.read(4))
    place = 30
    for _ in range(min(objects, _PARTS)):
        file.seek(place)
        name, length = struct.unpack("<16sQ", file.read(24))
        if name == _ASF_FILE_PROPERTIES:
            (size,) = struct.unpack("<16xQ", file.read(24))
            file.seek(place + 88)
            (flags,) = struct.unpack("<I", file.read(4))
            return 0 if flags & 1 else int(size)  # a broadcast has no size
        place += length
    return 0
