"""Whether movers keep their numbers: IDF1 on generated clips, by motmetrics.

    python benchmarks/identities.py --clips 40

Beside it: numbers by the truth, which is all that the boxes allow; a mover's place in the list of
its frame; and a number of its own for each box.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import motmetrics
import numpy as np

from area_scores import box_iou
from generated.clips import ClipRecipe, SyntheticClip, make_clip, write_clip
from mofo.motion.detect import detect
from mofo.motion.identities import identities
from mofo.types import MotionArea, hull

CAMERAS = ("static", "pan", "handheld")
LEAST_IOU = 0.5  # as MOTChallenge has it


def truth(clip: SyntheticClip) -> list[dict[int, np.ndarray]]:
    """Of each frame, the boxes of the movers that move, by number."""
    frames = []
    for label_HW, moving_K in zip(clip.label_THW, clip.moving_TK, strict=True):
        boxes = {}
        for k in np.flatnonzero(moving_K).tolist():
            y_P, x_P = np.nonzero(label_HW == k + 1)
            if len(y_P):
                corners = np.stack([x_P, y_P, x_P + 1, y_P + 1], 1)
                boxes[k + 1] = hull(corners).box_4
        frames.append(boxes)
    return frames


def accumulated(
    known: list[dict[int, np.ndarray]], found: list[dict[int, np.ndarray]]
) -> motmetrics.MOTAccumulator:
    """What motmetrics scores; its own distances do not work with NumPy 2."""
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for truth_boxes, boxes in zip(known, found, strict=True):
        gap_MK = np.full((len(truth_boxes), len(boxes)), np.nan)
        for m, one_4 in enumerate(truth_boxes.values()):
            for k, other_4 in enumerate(boxes.values()):
                iou = box_iou(one_4, other_4)
                if iou >= LEAST_IOU:
                    gap_MK[m, k] = 1 - iou
        accumulator.update(list(truth_boxes), list(boxes), gap_MK)
    return accumulator


def numbered(
    area: MotionArea, kind: str, known: list[dict[int, np.ndarray]]
) -> list[dict[int, np.ndarray]]:
    if kind == "mofo":
        numbers = identities(area)
    elif kind == "by the truth":
        numbers = [
            np.array([_true_number(box_4, boxes, 100 + k) for k, box_4 in enumerate(boxes_K4)])
            for boxes_K4, boxes in zip(area.movers, known, strict=True)
        ]
    elif kind == "each its own":
        ends = np.cumsum([len(boxes_K4) for boxes_K4 in area.movers])
        numbers = [
            np.arange(end - len(b_K4), end) + 1 for end, b_K4 in zip(ends, area.movers, strict=True)
        ]
    else:  # its place in the frame's list
        numbers = [np.arange(len(boxes_K4)) + 1 for boxes_K4 in area.movers]
    return [
        dict(zip(n.tolist(), boxes, strict=True))
        for n, boxes in zip(numbers, area.movers, strict=True)
    ]


def _true_number(box_4: np.ndarray, known: dict[int, np.ndarray], other: int) -> int:
    """The number of the true box that overlaps most, if by enough."""
    best = max(known, key=lambda number: box_iou(box_4, known[number]), default=None)
    return other if best is None or box_iou(box_4, known[best]) < LEAST_IOU else best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seed", type=int, default=900_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    kinds = ("mofo", "by the truth", "place in the list", "each its own")
    pairs: dict[str, list] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.clips):
            recipe = ClipRecipe(
                seed=options.seed + number,
                camera=CAMERAS[number % len(CAMERAS)],
                movers=1 + number % 3,
                area=(0.02, 0.10),
                pauses=number % 2 == 1,
            )
            clip = make_clip(recipe)
            write_clip(clip, Path(folder, "clip.mp4"))
            area, known = detect(Path(folder, "clip.mp4")), truth(clip)
            for kind in kinds:
                pairs[kind].append(accumulated(known, numbered(area, kind, known)))
    metrics = motmetrics.metrics.create()
    wanted = ["idf1", "idp", "idr", "mota", "num_switches", "num_unique_objects"]
    results = {}
    for kind in kinds:
        table = metrics.compute_many(pairs[kind], metrics=wanted, generate_overall=True)
        results[kind] = {name: float(table.loc["OVERALL", name]) for name in wanted}
        print(f"{kind:18}", "  ".join(f"{n} {v:.3g}" for n, v in results[kind].items()))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
