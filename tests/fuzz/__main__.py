"""``python -m fuzz``: changed files of every kind, seeded, bounded, resumable; prints a table.

Forked children take some hundred inputs each, with limits on time and memory; the rows go to
``OUT/fuzz.jsonl``, inputs that are wrong can be made again from their number.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from fuzz.targets import TARGETS, Target, WrongError
from helpers.forked import forked

BATCH = 250
SECONDS = 20  # of a processor, for one input
MEMORY = 2 << 30


def feed(target: Target, numbers: list[int], seed: int, journal: Path) -> None:
    """Takes inputs one after the other; a row is on the disk before the next one begins."""
    from mofo.types import MofoError

    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    with journal.open("a") as file:
        for number in numbers:
            draw = random.Random(f"{seed} {target.name} {number}")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            wrong = ""
            try:
                outcome = target.one(draw)
            except MofoError as error:
                outcome = "refused in one line"
                if "\n" in str(error) or not str(error):
                    outcome, wrong = "refused otherwise", f"no line: {error!s:.300}"
            except WrongError as error:
                outcome, wrong = "silently wrong", str(error)
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                outcome = "traceback"
                wrong = f"{type(error).__name__}: {error!s:.200} ({place.filename}:{place.lineno})"
            signal.setitimer(signal.ITIMER_PROF, 0)
            row = {"target": target.name, "number": number, "outcome": outcome, "wrong": wrong}
            file.write(json.dumps(row) + "\n")
            file.flush()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if peak > MEMORY:
            raise MemoryError(f"{peak >> 20} MB")


def warm() -> None:
    """Imports here what children need."""
    import torch

    torch.set_num_threads(1)
    import av

    import mofo.datasets.catalog
    import mofo.motion.boxes_json
    import mofo.motion.store
    import mofo.training.finetune_settings
    import mofo.training.pretrain_settings
    import mofo.training.saved_models
    import mofo.video.clip
    import mofo.weights.tensor_files  # noqa: F401

    av.logging.set_level(None)


def read(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.open()] if journal.exists() else []


def table(rows: list[dict[str, Any]]) -> str:
    """Inputs by target, and what came of them."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        kinds[row["target"]][row["outcome"]] += 1
    lines = ["| inputs | number | wrong | what came of them |", "|---|---|---|---|"]
    for kind, counts in kinds.items():
        wrong = sum(bool(row["wrong"]) for row in rows if row["target"] == kind)
        parts = ", ".join(f"{outcome} {count:,}" for outcome, count in counts.most_common())
        lines.append(f"| {kind} | {counts.total():,} | {wrong} | {parts} |")
    bad = sum(bool(row["wrong"]) for row in rows)
    return "\n".join([*lines, f"| all | {len(rows):,} | {bad} | |"])


def main() -> int:
    """Feeds what is not in the journal yet; the exit code is 1 if anything is wrong."""
    parser = argparse.ArgumentParser("fuzz", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"))
    parser.add_argument("--inputs", type=int, default=22_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="stop after so many")
    parser.add_argument("--target", default="", help="only kinds with this in their names")
    options = parser.parse_args()
    start, out = time.monotonic(), options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    warm()
    journal = out / "fuzz.jsonl"
    chosen = {name: kind for name, kind in TARGETS.items() if options.target in name}
    total = sum(kind.share for kind in chosen.values())
    for name, kind in chosen.items():
        target = kind(out / "seeds" / name.replace(" ", "-"))
        if not target.folder.exists():
            half = kind(out / "half")
            shutil.rmtree(half.folder, ignore_errors=True)
            half.folder.mkdir()
            made = forked(half.make, seconds=300)
            assert not made.code, made.err
            target.folder.parent.mkdir(exist_ok=True)
            half.folder.rename(target.folder)
        count = round(options.inputs * kind.share / total)
        while time.monotonic() - start < 60 * options.minutes:
            done = {row["number"] for row in read(journal) if row["target"] == name}
            numbers = [number for number in range(count) if number not in done][:BATCH]
            if not numbers:
                break

            def work(target=target, numbers=numbers) -> None:
                feed(target, numbers, options.seed, journal)

            ended = forked(work, seconds=600, memory=MEMORY)
            done = {row["number"] for row in read(journal) if row["target"] == name}
            left = [number for number in numbers if number not in done]
            if left or ended.code:
                hung = ended.hung or ended.code == -signal.SIGPROF
                row = {
                    "target": name, "number": left[0] if left else numbers[-1],
                    "outcome": "hang" if hung else "the child died",
                    "wrong": f"exit {ended.code}: {ended.err[-300:]}",
                }  # fmt: skip
                with journal.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    rows = read(journal)
    for row in rows:
        if row["wrong"]:
            print(json.dumps(row))
    print(table(rows))
    return int(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
