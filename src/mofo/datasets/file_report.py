"""What ``mofo data check`` asks about a file, what it finds, and the journal that keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mofo.system.json_lines import JsonLines
from mofo.video.location import file_state

UNREADABLE, STOPPED, OUTSIDE = "unreadable", "stopped", "outside"
TRUNCATED, DAMAGED, STILL, BLANK = "truncated", "damaged", "one frame", "blank"
INTERLACED, HDR = "interlaced", "HDR"
QUARANTINED = frozenset({UNREADABLE, STOPPED, OUTSIDE})
"""Kinds of faults that make a file, or a segment of one, useless."""


@dataclass(frozen=True)
class FileTask:
    """One file to inspect.

    ``segments``: ``(start, end)`` in seconds, those that rows of the catalog are about.
    ``digest``: read the whole file for a hash of its content.
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
        width, height: pixels of the upright frame; 0 if it cannot be read.
        seconds: from the first to the end of the last frame.
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


class Journal(JsonLines):
    """Reports on files, kept in a file that is only ever added to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        # Places of lines, not lines: of a million files there is a lot to tell.
        self._places = {row["path"]: place for place, row in self if _is_row(row)}

    def known(self, task: FileTask) -> FileReport | None:
        """An earlier report that has all that the task asks for; None if there is none.

        A file that has changed since, or whose worker died, is inspected again.
        """
        place = self._places.get(task.path)
        if place is None:
            return None
        row = self.read(place)
        enough = (
            row["state"] == [*file_state(task.path)]
            and row["full"] >= task.full
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

    def keep(self, task: FileTask, report: FileReport) -> None:
        """Adds a report; see ``add``."""
        self.add(asdict(task) | {"state": file_state(task.path), "report": report.to_json()})


def _is_row(row: Any) -> bool:
    """Whether a line is one of ours."""
    needed = {"path", "state", "full", "digest", "picture", "segments", "report"}
    return isinstance(row, dict) and row.keys() >= needed
