"""A classifier at work on views: batches in, logits out, on whatever device there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.clips.loader import batches
from mofo.clips.view_clips import ViewDataset, collate_views
from mofo.models.classifier import Classifier
from mofo.system.environment import pick_device
from mofo.types import SettingsError


class Scorer:
    """A model on a device.

    Args:
        model: is moved there.
        device: None: a GPU if there is one.
        precision: "fp32", "bf16", or "auto": bf16 on a GPU.

    Raises:
        SettingsError: an unknown precision.
    """

    def __init__(
        self,
        model: Classifier,
        *,
        device: torch.device | str | None = None,
        precision: str = "auto",
    ) -> None:
        self.device, self.precision = pick_device(device, precision)
        self.model = model.to(self.device).eval()

    def inside(self, clips: ClipBatch) -> Tensor:
        """Tokens inside the motion areas, bool (B, N), on the CPU."""
        return self.model.area(clips.box_BT4, clips.valid_BT)

    @torch.inference_mode()
    def __call__(self, clips: ClipBatch) -> dict[str, np.ndarray]:
        """Logits of each head, float32 (B, classes)."""
        inside_BN = self.inside(clips)
        frames_BTHWC = clips.frames_BTHWC.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.model(frames_BTHWC, inside_BN.to(self.device))
        return {head: values.float().cpu().numpy() for head, values in logits.items()}


@dataclass(frozen=True, eq=False)
class ViewScores:
    """Scores of views.

    Attributes:
        row_R, view_R: int64, which video and which of its views.
        logits: by head, float32 (R, classes).
        failures: ``(row, reason)`` of the videos that cannot be used, each once.
    """

    row_R: np.ndarray
    view_R: np.ndarray
    logits: dict[str, np.ndarray]
    failures: tuple[tuple[int, str], ...]

    def of(self, rows: Sequence[int]) -> ViewScores:
        """The scores of some videos, which are counted from 0 in the order given."""
        place = {row: number for number, row in enumerate(rows)}
        kept = np.array([row in place for row in self.row_R.tolist()], bool)
        return ViewScores(
            np.array([place[row] for row in self.row_R[kept].tolist()], np.int64),
            self.view_R[kept],
            {head: values[kept] for head, values in self.logits.items()},
            (),
        )


def score_views(
    scorer: Scorer,
    dataset: ViewDataset,
    rows: Sequence[int],
    *,
    batch: int,
    workers: int = 0,
    most_failures: float = float("inf"),
    done: Callable[[int], Any] = lambda views: None,
) -> ViewScores:
    """Scores all views of some videos.

    Args:
        scorer: the model.
        dataset: the views.
        rows: the videos.
        batch: views at once.
        workers: processes that read.
        most_failures: with more videos than this that cannot be used it ends early.
        done: is told how many views were done since the last call.

    Raises:
        SettingsError: the batch is no positive number.
        MofoError: as the dataset raises it.
    """
    if batch < 1 or workers < 0:
        raise SettingsError(f"batch {batch}, workers {workers}: expected 1 or more, 0 or more")
    views = dataset.settings.views
    keys = [(row, view) for row in rows for view in range(views)]
    order = [keys[start : start + batch] for start in range(0, len(keys), batch)]
    counts = scorer.model.settings.classes
    parts: dict[str, list[np.ndarray]] = {head: [] for head in counts}
    row_R: list[int] = []
    view_R: list[int] = []
    failures: dict[int, str] = {}
    pin = scorer.device.type == "cuda"
    read = batches(dataset, order, collate_views, workers=min(workers, len(order)), pin=pin)
    try:
        for asked, found in zip(order, read, strict=True):
            if found.clips is not None:
                for head, values in scorer(found.clips).items():
                    parts[head].append(values)
                row_R += found.clips.index_B.tolist()
                view_R += found.view_B.tolist()
            for row, reason in found.failures:
                failures.setdefault(row, reason)
            done(len(asked))
            if len(failures) > most_failures:
                break
    finally:
        read.close()  # ends the workers
    logits = {
        head: np.concatenate([np.zeros((0, counts[head]), np.float32), *several])
        for head, several in parts.items()
    }
    return ViewScores(
        np.array(row_R, np.int64), np.array(view_R, np.int64), logits, tuple(failures.items())
    )


def joined(parts: Sequence[ViewScores]) -> ViewScores:
    """The scores of several processes."""
    first = parts[0]
    return ViewScores(
        np.concatenate([part.row_R for part in parts]),
        np.concatenate([part.view_R for part in parts]),
        {head: np.concatenate([part.logits[head] for part in parts]) for head in first.logits},
        tuple(failure for part in parts for failure in part.failures),
    )
