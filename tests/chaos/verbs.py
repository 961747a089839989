"""The verbs that are disturbed: their inputs, what they leave, and what has to be kept."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NANO = (
    "--model.size nano --data.size 32 --data.frames 4 --data.areas codec --optim.batch 2 "
    "--optim.epochs 4 --optim.warmup_epochs 1 --run.save_every 2 --run.keep_last 9 "
    "--run.trackers [] --quiet"
)


@dataclass(frozen=True)
class Verb:
    """A verb.

    Attributes:
        name: how the table calls it.
        words: its command line; ``@`` stands for the folder of inputs.
        begin: what lies in the folder before, as name in the folder of inputs -> name.
        cost: share of faults is one by this.
    """

    name: str
    words: tuple[str, ...]
    begin: tuple[tuple[str, str], ...] = ()
    cost: float = 1

    def command(self, inputs: Path) -> list[str]:
        """The words."""
        return [word.replace("@", str(inputs)) for word in self.words]

    def needs(self) -> list[str]:
        """Names of inputs."""
        found = (re.match(r"@/([\w.]+)", word) for word in self.words)
        return [*(match[1] for match in found if match), *(source for source, _ in self.begin)]

    def prepare(self, inputs: Path, folder: Path) -> None:
        """Puts into a folder what is there before."""
        for source, name in self.begin:
            place = shutil.copytree if (inputs / source).is_dir() else shutil.copy
            place(inputs / source, folder / name)


def _verb(name: str, words: str, cost: float = 1, **begin: str) -> Verb:
    return Verb(name, tuple(words.split()), tuple(begin.items()), cost)


DETECT = "detect @/videos --flow codec --out out --quiet"
CHECK = "data check @/videos --out out --quiet"
LIST = "@/videos/list.csv --workers 0 --quiet"
SYNTH = "data synth --out out --clips 8 --size 32 --frames 8 --workers 0 --quiet"
PRETRAIN = f"pretrain --data.source @/videos --run.out out {NANO}"
FINETUNE = f"finetune --data.source @/videos/list.csv --run.out out --run.workers 0 {NANO}"
SCORE = "score @/videos --out out-scores.parquet --quiet"
SMALL = "--model.size nano --data.size 32 --data.frames 4 --data.areas codec --optim.batch 2"
PREDICT = "--encoder @/fine @/videos/a.mp4 --json out.json --annotate out"
MASK = "show mask @/videos/a.mp4 --size 32 --frames 4 --ratio .75 --areas codec --out out.png"
VERBS = [
    _verb("detect", f"{DETECT} --workers 0", partly="out"),
    _verb("detect --overlay", f"{DETECT} --workers 0 --overlay", 3, partly="out"),
    _verb("detect --workers 2", f"{DETECT} --workers 2", 4, partly="out"),
    _verb("areas merge", "areas merge out", parts="out"),
    _verb("areas export", "areas export @/areas --to out/boxes.json"),
    _verb("areas export coco", "areas export @/areas --to out.json --form coco"),
    _verb("areas import", "areas import @/boxes.json --videos @/videos --out out"),
    _verb("data check", f"{CHECK} --workers 0"),
    _verb("data check --workers 2", f"{CHECK} --workers 2", 4),
    _verb("data convert .csv", "data convert @/videos/list.csv --to out/c.csv --quiet"),
    _verb("data convert .parquet", "data convert @/videos/list.csv --to out/c.parquet --quiet"),
    _verb("data pack", "data pack @/videos/list.csv --out out --size .01 --quiet"),
    _verb("data pack --areas", "data pack @/videos --areas @/areas --out out --size .01 --quiet"),
    _verb("data synth", SYNTH, 2),
    _verb("score", f"{SCORE} --workers 0", scored="out-scores.parquet"),
    _verb("score --page", f"{SCORE} --workers 0 --page out.html", 2, scored="out-scores.parquet"),
    _verb("score --workers 2", f"{SCORE} --workers 2", 4, scored="out-scores.parquet"),
    _verb("filter", "filter @/scores.parquet moving>=0 --out out.csv"),
    _verb("advise", "advise @/videos/list.csv --areas @/areas"),
    _verb("plan", f"plan tiny --data.source @/videos {SMALL} --json out.json", 3),
    _verb("pretrain", f"{PRETRAIN} --run.workers 0", 4, pretrained="out"),
    _verb("pretrain, workers 2", f"{PRETRAIN} --run.workers 2", 8, pretrained="out"),
    _verb("finetune", FINETUNE, 4, finetuned="out"),
    _verb("evaluate", f"evaluate --encoder @/fine {LIST} --views 1x1 --out out", 4),
    _verb("predict", f"predict {PREDICT}", 3),
    _verb("embed .parquet", f"embed --encoder @/fine {LIST} --out out.parquet", 2),
    _verb("embed folder", f"embed --encoder @/fine {LIST} --out out", 2),
    _verb("embed .npz", f"embed --encoder @/fine {LIST} --out out.npz", 2),
    _verb("embed --window", f"embed --encoder @/fine {LIST} --window .2 --out out.parquet", 2),
    _verb("search", "search @/videos/a.mp4 @/features.parquet", 2),
    _verb("probe knn", f"probe knn --encoder @/fine {LIST} --out out", 4),
    _verb("weights export", "weights export @/pre --out out.pth --to pth"),
    _verb("weights export hf", "weights export @/pre --out out --to hf", 2),
    _verb("weights import", "weights import @/weights.pth --out out"),
    _verb("show motion", "show motion @/videos/a.mp4 --flow codec --out out.mp4", 3),
    _verb("show mask", MASK),
    _verb("show reconstruction", "show reconstruction @/pre @/videos/a.mp4 --out out.png", 2),
    _verb("show attention", "show attention --encoder @/fine @/videos/a.mp4 --out out.png", 2),
    _verb("report", "report @/pre @/areas --out out.html --clips 1 --quiet", 5),
]


def make_input(name: str, inputs: Path, run: Callable[[list[str], Path], None]) -> None:
    """Makes what a verb needs, if it is not there yet.

    Args:
        name: of it: "videos", a store, a run, or a folder in which a verb was stopped half way.
        inputs: folder of all of them.
        run: runs a command in a folder.
    """
    commands = {verb.name: verb.command(inputs) for verb in VERBS}
    made = {
        "areas": (commands["detect"], []),
        "partly": ([word.replace("/videos", "/videos/a.mp4") for word in commands["detect"]], []),
        "part1": (commands["detect"], ["--shard", "1/2"]),
        "part2": (commands["detect"], ["--shard", "2/2"]),
        "scored": ([word.replace("/videos", "/videos/a.mp4") for word in commands["score"]], []),
        "scores.parquet": (commands["score"], []),
        "features.parquet": (commands["embed .parquet"], []),
        "weights.pth": (commands["weights export"], []),
        "pre": (commands["pretrain"], []),
        "fine": (commands["finetune"], []),
        "pretrained": (commands["pretrain"], ["--run.stop_at", "2"]),
        "finetuned": (commands["finetune"], ["--run.stop_at", "2"]),
    }
    if (inputs / name).exists():
        return
    if name == "videos":
        _make_videos(inputs / "half")
        (inputs / "half").rename(inputs / name)
        return
    needed = {
        "parts": ["part1", "part2"],
        "boxes.json": ["areas"],
        "features.parquet": ["fine"],
        "weights.pth": ["pre"],
    }.get(name, ["videos"])
    for other in needed:
        make_input(other, inputs, run)
    home = inputs / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    if name == "parts":
        for other in needed:
            shutil.copytree(inputs / other, home / "out", dirs_exist_ok=True)
    elif name == "boxes.json":
        run(["areas", "export", str(inputs / "areas"), "--to", "out"], home)
    else:
        words, more = made[name]
        run([*words, *more], home)
    made_of = next(path for path in home.iterdir() if path.name.startswith("out"))
    made_of.rename(inputs / name)


def _make_videos(folder: Path) -> None:
    from helpers.drawn import moving
    from mofo.video.writer import VideoWriter

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, name in enumerate("abcd"):
        with VideoWriter(folder / f"{name}.mp4", fps=25) as writer:
            for image in moving(12, 64, 48, seed=number):
                writer.write(image)
        rows.append((f"{name}.mp4", "xy"[number % 2], ("train", "validation")[number // 2]))
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])


def results(folder: Path) -> dict[str, str]:
    """What lies in a folder: files with the hash of what they hold; a store is one thing."""
    from mofo.motion.store import AreaStore

    found: dict[str, str] = {}
    for place, names, files in os.walk(folder):
        # Even steps are saved, and where a run was stopped; damaged ones are set aside.
        aside = r"step_\d+([13579]|\.damaged)"
        names[:] = [name for name in names if not re.fullmatch(aside, name)]
        if {"areas", "videos"} <= set(names) and list(Path(place, "videos").glob("*.parquet")):
            store = AreaStore.open(place)
            found |= {
                f"{os.path.relpath(place, folder)}[{key}]": str(len(store[key])) for key in store
            }
            hidden = [p for part in ("areas", "videos") for p in Path(place, part).glob(".*")]
            found |= {str(path.relative_to(folder)): "" for path in hidden}
            names[:] = [name for name in names if name not in ("areas", "videos")]
        for name in files:
            file = Path(place, name)
            found[str(file.relative_to(folder))] = _hash(file)
    return {name: value for name, value in found.items() if not Path(name).name.startswith(".lock")}


def _hash(file: Path) -> str:
    if file.name == "files.jsonl":  # in the order in which workers end
        return str(sorted(file.read_text().splitlines()))
    if file.name == "checkpoint.json":  # its mean loss may be of more steps
        with contextlib.suppress(ValueError, LookupError, TypeError):  # damaged
            content = json.loads(file.read_text())
            return str([content["step"], sorted(content["digests"].items())[1:]])
    if file.name == "metrics.jsonl":  # has times, and at a kill half a line
        from mofo.training.journal import read_journal

        lines = read_journal(file)
        return str([(line["step"], line["loss"]) for line in lines])
    return hashlib.sha256(file.read_bytes()).hexdigest()
