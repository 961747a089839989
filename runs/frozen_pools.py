"""Do pools that know the motion area help a frozen encoder? Linear probes, with controls.

    python runs/frozen_pools.py runs/out/actions/pretrain-motion ... --out runs/out/actions

The pre-trained encoders are given, one for each seed; the generated set "easy" is made as in
runs/actions.py. Pools are those of `mofo probe linear --pool`: the mean of all tokens, of those
inside the motion area, or both. Controls: the areas of other clips, and the middle of the frame;
without any area each pool is the mean of all. The test is on all videos that are not trained on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from actions import Study, options_of_study, publish
from kept_tokens import ClipSet, interval
from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import inside_tokens
from mofo.evaluation.pools import POOLS
from mofo.evaluation.probes import LabelledFeatures, LinearProbe
from mofo.training.frozen import FrozenEncoder, open_encoder

ROWS = [("mean", "any")]
ROWS += [(pool, area) for pool in ("inside", "both") for area in ("own", "another", "middle")]
GRID = (0.01, 0.1, 1.0)


def features(encoder: FrozenEncoder, clips: ClipBatch) -> dict[tuple[str, str], np.ndarray]:
    """Pooled features of all clips, by row."""
    grid = encoder.settings.grid
    parts: dict[tuple[str, str], list[torch.Tensor]] = {row: [] for row in ROWS}
    areas = encoder.motion.tokens(clips, grid, encoder.area_span)
    own_BN = inside_tokens(areas, span=encoder.area_span).flatten(1)
    middle_thw = torch.zeros(grid.t, grid.h, grid.w, dtype=torch.bool)
    middle_thw[:, grid.h // 4 : -(grid.h // 4), grid.w // 4 : -(grid.w // 4)] = True
    inside = {"own": own_BN, "any": own_BN, "another": own_BN.roll(1, 0),
              "middle": middle_thw.flatten().expand_as(own_BN)}  # fmt: skip
    for rows in torch.arange(len(clips)).split(32):
        some = clips.rows(rows.tolist())
        tokens_BND = encoder(some.frames_BTHWC)
        for pool, area in ROWS:
            made = POOLS[pool](grid, encoder.settings.width, grid.tokens)
            parts[pool, area].append(made(tokens_BND, inside[area][rows], some))
    return {row: torch.cat(found).numpy() for row, found in parts.items()}


def main() -> None:
    parser = options_of_study(__doc__, "runs/out/actions")
    parser.add_argument("encoders", nargs="+", type=Path, help="runs of a pre-training")
    args = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(args.out, 0, 1)
    study.prepare("easy", args.clips)
    clips = ClipSet(study, args.encoders[0])
    label_V = clips.task(1.0, "motion", 0).step.targets(clips.train.index_B)["label"].argmax(1)
    hits: dict[tuple[str, str], list[np.ndarray]] = {row: [] for row in ROWS}
    for path in args.encoders:
        encoder = open_encoder(path)
        train, test = (features(encoder, part) for part in (clips.train, clips.test))
        for row, found in hits.items():
            result = LinearProbe(grid=GRID).fit(
                LabelledFeatures(train[row], label_V.numpy()),
                LabelledFeatures(test[row], clips.label_V.numpy()),
            )
            found.append(result.predicted_V == result.label_V)
            print(path, *row, f"{found[-1].mean():.3f}", flush=True)
    hit = {row: np.stack(found) for row, found in hits.items()}
    lines = ["| pool | area | top-1 | to the mean of all |", "|---|---|---|---|"]
    for (pool, area), hit_SV in hit.items():
        difference = "" if area == "any" else interval(hit_SV, hit["mean", "any"])
        lines.append(f"| `{pool}` | {area} | {interval(hit_SV)} | {difference} |")
    publish("\n".join(lines) + "\n", args.markdown)


if __name__ == "__main__":
    main()
