"""What do kept tokens cost in accuracy? By motion, at random, by frame difference; three seeds.

    python runs/kept_tokens.py --out runs/out/kept-tokens --markdown docs/tables/kept-tokens.md

Two sets of generated actions: "easy", whose camera stands still, and the same eight classes of
"medium", whose camera pans and zooms in two thirds of the clips. Fine-tunings on "easy" begin with
one pre-training with motion masks, those on "medium" with one classifier of "easy" (all tokens):
from less they learn nothing in so few steps. Fusion `mean`, that sees no motion; clips are whole,
and read once into memory. Rows
differ in the tokens that the encoder computes, in training and in the test. Equal time: how much
less time a step takes is measured first, on clips of the set, in turns, CPU seconds; all tokens
then get as many steps as there is time for. The test is on all videos that are not trained on.
Intervals are of 95 %, bootstrap over seeds and videos together; differences on the same videos.
Each finished training is a line of results.jsonl: the same command goes on after a stop.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from actions import Study, options_of_study, publish
from mofo.clips.batch import collate
from mofo.clips.dataset import ClipDataset
from mofo.datasets.catalog import read_catalog
from mofo.training.finetune_step import score
from mofo.training.finetune_task import FinetuneTask
from mofo.training.optim import Schedule, set_rate
from mofo.training.tasks import load_settings

LEVELS = ("easy", "medium")
BYS = ("motion", "random", "difference")
KEEPS = (0.5, 0.25)
BATCH = 16
_TURNS, _DRAWS = 8, 2000


class ClipSet:
    """A generated set in memory, and fine-tunings on it, all from the same weights."""

    def __init__(self, study: Study, init: Path) -> None:
        self.study, self.init = study, init
        task = self.task(1.0, "motion", 0)
        whole = replace(task.dataset.settings, random=False)
        tests = tuple(v for v in read_catalog([str(study.table)]).videos if v.split != "train")
        self.train, self.test = (
            collate(ClipDataset(videos, whole, seed=0).__getitems__([(0, row) for row in rows]))
            for videos in (task.dataset.videos, tests)
            for rows in (range(len(videos)),)
        )
        names = task.step.targets.labels.classes["label"]
        self.label_V = torch.tensor([names.index(str(video.label)) for video in tests])

    def task(self, keep: float, by: str, seed: int) -> FinetuneTask:
        pairs = {
            "model.init": self.init, "model.fusion": "mean", "data.source": self.study.table,
            "data.areas": self.study.areas, "tokens.keep": keep, "tokens.by": by,
            "run.out": self.study.out, "run.seed": seed, "optim.batch": BATCH, "optim.lr": 6.4e-2,
        }  # fmt: skip
        words = [(key, str(value)) for key, value in pairs.items()]
        return FinetuneTask(load_settings("actions-finetune", words))

    def right(self, keep: float, by: str, seed: int, steps: int) -> list[bool]:
        """Trains; returns whether the classifier is right, by test video."""
        task, draw = self.task(keep, by, seed), torch.Generator().manual_seed(seed)
        model, count = task.build().train(), len(self.train)
        optimiser = task.optimiser(model)
        schedule = replace(Schedule.of(task.settings.optim, count), steps=steps, warmup=steps // 10)
        epochs = math.ceil(steps * BATCH / count)
        order = torch.cat([torch.randperm(count, generator=draw) for _ in range(epochs)]).tolist()
        for step, first in enumerate(range(0, steps * BATCH, BATCH)):
            set_rate(optimiser, schedule.rate(step))
            self.learn(task, model, optimiser, order[first : first + BATCH], draw)
        model.eval()
        with torch.inference_mode():
            logits = [
                score(model, model.settings, self.test.rows(rows.tolist()))[0]["label"]
                for rows in torch.arange(len(self.test)).split(BATCH)
            ]
        return (torch.cat(logits).argmax(1) == self.label_V).tolist()

    def learn(
        self,
        task: FinetuneTask,
        model: torch.nn.Module,
        optimiser: torch.optim.Optimizer,
        rows: list[int],
        draw: torch.Generator,
    ) -> None:
        """One step; the noise, by which tokens are drawn at random, is new in each."""
        batch = self.train.rows(rows)
        batch = replace(batch, noise_BN=torch.rand(batch.noise_BN.shape, generator=draw))
        task.forward_step(model, batch).loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    def time_of_all(self) -> list[tuple[float, float]]:
        """Shares of kept tokens, each with CPU seconds of a step, of those with all tokens."""
        made = {}
        for keep in (1.0, *KEEPS):
            task = self.task(keep, "motion", 0)
            model = task.build().train()
            made[keep] = task, model, task.optimiser(model)
        ratios: dict[float, list[float]] = {keep: [] for keep in made}
        rows, draw = list(range(BATCH)), torch.Generator().manual_seed(0)
        for turn in range(_TURNS):
            seconds = {}
            for keep in sorted(made, reverse=turn % 2 == 0):
                begin = time.process_time()
                for _ in range(3):
                    self.learn(*made[keep], rows, draw)
                seconds[keep] = time.process_time() - begin
            for keep, needed in seconds.items() if turn else ():  # the first warms up
                ratios[keep].append(needed / seconds[1.0])
        return [(keep, median(found)) for keep, found in ratios.items()]


class Results:
    """Finished trainings, a line each."""

    def __init__(self, file: Path) -> None:
        self.file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self._found = {tuple(line["key"]): line["found"] for line in map(json.loads, lines)}

    def __call__(self, key: tuple, make: Callable[..., list], *given: object) -> list:
        """What was found under this key, or is made now."""
        if key not in self._found:
            self._found[key] = make(*given)
            with self.file.open("a") as file:
                print(json.dumps({"key": key, "found": self._found[key]}), file=file)
        return self._found[key]


def of_classes_in(table: Path, other: Path) -> Path:
    """A list of the rows of ``table`` whose label is in ``other``, beside it."""
    with other.open() as file:
        labels = {row["label"] for row in csv.DictReader(file)}
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in labels]
    part = table.with_name("shared-classes.csv")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return part


def interval(hit_SV: np.ndarray, other_SV: np.ndarray | None = None) -> str:
    """Mean and 95 % interval over (seeds, videos), both drawn again; of a difference if given."""
    seeds = min(len(hits) for hits in (hit_SV, other_SV) if hits is not None)
    value_SV = hit_SV[:seeds].astype(float)
    if other_SV is not None:
        value_SV = value_SV - other_SV[:seeds]
    draw, videos = np.random.default_rng(0), value_SV.shape[1]
    means = [
        value_SV[draw.integers(seeds, size=(seeds, 1)), draw.integers(videos, size=videos)].mean()
        for _ in range(_DRAWS)
    ]
    low, high = np.percentile(means, (2.5, 97.5))
    sign = "" if other_SV is None else "+"
    return f"{value_SV.mean():{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def markdown(level: str, hits: dict[str, np.ndarray], share: dict[float, float]) -> str:
    """Rows of one set: top-1, and differences to all tokens at equal steps and at equal time."""
    lines = [
        f"{level}, {hits['all'].shape[1]} test videos\n",
        "| tokens | seeds | time | top-1 | to all, equal steps | to all, equal time |",
        "|---|---|---|---|---|---|",
    ]
    for name, hit_SV in hits.items():
        by, _, keep = name.partition(" ")
        others = [hits[other] for other in ("all", f"all {keep}") if by != "all" and other in hits]
        cells = [interval(hit_SV, other_SV) for other_SV in others]
        row = (name, len(hit_SV), f"{share[float(keep or 1)]:.2f}", interval(hit_SV), *cells)
        lines.append(f"| {' | '.join(map(str, row))} |" + " |" * (2 - len(cells)))
    lines += ["", "| kept | motion - random | motion - difference |", "|---|---|---|"]
    for keep in KEEPS:
        names = [f"{by} {keep:g}" for by in BYS]
        if all(name in hits for name in names):
            mine, *theirs = (hits[name] for name in names)
            cells = " | ".join(interval(mine, other_SV) for other_SV in theirs)
            lines.append(f"| {keep:g} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = options_of_study(__doc__, "runs/out/kept-tokens")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    studies = {level: Study(args.out / level, 0, 1) for level in LEVELS}
    for level, study in studies.items():
        study.prepare(level, args.clips)
    easy, medium = studies.values()
    easy.pretrain("motion")
    easy.finetune("motion", "cross_attention")
    medium.table = of_classes_in(medium.table, easy.table)
    begins = easy.run_of("motion"), easy.out / "finetune" / "motion-cross_attention"
    sets = {
        level: ClipSet(study, init)
        for (level, study), init in zip(studies.items(), begins, strict=True)
    }
    results = Results(args.out / "results.jsonl")
    shares = {level: dict(results((level, "time"), sets[level].time_of_all)) for level in LEVELS}
    found: dict[str, dict[str, list]] = {level: {} for level in LEVELS}
    for keep, seed, level in itertools.product(KEEPS, range(args.seeds), LEVELS):
        less = round(args.steps * shares[level][keep])
        rows = {"all": (1.0, "motion", args.steps), f"all {keep:g}": (1.0, "motion", less)}
        rows |= {f"{by} {keep:g}": (keep, by, args.steps) for by in BYS}
        for name, (share, by, steps) in rows.items():
            key = (level, name, steps, seed)
            hit_V = results(key, sets[level].right, share, by, seed, steps)
            if name != "all" or keep == KEEPS[0]:
                found[level].setdefault(name, []).append(hit_V)
            print(f"{level}, {name}, seed {seed}: {np.mean(hit_V):.3f}", flush=True)
        tables = (
            markdown(name, {row: np.array(hits) for row, hits in of.items()}, shares[name])
            for name, of in found.items()
            if of
        )
        publish("\n".join(tables), args.markdown)


if __name__ == "__main__":
    main()
