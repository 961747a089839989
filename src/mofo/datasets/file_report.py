"""What ``mofo data check`` asks about a file, what it finds, and the journal that keeps it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

UNREADABLE, STOPPED, OUTSIDE = "unreadable", "stopped", "outside"
TRUNCATED, DAMAGED, STILL, BLANK = "truncated", "damaged", "one frame", "blank"
INTERLACED, HDR = "interlaced", "HDR"
QUARANTINED = frozenset({UNREADABLE, STOPPED, OUTSIDE})
"""Kinds of faults that make a file, or a segment of one, useless."""


@dataclass(frozen=True)
class FileTask:
    """One file to inspect.

    Attributes:
        key, path: the file.
        segments: ``(start, end)`` in seconds, those that rows of the catalog are about.
        full: decode all frames.
        digest: read the whole file for a hash of its content.
        picture: send its middle frame along.
    """

    key: str
    path: str
    segments: tuple[tuple[float | None, float | None], ...] = ()
    full: bool = False
    digest: bool = False
    picture: bool = False


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file, or with a segment of it."""

    kind: str
    reason: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class FileReport:
    """What an inspection of a file has found.

    Attributes:
        key: the file.
        frames: decoded for it.
        width, height: pixels of the upright frame; 0 if it cannot be read.
        count: frames in it.
        seconds: from the first to the end of the last frame.
        codec: FFmpeg's name.
        faults: what is wrong with it.
        digest: of its content; empty if not asked for.
        picture: JPEG in base64; empty if not asked for, or if there is none.
    """

    key: str
    frames: int = 0
    width: int = 0
    height: int = 0
    count: int = 0
    seconds: float = 0.0
    codec: str = ""
    faults: tuple[Fault, ...] = ()
    digest: str = ""
    picture: str = ""

    def to_json(self) -> dict[str, Any]:
        """For a file; ``from_json`` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> FileReport:
        """What ``to_json`` gave; TypeError if it did not."""
        faults = tuple(Fault(**fault) for fault in row["faults"])
        return cls(**{**row, "faults": faults})


class Journal:
    """Reports on files, kept in a file that is only ever added to.

    Whatever ends a run, at most its last line is torn, and the next run takes that away.

    Args:
        path: of the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Places of lines, not lines: of a million files there is a lot to tell.
        self._places: dict[str, int] = {}
        self._files = contextlib.ExitStack()

    def __enter__(self) -> Journal:
        # Not buffered: what a full disk does not take is not to be written once more at the end.
        self._into = self._files.enter_context(self._path.open("ab", buffering=0))
        self._from = self._files.enter_context(self._path.open("rb"))
        place, line = 0, b"\n"
        for line in self._from:
            row = _row(line)
            if row is not None:
                self._places[row["path"]] = place
            place += len(line)
        if not line.endswith(b"\n"):
            self._into.truncate(place - len(line))
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def known(self, task: FileTask) -> FileReport | None:
        """An earlier report that has all that the task asks for; None if there is none.

        A file that has changed since, or whose worker died, is inspected again.
        """
        place = self._places.get(task.path)
        if place is None:
            return None
        self._from.seek(place)
        row = _row(self._from.readline())
        if row is None or row["state"] != _state(task.path):
            return None
        enough = (
            row["full"] >= task.full
            and row["digest"] >= task.digest
            and row["picture"] >= task.picture
            and row["segments"] == [list(segment) for segment in task.segments]
        )
        try:
            report = FileReport.from_json(row["report"])
        except (KeyError, TypeError):
            return None
        died = any(fault.kind == STOPPED for fault in report.faults)
        return report if enough and not died else None

    def add(self, task: FileTask, report: FileReport) -> None:
        """Keeps a report; OSError if the disk does not take it, and then nothing of it is kept."""
        row = {
            "path": task.path,
            "state": _state(task.path),
            "full": task.full,
            "digest": task.digest,
            "picture": task.picture,
            "segments": task.segments,
            "report": report.to_json(),
        }
        line = memoryview(json.dumps(row).encode() + b"\n")
        end = self._path.stat().st_size
        try:
            while line:
                line = line[self._into.write(line) :]
        except OSError as error:
            self._into.truncate(end)
            error.filename = str(self._path)  # a write that fails does not say where
            raise


def _row(line: bytes) -> dict[str, Any] | None:
    """A line; None if it is torn or none of ours."""
    try:
        row = json.loads(line)
        return row if {"path", "state", "report", "full", "digest"} <= row.keys() else None
    except (ValueError, AttributeError):
        return None


def _state(path: str) -> list[int]:
    """Time and size of a file, by which it is known to be the same."""
    try:
        status = Path(path).stat()
    except OSError:
        return []
    return [status.st_mtime_ns, status.st_size]
