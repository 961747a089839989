"""Rows that say the same about the same file, found in a long list with 8 bytes for each row."""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH114, PTH118

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable

import numpy as np

from mofo.datasets.video import Video, why_unusable

_KEPT = 20_000  # files whose state is remembered: rows of one file follow each other


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


def said(video: Video) -> tuple[object, ...]:
    """All that a row says about its file."""
    return video.labels, video.start, video.end, video.split, video.name


class Distinct:
    """Tells the first of several equal rows from the others, in later passes over the same rows.

    Args:
        rows: the first pass.
    """

    def __init__(self, rows: Iterable[Video]) -> None:
        self._real = RealFiles()
        self._seen: set[tuple[object, ...]] = set()
        numbers = array("q", (hash((self._real(v.path), said(v))) for v in rows))
        ascending = np.sort(np.frombuffer(numbers, np.int64))
        self._often = set(ascending[1:][ascending[1:] == ascending[:-1]].tolist())

    def begin(self) -> None:
        """Begin another pass."""
        self._seen.clear()

    def is_first(self, video: Video) -> bool:
        """Whether no equal row came before; each row is to be asked for once, in order."""
        if not self._often:
            return True
        whole = (self._real(video.path), said(video))
        if hash(whole) not in self._often:
            return True
        if whole in self._seen:
            return False
        self._seen.add(whole)
        return True


class Usable:
    """Why files cannot be used, see ``why_unusable``; remembers the last files only."""

    def __init__(self) -> None:
        self._reasons: dict[str, str | None] = {}

    def __call__(self, path: str) -> str | None:
        """The reason; None if the file can be used."""
        if path not in self._reasons:
            if len(self._reasons) >= _KEPT:
                self._reasons.clear()
            self._reasons[path] = why_unusable(path)
        return self._reasons[path]
