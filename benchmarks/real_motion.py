"""How well motion areas match real videos with pixel masks of what moves.

    python benchmarks/real_motion.py DAVIS --split DAVIS/ImageSets/480p/val.txt
    python benchmarks/real_motion.py CLIPS --flow codec --json bench/real_motion.json
    python benchmarks/real_motion.py CLIPS --change every2      # the same clips at half the rate

The folder holds either DAVIS's layout (JPEGImages/480p/NAME/*.jpg, Annotations/480p/NAME/*.png;
any other folder of frames beside one of masks with --frames and --masks), or videos NAME.mp4 with
their masks in NAME.npz (array ``mask``, bool (T, H, W); or ``bits``, packed along the width, and
``width``). Frames are written to a video first, since motion areas are found in files. A video
whose name begins with "nothing-", or whose masks are empty, shows nothing but the camera's motion:
of it only ``area`` counts, and should be 0.

Printed per video and as means:
    iou, union   box of the frame against the box around the mask; the same for hulls over 16 frames
    recall       share of the mask inside the box           area   the box's share of the frame
    Jbox, Jmovers, Jfield   Jaccard with the mask of the box, of the single movers' boxes, and of
                 the motion field where it says more than a half
    APbox, APfield   average precision over 14 x 14 tokens (moving: a quarter or more is covered)
    whole, centre    iou of the whole frame and of its central half, which any method has to beat
and the field's calibration: of cells that say so much, the mean share that the mask covers.

Published on DAVIS 2016, validation, J without learning from labels: .48 to .56 for classical
methods (FST, ICCV 2013: .558), .69 to .72 for networks on flow alone (EM, OCLR), .80 to .91 with
appearance, at minutes of GPU time a clip. Those methods mark pixels; the field has 30 rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from area_scores import box_iou
from mofo.motion.analyse import analyse
from mofo.motion.presets import DetectSettings
from mofo.types import MofoError, MotionArea, TokenGrid, hull
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter

NOTHING = "nothing-"
WINDOW, STRIDE = 16, 8
SUFFIXES = (".jpg", ".jpeg", ".png")
GRID = TokenGrid(1, 14 * 16, 14 * 16, tubelet=1)
KEYS = (
    "iou", "union", "recall", "area", "truth", "Jbox", "Jmovers", "Jfield", "APbox", "APfield",
    "whole", "centre",
)  # fmt: skip
STEPS = 10  # of the calibration curve


def half(image: np.ndarray) -> np.ndarray:
    return image[::2, ::2]


def noisy(image_HW3: np.ndarray) -> np.ndarray:
    noise_HW3 = np.random.default_rng(int(image_HW3.sum())).normal(0, 6, image_HW3.shape)
    return np.clip(image_HW3 + noise_HW3, 0, 255).astype(np.uint8)


# name -> what is done to frames, and to masks; a constant chosen for these very clips would show
CHANGES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]]
CHANGES = {
    "flip": (np.fliplr, np.fliplr),
    "half": (
        lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        half,
    ),
    "noise": (noisy, np.asarray),
    "every2": (np.asarray, np.asarray),
}


def clips(folder: Path, frames: str, split: Path | None) -> Iterator[tuple[str, Path]]:
    """Name and place of every video: a file, or a folder of frames."""
    names = None
    if split is not None:
        # DAVIS's lists name pictures, such as /JPEGImages/480p/bear/00000.jpg; or plain names.
        words = [line.split()[0] for line in split.read_text().splitlines() if line.strip()]
        names = {Path(word).parent.name or word for word in words}
    places = sorted(folder.glob("*.mp4")) or sorted(
        path for path in (folder / frames).glob("*") if path.is_dir()
    )
    for place in places:
        if names is None or place.stem in names:
            yield place.stem, place
    if not places:
        raise MofoError(f"{folder}: neither videos NAME.mp4 nor folders {frames}/NAME")


def true_masks(folder: Path, name: str, masks: str) -> np.ndarray:
    """Bool ``(T, H, W)``."""
    archive = folder / f"{name}.npz"
    if archive.is_file():
        held = np.load(archive)
        if "mask" in held:
            return held["mask"].astype(bool)
        return np.unpackbits(held["bits"], axis=2, count=int(held["width"])).astype(bool)
    files = sorted((folder / masks / name).glob("*.png"))
    if not files:
        raise MofoError(f"{folder}: no masks of {name}: {archive.name} or {masks}/{name}/*.png")
    return np.stack([cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > 0 for file in files])


def as_video(place: Path, target: Path) -> Path:
    """``place`` itself, or the video of a folder of frames."""
    if place.is_file():
        return place
    files = sorted(file for file in place.iterdir() if file.suffix.lower() in SUFFIXES)
    with VideoWriter(target, fps=24, crf=16) as writer:
        for file in files:
            bgr_HW3 = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if bgr_HW3 is None:
                raise MofoError(f"{file}: not a picture that can be read")
            writer.write(cv2.cvtColor(bgr_HW3, cv2.COLOR_BGR2RGB))
    return target


def changed(path: Path, truth_THW: np.ndarray, name: str, target: Path) -> tuple[Path, np.ndarray]:
    """Another video made of a video, and its masks."""
    image_of, mask_of = CHANGES[name]
    step = 2 if name == "every2" else 1
    with VideoReader(path, colour="rgb") as reader, VideoWriter(target, fps=24, crf=16) as writer:
        for number, frame in enumerate(reader):
            if number % step == 0 and frame.image is not None:
                writer.write(np.ascontiguousarray(image_of(frame.image)))
    return target, np.stack([mask_of(mask_HW) for mask_HW in truth_THW[::step]])


def box_of(mask_HW: np.ndarray) -> np.ndarray | None:
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    if len(rows) == 0:
        return None
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def filled(boxes_K4: np.ndarray, shape_HW: tuple[int, int]) -> np.ndarray:
    mask_HW = np.zeros(shape_HW, bool)
    for x1, y1, x2, y2 in np.rint(boxes_K4).astype(int):
        mask_HW[y1:y2, x1:x2] = True
    return mask_HW


def jaccard(one_HW: np.ndarray, other_HW: np.ndarray) -> float:
    union = np.count_nonzero(one_HW | other_HW)
    return np.count_nonzero(one_HW & other_HW) / union if union else 1.0


def precision(score: np.ndarray, truth: np.ndarray) -> float:
    """Average precision; NaN if nothing is true."""
    hit = truth.ravel()[np.argsort(-score.ravel(), kind="stable")].astype(float)
    if not hit.any():
        return float("nan")
    return float((np.cumsum(hit) / np.arange(1, len(hit) + 1) * hit).sum() / hit.sum())


def tokens(image_HW: np.ndarray) -> np.ndarray:
    size = (GRID.w, GRID.h)
    return cv2.resize(image_HW.astype(np.float32), size, interpolation=cv2.INTER_AREA)


def overlap(one_4: np.ndarray | None, other_4: np.ndarray | None) -> float:
    return 0.0 if one_4 is None or other_4 is None else box_iou(one_4, other_4)


def hull_of(boxes: list[np.ndarray | None]) -> np.ndarray | None:
    given = [box_4 for box_4 in boxes if box_4 is not None]
    return hull(np.array(given)).box_4 if given else None


def judge(area: MotionArea, truth_THW: np.ndarray, curve_K2: np.ndarray) -> dict[str, float]:
    """Measures of one video; adds to the calibration curve: covered share, and cells, by step."""
    frames, (height, width) = min(len(area), len(truth_THW)), truth_THW.shape[1:]
    scale = np.array([width / area.width, height / area.height] * 2)
    ours = [area.box_T4[t] * scale if area.valid_T[t] else None for t in range(frames)]
    true = [box_of(truth_THW[t]) for t in range(frames)]
    whole_4 = np.array([0, 0, width, height], np.float32)
    centre_4 = whole_4[[2, 3, 2, 3]] * np.array([0.25, 0.25, 0.75, 0.75], np.float32)
    rows: dict[str, list[float]] = {key: [] for key in KEYS}
    for t in range(frames):
        box_HW = filled(np.array([b for b in (ours[t],) if b is not None]), (height, width))
        rows["area"].append(box_HW.mean())
        if true[t] is None:
            continue
        mask_HW, moving_hw = truth_THW[t], tokens(truth_THW[t]) > 0.25
        movers_HW = filled(area.movers[t] * scale, (height, width))
        values = {
            "iou": overlap(ours[t], true[t]),
            "recall": np.count_nonzero(box_HW & mask_HW) / np.count_nonzero(mask_HW),
            "truth": mask_HW.mean(),
            "Jbox": jaccard(box_HW, mask_HW),
            "Jmovers": jaccard(movers_HW, mask_HW),
            "APbox": precision(tokens(box_HW), moving_hw),
            "whole": overlap(whole_4, true[t]),
            "centre": overlap(centre_4, true[t]),
        }
        if area.field_Tyx is not None:
            field_yx = area.field_Tyx[t].astype(np.float32) / 255
            fine_HW = cv2.resize(field_yx, (width, height), interpolation=cv2.INTER_LINEAR)
            values["Jfield"] = jaccard(fine_HW > 0.5, mask_HW)
            values["APfield"] = precision(area.tokens(GRID, np.array([t])), moving_hw)
            size = field_yx.shape[::-1]
            covered_yx = cv2.resize(mask_HW.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            step_yx = np.minimum((field_yx * STEPS).astype(int), STEPS - 1).ravel()
            curve_K2[:, 0] += np.bincount(step_yx, covered_yx.ravel(), STEPS)
            curve_K2[:, 1] += np.bincount(step_yx, minlength=STEPS)
        for key, value in values.items():
            rows[key].append(float(value))
    rows["union"] = [
        overlap(hull_of(ours[s : s + WINDOW]), hull_of(true[s : s + WINDOW]))
        for s in range(0, frames - WINDOW + 1, STRIDE)
        if hull_of(true[s : s + WINDOW]) is not None
    ]
    return {key: float(np.nanmean(values)) if values else np.nan for key, values in rows.items()}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--flow", default="", help="empty: the preset's own")
    parser.add_argument("--frames", default="JPEGImages/480p", help="folders of frames")
    parser.add_argument("--masks", default="Annotations/480p", help="folders of masks")
    parser.add_argument("--split", type=Path, help="list of names; all without it")
    parser.add_argument("--change", choices=tuple(CHANGES), help="judge the clips so changed")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    chosen = options()
    settings = DetectSettings(preset=chosen.preset, flow=chosen.flow)
    rows: dict[str, dict[str, float]] = {}
    curve_K2 = np.zeros((STEPS, 2))
    print(f"{'':20}" + "".join(f"{key:>8}" for key in KEYS))
    with tempfile.TemporaryDirectory() as scratch:
        found = clips(chosen.folder, chosen.frames, chosen.split)
        for name, place in found:
            truth_THW = true_masks(chosen.folder, name, chosen.masks)
            path = as_video(place, Path(scratch) / f"{name}.mp4")
            if chosen.change:
                other = Path(scratch) / f"{name}-{chosen.change}.mp4"
                path, truth_THW = changed(path, truth_THW, chosen.change, other)
            area = analyse(path, settings)
            rows[name] = judge(area, truth_THW, curve_K2)
            print(f"{name:20}" + "".join(f"{rows[name][key]:8.2f}" for key in KEYS), flush=True)
    moving = [row for name, row in rows.items() if not np.isnan(row["truth"])]
    means = {key: float(np.mean([row[key] for row in moving])) for key in KEYS} if moving else {}
    print(f"{'mean with movers':20}" + "".join(f"{means.get(key, np.nan):8.3f}" for key in KEYS))
    covered_K = curve_K2[:, 0] / np.maximum(curve_K2[:, 1], 1)
    print("\nfield says    " + "".join(f"{(k + 0.5) / STEPS:7.2f}" for k in range(STEPS)))
    print("mask covers   " + "".join(f"{share:7.2f}" for share in covered_K))
    if chosen.json:
        content = {"settings": vars(settings), "videos": rows, "means": means,
                   "calibration": covered_K.tolist()}  # fmt: skip
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
