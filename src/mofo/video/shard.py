"""The members of a tar shard: names and places, read once and kept for all processes.

A shard is read header by header the first time. The list is kept below the user's cache folder
(``MOFO_CACHE``, or ``XDG_CACHE_HOME``, or ``~/.cache``) as an Arrow file, which processes map: a
member takes its name and 16 bytes, once for all of them.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import hashlib
import json
import os
import posixpath
import tarfile
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from mofo.system.files import replaced
from mofo.types import MofoError
from mofo.video.storage import file_size, open_bytes

SIDES = (".json", ".cls", ".txt")
"""Endings of members that say something about a video; their text is kept with the names."""

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstandard"}
_LONGEST = 1 << 16  # bytes of a text that is kept
_BATCH = 10_000  # members that are in memory as objects at once
_OPEN = 4096  # shards whose lists a process keeps mapped
_COLUMNS = pa.schema(
    [("name", pa.string()), ("offset", pa.int64()), ("size", pa.int64()), ("text", pa.binary())]
)
_VERSION = b"1"


class Shard:
    """What is in a tar file.

    Attributes:
        file: path or URL of the tar file.
        members: a row a member, in the order of names: ``name``, ``offset`` and ``size`` of its
            bytes, and ``text`` of those that end as ``SIDES`` do.
        problems: ``(name of the member or "", reason)`` of what is wrong with the tar file.
    """

    def __init__(self, file: str, table: pa.Table) -> None:
        self.file, self.members = file, table
        # Looked up in the mapped memory itself: making objects of Arrow takes ten times as long.
        self._ends = self._text = self._offsets = self._sizes = memoryview(b"")
        if len(table):
            _, ends, text = table["name"].combine_chunks().buffers()
            self._ends, self._text = memoryview(ends).cast("B").cast("i"), memoryview(text)
            self._offsets, self._sizes = (
                memoryview(table[name].combine_chunks().buffers()[1]).cast("B").cast("q")
                for name in ("offset", "size")
            )
        metadata = table.schema.metadata or {}
        self.problems: list[tuple[str, str]] = [
            (name, reason) for name, reason in json.loads(metadata.get(b"problems", b"[]"))
        ]

    def __len__(self) -> int:
        return len(self.members)

    def find(self, name: str) -> tuple[int, int] | None:
        """Where the bytes of a member begin, and how many there are; None if it is not there."""
        wanted = name.encode()
        row = bisect.bisect_left(range(len(self)), wanted, key=self._name)
        if row == len(self) or self._name(row) != wanted:
            return None
        return self._offsets[row], self._sizes[row]

    def _name(self, row: int) -> bytes:
        return bytes(self._text[self._ends[row] : self._ends[row + 1]])


def open_shard(file: str) -> Shard:
    """The members of a tar file.

    Raises:
        MofoError: it is no tar file, or a compressed one.
        OSError, VideoError: it cannot be read.
    """
    return _open_shard(file, file_size(file))


@functools.lru_cache(_OPEN)
def _open_shard(file: str, state: tuple[int, int]) -> Shard:
    kept = _cache_folder() / f"{hashlib.blake2b(file.encode(), digest_size=12).hexdigest()}.arrow"
    key = json.dumps([file, *state]).encode() + _VERSION
    with contextlib.suppress(OSError, pa.ArrowInvalid), pa.memory_map(str(kept)) as source:
        table = pa.ipc.open_file(source).read_all()
        if (table.schema.metadata or {}).get(b"of") == key:
            return Shard(file, table)
    with open_bytes(file) as stream:
        table, problems = _read(file, stream, state[0])
    table = table.replace_schema_metadata({b"of": key, b"problems": json.dumps(problems)})
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replaced(kept) as part, pa.ipc.new_file(str(part), table.schema) as writer:
            writer.write_table(table)
    return Shard(file, table)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MOFO_CACHE") or Path(base, "mofo"), "shards")


def _read(file: str, stream: BinaryIO, size: int) -> tuple[pa.Table, list[tuple[str, str]]]:
    """All members, and what is wrong with the file."""
    start = stream.read(2)
    if start in _COMPRESSED:
        raise MofoError(
            f"{file}: is compressed ({_COMPRESSED[start]}), so no member can be read alone: unpack "
            "it, or pack it again without compression (videos do not get smaller by it)"
        )
    stream.seek(0)
    batches = [_COLUMNS.empty_table()]
    rows: list[dict[str, Any]] = []
    problems: list[tuple[str, str]] = []
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                name = _plain(member.name)
                place = member.offset_data, member.size
                if member.issparse() or member.issym() or member.islnk():
                    problems.append((name, "is a link, or sparse: pack it as a file"))
                elif member.isreg():
                    rows.append({"name": name, "offset": place[0], "size": place[1]})
                    if name.endswith(SIDES) and member.size <= _LONGEST:
                        stream.seek(place[0])
                        rows[-1]["text"] = stream.read(place[1])
                    if sum(place) > size:  # whoever reads it is told
                        break
                if len(rows) >= _BATCH:
                    batches.append(pa.Table.from_pylist(rows, _COLUMNS))
                    rows = []
            else:
                stream.seek(tar.offset)
                block = stream.read(512)
                if not block or any(block):
                    problems.append(("", _cut(tar.offset)))
    except tarfile.TarError:
        if not rows and len(batches) == 1:
            raise MofoError(f"{file}: is no tar file, though it is called so") from None
        problems.append(("", _cut(stream.tell())))
    batches.append(pa.Table.from_pylist(rows, _COLUMNS))
    table = pa.concat_tables(batches).sort_by([("name", "ascending"), ("offset", "ascending")])
    table = table.combine_chunks()
    if len(table) > 1:
        repeated = pc.equal(table["name"].slice(1), table["name"].slice(0, len(table) - 1))
        again = dict.fromkeys(table["name"].slice(1).filter(repeated).to_pylist())
        problems += [(name, "is there twice: the last one is taken, as tar does") for name in again]
        if again:  # the last of equals
            last = pa.chunked_array([*pc.invert(repeated).chunks, pa.array([True])])
            table = table.filter(last).combine_chunks()
    return table, problems


def _cut(place: int) -> str:
    return f"is cut or damaged at byte {place:,}: members after it are lost"


def _plain(name: str) -> str:
    """A member's name, relative, without ".." and as text."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    parts = posixpath.normpath(text).split("/")
    return "/".join(part for part in parts if part not in ("", ".."))
