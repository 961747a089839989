"""Quality of motion areas on generated clips with exact truth: both presets, all backends.

    python benchmarks/areas.py --workers 2

The clips share no seed and no photograph with those the default preset was designed on. Half of
them are H.264, half VP9. The backend "codec" is judged on the H.264 files only, since VP9 carries
no motion vectors. "tvl1" is slow on a CPU: it is run on the first --tvl1-clips clips (their order
is random), and what is compared with it is compared on those clips. JSON holds everything.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from tqdm import tqdm

from area_scores import ClipScores, mean_interval, score_clip
from generated.clips import ClipRecipe, make_clip, write_clip
from generated.ways import SCENES
from mofo.evaluation.measures import Interval
from mofo.motion.presets import FLOWS, PRESETS, DetectSettings
from mofo.synth.camera_path import CAMERAS
from mofo.types import hull

SIZES = ((320, 240), (426, 240), (352, 288), (240, 320), (640, 360))
# One mover may be large; several share the room.
AREA_OF_MOVERS = {0: (0.02, 0.40), 1: (0.02, 0.40), 2: (0.02, 0.15), 3: (0.02, 0.10)}
CONTROLS = ("whole frame", "central half")
METRICS = tuple(field.name for field in fields(ClipScores))
HIGHER, LOWER = ("iou", "union", "recall"), ("false",)  # compared with the paper's preset
# Promises of the default preset with dis: row, metric, bound, whether it is a least value.
PROMISES = (
    ("static", "iou", 0.88, True),
    ("moving", "iou", 0.83, True),
    ("follow", "iou", 0.75, True),
    ("depth", "iou", 0.70, True),
    ("all", "union", 0.85, True),
    ("all", "recall", 0.90, True),
    ("moving", "false", 0.01, False),
    ("static", "false", 0.0, False),
    ("depth", "false", 0.03, False),
)


@dataclass(frozen=True)
class Job:
    """One clip and the methods to run on it; made, judged and thrown away in a worker."""

    number: int
    recipe: ClipRecipe
    suffix: str
    methods: tuple[tuple[str, str], ...]  # (backend, preset)


@dataclass
class Clip:
    """What a row's selection looks at, and the scores by method."""

    number: int
    recipe: ClipRecipe
    suffix: str
    hull_share: float  # mean over frames with motion, 0 for a negative
    scores: dict[str, dict[str, float]]


def recipes(count: int, split: str, seed: int) -> list[tuple[ClipRecipe, str]]:
    """A balanced set in random order: cameras in equal parts, a sixth of the clips negative."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        block, camera = divmod(i, len(CAMERAS))
        turn, place = divmod(block, 6)
        positive = turn * 5 + place
        movers = 0 if place == 5 else 1 + positive % 3
        width, height = SIZES[rng.integers(len(SIZES))]
        recipe = ClipRecipe(
            seed=seed + i,
            camera=CAMERAS[camera],
            movers=movers,
            area=AREA_OF_MOVERS[movers],
            pauses=bool(movers and (positive // 3) % 2),
            width=width,
            height=height,
            split=split,
            noise=float(rng.uniform(1, 4)),
        )
        made.append((recipe, (".mp4", ".webm")[(camera + block + turn) % 2]))
    made = [made[i] for i in rng.permutation(count)]
    # Half as many again with a camera that follows, and with depth: a group of their own each.
    for i in range(count // 5 * len(SCENES)):
        turn, kind = divmod(i, len(SCENES))
        movers = (1 + turn % 2, (0, 1, 0, 2)[turn % 4])[kind]
        width, height = SIZES[rng.integers(len(SIZES))]
        recipe = ClipRecipe(
            seed=seed + count + i,
            camera=SCENES[kind],
            movers=movers,
            area=AREA_OF_MOVERS[movers],
            width=width,
            height=height,
            split=split,
            noise=float(rng.uniform(1, 4)),
        )
        made.append((recipe, (".mp4", ".webm")[turn // 2 % 2]))
    return made


def run_job(job: Job) -> Clip:
    from mofo.motion.analyse import analyse

    clip = make_clip(job.recipe)
    truth, moving_THW = clip.boxes(), clip.moving_mask()
    frames, height, width = moving_THW.shape
    shares = [np.prod(h.box_4[2:] - h.box_4[:2]) for h in map(hull, truth) if h.valid]
    hull_share = float(np.mean(shares or [0.0])) / (width * height)
    whole_4 = np.array([0, 0, width, height], np.float32)
    middle_4 = whole_4[[2, 3, 2, 3]] * np.array([0.25, 0.25, 0.75, 0.75], np.float32)
    scores = {
        name: asdict(score_clip([box_4[None]] * frames, truth, moving_THW))
        for name, box_4 in zip(CONTROLS, (whole_4, middle_4), strict=True)
    }
    with tempfile.TemporaryDirectory() as folder:
        path = write_clip(clip, Path(folder) / f"{job.number}{job.suffix}")
        for backend, preset in job.methods:
            area = analyse(path, DetectSettings(flow=backend, preset=preset))
            if area.flow != backend:
                raise RuntimeError(f"clip {job.number}: {backend} was asked for, {area.flow} used")
            scores[f"{backend} {preset}"] = asdict(score_clip(area.movers, truth, moving_THW))
    return Clip(job.number, job.recipe, job.suffix, hull_share, scores)


def single_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
    import torch

    torch.set_num_threads(1)


def run_all(jobs: list[Job], workers: int) -> list[Clip]:
    for library in ("OMP", "OPENBLAS", "MKL"):  # read by the workers when they start
        os.environ[f"{library}_NUM_THREADS"] = "1"
    clips: dict[int, Clip] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=single_thread) as pool:
        futures = [pool.submit(run_job, job) for job in jobs]
        for future in tqdm(as_completed(futures), total=len(jobs), unit="job"):
            found = future.result()
            clips.setdefault(found.number, found).scores.update(found.scores)
    return [clips[number] for number in sorted(clips)]


Rows = dict[str, Callable[[Clip], bool]]


def splits() -> dict[str, Rows]:
    """The tables, and which clips each of their rows holds."""
    camera: Rows = {
        name: lambda c, name=name: c.recipe.camera == name for name in (*CAMERAS, *SCENES)
    }
    whole: Rows = {
        "all": lambda c: c.recipe.camera in CAMERAS,
        "static": lambda c: c.recipe.camera == "static",
        "moving": lambda c: c.recipe.camera in CAMERAS[1:],
    }
    size: Rows = {
        "< 10 %": lambda c: 0 < c.hull_share < 0.1,
        "10-30 %": lambda c: 0.1 <= c.hull_share <= 0.3,
        "> 30 %": lambda c: c.hull_share > 0.3,
    }
    movers: Rows = {str(k): lambda c, k=k: c.recipe.movers == k for k in (1, 2, 3)}
    return {
        "static or moving camera": whole,
        "camera": camera,
        "size (hull of the movers, share of the frame)": size,
        "number of movers": movers,
    }


def values(clips: Iterable[Clip], method: str, metric: str) -> np.ndarray:
    found = [clip.scores[method][metric] for clip in clips if method in clip.scores]
    return np.array(found, np.float64)


def broken_promises(row: str, method: str, clips: list[Clip], means: dict[str, Interval]) -> str:
    """For the default preset: "yes", or what is not as promised; "" for all others."""
    backend, _, preset = method.rpartition(" ")
    if preset != "default":
        return ""
    broken, checks = [], 0
    for name, metric, bound, least in PROMISES if backend == "dis" else ():
        value = means[metric].mean
        if name == row and not math.isnan(value):
            checks += 1
            if value < bound if least else value > bound:
                broken.append(f"{metric} {value:.3f} {'<' if least else '>'} {bound:g}")
    for other in {f"{backend} paper": "paper", "tvl1 paper": "tvl1 paper"}.items():
        both = [c for c in clips if method in c.scores and other[0] in c.scores]
        for metric in HIGHER + LOWER:
            ours, theirs = (values(both, name, metric) for name in (method, other[0]))
            if not (~np.isnan(ours)).any():
                continue
            checks += 1
            gap = (np.nanmean(ours) - np.nanmean(theirs)) * (-1 if metric in LOWER else 1)
            if gap < -1e-9:
                broken.append(f"{metric} {abs(gap):.3f} worse than {other[1]}")
    return "; ".join(dict.fromkeys(broken)) or ("yes" if checks else "")


def table(clips: list[Clip], rows: Rows, methods: list[str], seed: int) -> list[dict]:
    lines = []
    for row, chosen in rows.items():
        inside = [clip for clip in clips if chosen(clip)]
        for method in methods:
            judged = [clip for clip in inside if method in clip.scores]
            if not judged:
                continue
            means = {
                metric: mean_interval(values(judged, method, metric), seed=seed)
                for metric in METRICS
            }
            negatives = sum(clip.recipe.movers == 0 for clip in judged)
            lines.append(
                {
                    "row": row,
                    "method": method,
                    "clips": len(judged) - negatives,
                    "negatives": negatives,
                    **{metric: list(interval) for metric, interval in means.items()},
                    "pass": broken_promises(row, method, inside, means),
                }
            )
    return lines


HEADS = ("iou", "union", "recall", "share", "region", "paused")


def shown(title: str, lines: list[dict]) -> str:
    cells = [[title, "method", "clips", *HEADS, "negatives", "false", "pass"]]
    for line in lines:
        numbers = [interval_text(line[name]) for name in HEADS]
        rest = [str(line["negatives"]), interval_text(line["false"]), line["pass"]]
        cells.append([line["row"], line["method"], str(line["clips"]), *numbers, *rest])
    return markdown(cells)


def interval_text(interval: list[float]) -> str:
    low, high = (f"{value:.2f}".removeprefix("0") for value in interval[1:])
    return "" if math.isnan(interval[0]) else f"{interval[0]:.3f} ({low}-{high})"


def markdown(cells: list[list[str]]) -> str:
    """A table that reads well both as plain text and as Markdown; the first row is the heading."""
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def provenance() -> dict:
    """Hardware, versions and date, for the JSON."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ("mofo", "numpy", "av", "opencv-python-headless", "torch", "scipy", "scikit-image")
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": {"cpu": model, "cores": usable, "system": platform.system()},
        "versions": versions,
    }


def write_json(path: Path, content: dict) -> None:
    def clean(item: object) -> object:  # JSON knows no NaN
        if isinstance(item, dict):
            return {key: clean(value) for key, value in item.items()}
        if isinstance(item, list | tuple):
            return [clean(value) for value in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    write_text(path, json.dumps(clean(content), indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


def options() -> argparse.Namespace:
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--clips", type=int, default=210)
    parser.add_argument("--split", default="test", help="photographs: test, tune or all")
    parser.add_argument("--seed", type=int, default=50000, help="of the first clip")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--backends", default="dis,farneback,codec,tvl1")
    parser.add_argument("--presets", default=",".join(PRESETS))
    parser.add_argument("--tvl1-clips", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("bench/areas.json"))
    parser.add_argument("--markdown", type=Path, help="write the tables here as well")
    chosen = parser.parse_args()
    chosen.backends = [name for name in chosen.backends.split(",") if name]
    chosen.presets = [name for name in chosen.presets.split(",") if name]
    for name in chosen.presets:
        PRESETS.check(name)
    unknown = set(chosen.backends) - set(FLOWS)
    if unknown:
        parser.error(
            f"unknown backend {', '.join(sorted(unknown))}: choose from {', '.join(FLOWS)}"
        )
    if chosen.clips < 1 or chosen.workers < 1:
        parser.error("--clips and --workers must be 1 or more")
    return chosen


def main() -> None:
    chosen = options()
    started = time.perf_counter()
    jobs, slow = [], []
    for number, (recipe, suffix) in enumerate(recipes(chosen.clips, chosen.split, chosen.seed)):
        quick = [name for name in chosen.backends if name != "tvl1"]
        quick = [name for name in quick if name != "codec" or suffix == ".mp4"]
        methods = tuple((backend, preset) for backend in quick for preset in chosen.presets)
        jobs.append(Job(number, recipe, suffix, methods))
        if "tvl1" in chosen.backends and number < chosen.tvl1_clips:
            # One preset a job: the slow ones start first and spread over the workers.
            slow += [Job(number, recipe, suffix, (("tvl1", preset),)) for preset in chosen.presets]
    clips = run_all(slow + jobs, chosen.workers)

    methods = [f"{backend} {preset}" for backend in chosen.backends for preset in chosen.presets]
    methods += CONTROLS
    tables = {name: table(clips, rows, methods, chosen.seed) for name, rows in splits().items()}
    few = [clip for clip in clips if any(name.startswith("tvl1") for name in clip.scores)]
    if few:
        whole = splits()["static or moving camera"]
        tables[f"the {len(few)} clips of tvl1"] = table(few, whole, methods, chosen.seed)
    else:
        methods = [name for name in methods if not name.startswith("tvl1")]

    about = provenance()
    notes = [
        f"{chosen.clips} clips, photographs of the split {chosen.split!r}, seeds from "
        f"{chosen.seed}; mean (95 % bootstrap interval over clips); {about['hardware']['cpu']}, "
        f"{about['date']}.",
        "codec: the H.264 half of the clips only. Where tvl1 was run on fewer clips, its rows are "
        "of those, and comparisons with it are made on them.",
        "pass: the promises of default with dis, and default no worse than paper (same backend, "
        "and tvl1's) in iou, union, recall and false.",
    ]
    text = "\n\n".join([*notes, *(shown(name, lines) for name, lines in tables.items())])
    print("\n" + text)
    content = {
        **about,
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(chosen).items()},
        "seeds": [chosen.seed, chosen.seed + chosen.clips - 1],
        "seconds": time.perf_counter() - started,
        "tables": tables,
        "clips": [asdict(clip) for clip in clips],
    }
    write_json(chosen.out, content)
    if chosen.markdown:
        write_text(chosen.markdown, text + "\n")
    print(f"\n{time.perf_counter() - started:.0f} s. Written: {chosen.out}")


if __name__ == "__main__":
    main()
