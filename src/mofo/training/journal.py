"""Files that a run appends to: a line of metrics a step, and the videos that cannot be read."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mofo.system.files import replaced
from mofo.types import MofoError


class TooManyUnreadableError(MofoError):
    """More videos than allowed cannot be read."""


class Journal:
    """A JSON line a step, which stays true when a run continues from an earlier step.

    ``path``: the file; lines of steps from ``start`` on are dropped, they will be done again.
    """

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        self._waiting: list[str] = []
        if path.exists():
            kept = [line for line in read_journal(path) if line["step"] < start]
            with replaced(path) as half:
                half.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def add(self, line: dict[str, Any]) -> None:
        """Notes a step; it reaches the disk with ``flush``."""
        self._waiting.append(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Writes what was noted."""
        if not self._waiting:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(self._waiting)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            error.filename = str(self.path)  # a write that fails does not say where
            raise
        self._waiting.clear()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Returns the whole lines of a journal that have a step; a kill may have cut off the last."""
    return [line for line in json_lines(path) if "step" in line]


def motion_line(path: Path) -> str:
    """What all steps of a journal say about motion: means of the metrics that tasks give."""
    texts = {
        "area": "{:.1%} of the tokens move",
        "still": "nothing moves in {:.1%} of the clips",
        "hidden_inside_ratio": "{:.1%} of the moving tokens are hidden",
        "visible_inside_ratio": "{:.1%} of the visible ones move",
        "spill": "the mask could not be as asked in {:.1%} of the clips",
    }
    lines = read_journal(path) if path.exists() else []
    parts = []
    for name, text in texts.items():
        numbers = [line[name] for line in lines if name in line]
        numbers = [number for number in numbers if math.isfinite(number)]
        if numbers:
            parts.append(text.format(sum(numbers) / len(numbers)))
    return f"motion: {', '.join(parts)}" if parts else ""


class Unreadable:
    """Keeps ``unreadable.jsonl``: one line for each video, with the reason.

    ``path``: the file; what is in it counts.
    ``limit``: largest share of them that may be unreadable.
    """

    def __init__(self, path: Path, videos: int, limit: float) -> None:
        self.path, self._videos, self._limit = path, videos, limit
        lines = json_lines(path) if path.exists() else []
        self.reasons = {line["path"]: line["reason"] for line in lines if len(line) == 2}

    def forget(self) -> None:
        """Begins anew."""
        self.reasons.clear()
        self.path.unlink(missing_ok=True)

    def add(self, failures: Iterable[tuple[str, str]]) -> None:
        """Notes failures."""
        new = {path: reason for path, reason in failures if path not in self.reasons}
        if not new:
            return
        self.reasons |= new
        with self.path.open("a", encoding="utf-8") as file:
            for path, reason in new.items():
                file.write(json.dumps({"path": path, "reason": reason}) + "\n")
        if len(self.reasons) > self._limit * self._videos:
            path, reason = next(iter(new.items()))
            raise TooManyUnreadableError(
                f"{len(self.reasons)} of {self._videos} videos cannot be read, more than "
                f"data.max_unreadable {self._limit:g} allows, the last {path}: {reason}; all are "
                f"named in {self.path}"
            )


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the whole lines of a file of JSON objects; others are left out."""
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines
