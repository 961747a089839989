"""What ``mofo data check`` asks about a file, what it finds, and the journal that keeps it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mofo.video.location import file_state

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

    def known(self, task: FileTask) -> FileReport | None:
        """An earlier report that has all that the task asks for; None if there is none.

        A file that has changed since, or whose worker died, is inspected again.
        """
        place = self._places.get(task.path)
        if place is None or self._file is None:
            return None
        self._file.seek(place)
        row = _row(self._file.readline())
        if row is None or row["state"] != [*file_state(task.path)]:
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
        """Keeps a report."""
        row = {
            "path": task.path,
            "state": [*file_state(task.path)],
            "full": task.full,
            "digest": task.digest,
            "picture": task.picture,
            "segments": task.segments,
            "report": report.to_json(),
        }
        assert self._file is not None
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()


def _row(line: bytes) -> dict[str, Any] | None:
    """A line; None if it is torn or none of ours."""
    try:
        row = json.loads(line)
        return row if {"path", "state", "report", "full", "digest"} <= row.keys() else None
    except (ValueError, AttributeError):
        return None
