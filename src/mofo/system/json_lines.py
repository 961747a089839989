"""Files of JSON lines that are only ever added to: whatever ends a run, what was added is kept."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

_BLOCK = 1 << 16


class JsonLines:
    """A file of JSON lines, held open for one process.

    ``path``: made if it is not there. What a killed run has left of a last line is taken away.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.ExitStack() as files:
            # Not buffered: what a full disk does not take is not to be written again at the end.
            self._into = files.enter_context(path.open("ab", buffering=0))
            self._from = files.enter_context(path.open("rb"))
            place, block = self._from.seek(0, os.SEEK_END), b""
            while place and b"\n" not in block:
                place = max(0, place - _BLOCK)
                self._from.seek(place)
                block = self._from.read(_BLOCK)
            self._into.truncate(place + block.rfind(b"\n") + 1)
            self._files = files.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Each line: its place and what it holds, None if that is no JSON."""
        place = 0
        self._from.seek(0)
        for line in self._from:
            yield place, _content(line)
            place += len(line)

    def read(self, place: int) -> Any:
        """What the line at a place holds, None if that is no JSON."""
        self._from.seek(place)
        return _content(self._from.readline())

    def add(self, content: Any) -> None:
        """Adds a line; OSError if the disk does not take it whole, and then nothing of it stays."""
        end = self._into.seek(0, os.SEEK_END)
        rest = memoryview(json.dumps(content).encode() + b"\n")
        try:
            while rest:
                rest = rest[self._into.write(rest) :]
        except OSError as error:
            self._into.truncate(end)
            error.filename = str(self._path)  # a write that fails does not say where
            raise

    def clear(self) -> None:
        """Takes all lines away."""
        self._into.truncate(0)


def _content(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
