"""Long lists of videos as Arrow columns: tens of bytes a row, and ``Video`` objects on demand."""

# os.path is several times faster than Path, which counts with a million files.

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, overload

import numpy as np

from mofo.datasets.video import RealFiles, Video
from mofo.types import MofoError
from mofo.video.storage import joined

TEXTS = ("path", "key", "name", "split", "group")
TIMES = ("start", "end")
NUMBERS = {"width": "int32", "height": "int32", "fps": "float64", "frames": "int64"}
BATCH = 10_000
"""Rows that are in memory as objects at once."""


class RowTable(Sequence[Video]):
    """A sequence of videos that are made when they are asked for; it is read only.

    ``table``: columns as ``pack`` makes them.
    """

    def __init__(self, table: Any, heads: Iterable[str], base: str) -> None:
        self._table, self._heads, self._base = table, tuple(heads), base

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Video: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Video, ...]: ...
    def __getitem__(self, index: int | slice) -> Video | tuple[Video, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        row = range(len(self))[index]  # counts from the end, and raises IndexError
        return next(unpack([self._table.slice(row, 1)], self._heads, self._base))

    def __iter__(self) -> Iterator[Video]:
        return unpack(self._table.to_batches(BATCH), self._heads, self._base)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowTable | tuple | list):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} videos>"

    def where(self, keep: Callable[[Video], bool]) -> RowTable:
        """Those for which ``keep`` is true."""
        import pyarrow as pa

        kept_V = np.fromiter((keep(video) for video in self), bool, len(self))
        if kept_V.all():
            return self
        return RowTable(self._table.filter(pa.array(kept_V)), self._heads, self._base)


def where(videos: Sequence[Video], keep: Callable[[Video], bool]) -> Sequence[Video]:
    """The videos for which ``keep`` is true; those of a long catalog stay columns."""
    if isinstance(videos, RowTable):
        return videos.where(keep)
    return tuple(video for video in videos if keep(video))


def compact(videos: Iterable[Video], heads: Mapping[str, bool], base: str) -> Sequence[Video]:
    """A tuple of a few videos; columns of many. Arguments as of ``pack``."""
    import pyarrow as pa

    rows = iter(videos)
    few = tuple(islice(rows, BATCH))
    if len(few) < BATCH:
        return few
    tables = [pack(batch, heads, base) for batch in batches(chain(few, rows))]
    return RowTable(pa.concat_tables(tables).unify_dictionaries(), heads, base)


def batches(videos: Iterable[Video]) -> Iterator[list[Video]]:
    """At most ``BATCH`` videos each."""
    rows = iter(videos)
    while batch := list(islice(rows, BATCH)):
        yield batch


def note_heads(heads: dict[str, bool], video: Video) -> None:
    """Notes the kinds of labels of a video, and whether it has several classes of one."""
    names = [head for head, _ in video.labels]
    for head in names:
        if head in {*TEXTS, *TIMES, *NUMBERS}:
            raise MofoError(f"{video.path}: a kind of labels cannot be called {head!r}")
        heads[head] = heads.get(head, False) or names.count(head) > 1


def pack(videos: Sequence[Video], heads: Mapping[str, bool], base: str) -> Any:
    """Videos as an Arrow table.

    Args:
        videos: rows.
        heads: kinds of labels; True: a video may have several classes of it.
        base: folder; paths below it become relative. A key that is this path is left out.
    """
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    columns = {name: [getattr(video, name) for video in videos] for name in TEXTS + TIMES}
    columns["path"] = [relative(path, base) for path in columns["path"]]
    pairs = zip(columns["path"], columns["key"], strict=True)
    columns["key"] = [key if key != path else None for path, key in pairs]
    kinds = dict.fromkeys(TEXTS, text) | dict.fromkeys(TIMES, pa.float64())
    for head, several in heads.items():
        named = [[name for kind, name in video.labels if kind == head] for video in videos]
        columns[head] = named if several else [names[0] if names else None for names in named]
        kinds[head] = pa.list_(pa.string()) if several else text
    return pa.table({name: pa.array(columns[name], kind) for name, kind in kinds.items()})


def relative(path: str, folder: str) -> str:
    """The path relative to a folder that it lies below, so that both can be moved."""
    return path.removeprefix(folder.rstrip(os.sep) + os.sep)


def unpack(parts: Iterable[Any], heads: Sequence[str], base: str) -> Iterator[Video]:
    """Videos out of the tables or batches that ``pack`` made; rows share what they have alike."""
    names = [*TEXTS, *TIMES, *heads]
    shared: dict[Any, Any] = {}
    for part in parts:
        if len(shared) > BATCH:
            shared.clear()
        known = {name: part.column(name).to_pylist() for name in names if name in part.schema.names}
        nothing = [None] * part.num_rows
        for row in zip(*(known.get(name, nothing) for name in names), strict=True):
            path, key, name, split, group, start, end, *named = row
            labels: list[tuple[str, str]] = []
            for head, value in zip(heads, named, strict=True):
                values = value if isinstance(value, list) else [value]
                labels += [(head, label) for label in values if label is not None]
            full, key, several = (
                shared.setdefault(value, value)
                for value in (
                    joined(base, path),
                    path if key is None else key,
                    tuple(labels),
                )
            )
            yield Video(full, key, several, start, end, split, group, name)


class Distinct:
    """Tells the first of several equal rows from the others, in a later pass over the same rows.

    ``rows``: the first pass; 8 bytes are kept for each. ``heads``: the kinds of labels that rows
    have; True: a row may have several classes of it.
    """

    def __init__(self, rows: Iterable[Video]) -> None:
        self.heads: dict[str, bool] = {}
        self._real = RealFiles()
        self._seen: set[tuple[object, ...]] = set()
        hashes = array("q")
        for video in rows:
            note_heads(self.heads, video)
            hashes.append(hash((self._real(video.path), video.details)))
        ascending = np.sort(np.frombuffer(hashes, np.int64)) if hashes else np.empty(0, np.int64)
        self._repeated = set(ascending[1:][ascending[1:] == ascending[:-1]].tolist())

    def is_first(self, video: Video) -> bool:
        """Whether no equal row came before; called once for each row, in order."""
        if not self._repeated:
            return True
        row = (self._real(video.path), video.details)
        if hash(row) not in self._repeated:
            return True
        if row in self._seen:
            return False
        self._seen.add(row)
        return True
