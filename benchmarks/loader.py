"""Speed of the data path, from H.264 file to a batch of clips: one process, one thread.

    python benchmarks/loader.py

Compares, on the same clips of 16 frames of 224x224:

* bare: PyAV seeks to the key frame before the clip and decodes up to its last frame; no pixel is
  touched. This is the least that exact decoding of a stretch costs without skipping frames.
* mofo: ``ClipDataset`` with areas from a store, collated in batches of 8: decoding, multi-scale
  crop, resize, RGB, boxes, noise. The index of the file is known, as from the second epoch on;
  "first visit" is without.
* field: the same with a store whose areas have motion fields, as ``mofo detect`` writes them.
* plain: what the simplest script does, which knows nothing of clips while it reads: decodes all
  frames of the file to RGB, crops and resizes them with PIL; the clip's are then made floats.
  "plain, picks": picks the clip's frames before it resizes them. "plain, stops": and stops decoding
  at the end of the clip.

All cases take turns in every repetition, on the same clip, which is another one each time. Shown
are medians of the repetitions; ratios are medians of the repetitions' ratios. Times are CPU seconds
of the process, so that other programs do not count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import threadpoolctl
import torch
from PIL import Image
from tqdm import tqdm

from areas import markdown, provenance, write_json
from generated.clips import ClipRecipe, make_clip
from mofo.clips.batch import ClipBatch, collate
from mofo.clips.dataset import ClipDataset, ClipSettings
from mofo.datasets.catalog import Video
from mofo.datasets.sample_videos import real_clips
from mofo.motion.merge import merge, scan
from mofo.motion.parts import write_part
from mofo.motion.presets import DetectSettings
from mofo.types import MotionArea, TokenGrid
from mofo.video.index import IndexCache, index_frames
from mofo.video.writer import VideoWriter

GRID = TokenGrid(16, 224, 224)
SIZES = ((320, 240), (640, 360))
GOPS = (12, 30, 250)
STRIDES = (2, 4)
BATCH = 8
REPEATS = 4  # clips of one stretch, for the case "repeats"
LEAST = {
    "of_bare": 0.7,
    "of_plain": 3.0,
    "of_picks": 3.0,
    "of_picks_repeats": 3.0,
    "of_boxes": 1 / 1.05,
}
# An H200: dense bf16, and the share of it that a training step of this size is assumed to reach.
PEAK, SHARE = 989e12, 0.40
# Plain readers: whether they pick frames before they resize, and stop when they have them.
PLAIN = (("plain", False, False), ("picks", True, False), ("stops", True, True))
clock = time.process_time


@dataclass(frozen=True)
class File:
    name: str
    path: Path


def generated(folder: Path, frames: int, sizes: tuple, gops: tuple) -> list[File]:
    files = []
    for number, (width, height) in enumerate(sizes):
        clip = make_clip(
            ClipRecipe(
                seed=61000 + number, camera="handheld", movers=2, area=(0.02, 0.15),
                width=width, height=height, frames=frames, split="test",
            )
        )  # fmt: skip
        for gop in gops:
            path = folder / f"{width}x{height}_{gop}.mp4"
            with VideoWriter(path, gop=gop) as writer:
                for image in clip.video_THW3:
                    writer.write(image)
            files.append(File(f"{width}x{height} GOP {gop}", path))
    return files


def store_of(folder: Path, files: list[File], *, fields: bool) -> Path:
    """Areas that cost what areas cost; where they are does not matter here."""
    folder.mkdir()
    soft_yx = cv2.GaussianBlur(np.eye(30, 53, 11, np.float32), (0, 0), 3)
    field_yx = np.rint(soft_yx / soft_yx.max() * 15).astype(np.uint8) * np.uint8(17)
    for file in files:
        index = index_frames(file.path)
        frames = len(index)
        shifted = [np.roll(field_yx, t, 1) for t in range(frames)]
        box_T4 = np.tile(np.array([[20, 20, 90, 90]], np.float32), (frames, 1))
        area = MotionArea(
            index.width, index.height, np.arange(frames), index.seconds_T, box_T4,
            np.ones(frames, bool), tuple(box_T4[:, None]), flow="dis",
            field_Tyx=np.stack(shifted) if fields else None,
        )  # fmt: skip
        write_part(folder, file.path.name, str(file.path), 1, area, DetectSettings())
    merge(scan(folder, DetectSettings()))
    return folder


def bare(path: Path, wanted: np.ndarray) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        step = round(1 / (stream.average_rate * stream.time_base))
        first, last = (int(n) * step + stream.start_time for n in (wanted[0], wanted[-1]))
        if first > stream.start_time:
            container.seek(first, stream=stream)
        for frame in container.decode(stream):
            if frame.pts >= last:
                return
    raise RuntimeError(f"{path}: ended before frame {wanted[-1]}")


def plain(path: Path, wanted: np.ndarray, crop: tuple, *, picks: bool, stops: bool) -> torch.Tensor:
    images: dict[int, np.ndarray] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            images[number] = frame.to_ndarray(format="rgb24", threads=1)
            if stops and number == wanted[-1]:
                break
    size = (GRID.width, GRID.height)
    resized = {
        number: Image.fromarray(images[number]).crop(crop).resize(size, Image.Resampling.BILINEAR)
        for number in (wanted if picks else images)
    }
    frames_THWC = torch.from_numpy(np.stack([np.asarray(resized[number]) for number in wanted]))
    mean_3, deviation_3 = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (frames_THWC.float() / 255 - mean_3) / deviation_3


class Cases:
    """All that is timed on one file at one stride."""

    def __init__(self, file: File, stride: int, store: Path, with_fields: Path) -> None:
        self.file, self.stride = file, stride
        rows = [Video(str(file.path), file.path.name)]
        chosen = ClipSettings(grid=GRID, stride=stride, motion=str(store))
        several = replace(chosen, repeats=REPEATS)
        self._stored = ClipDataset(rows, chosen, seed=0)
        self._field = ClipDataset(rows, replace(chosen, motion=str(with_fields)), seed=0)
        self._several = ClipDataset(rows, several, seed=0)
        self._fly = {
            motion: ClipDataset(rows, replace(chosen, motion=motion), seed=0)
            for motion in ("codec", "dis")
        }
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def turn(self, turn: int) -> None:
        """One repetition of every case, each on the same clips."""
        keys = [(turn * BATCH + k, 0) for k in range(BATCH)]
        places = [self._stored[key] for key in keys]
        self._batch(self._field, keys[:1])  # its index of the file, too, is known
        spans = [place.start + self.stride * np.arange(GRID.frames) for place in places]
        index = index_frames(self.file.path)
        short = min(index.width, index.height)
        crop = (0, 0, int(0.875 * short), int(0.875 * short))

        def all_spans(case: Callable[[np.ndarray], object]) -> Callable[[], object]:
            return lambda: [case(span) for span in spans]

        path = self.file.path
        self._time("bare", BATCH, all_spans(lambda span: bare(path, span)))
        # By turns in either order: what comes second finds warmer caches.
        pair = [("mofo", self._stored), ("field", self._field)]
        for case, data in pair[:: 1 - 2 * (turn % 2)]:
            self._time(case, BATCH, partial(self._batch, data, keys))
        self._stored.reader.indexes = IndexCache()
        self._time("first", 1, lambda: self._batch(self._stored, keys[:1]))
        stretches = keys[: BATCH // REPEATS]
        self._batch(self._several, stretches[:1])
        self._time("repeats", BATCH, lambda: self._batch(self._several, stretches))
        self._time("codec", BATCH, lambda: self._batch(self._fly["codec"], keys))
        span = spans[turn % BATCH]
        for case, picks, stops in PLAIN:
            self._time(case, 1, partial(plain, path, span, crop, picks=picks, stops=stops))
        self._time("dis", 1, lambda: self._batch(self._fly["dis"], keys[:1]))

    def _time(self, case: str, clips: int, work: Callable[[], object]) -> None:
        started = clock()
        work()
        self.seconds[case].append((clock() - started) / clips)

    @staticmethod
    def _batch(data: ClipDataset, keys: list[tuple[int, int]]) -> ClipBatch:
        return collate(data.__getitems__(keys))

    def line(self) -> dict:
        median = {case: statistics.median(values) for case, values in self.seconds.items()}

        def ratio(case: str, ours: str = "mofo") -> float:
            pairs = zip(self.seconds[case], self.seconds[ours], strict=True)
            return statistics.median(theirs / own for theirs, own in pairs)

        return {
            "file": self.file.name,
            "stride": self.stride,
            "ms_a_clip": {case: 1000 * value for case, value in median.items()},
            "clips_per_s": 1 / median["mofo"],
            "of_bare": ratio("bare"),
            "of_plain": ratio("plain"),
            "of_picks": ratio("picks"),
            "of_stops": ratio("stops"),
            "of_picks_repeats": ratio("picks", "repeats"),
            "of_boxes": ratio("mofo", "field"),
        }


def step_flops(grid: TokenGrid, hidden: int) -> dict[str, float]:
    """Floating-point operations of one clip in a ViT-B pre-training step, by part.

    A linear layer of i to o takes 2 i o a token; a block 24 D^2 a token for its linears (qkv, out,
    two of the MLP) and 4 n D for attention over n tokens. Forward and backward: three times that.
    """
    visible, pixels = grid.tokens - hidden, grid.tubelet * grid.patch**2 * 3

    def blocks(tokens: int, width: int, depth: int) -> float:
        return depth * tokens * (24 * width**2 + 4 * tokens * width)

    return {
        "embedding": visible * 2 * pixels * 768,
        "encoder": blocks(visible, 768, 12),
        "to decoder": visible * 2 * 768 * 384,
        "decoder": blocks(grid.tokens, 384, 4),
        "head": hidden * 2 * 384 * pixels,
    }


def appetite(measured: float | None) -> dict:
    """How many clips a second one H200 takes at ViT-B, 90 % hidden tubes: measured or assumed."""
    hidden = int(0.9 * GRID.positions) * GRID.t
    parts = step_flops(GRID, hidden)
    forward = sum(parts.values())
    return {
        "forward_gflop": {name: value / 1e9 for name, value in parts.items()},
        "step_gflop": 3 * forward / 1e9,
        "flop_per_s": PEAK * SHARE if measured is None else 3 * forward * measured,
        "clips_per_s": PEAK * SHARE / (3 * forward) if measured is None else measured,
        "measured": measured is not None,
    }


def show(lines: list[dict], gpu: dict) -> None:
    cells = [
        ["file", "stride", "bare ms", "mofo ms", "field ms", "clips/s a core", "x bare", "plain ms",
         "x plain", "x picks", "x stops", "first visit ms", f"repeats {REPEATS} ms", "x picks",
         "codec ms", "dis ms", "cores for one GPU", f"repeats {REPEATS}"]
    ]  # fmt: skip
    for line in lines:
        ms = line["ms_a_clip"]
        cores, shared = (gpu["clips_per_s"] * ms[case] / 1000 for case in ("mofo", "repeats"))
        numbers = [f"{ms['bare']:.1f}", f"{ms['mofo']:.1f}", f"{ms['field']:.1f}",
                   f"{line['clips_per_s']:.1f}",
                   f"{line['of_bare']:.2f}", f"{ms['plain']:.0f}", f"{line['of_plain']:.1f}",
                   f"{line['of_picks']:.1f}", f"{line['of_stops']:.1f}", f"{ms['first']:.1f}",
                   f"{ms['repeats']:.1f}", f"{line['of_picks_repeats']:.1f}",
                   f"{ms['codec']:.1f}", f"{ms['dis']:.0f}",
                   f"{cores:.0f}", f"{shared:.0f}"]  # fmt: skip
        cells.append([line["file"], str(line["stride"]), *numbers])
    print("\n" + markdown(cells) + "\n")
    print(markdown(promises_table(lines)))
    how = "measured" if gpu["measured"] else "assumed"
    parts = " + ".join(f"{name} {value:.1f}" for name, value in gpu["forward_gflop"].items())
    print(
        f"\nOne GPU (H200) at ViT-B, 16x224x224, 90 % hidden: forward {parts} GFLOP a clip, "
        f"times 3 with backward = {gpu['step_gflop']:.0f}; {how} "
        f"{gpu['flop_per_s'] / PEAK:.0%} of {PEAK / 1e12:.0f} TFLOP/s (bf16) are "
        f"{gpu['clips_per_s']:.0f} clips/s."
    )


def promises_table(lines: list[dict]) -> list[list[str]]:
    cells = [["promise", "kept on", "least", "where"]]
    names = {
        "of_bare": "bare decoding",
        "of_plain": "a plain reader",
        "of_picks": "one that picks first",
        "of_picks_repeats": f"one that picks first, with repeats {REPEATS}",
        "of_boxes": "the same with boxes, by the one with fields",
    }
    for key, least in LEAST.items():
        kept = sum(line[key] >= least for line in lines)
        worst = min(lines, key=lambda line: line[key])
        cells.append(
            [f">= {least:.2g} x {names[key]}", f"{kept} of {len(lines)}", f"{worst[key]:.2f}",
             f"{worst['file']}, stride {worst['stride']}"]
        )  # fmt: skip
    # What decoding alone allows, where not all are kept.
    missed = [line for line in lines if line["of_picks"] < LEAST["of_picks"]]
    if missed:
        ratios = [line["of_picks"] / line["of_bare"] for line in missed]
        cells.append(
            ["(there, bare decoding)", f"{len(missed)}", f"{min(ratios):.2f}",
             f"to {max(ratios):.2f} x one that picks first"]
        )  # fmt: skip
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--gpu-clips", type=float, help="clips/s of your GPU, instead of an H200")
    parser.add_argument("--quick", action="store_true", help="smoke test: numbers mean nothing")
    parser.add_argument("--out", type=Path, default=Path("bench/loader.json"))
    chosen = parser.parse_args()
    frames, repeat, sizes, gops, strides = 250, chosen.repeat, SIZES, GOPS, STRIDES
    if chosen.quick:
        frames, repeat, sizes, gops, strides = 40, 1, SIZES[:1], (12,), (2,)

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, threadpoolctl.threadpool_limits(1):
        files = generated(Path(folder), frames, sizes, gops)
        if not chosen.quick:
            files += [File(path.name, path) for path in real_clips().values()]
        stores = [
            store_of(Path(folder) / name, files, fields=name == "fields")
            for name in ("boxes", "fields")
        ]
        cases = [Cases(file, stride, *stores) for file in files for stride in strides]
        for turn in tqdm(range(repeat), unit="repetition"):
            for case in cases:
                case.turn(turn)
    lines = [case.line() for case in cases]
    gpu = appetite(chosen.gpu_clips)
    show(lines, gpu)
    about = provenance()
    print(
        f"\nMedians of {repeat} interleaved repetitions of {BATCH} clips (dis, plain: of one), "
        f"one process, one thread, CPU time; {about['hardware']['cpu']}, {about['date']}."
    )
    content = {
        **about,
        "options": {"frames": frames, "repeat": repeat, "batch": BATCH, "repeats": REPEATS},
        "table": lines,
        "promises": {key: {"least": least} for key, least in LEAST.items()},
        "gpu": gpu,
        "seconds": {f"{c.file.name}, stride {c.stride}": dict(c.seconds) for c in cases},
    }
    write_json(chosen.out, content)
    print(f"Written: {chosen.out}")


if __name__ == "__main__":
    main()
