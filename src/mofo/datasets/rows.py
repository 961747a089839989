"""Videos as columns in Arrow memory: a million rows in well below 100 MB, objects on demand."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, overload

import numpy as np

from mofo.datasets.video import Video

Unpack = Callable[[Any, dict[Any, Any]], Iterator[Video]]
"""Rows of a record batch as videos; the dictionary keeps what rows have in common."""


class RowTable(Sequence[Video]):
    """A sequence of videos that are made when they are asked for.

    It can be pickled, to send it to other processes, and is read only.

    Args:
        batches: record batches.
        unpack: makes videos from one; a function of a module, or a partial of one.
        row_V: which rows, in which order, int32 or int64; None: all.
    """

    def __init__(
        self, batches: Sequence[Any], unpack: Unpack, row_V: np.ndarray | None = None
    ) -> None:
        self._batches, self._unpack, self._row_V = list(batches), unpack, row_V
        self._ends = list(accumulate(batch.num_rows for batch in self._batches))

    def __len__(self) -> int:
        if self._row_V is not None:
            return len(self._row_V)
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Video: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Video, ...]: ...
    def __getitem__(self, index: int | slice) -> Video | tuple[Video, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        row = range(len(self))[index]  # counts from the end, and raises IndexError
        if self._row_V is not None:
            row = int(self._row_V[row])
        place = bisect_right(self._ends, row)
        batch = self._batches[place]
        first = self._ends[place] - batch.num_rows
        return next(self._unpack(batch.slice(row - first, 1), {}))

    def __iter__(self) -> Iterator[Video]:
        shared: dict[Any, Any] = {}
        if self._row_V is not None:
            rows = self._row_V
            if len(rows) and (np.diff(rows) > 0).all():
                yield from self._ascending(rows, shared)
            else:
                yield from (self[i] for i in range(len(rows)))
            return
        for batch in self._batches:
            yield from self._unpack(batch, shared)

    def _ascending(self, row_V: np.ndarray, shared: dict[Any, Any]) -> Iterator[Video]:
        import pyarrow as pa

        first = 0
        for batch, end in zip(self._batches, self._ends, strict=True):
            low, high = np.searchsorted(row_V, (first, end))
            if high > low:
                yield from self._unpack(batch.take(pa.array(row_V[low:high] - first)), shared)
            first = end

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowTable | tuple | list):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} videos>"

    def where(self, keep: Callable[[Video], bool]) -> RowTable:
        """Those for which ``keep`` is true, over the same memory."""
        row_V = np.arange(len(self)) if self._row_V is None else self._row_V
        kept_V = np.fromiter((keep(video) for video in self), bool, len(self))
        if kept_V.all():
            return self
        return RowTable(self._batches, self._unpack, row_V[kept_V].astype(np.int32))


def where(videos: Sequence[Video], keep: Callable[[Video], bool]) -> Sequence[Video]:
    """The videos for which ``keep`` is true; those of a long catalog stay columns."""
    if isinstance(videos, RowTable):
        return videos.where(keep)
    return tuple(video for video in videos if keep(video))
