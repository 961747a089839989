"""The log of a run: one JSON line a step, kept true when a run goes on from an earlier step."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """Lines of ``metrics.jsonl``.

    Args:
        path: the file; lines of steps from ``start`` on are dropped, they will be done again.
        start: number of the step that comes next.
    """

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        self._waiting: list[str] = []
        if path.exists():
            kept = [line for line in read_journal(path) if line["step"] < start]
            half = path.with_name(f".{path.name}.part")
            half.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
            half.replace(path)

    def add(self, line: dict[str, Any]) -> None:
        """Notes a step; it reaches the disk with ``flush``."""
        self._waiting.append(json.dumps(line) + "\n")

    def append(self, line: dict[str, Any]) -> None:
        """Writes a line at once."""
        self.add(line)
        self.flush()

    def flush(self) -> None:
        """Writes what was noted."""
        if self._waiting:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(self._waiting)
                file.flush()
                os.fsync(file.fileno())
            self._waiting.clear()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a journal; what a kill cut off is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "step" in line:
            lines.append(line)
    return lines
