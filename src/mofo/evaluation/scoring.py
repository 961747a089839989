"""From the logits of single views to one row of scores for each video.

A view is one clip out of a video: a segment of time and a crop. The logits of all views of a video
are turned into probabilities first and averaged then; the average is what counts.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.clips.view_clips import ViewDataset
from mofo.datasets.video import Video
from mofo.evaluation.measures import EvaluationError
from mofo.models.classifier import Classifier
from mofo.models.inference import Engine, in_batches, run_model
from mofo.motion.records import storable
from mofo.system.files import csv_cell, replaced
from mofo.types import SettingsError

TEMPORAL, SPATIAL = 2, 3  # views of a video, where nothing else is asked for


@dataclass(frozen=True, eq=False)
class VideoScores:
    """Scores of videos.

    Attributes:
        rows: the videos, ascending rows of a catalog, that could be read.
        score: by head, float64 ``(V, classes)``: probabilities, averaged over the views.
        failures: by row, why the other videos cannot be used.
    """

    rows: list[int]
    score: dict[str, np.ndarray]
    failures: dict[int, str]

    @classmethod
    def joined(cls, parts: Sequence[VideoScores]) -> VideoScores:
        """The scores of several processes."""
        rows = np.concatenate([part.rows for part in parts]).astype(np.int64)
        order = np.argsort(rows)
        return cls(
            rows[order].tolist(),
            {
                head: np.concatenate([part.score[head] for part in parts])[order]
                for head in parts[0].score
            },
            {row: reason for part in parts for row, reason in part.failures.items()},
        )


def score_videos(
    model: Classifier,
    dataset: ViewDataset,
    rows: Sequence[int],
    engine: Engine,
    *,
    batch: int,
    workers: int = 0,
    max_failures: float = float("inf"),
    progress: bool = False,
    keep: Callable[[VideoScores], None] = lambda scores: None,
) -> VideoScores:
    """Scores some videos by all their views.

    Args:
        model: on the device of ``engine``, in evaluation mode.
        rows: the videos, ascending.
        batch: views at once; it does not change the scores.
        max_failures: it ends early with more videos than this that cannot be used.
        keep: called with the scores of the finished videos when a signal ends the work.
    """
    views = dataset.settings.views
    is_single = model.settings.labels == "single"
    total = {
        head: np.zeros((len(rows), classes)) for head, classes in model.settings.classes.items()
    }
    place = {row: number for number, row in enumerate(rows)}
    failures: dict[int, str] = {}
    seen = np.zeros(len(rows), int)  # views

    def finished() -> VideoScores:
        kept = [row for row in rows if row not in failures and seen[place[row]] == views]
        places = [place[row] for row in kept]
        return VideoScores(kept, {head: sum_VC[places] for head, sum_VC in total.items()}, failures)

    order = in_batches(rows, views, batch)
    steps = run_model(classify(model), dataset, order, engine, workers=workers, progress=progress)
    try:
        for step in steps:
            for row, reason in step.views.failures:
                failures.setdefault(row, reason)
            if len(failures) > max_failures:
                break
            if step.views.clips is None or step.output is None:
                continue
            index_B = step.views.clips.index_B.tolist()
            for head, logits_BC in step.output.items():
                exact_BC = logits_BC.double()
                share_BC = (exact_BC.softmax(-1) if is_single else exact_BC.sigmoid()).cpu().numpy()
                read = zip(index_B, share_BC, step.views.view_B.tolist(), strict=True)
                for row, share_C, view in read:
                    if not np.isfinite(share_C).all():
                        raise EvaluationError(
                            f"{dataset.videos[row].path}, view {view}: the model's scores are not "
                            "finite numbers"
                        )
                    total[head][place[row]] += share_C / views
            np.add.at(seen, [place[row] for row in index_B], 1)
    except KeyboardInterrupt:
        keep(finished())
        raise
    finally:
        steps.close()
    return finished()


def write_predictions(
    path: str | Path,
    scores: VideoScores,
    videos: Sequence[Video],
    classes: Mapping[str, Sequence[str]],
) -> None:
    """Writes a CSV table with a row for each scored video.

    Columns: path, start and end (seconds, of a segment), and for each head HEAD (several labels
    joined by ";"), prediction, and a probability for each class. With several heads the last ones
    are named ``HEAD prediction`` and ``HEAD CLASS``.
    """
    path = Path(path)
    header = ["path", "start", "end"]
    for head, names in classes.items():
        before = f"{head} " if len(classes) > 1 else ""
        header += [head, f"{before}prediction", *(f"{before}{name}" for name in names)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as half, half.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow([csv_cell(name) for name in header])
            for place, row in enumerate(scores.rows):
                video = videos[row]
                times = (video.start, video.end)
                cells = [video.path, *("" if time is None else f"{time:g}" for time in times)]
                for head, names in classes.items():
                    share_C = scores.score[head][place]
                    own = ";".join(name for kind, name in video.labels if kind == head)
                    cells += [own, names[int(share_C.argmax())], *(f"{p:.6f}" for p in share_C)]
                table.writerow([csv_cell(storable(cell)) for cell in cells])
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None


def classify(model: Classifier) -> Callable[[ClipBatch], dict[str, Tensor]]:
    """Clips to logits by head; motion area and kept tokens as the model's settings say."""

    def forward(clips: ClipBatch) -> dict[str, Tensor]:
        frames_BTHWC, motion_BN = clips.frames_BTHWC, model.motion(clips)
        groups = model.kept_groups(clips)
        if groups is None:
            logits: dict[str, Tensor] = model(frames_BTHWC, motion_BN, model.kept(clips))
            return logits
        # Clips that keep as many tokens go together; then all in their old order.
        parts = [model(frames_BTHWC[row_b], motion_BN[row_b], keep) for row_b, keep in groups]
        order_B = torch.cat([row_b for row_b, _ in groups]).argsort()
        return {head: torch.cat([part[head] for part in parts])[order_B] for head in parts[0]}

    return forward
