"""One fault: a command is disturbed, judged, started again, and judged again."""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from chaos.faults import (
    Damaged,
    Fault,
    FullDisk,
    LimitedFiles,
    LittleSharedMemory,
    Place,
    Streams,
    TwoAtOnce,
    on_operations,
)
from chaos.verbs import Verb, results
from helpers.forked import Ended, forked

_GROWING = (
    ".jsonl",
    "settings.yaml",
    "best.json",
    "failures.csv",
    "videos.csv",
    "about.json",
    "out-scores.parquet",
)  # whole, but not the last word
LIMIT = 90.0  # seconds until a command counts as hung


class Truth(NamedTuple):
    """An undisturbed run.

    Attributes:
        code: exit code.
        results: what it leaves; None where two runs are not the same.
        operations: on files.
        seconds: it takes.
        modules: that it imports.
    """

    code: int
    results: dict[str, str | None]
    operations: int
    seconds: float
    modules: list[str]


def call(words: list[str], folder: Path, fault: Fault | None = None, count: bool = False) -> Ended:
    """A ``mofo`` command in a fork, perhaps with a fault; ``count``: its value is operations."""

    def live() -> Any:
        from mofo import cli
        from mofo.system.processes import terminable

        os.chdir(folder)
        os.environ["TMPDIR"] = str(folder.with_name("tmp"))
        operations = [0]
        if count:
            on_operations(folder, lambda number, path: operations.__setitem__(0, number))
        if fault is not None:
            with folder.with_name("note").open("w") as note:
                fault.inside(folder)
                note.write(fault.note)
        with terminable():  # before its first line a command ends by a signal without a word
            code = cli.main(words)
        return (code, operations[0], sorted(sys.modules)) if count else code

    return forked(live, seconds=LIMIT, during=None if fault is None else fault.during)


def undisturbed(verb: Verb, inputs: Path, place: Path, warm: Callable[[list[str]], None]) -> Truth:
    """Runs a verb twice without a fault; ``warm`` is told what modules it imports."""
    found, ended = [], None
    for number in range(2):
        folder = _folder(place / f"truth{number}")
        verb.prepare(inputs, folder)
        ended = call(verb.command(inputs), folder, count=True)
        if ended.value is None:
            raise RuntimeError(f"{verb.name}: {ended.err or ended}")
        found.append(_results(folder))
        shutil.rmtree(folder.parent)
        warm(ended.value[2])
    same = {
        name: value if found[1].get(name) == value else None for name, value in found[0].items()
    }
    assert ended is not None
    code, operations, modules = ended.value
    return Truth(code, same, operations, ended.seconds, modules)


def disturbed(
    verb: Verb, kind: type[Fault], seed: str, truth: Truth, inputs: Path, place: Path
) -> dict[str, Any]:
    """The row of one fault: what was drawn, and what is wrong, if anything."""
    draw = random.Random(seed)
    fault = kind(draw, truth.operations, truth.seconds)
    folder = _folder(place / "case")
    words = verb.command(inputs)
    verb.prepare(inputs, folder)
    if isinstance(fault, Damaged) or (not verb.begin and draw.random() < 0.5):
        call(words, folder)  # what an earlier command has left
    before = _results(folder)
    kept = {name for name, value in before.items() if truth.results.get(name) == value}
    try:
        fault.before(folder)
    except PermissionError as error:
        return {"skipped": str(error), "wrong": []}
    problems = []
    other = None
    if isinstance(fault, TwoAtOnce):
        other = os.fork()
        if not other:
            ended = call(words, folder, fault)
            os._exit(ended.code & 127 if not ended.hung and "Traceback" not in ended.err else 99)
    ended = call(words, folder, fault)
    if other is not None:
        code = os.waitstatus_to_exitcode(os.waitpid(other, 0)[1])
        problems += ["the other command hung or crashed"] if code == 99 else []
        refused = "is there already" in ended.err  # of an earlier command
        problems += ["both commands failed"] if code and ended.code and not refused else []
    note = folder.with_name("note")
    fault.note = note.read_text() if note.exists() and note.read_text() else fault.note
    problems += _said(ended, fault, truth)
    fault.after(folder)
    now = _results(folder)
    damaged = isinstance(fault, Damaged)
    if not damaged:
        lost = [name for name in kept if now.get(name) != truth.results[name]]
        half = [name for name in now if truth.results.get(name) not in (None, now[name])]
        half = [name for name in half if not name.endswith(_GROWING)]
        if not ended.code and not isinstance(fault, Place):  # nothing was said, so all is well
            problems += _unlike(now, truth, folder)
        problems += [f"lost: {name}" for name in lost]
        problems += [f"half: {name}" for name in half if name not in lost]
        if not isinstance(fault, LittleSharedMemory):  # which does not go away
            again = call(words, folder)
            # Some verbs never write over what is there.
            if again.code != truth.code and "is there already" not in again.err:
                problems.append(f"started again: exit {again.code}: {again.err.strip()[-300:]}")
            problems += _unlike(_results(folder), truth, folder)
    elif ended.code == truth.code:
        unlike = _unlike(now, truth, folder)
        damaged = fault.note.rpartition(":")[0]  # itself, where nobody reads it again
        problems += [text for text in unlike if not text.endswith(f": {damaged}")]
    shutil.rmtree(place, ignore_errors=True)
    return {"note": fault.note, "code": ended.code, "seconds": ended.seconds, "wrong": problems,
            "said": ended.err.strip()[-300:]}  # fmt: skip


def _said(ended: Ended, fault: Fault, truth: Truth) -> list[str]:
    """What is wrong with how a command ended."""
    problems = []
    if ended.hung:
        problems.append(f"hung for {LIMIT:g} s")
    if ended.left:
        problems.append(f"{len(ended.left)} processes left")
    full = isinstance(fault, FullDisk | LimitedFiles) and ended.code == 1 != truth.code
    if full and not re.search(r"\bout\b|/|\.mp4:|shared memory", ended.err):
        problems.append("the line names no file")
    # A worker whose parent is killed while it starts says so in Python's own words.
    orphan = fault.kills and "EOFError: Ran out of input" in ended.err
    if "Traceback (most recent" in ended.err and not orphan:
        problems.append(f"traceback: {ended.err.strip().splitlines()[-1][:200]}")
    if ended.code < 0 and not fault.kills and not ended.hung:
        problems.append(f"ended by signal {-ended.code}")
    silent = isinstance(fault, Streams) and fault.note != "ascii"
    if ended.code > 0 and ended.code != truth.code and not silent and not ended.err.strip():
        problems.append(f"exit {ended.code} without a word")
    if ended.code == 97:
        problems.append("the command crashed")
    return problems


def _unlike(found: dict[str, str], truth: Truth, folder: Path) -> list[str]:
    """How results differ from the undisturbed ones."""
    problems = []
    for name, value in truth.results.items():
        if name not in found:
            problems.append(f"missing: {name}")
        elif value is not None and found[name] != value:
            problems.append(f"differs: {name}")
    problems += [f"left behind: {name}" for name in found if name not in truth.results]
    return problems + [f"left in TMPDIR: {path.name}" for path in folder.with_name("tmp").iterdir()]


def _results(folder: Path) -> dict[str, str]:
    """In a fork, so that no library starts threads here."""
    ended = forked(lambda: results(folder))
    if ended.value is None:
        return {"cannot be read": ended.err.strip()[-300:]}
    return ended.value


def _folder(place: Path) -> Path:
    """An empty folder for a command, and one for temporary files beside it."""
    shutil.rmtree(place, ignore_errors=True)
    for name in ("at", "tmp"):
        (place / name).mkdir(parents=True)
    return place / "at"
