"""What masks get of real motion: the share of windows that spill, with boxes and with the field.

    python benchmarks/token_motion.py VIDEO... --json figures.json

Each video is cut into windows of 16 frames at strides 2 and 4, motion is found on the way, and one
``motion`` mask is made of each window: tubes by the box of the clip (the paper's), tubes by the
field, and slot by slot by the field. "spill": the asked share of hidden tokens inside was
impossible. Ratios are means over the windows with motion.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from mofo.clips.batch import ClipBatch, collate
from mofo.clips.token_area import MotionSettings
from mofo.clips.view_clips import ViewDataset, ViewSettings
from mofo.datasets.catalog import read_catalog
from mofo.masking import MaskSettings, make_mask, mask_shares
from mofo.types import TokenGrid

GRID = TokenGrid(16, 224, 224)
STRIDES = (2, 4)
CASES: dict[str, tuple[str, MaskSettings]] = {
    "box, tubes": ("box", MaskSettings()),
    "field, tubes (mean)": ("field", MaskSettings(join="mean")),
    "field, tubes (max)": ("field", MaskSettings(join="max")),
    "field, slot by slot": ("field", MaskSettings(per_slot=True)),
}


def windows(sources: list[str], motion: str, stride: int, several: int) -> Iterator[ClipBatch]:
    """Windows of all videos, one at a time."""
    settings = ViewSettings(grid=GRID, stride=stride, temporal=several, spatial=1, motion=motion)
    dataset = ViewDataset(read_catalog(sources).videos, settings)
    for row in range(len(dataset.videos)):
        for view in range(several):
            clip = dataset[row, view].clip
            if clip is not None:
                yield collate([clip])


def figures(clips: list[ClipBatch]) -> dict[str, dict[str, float]]:
    """Spill and ratios of each case, over windows with motion in the box of the clip."""
    results = {}
    noise_BN = torch.rand(len(clips), GRID.tokens, generator=torch.Generator().manual_seed(0))
    for name, (shape, settings) in CASES.items():
        strategy, rows = settings.build(GRID), []
        for number, clip in enumerate(clips):
            motion = MotionSettings(shape=shape).tokens(clip, GRID, strategy.area_span)
            inside = strategy.inside(motion)
            if not inside.any():
                continue
            mask = make_mask(settings, GRID, motion, noise_BN[number : number + 1])
            shares = mask_shares(mask.hidden_BN, inside)
            spill = float(strategy.spilled(motion).float().mean())
            rows.append(
                [spill, *map(float, (shares.area, shares.hidden_inside, shares.visible_inside))]
            )
        means = torch.tensor(rows).mean(0).tolist() if rows else [float("nan")] * 4
        results[name] = dict(
            zip(("spill", "area", "inside_ratio", "visible_inside_ratio"), means, strict=True)
        ) | {"windows": len(rows)}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sources", nargs="+", help="videos or folders of them")
    parser.add_argument("--motion", default="dis", help="motion source, or a store's folder")
    parser.add_argument("--windows", type=int, default=3, help="of each video and stride")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results = {}
    for stride in STRIDES:
        clips = list(windows(options.sources, options.motion, stride, options.windows))
        results[f"stride {stride}"] = figures(clips)
        print(f"stride {stride}, {len(clips)} windows")
        for name, row in results[f"stride {stride}"].items():
            text = "  ".join(f"{key} {value:.3f}" for key, value in row.items())
            print(f"  {name:22} {text}")
        sys.stdout.flush()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
