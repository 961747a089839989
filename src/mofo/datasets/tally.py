"""Counting rows while they pass by."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from mofo.datasets.video import Video
from mofo.types import MofoError


class Problems(Protocol):
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

    def __init__(self, rows: Iterable[Video], source: Problems) -> None:
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
