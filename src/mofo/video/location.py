"""Where the bytes of a video lie: in a file, in a member of a tar shard, or at a URL.

A path says which:

* ``/data/a.mp4``: a file of its own;
* ``/data/shard-00.tar/walk/a.mp4``: a member of a tar shard (WebDataset), read where it lies;
* ``s3://bucket/a.mp4``, ``s3://bucket/shard-00.tar/walk/a.mp4``: the same in an object store, or
  wherever else fsspec can read.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mofo.types import VideoError
from mofo.video.shard import open_shard
from mofo.video.storage import file_size, is_url, open_bytes, reasons

_SHARD = re.compile(r"\.tar/", re.IGNORECASE)
_BUFFER = 1 << 18  # bytes that FFmpeg asks Python for at once


def split_member(path: str) -> tuple[str, str] | None:
    """The shard and the name of the member; None if the path is of no member.

    A folder may be called "a.tar", too: then it is none.
    """
    for found in _SHARD.finditer(path):
        shard, member = path[: found.end() - 1], path[found.end() :]
        if member and (is_url(path) or os.path.isfile(shard)):  # noqa: PTH113 - for each clip
            return shard, member
    return None


def is_plain(path: str) -> bool:
    """Whether it is the path of a file of its own, there or not."""
    return not is_url(path) and split_member(path) is None


@dataclass(frozen=True, slots=True)
class Location:
    """The bytes of one video. ``locate`` makes it.

    Attributes:
        file: path or URL of the file that they are in.
        offset: where in it they begin.
        stamp: changes with the file: its time of change, or a digest of what an object store says.
    """

    path: str
    file: str
    offset: int
    size: int
    stamp: int

    def open(self) -> BinaryIO:
        """The bytes as a file of their own, to be closed."""
        with reasons(self.path):
            return io.BufferedReader(Window(open_bytes(self.file), self))

    def for_ffmpeg(self) -> dict[str, Any]:
        """Arguments of ``av.open``.

        The white list keeps a play list that is called .mp4 from fetching anything.
        """
        if is_url(self.file):
            with reasons(self.path):
                file = Window(open_bytes(self.file), self)
            return {
                "file": file,
                "buffer_size": _BUFFER,
                "options": {"protocol_whitelist": "none"},
            }
        # "file:" keeps names such as "a:b.mp4" from being taken for a protocol.
        name, protocols = f"file:{Path(self.file).absolute()}", "file"
        if self.file != self.path:  # FFmpeg reads the part itself: no call of Python for each
            name = f"subfile,,start,{self.offset},end,{self.offset + self.size},,:{name}"
            protocols = "file,subfile"
        return {"file": name, "options": {"protocol_whitelist": protocols}}


class Window(io.RawIOBase):
    """A part of an open file as a file, whose errors say which video they are of."""

    def __init__(self, file: BinaryIO, location: Location) -> None:
        self._file, self._location, self._at = file, location, 0

    @property
    def name(self) -> str:
        """By whose ending FFmpeg tells formats that have no marks."""
        return self._location.path

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes from the beginning of the window."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As files do."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._location.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Reads as much as there is room for."""
        with reasons(self._location.path):
            count = max(0, min(len(buffer), self._location.size - self._at))
            self._file.seek(self._location.offset + self._at)  # others may read the same file
            data = self._file.read(count)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Closes the file, too."""
        if not self.closed:
            self._file.close()
        super().close()


def locate(path: str | os.PathLike[str]) -> Location:
    """Where the bytes of a video are."""
    path = os.fspath(path)
    member = split_member(path)
    if member is not None:
        with reasons(path):
            size, stamp = file_size(member[0])
            found = open_shard(member[0]).find(member[1])
        if found is None:
            raise VideoError(path, f"is not in the shard {os.path.basename(member[0])}")  # noqa: PTH119
        if sum(found) > size:
            there = max(0, size - found[0])
            raise VideoError(
                path, f"the shard is cut: {there:,} of {found[1]:,} bytes of it are there"
            )
        location = Location(path, member[0], *found, stamp)
    else:
        with reasons(path):
            size, stamp = file_size(path)
        location = Location(path, path, 0, size, stamp)
    return location


def file_state(path: str) -> tuple[int, int]:
    """Stamp and size, by which a video is known to be the same; (-1, -1) if it is not there."""
    try:
        if not is_url(path) and split_member(path) is None:
            return file_size(path)[::-1]
        location = locate(path)
    except (OSError, ValueError, VideoError):
        return -1, -1
    return location.stamp, location.size
