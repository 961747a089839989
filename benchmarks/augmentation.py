"""What augmentation costs beside a fine-tuning step, and a picture of it.

    python benchmarks/augmentation.py --picture docs/images/augmentation.png

A step is forward and backward pass of the classifier in float32 on one CPU thread, without the
optimiser; step and augmentation take turns, and medians are told. The share is the upper limit of
what augmentation adds: on a GPU, both are faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from areas import provenance, write_json
from generated.clips import ClipRecipe, make_clip
from mofo.clips.batch import ClipBatch, ClipSample, collate
from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.model_settings import ModelSettings
from mofo.training.augment import Augmentation, AugmentSettings
from mofo.types import TokenGrid, hull

GRID = TokenGrid(16, 224, 224)
SMALL = TokenGrid(4, 160, 160)  # of the picture
CLASSES = 174
ORANGE = (255, 140, 0)


def clips(count: int, grid: TokenGrid, seed: int = 0) -> ClipBatch:
    """Generated clips with their true motion areas."""
    samples = []
    for clip in range(count):
        recipe = ClipRecipe(
            seed=seed + clip, width=grid.width, height=grid.height, frames=5 * grid.frames,
            area=(0.05, 0.2),
        )  # fmt: skip
        made = make_clip(recipe)
        boxes = [hull(boxes_K4) for boxes_K4 in made.boxes()[::5]]
        noise_N = np.random.default_rng([seed, clip]).random(grid.tokens, np.float32)
        samples.append(
            ClipSample(
                np.ascontiguousarray(made.video_THW3[::5]), np.stack([box.box_4 for box in boxes]),
                np.array([box.valid for box in boxes]), noise_N, clip, f"seed {clip}", 0,
            )
        )  # fmt: skip
    return collate(samples)


def costs(batch: ClipBatch, size: str, repeat: int) -> dict[str, float]:
    """Median milliseconds a clip of a step, and of each part of the augmentation."""
    model = Classifier(
        ClassifierSettings(classes={"label": CLASSES}, model=ModelSettings.named(size, grid=GRID))
    )
    targets = {"label": F.one_hot(batch.index_B, CLASSES).float()}
    inside_BN = model.motion(batch)
    off = AugmentSettings(randaugment=0, erasing=0.0, mixing=0.0)
    parts = {
        "augmentation": AugmentSettings(),
        "randaugment": off.model_copy(update={"randaugment": 4}),
        "erasing": off.model_copy(update={"erasing": 0.25}),
        "mixing": off.model_copy(update={"mixing": 1.0}),
        "area to tokens only": off,
    }

    def step() -> None:
        logits = model(batch.frames_BTHWC, inside_BN)["label"]
        F.cross_entropy(logits, targets["label"]).backward()
        model.zero_grad()

    def augment(settings: AugmentSettings) -> Callable[[], object]:
        augmentation = Augmentation(settings, GRID)
        return lambda: augmentation(batch, targets)

    cases = {"step": step, **{name: augment(settings) for name, settings in parts.items()}}
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeat):
        for name, case in cases.items():
            started = time.process_time()
            case()
            taken[name].append(1000 * (time.process_time() - started) / len(batch))
    return {name: statistics.median(times) for name, times in taken.items()}


def picture(path: Path) -> None:
    """Ten clips, two moments each, before mixing and after it, the motion area in orange."""
    batch = clips(10, SMALL, seed=1)
    targets = {"label": torch.eye(10)}
    rows = []
    for mixing in (0.0, 1.0):
        found = Augmentation(AugmentSettings(mixing=mixing), SMALL)(batch, targets)
        for first in (0, 5):
            cells = [outlined(found.frames_BTHWC[clip], found.inside_BN[clip])
                     for clip in range(first, first + 5)]  # fmt: skip
            rows.append(np.hstack(cells))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Half as large: noise and fine texture do not pack well.
    sheet = cv2.resize(np.vstack(rows), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def outlined(frames_THWC: torch.Tensor, inside_N: torch.Tensor) -> np.ndarray:
    """First and last frame beside each other, the border of the area drawn."""
    inside_hw = inside_N.view(SMALL.t, SMALL.h, SMALL.w)[0].numpy().astype(np.uint8)
    inside_HW = np.kron(inside_hw, np.ones((SMALL.patch, SMALL.patch), np.uint8))
    borders, _ = cv2.findContours(inside_HW, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    frames = [np.ascontiguousarray(frames_THWC[t].numpy()) for t in (0, -1)]
    for frame_HWC in frames:
        cv2.drawContours(frame_HWC, borders, -1, ORANGE, 2)
    return cv2.copyMakeBorder(np.hstack(frames), 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=(255,) * 3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="small", help="of the model")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    parser.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.picture:
        picture(options.picture)
        print(options.picture)
    found = costs(clips(options.batch, GRID), options.size, options.repeat)
    for name, milliseconds in found.items():
        share = milliseconds / found["step"]
        print(f"{name:20s} {milliseconds:8.1f} ms a clip {100 * share:7.2f} % of a step")
    if options.out:
        write_json(options.out, {**provenance(), "size": options.size, "milliseconds": found})
        print(options.out)


if __name__ == "__main__":
    main()
