"""Long lists, row by row: what ``mofo data convert`` reads and counts without holding it."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from mofo.datasets.formats.format import RowFormat, find_format
from mofo.datasets.listing import Listing, Problems, Rows
from mofo.datasets.quarantine import Quarantine, split_sources
from mofo.datasets.video import RealFiles, Usable, Video
from mofo.types import MofoError


class VideoStream:
    """The rows of a table, a plain list or a catalog, as ``read_catalog`` gives them.

    They can be gone through any number of times; each time the file is read again. In memory are 8
    bytes for each row, by which rows are found that say the same about the same file.

    Args:
        listing: what the source says about all of its rows.
        rows: reads them.
        quarantine: what is left out.

    Attributes:
        listing: as given.
        problems, excluded: as in ``Catalog``, of the last time that all rows were gone through.
    """

    def __init__(self, listing: Listing, rows: Rows, quarantine: Quarantine) -> None:
        self.listing, self._rows, self._quarantine = listing, rows, quarantine
        self.problems: Problems = []
        self.excluded: Problems = []
        self._distinct = Distinct(rows([]))

    def __iter__(self) -> Iterator[Video]:
        self._distinct.begin()
        problems: dict[tuple[str, str], None] = {}
        excluded: list[tuple[str, str]] = []
        new: Problems = []
        usable = Usable()
        for video in self._rows(new):
            reason = usable(video.path)
            if reason is not None:
                new.append((video.path, reason))
            if new:
                problems |= dict.fromkeys(new)
                new.clear()
            if reason is not None:
                continue
            reason = self._quarantine.reason(video)
            if reason is not None:
                excluded.append((video.path, reason))
            elif self._distinct.is_first(video):
                yield video
        problems |= dict.fromkeys(new)
        self.problems, self.excluded = list(problems), excluded


def video_stream(
    sources: Sequence[str | Path], *, videos: str | Path | None = None
) -> VideoStream | None:
    """The rows of a source; None if it is none of those that can be read row by row.

    Args:
        sources: one CSV table with a header, plain list or catalog; and quarantine lists.
        videos: folder that paths are relative to, if it is not the source's own.

    Raises:
        MofoError: the source cannot be read.
    """
    names, quarantine = split_sources(sources)
    if len(names) != 1:
        return None
    source, layout = find_format(names[0], videos=videos)
    if not isinstance(layout, RowFormat) or source.is_folder:
        return None
    listing, rows = layout.rows(source)
    return VideoStream(listing, rows, quarantine)


class Distinct:
    """Tells the first of several equal rows from the others, in later passes over the same rows.

    Args:
        rows: the first pass; 8 bytes are kept for each.
    """

    def __init__(self, rows: Iterable[Video]) -> None:
        self._real = RealFiles()
        self._seen: set[tuple[object, ...]] = set()
        hashes = array("q", (hash((self._real(v.path), v.details)) for v in rows))
        ascending = np.sort(np.frombuffer(hashes, np.int64))
        self._repeated = set(ascending[1:][ascending[1:] == ascending[:-1]].tolist())

    def begin(self) -> None:
        """Begins another pass."""
        self._seen.clear()

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


class HasProblems(Protocol):
    """Something that knows why rows were left out."""

    @property
    def problems(self) -> Iterable[tuple[str, str]]: ...  # noqa: D102


class Tally:
    """The same rows, counted each time that they are gone through; 8 bytes of memory for each.

    Args:
        rows: can be gone through more than once.
        source: says why, if there is not a single row.

    Attributes:
        count: rows.
        splits: rows of each split.
        names: classes of each head that rows have.
    """

    def __init__(self, rows: Iterable[Video], source: HasProblems) -> None:
        self._rows, self._source = rows, source
        self._begin()

    def _begin(self) -> None:
        self.count = 0
        self.splits: Counter[str] = Counter()
        self.names: dict[str, set[str]] = {}
        self._files = array("q")

    def __iter__(self) -> Iterator[Video]:
        self._begin()
        for video in self._rows:
            self.count += 1
            self.splits[video.split or "no split"] += 1
            for head, name in video.labels:
                self.names.setdefault(head, set()).add(name)
            self._files.append(hash(video.path))
            yield video
        if not self.count:
            problem = next(iter(self._source.problems), None)
            reason = ": ".join(problem) if problem else "there are no rows, or all are excluded"
            raise MofoError(f"no video is left: {reason}")

    def files(self) -> int:
        """How many different files the rows have."""
        return len(np.unique(np.frombuffer(self._files, np.int64)))
