"""Videos that could not be read: counted, named in a file, and too many of them end the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from mofo.types import MofoError


class TooManyUnreadableError(MofoError):
    """More videos than allowed cannot be read."""


class Unreadable:
    """Keeps ``unreadable.jsonl``: one line for each video, with the reason.

    Args:
        path: the file; what is in it counts.
        videos: how many there are.
        most: largest share of them that may be unreadable.
    """

    def __init__(self, path: Path, videos: int, most: float) -> None:
        self.path, self._videos, self._most = path, videos, most
        self.reasons: dict[str, str] = {}
        if path.exists():
            for text in path.read_text(encoding="utf-8").splitlines():
                try:
                    line = json.loads(text)
                    self.reasons[line["path"]] = line["reason"]
                except (ValueError, KeyError, TypeError):
                    continue

    def forget(self) -> None:
        """Begins anew."""
        self.reasons.clear()
        self.path.unlink(missing_ok=True)

    def add(self, failures: Iterable[tuple[str, str]]) -> None:
        """Notes failures.

        Raises:
            TooManyUnreadableError: now there are too many.
        """
        new = {path: reason for path, reason in failures if path not in self.reasons}
        if not new:
            return
        self.reasons |= new
        with self.path.open("a", encoding="utf-8") as file:
            for path, reason in new.items():
                file.write(json.dumps({"path": path, "reason": reason}) + "\n")
        if len(self.reasons) > self._most * self._videos:
            path, reason = next(iter(new.items()))
            raise TooManyUnreadableError(
                f"{len(self.reasons)} of {self._videos} videos cannot be read, more than "
                f"data.max_unreadable {self._most:g} allows, the last {path}: {reason}; all are "
                f"named in {self.path}"
            )
