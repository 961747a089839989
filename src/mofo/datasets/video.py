"""One video of a data set, and long sequences of them that live in Arrow columns.

``RowTable`` holds a million rows in well below 100 MB: ``Video`` objects are made on demand.
"""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH114, PTH116, PTH118

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, overload
from unicodedata import normalize

import numpy as np

LABEL = "label"
"""Name of the only head, where a video has one kind of label."""
FORMS: tuple[Literal["NFC"], Literal["NFD"]] = ("NFC", "NFD")
"""Unicode forms in which file systems write names: Linux as they are typed, older Macs NFD."""
_REMEMBERED = 20_000  # files whose state is remembered: rows of one file follow each other


@dataclass(frozen=True, slots=True)
class Video:
    """One video, or a segment of one.

    Attributes:
        path: absolute path of the file.
        key: its name in stores: relative, with "/" between folders, never with "..".
        labels: ``(head, name of the class)``: one pair where there is one kind of label (head
            "label"), one for each kind otherwise ("verb", "noun"); several of a head where a video
            may have several classes.
        start, end: the segment in seconds since the first frame; None is the file's own beginning
            or end.
        split: "train", "validation", "test", if the source tells.
        group: what it was recorded with (a person, a session, a long recording), if known: videos
            of one group are not independent of each other.
        name: what the data set itself calls it (narration id, YouTube id ...), if it does.
    """

    path: str
    key: str
    labels: tuple[tuple[str, str], ...] = ()
    start: float | None = None
    end: float | None = None
    split: str | None = None
    group: str | None = None
    name: str | None = None

    @property
    def label(self) -> str | None:
        """The (first) class of head "label"; None if it has none."""
        return next((name for head, name in self.labels if head == LABEL), None)

    @property
    def details(self) -> tuple[object, ...]:
        """All that a row says about its file: rows of one file with equal details are the same."""
        return self.labels, self.start, self.end, self.split, self.name


def why_unusable(path: str) -> str | None:
    """Why a file cannot be used, in one line; None if it can. It is not opened."""
    try:
        mode = os.stat(path).st_mode
        path.encode()  # keys are stored as UTF-8
    except FileNotFoundError:
        if os.path.islink(path):
            return "link to a file that does not exist"
        if "\\" in path:
            return "does not exist; write / instead of \\"
        if not path.isascii() and any(os.path.lexists(normalize(form, path)) for form in FORMS):
            return "is there with its accents in another Unicode form: rename it, or list it anew"
        return "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except ValueError:
        return "its name is not UTF-8; rename it"
    if stat.S_ISDIR(mode):
        return "is a folder, not a video file"
    if not stat.S_ISREG(mode):
        return "is not a regular file"
    if not os.access(path, os.R_OK):
        return "no permission to read it"
    return None


class Usable:
    """Why files cannot be used, see ``why_unusable``; remembers the last files only."""

    def __init__(self) -> None:
        self._reasons: dict[str, str | None] = {}

    def __call__(self, path: str) -> str | None:
        """The reason; None if the file can be used."""
        if path not in self._reasons:
            if len(self._reasons) >= _REMEMBERED:
                self._reasons.clear()
            self._reasons[path] = why_unusable(path)
        return self._reasons[path]


class RealFiles:
    """What paths really are; folders are resolved once for all their files."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """The real file behind a path."""
        folder, name = os.path.split(path)
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.realpath(folder)
        file = os.path.join(real, name)
        return os.path.realpath(file) if os.path.islink(file) else file


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
