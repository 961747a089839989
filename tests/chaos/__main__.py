"""``python -m chaos``: faults by verbs, seeded, bounded, resumable; prints a table by kind.

Every row is written to ``OUT/chaos.jsonl`` as soon as it is known; the same command goes on there.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import random
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from chaos.faults import FAULTS, Fault
from chaos.scenario import Truth, call, disturbed, undisturbed
from chaos.verbs import VERBS, Verb, make_input
from helpers.forked import forked


def warm(modules: list[str]) -> None:
    """Imports here what a command has imported, so that its forks need not."""
    for name in modules:
        if name.partition(".")[0] not in ("chaos", "helpers", "__main__", "__mp_main__"):
            with contextlib.suppress(Exception):  # made up by some library
                importlib.import_module(name)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def plan(count: int, seed: int, only: str) -> list[tuple[str, Verb, type[Fault]]]:
    """Which faults meet which verbs, evenly, cheap verbs more often."""
    pairs = [
        (kind.share / verb.cost, verb, kind)
        for kind in FAULTS.values()
        for verb in VERBS
        if kind.needs in verb.name.replace("--", "").replace(",", "") and only in verb.name
    ]
    draw = random.Random(seed)
    every = draw.sample(pairs, len(pairs))[: min(len(pairs), count)]  # each pair once, then more
    every += draw.choices(pairs, [share for share, _, _ in pairs], k=max(0, count - len(every)))
    return [(f"{seed}-{n}", verb, kind) for n, (_, verb, kind) in enumerate(every)]


def table(rows: list[dict[str, Any]]) -> str:
    """Faults by kind, and what came of them."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    words = ("lost", "half", "hung", "left", "traceback")
    for row in rows:
        kinds[row["fault"]]["faults"] += 1
        kinds[row["fault"]]["skipped"] += "skipped" in row
        for word in words:
            kinds[row["fault"]][word] += any(word in p for p in row.get("problems", []))
        kinds[row["fault"]]["wrong"] += bool(row.get("problems"))
    columns = ("faults", "skipped", *words, "wrong")
    lines = [f"| kind | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    kinds["all"] = sum(kinds.values(), Counter())
    for kind, counts in kinds.items():
        lines.append(f"| {kind} | {' | '.join(str(counts[c]) for c in columns)} |")
    return "\n".join(lines)


def main() -> int:
    """Runs what is not in the journal yet; the exit code is 1 if anything is wrong."""
    parser = argparse.ArgumentParser("chaos", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("chaos-out"))
    parser.add_argument("--faults", type=int, default=450)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="stop after so many")
    parser.add_argument("--verb", default="", help="only verbs with this in their names")
    options = parser.parse_args()
    start, out = time.monotonic(), options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    inputs, journal = out / "inputs", out / "chaos.jsonl"

    def run(words: list[str], folder: Path) -> None:
        ended = call(words, folder)
        assert ended.code == int("--run.stop_at" in words), (words, ended)

    known = {row["id"]: row for row in map(json.loads, journal.open())} if journal.exists() else {}
    warm(["mofo.motion.store"])  # for the judge
    truths: dict[str, Truth] = {}
    if (out / "truths.json").exists():
        content = json.loads((out / "truths.json").read_text())
        truths = {name: Truth(*truth) for name, truth in content.items()}
        for truth in truths.values():
            warm(truth.modules)
    work = plan(options.faults, options.seed, options.verb)
    with journal.open("a") as file:
        for name, verb, kind in work:
            if name in known or time.monotonic() - start > 60 * options.minutes:
                continue
            if verb.name not in truths:
                for needed in verb.needs():
                    make_input(needed, inputs, run)
                truths[verb.name] = undisturbed(verb, inputs, out / "work", warm)
                (out / "truths.json").write_text(json.dumps(truths))
            truth, place = truths[verb.name], out / "work" / "case"

            def scene(name=name, verb=verb, kind=kind, truth=truth, place=place) -> Any:
                return disturbed(verb, kind, name, truth, inputs, place)

            ended = forked(scene, seconds=600)
            row = ended.value or {"problems": [f"the judge crashed: {ended.err[-500:]}"]}
            row = {"id": name, "verb": verb.name, "fault": kind.name, **row}
            known[name] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
            if row.get("problems"):
                print(json.dumps(row), flush=True)
    rows = [known[name] for name, _, _ in work if name in known]
    print(table(rows))
    return int(any(row.get("problems") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
