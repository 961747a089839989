"""Stage: a labelled set of generated clips, and what motion areas are found in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mofo.datasets.catalog import Video, read_catalog
from mofo.demo.scale import DemoScale
from mofo.demo.stage import Found, Stage
from mofo.evaluation.area_scores import frame_ious
from mofo.evaluation.measures import mean_interval
from mofo.motion.detect import detect_many
from mofo.motion.store import AreaStore
from mofo.synth.actions.dataset_writer import ActionSetSettings, write_action_set

LEVEL = "easy"


class ClipSet:
    """Where everything about the generated set lies."""

    def __init__(self, out: Path) -> None:
        self.folder = out / "clips"
        self.table = self.folder / "videos.csv"
        self.truth = self.folder / "areas"
        self.areas = self.folder / "detected"

    def test_videos(self) -> list[Video]:
        """The clips that no training sees."""
        return [video for video in read_catalog([self.table]) if video.split == "test"]


def clip_stage(out: Path, scale: DemoScale, progress: bool) -> Stage:
    """Cut-outs of real video move over stills of it; the class is how they move."""
    made = ClipSet(out)

    def work() -> Found:
        settings = ActionSetSettings(
            level=LEVEL, clips=scale.clips, seed=scale.seed, size=scale.size
        )
        workers = 0 if scale.clips < 100 else None  # processes take longer to start
        shown = progress and sys.stderr.isatty()
        with tqdm(total=scale.clips, unit="clip", disable=not shown, dynamic_ncols=True) as bar:
            report = write_action_set(made.folder, settings, workers=workers, progress=bar.update)
        detect_many(made.table, made.areas, workers=workers, progress=progress)
        about = json.loads((made.folder / "about.json").read_text(encoding="utf-8"))
        iou, moving = _found_areas(made, scale.draws)
        return {
            "counts": report.counts, "classes": about["classes"], "iou": iou, "moving": moving,
        }  # fmt: skip

    def told(found: Found) -> list[str]:
        counts = ", ".join(f"{count} {split}" for split, count in found["counts"].items())
        mean, low, high = found["iou"]
        return [
            f"{sum(found['counts'].values())} clips ({counts}), {len(found['classes'])} classes",
            f"motion is found in {100 * found['moving']:.0f} % of the test clips; overlap with the",
            f"exact areas (IoU: 0 none, 1 the same) over all of them: {mean:.2f} "
            f"[{low:.2f}, {high:.2f}]",
            f"clips and their list:    {made.table}",
        ]

    return Stage(
        name="clips",
        title="a labelled set of generated clips",
        about=(
            "Things move over real footage, and the label is how: left, right, up, down, towards,",
            "away, clockwise, counterclockwise. No single frame gives the class away.",
        ),
        made_with={"level": LEVEL, "clips": scale.clips, "size": scale.size, "seed": scale.seed},
        work=work,
        told=told,
        files=(made.table, made.areas / "areas"),
        again=False,
    )


def _found_areas(made: ClipSet, draws: int) -> tuple[list[float], float]:
    """Mean IoU over the test clips with its interval; the share of them with any area."""
    with AreaStore.open(made.truth) as truth, AreaStore.open(made.areas) as found:
        keys = [video.key for video in made.test_videos() if video.key in found]
        ious = [np.mean(frame_ious(found[key].movers, truth[key].movers)) for key in keys]
        moving = [found[key].valid_T.any() for key in keys]
    interval = mean_interval(np.array(ious), draws=draws)
    return list(interval), float(np.mean(moving))
