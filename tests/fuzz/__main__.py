"""``python -m fuzz``: changed files of every kind, seeded, bounded, resumable; prints a table.

Forked children take some hundred inputs each, with limits on time and memory; the rows go to
``OUT/fuzz.jsonl``, inputs that are wrong can be made again from their number.
"""

from __future__ import annotations

import random
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from fuzz.targets import TARGETS, Target, WrongError
from helpers.campaign import Campaign, markdown
from helpers.forked import forked

BATCH = 250
SECONDS = 20  # of a processor, for one input
MEMORY = 2 << 30


def feed(campaign: Campaign, target: Target, numbers: list[int]) -> None:
    """Takes inputs one after the other; a row is on the disk before the next one begins."""
    from mofo.types import MofoError

    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    for number in numbers:
        draw = random.Random(f"{campaign.options.seed} {target.name} {number}")
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
        campaign.note(target=target.name, number=number, outcome=outcome, wrong=wrong)
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


def table(rows: list[dict[str, Any]]) -> str:
    """Inputs by target, and what came of them."""
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        kinds[row["target"]].append(row)

    def line(kind: str, rows: list[dict[str, Any]]) -> list[str]:
        counts = Counter(row["outcome"] for row in rows).most_common()
        parts = "" if kind == "all" else ", ".join(f"{name} {count:,}" for name, count in counts)
        return [kind, f"{len(rows):,}", str(sum(bool(row["wrong"]) for row in rows)), parts]

    lines = [line(kind, some) for kind, some in [*kinds.items(), ("all", rows)]]
    return markdown(["inputs", "number", "wrong", "what came of them"], lines)


def main() -> int:
    """Feeds what is not in the journal yet; the exit code is 1 if anything is wrong."""
    campaign = Campaign("fuzz", __doc__, "inputs", 22_000, "target")
    campaign.start()
    warm()
    chosen = {name: kind for name, kind in TARGETS.items() if campaign.options.only in name}
    total = sum(kind.share for kind in chosen.values())
    for name, kind in chosen.items():
        target = make(kind, campaign.out)
        count = round(campaign.options.tries * kind.share / total)
        while not campaign.is_over:
            done = {row["number"] for row in campaign.rows() if row["target"] == name}
            numbers = [number for number in range(count) if number not in done][:BATCH]
            if not numbers:
                break
            ended = forked(partial(feed, campaign, target, numbers), seconds=600, memory=MEMORY)
            done = {row["number"] for row in campaign.rows() if row["target"] == name}
            left = [number for number in numbers if number not in done]
            if left or ended.code:
                hung = ended.hung or ended.code == -signal.SIGPROF
                campaign.note(
                    target=name,
                    number=left[0] if left else numbers[-1],
                    outcome="hang" if hung else "the child died",
                    wrong=f"exit {ended.code}: {ended.err[-300:]}",
                )
    rows = campaign.rows()
    return campaign.end(rows, table(rows))


def make(kind: type[Target], out: Path) -> Target:
    """A target with its whole files, made if they are not there yet."""
    target = kind(out / "seeds" / kind.name.replace(" ", "-"))
    if not target.folder.exists():
        half = kind(out / "half")
        shutil.rmtree(half.folder, ignore_errors=True)
        half.folder.mkdir()
        made = forked(half.make, seconds=300)
        assert not made.code, made.err
        target.folder.parent.mkdir(exist_ok=True)
        half.folder.rename(target.folder)
    return target


if __name__ == "__main__":
    sys.exit(main())
