"""What is known of the files of a data set from earlier looks: a line of JSON for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

from mofo.datasets.inspect_file import STOPPED, FileTask, Look


class Journal:
    """Looks at files, kept in a file that is only ever added to.

    Whatever ends a run, at most its last line is torn, and that is not read.

    Args:
        path: of the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Places of lines, not lines: of a million files there is a lot to tell.
        self._places: dict[str, int] = {}
        self._file: BinaryIO | None = None

    def __enter__(self) -> Journal:
        self._file = self._path.open("a+b")
        self._file.seek(0)
        place, line = 0, b"\n"
        for line in self._file:
            row = _row(line)
            if row is not None:
                self._places[row["path"]] = place
            place += len(line)
        if not line.endswith(b"\n"):
            self._file.write(b"\n")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()

    def known(self, task: FileTask) -> Look | None:
        """An earlier look that tells all that the task asks for; None if there is none.

        A file that has changed since, or whose worker died, is looked at again.
        """
        place = self._places.get(task.path)
        if place is None or self._file is None:
            return None
        self._file.seek(place)
        row = _row(self._file.readline())
        if row is None or row["state"] != _state(task.path):
            return None
        enough = (
            row["full"] >= task.full
            and row["digest"] >= task.digest
            and row["picture"] >= task.picture
            and row["stretches"] == [list(stretch) for stretch in task.stretches]
        )
        try:
            seen = Look.from_json(row["look"])
        except (KeyError, TypeError):
            return None
        died = any(fault.kind == STOPPED for fault in seen.faults)
        return seen if enough and not died else None

    def add(self, task: FileTask, seen: Look) -> None:
        """Keep a look."""
        row = {
            "path": task.path,
            "state": _state(task.path),
            "full": task.full,
            "digest": task.digest,
            "picture": task.picture,
            "stretches": task.stretches,
            "look": seen.to_json(),
        }
        assert self._file is not None
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()


def _row(line: bytes) -> dict[str, Any] | None:
    """A line; None if it is torn or none of ours."""
    try:
        row = json.loads(line)
        return row if {"path", "state", "look", "full", "digest"} <= row.keys() else None
    except (ValueError, AttributeError):
        return None


def _state(path: str) -> list[int]:
    """Time and size of a file, by which it is known to be the same."""
    try:
        status = Path(path).stat()
    except OSError:
        return []
    return [status.st_mtime_ns, status.st_size]
