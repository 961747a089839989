"""Stages: each leaves a note of what it was made with, so that nothing is done twice."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from mofo.system.files import replaced
from mofo.system.progress import clock
from mofo.types import MofoError

NOTES = "notes"
INDENT = "     "
Found = dict[str, Any]
"""What a stage has found: plain data, as it goes into its note."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage.

    Attributes:
        name: of its note.
        title: a few words.
        about: lines that explain it to somebody who has never heard of it.
        made_with: all that its result depends on, besides what the stages before it made; as JSON.
        work: does it; called again after a stop, it goes on with what is there.
        files: without these there is no result, whatever the note says.
        told: lines about what was found.
        again: with other settings it is simply made again; a stage that can not would mix results.
    """

    name: str
    title: str
    about: tuple[str, ...]
    made_with: Found
    work: Callable[[], Found]
    told: Callable[[Found], list[str]]
    files: tuple[Path, ...] = ()
    again: bool = True


@dataclass
class Timing:
    """How long a stage took, stops in between counted out: wall clock and processors, seconds."""

    title: str
    seconds: float
    cpu: float
    before: bool


@dataclass
class Stages:
    """The stages of one demonstration, one after the other.

    Attributes:
        out: its folder.
        count: how many there will be.
        say: prints a line.
    """

    out: Path
    count: int
    say: Callable[[str], None]
    timings: list[Timing] = field(default_factory=list)
    _chain: str = ""

    def do(self, stage: Stage) -> Found:
        """Does a stage, or tells what it found before.

        Raises:
            MofoError: it was begun with other settings and can not be made again in this folder.
        """
        self.say("")
        self.say(f"{len(self.timings) + 1}/{self.count}  {stage.title}")
        self._lines(stage.about)
        self._chain = _digest([self._chain, stage.name, stage.made_with])
        note = self._read(stage.name)
        is_same = note.get("made_with") == self._chain
        done = is_same and note.get("done") and all(path.exists() for path in stage.files)
        if note and not is_same and not stage.again:
            raise MofoError(
                f"{self.out}: its {stage.title} was made with other settings: choose another "
                "folder with --out, or delete this one"
            )
        if not is_same:
            note = {"made_with": self._chain, "done": False, "seconds": 0.0, "cpu": 0.0}
        if not done:
            with self._timed(stage.name, note), stop_remembered():
                # As it will be read back: a tuple is a list then.
                note["found"] = json.loads(json.dumps(stage.work()))
                note["done"] = True
        found: Found = note["found"]
        self._lines(stage.told(found))
        timing = Timing(stage.title, note["seconds"], note["cpu"], bool(done))
        self.timings.append(timing)
        took = f"{clock(timing.seconds)}, {clock(timing.cpu)} of processor time"
        self._lines((f"made before, in {took}" if done else took,))
        return found

    def forget(self) -> None:
        """What comes next does not depend on the stages so far."""
        self._chain = ""

    def _lines(self, lines: tuple[str, ...] | list[str]) -> None:
        for line in lines:
            self.say(f"{INDENT}{line}".rstrip())

    @contextmanager
    def _timed(self, name: str, note: dict[str, Any]) -> Iterator[None]:
        """Writes the note at the beginning and the end, also of a stage that is stopped."""
        self._write(name, note)
        began, cpu = time.monotonic(), processor_seconds()
        try:
            yield
        finally:
            note["seconds"] += time.monotonic() - began
            note["cpu"] += processor_seconds() - cpu
            self._write(name, note)

    def _file(self, name: str) -> Path:
        return self.out / NOTES / f"{name}.json"

    def _read(self, name: str) -> dict[str, Any]:
        try:
            note = json.loads(self._file(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or torn: what there is on the disk counts
            return {}
        wanted = {"made_with", "done", "seconds", "cpu"}
        return note if isinstance(note, dict) and wanted <= note.keys() else {}

    def _write(self, name: str, note: dict[str, Any]) -> None:
        file = self._file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced(file) as part:
            part.write_text(json.dumps(note, indent=1, ensure_ascii=False) + "\n", "utf-8")


@contextmanager
def stop_remembered() -> Iterator[None]:
    """Ctrl-C ends the block, at its end at the latest.

    Libraries written in C now and then lose a KeyboardInterrupt, or turn it into another error:
    torch does both while it loads weights.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, whatever became of it within the block.
    """
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    # Whoever has a handler of their own, or ignores Ctrl-C, goes on doing so.
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    except Exception:
        if not asked:
            raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked:
        raise KeyboardInterrupt


def processor_seconds() -> float:
    """Seconds of all processors that this process and those it has waited for have used."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
