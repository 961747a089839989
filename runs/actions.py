"""Does motion help? Masks and fusions compared where motion is the label, at equal compute.

    python runs/actions.py --out runs/out/actions --markdown docs/tables/actions.md

Data: the generated set of actions, made here (`mofo data synth`), its motion areas found by
`mofo detect`. Each row of the table is one chain of commands with the same number of steps:
pre-training (none, tube masks, motion masks), fine-tuning (fusion `mean` or `cross_attention`),
evaluation on the test split. Below them the controls: where the area is over time, without any
picture; and the same fusion on an encoder that never learned. Two chains run at a time, a thread
each. The same command goes on after a stop. Writes results.json, and a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mofo.evaluation.results import read_results

# Name of the row, pre-training, fusion.
ROWS = (
    ("from scratch, mean", None, "mean"),
    ("from scratch, cross-attention", None, "cross_attention"),
    ("tube masks, mean (VideoMAE)", "tube", "mean"),
    ("motion masks, mean", "motion", "mean"),
    ("tube masks, cross-attention", "tube", "cross_attention"),
    ("motion masks, cross-attention (MOFO)", "motion", "cross_attention"),
)
MASKS = ("motion", "tube")
PROVENANCE = ("detected", "truth", "none", "shuffled", "centre")


def mofo(log: Path, *words: object) -> float:
    """Runs one command on one thread; gives its seconds."""
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        print("mofo", *words, file=file, flush=True)
        code = subprocess.run(
            [sys.executable, "-m", "mofo", *map(str, words)],
            stdout=file, stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
        ).returncode  # fmt: skip
    if code:
        raise SystemExit(f"mofo {words[0]} failed: see {log}")
    return time.monotonic() - began


class Study:
    """The folder of a study and what is run in it."""

    def __init__(
        self, out: Path, seed: int, jobs: int, shape: str = "box", prepared: Path | None = None
    ) -> None:
        self.out, self.seed, self.jobs, self.shape = out, seed, jobs, shape
        prepared = prepared or out
        self.data = prepared / "data"
        self.table, self.areas = self.data / "videos.csv", prepared / "areas"
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, *words: object) -> None:
        """Runs a command, unless it has been run to its end."""
        note = self.out / "seconds" / f"{name}.json"
        if note.exists():
            self.seconds[name] = json.loads(note.read_text())
            return
        self.seconds[name] = mofo(self.out / "logs" / f"{name}.log", *words)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(self.seconds[name]))

    def prepare(self, level: str, clips: int) -> None:
        self.timed(
            "synth", "data", "synth", "--level", level,
            "--clips", clips, "--size", 64, "--out", self.data, "--quiet",
        )  # fmt: skip
        self.timed("detect", "detect", self.table, "--out", self.areas, "--quiet")

    def pretrain(self, masks: str) -> None:
        self.timed(
            f"pretrain-{masks}", "pretrain", "--config", "actions",
            "--mask.strategy", masks, "--motion.shape", self.shape, "--quiet",
            "--data.source", self.table, "--data.areas", self.areas,
            "--run.out", self.run_of(masks), "--run.seed", self.seed, "--run.trackers", "[]",
        )  # fmt: skip

    def finetune(self, masks: str | None, fusion: str) -> None:
        name = f"{masks or 'scratch'}-{fusion}"
        init = ("--encoder", self.run_of(masks)) if masks else ()
        self.timed(
            f"finetune-{name}", "finetune", "--config", "actions-finetune",
            "--model.fusion", fusion, "--motion.shape", self.shape, *init,
            "--quiet", "--data.source", self.table, "--data.areas", self.areas,
            "--run.out", self.out / "finetune" / name, "--run.seed", self.seed,
            "--run.trackers", "[]",
        )  # fmt: skip
        self.evaluate(name, "detected")

    def evaluate(self, name: str, areas: str) -> None:
        store = self.data / "areas" if areas == "truth" else self.areas
        given = ("--store", store) if areas not in ("none", "centre") else ()
        self.timed(
            f"evaluate-{name}-{areas}", "evaluate", self.table,
            "--encoder", self.out / "finetune" / name, "--split", "test", "--views", "1x1",
            "--areas", areas, *given, "--workers", 1,
            "--out", self.out / "results" / f"{name}-{areas}", "--quiet",
        )  # fmt: skip

    def controls(self) -> None:
        common = (self.table, "--areas", self.areas, "--test-split", "test", "--quiet")
        self.timed(
            "control-areas", "probe", "areas", *common, "--out", self.out / "results" / "areas"
        )
        self.timed(
            "control-random", "probe", "attentive", "--encoder", "random", *common,
            "--config", "actions", "--fusion", "cross_attention",
            "--cache", self.out / "cache", "--out", self.out / "results" / "random",
        )  # fmt: skip

    def run_of(self, masks: str) -> Path:
        return self.out / f"pretrain-{masks}"

    def go(self, level: str, clips: int) -> None:
        self.prepare(level, clips)
        with ThreadPoolExecutor(self.jobs) as pool:
            for group in (
                [(self.pretrain, masks) for masks in MASKS],
                [(self.finetune, masks, fusion) for _, masks, fusion in ROWS],
                [
                    (self.evaluate, "motion-cross_attention", areas)
                    for areas in PROVENANCE
                    if areas != "detected"
                ],
                [(self.controls,)],
            ):
                for done in [pool.submit(*job) for job in group]:  # type: ignore[arg-type]
                    done.result()

    def results(self) -> dict[str, dict[str, float]]:
        """Top-1 with its interval, by row."""
        found = {}
        places = {row: f"{masks or 'scratch'}-{fusion}-detected" for row, masks, fusion in ROWS}
        places |= {
            f"MOFO, areas {areas} at test": f"motion-cross_attention-{areas}"
            for areas in PROVENANCE
            if areas != "detected"
        }
        places |= {
            "control: areas' coordinates alone": "areas",
            "control: cross-attention on an untrained encoder": "random",
        }
        for row, place in places.items():
            results = read_results(self.out / "results" / place / "results.json")
            top1 = results.heads["label"].measures["top1"]
            found[row] = {"top1": top1.mean, "low": top1.low, "high": top1.high}
        return found


def markdown(found: dict[str, dict[str, float]], seconds: dict[str, float], classes: int) -> str:
    lines = ["| | top-1 | 95 % interval |", "|---|---|---|"]
    lines += [
        f"| {row} | {cell['top1']:.3f} | {cell['low']:.3f} to {cell['high']:.3f} |"
        for row, cell in found.items()
    ]
    lines.append(f"| chance | {1 / classes:.3f} | |")
    chain = ("synth", "detect", "pretrain-motion", "finetune-motion-cross_attention")
    chain = (*chain, "evaluate-motion-cross_attention-detected")
    minutes = ", ".join(f"{name} {seconds[name] / 60:.1f}" for name in chain)
    total = sum(seconds[name] for name in chain) / 60
    lines += ["", f"Minutes of the MOFO row: {minutes}; {total:.1f} in all."]
    return "\n".join(lines) + "\n"


def options_of_study(about: str | None, out: str) -> argparse.ArgumentParser:
    """The options that studies on the generated actions have in common."""
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--level", default="easy", choices=("easy", "medium", "hard"))
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--jobs", type=int, default=2, help="chains at a time")
    parser.add_argument("--markdown", type=Path, help="write the table there, too")
    return parser


def publish(text: str, markdown: Path | None) -> None:
    """Prints a table, and writes it where it is wanted."""
    if markdown:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        markdown.write_text(text, encoding="utf-8")
    print(text)


def main() -> None:
    parser = options_of_study(__doc__, "runs/out/actions")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    parser.add_argument("--shape", default="box", choices=("box", "field"), help="of motion")
    args = parser.parse_args()
    study = Study(args.out, args.seed, args.jobs, args.shape)
    study.go(args.level, args.clips)
    found = study.results()
    classes = len(json.loads((study.data / "about.json").read_text())["classes"])
    text = markdown(found, study.seconds, classes)
    content = {"level": args.level, "clips": args.clips, "seed": args.seed, "top1": found}
    (args.out / "results.json").write_text(json.dumps({**content, "seconds": study.seconds}))
    publish(text, args.markdown)


if __name__ == "__main__":
    main()
