"""What ``make chaos`` and ``make fuzz`` share: options, a journal, tables."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class Campaign:
    """Many tries, seeded and bounded, that the same command goes on with.

    Args:
        name: of the module.
        about: help.
        tries, count: what they are called in the options, and how many are made.
        kind: word for what can be chosen by a part of its name.

    Attributes:
        parser: for options of its own, before ``start``.
        options, out: known after ``start``.
    """

    options: argparse.Namespace
    out: Path

    def __init__(self, name: str, about: str | None, tries: str, count: int, kind: str) -> None:
        self.parser = argparse.ArgumentParser(name, description=about)
        self.parser.add_argument("--out", type=Path, default=Path(f"{name}-out"))
        self.parser.add_argument(f"--{tries}", dest="tries", type=int, default=count)
        self.parser.add_argument("--seed", type=int, default=0)
        self.parser.add_argument("--minutes", type=float, default=60, help="stop after so many")
        text = "only those with this in their names"
        self.parser.add_argument(f"--{kind}", dest="only", default="", help=text)

    def start(self) -> None:
        """Reads the options; the time runs."""
        self.options = self.parser.parse_args()
        self._start, self.out = time.monotonic(), self.options.out.absolute()
        self.out.mkdir(parents=True, exist_ok=True)
        self._journal = self.out / f"{self.parser.prog}.jsonl"
        self._journal.touch()

    @property
    def is_over(self) -> bool:
        """Whether the time is."""
        return time.monotonic() - self._start > 60 * self.options.minutes

    def rows(self) -> list[dict[str, Any]]:
        """Of all tries so far, of this call or an earlier one."""
        return [json.loads(line) for line in self._journal.open()]

    def note(self, **row: Any) -> None:
        """A try, on the disk at once, from whichever process; ``wrong`` is empty if all is well."""
        line = json.dumps(row)
        with self._journal.open("a") as file:
            file.write(line + "\n")
        if row["wrong"]:
            print(line, flush=True)

    def end(self, rows: list[dict[str, Any]], table: str) -> int:
        """Prints the table; the exit code is 1 if anything is wrong."""
        print(table)
        return int(any(row["wrong"] for row in rows))


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
