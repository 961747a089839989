"""``python -m chaos``: faults by verbs, seeded, bounded, resumable; prints a table by kind.

Every row is written to ``OUT/chaos.jsonl`` as soon as it is known; the same command goes on there.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import sys
from collections import Counter, defaultdict
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from chaos.faults import FAULTS, Fault
from chaos.scenario import Truth, call, disturbed, undisturbed
from chaos.verbs import VERBS, Verb, make_input
from helpers.campaign import Campaign, markdown
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
    """Which faults meet which verbs: each pair once, cheap and frequent ones first, then again.

    A pair's name decides all that is drawn.
    """
    draw = random.Random(seed)
    work: list[tuple[float, str, Verb, type[Fault]]] = []
    pairs = [
        (kind, verb)
        for kind in FAULTS.values()
        for verb in VERBS
        if kind.needs in verb.name.replace("--", "").replace(",", "") and only in verb.name
    ]
    for again in range(-(-count // len(pairs))):
        turn = [
            (draw.random() ** (verb.cost / kind.share), f"{seed} {verb.name}, {kind.name} {again}",
             verb, kind)
            for kind, verb in pairs
        ]  # fmt: skip
        work += sorted(turn, key=itemgetter(0), reverse=True)
    return [(name, verb, kind) for _, name, verb, kind in work[:count]]


def table(rows: list[dict[str, Any]]) -> str:
    """Faults by kind, and what came of them."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    words = ("lost", "half", "hung", "left", "traceback")
    for row in rows:
        counts = kinds[row["fault"]]
        counts.update(word for word in words if any(word in text for text in row["wrong"]))
        counts.update(faults=1, skipped=int("skipped" in row), wrong=int(bool(row["wrong"])))
    kinds["all"] = sum(kinds.values(), Counter())
    columns = ("faults", "skipped", *words, "wrong")
    lines = ([kind, *(counts[name] for name in columns)] for kind, counts in kinds.items())
    return markdown(["kind", *columns], lines)


def main() -> int:
    """Runs what is not in the journal yet; the exit code is 1 if anything is wrong."""
    campaign = Campaign("chaos", __doc__, "faults", 450, "verb")
    campaign.parser.add_argument("--workers", type=int, default=1, help="processes")
    campaign.start()
    options, out = campaign.options, campaign.out
    known = {row["id"] for row in campaign.rows()}
    work = plan(options.tries, options.seed, options.only)
    truths = find_truths(out, [verb for name, verb, _ in work if name not in known])

    def share(number: int) -> None:
        place = out / f"work{number}" / "case"
        for name, verb, kind in work[number :: options.workers]:
            if name in known or campaign.is_over:
                continue
            scene = partial(disturbed, verb, kind, name, truths[verb.name], out / "inputs", place)
            ended = forked(scene, seconds=600)
            row = ended.value or {"wrong": [f"the judge crashed: {ended.err[-500:]}"]}
            campaign.note(id=name, verb=verb.name, fault=kind.name, **row)

    others = []
    for number in range(1, options.workers):
        others.append(os.fork())
        if not others[-1]:
            share(number)
            os._exit(0)
    share(0)
    for pid in others:
        os.waitpid(pid, 0)
    wanted = {name for name, _, _ in work}
    rows = [row for row in campaign.rows() if row["id"] in wanted]
    return campaign.end(rows, table(rows))


def find_truths(out: Path, verbs: list[Verb]) -> dict[str, Truth]:
    """Undisturbed runs of verbs, of this call or an earlier one; all that they import is warm."""
    warm(["mofo.motion.store"])  # for the judge
    file, truths = out / "truths.json", {}
    if file.exists():
        truths = {name: Truth(*truth) for name, truth in json.loads(file.read_text()).items()}
        warm([name for truth in truths.values() for name in truth.modules])

    def run(words: list[str], folder: Path) -> None:
        ended = call(words, folder)
        assert ended.code == int("--run.stop_at" in words), (words, ended)

    for verb in verbs:
        if verb.name not in truths:
            for needed in verb.needs():
                make_input(needed, out / "inputs", run)
            truths[verb.name] = undisturbed(verb, out / "inputs", out / "work", warm)
            file.write_text(json.dumps(truths))
    return truths


if __name__ == "__main__":
    sys.exit(main())
