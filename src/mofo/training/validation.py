"""Validation within a run: one clip of each video, every video once, whatever the processes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mofo.clips.view_clips import ViewDataset
from mofo.models.classifier import ClassifierSettings
from mofo.models.heads import label_loss
from mofo.models.inference import Engine, in_batches, run_model
from mofo.training.finetune_step import Targets, hits, score
from mofo.types import MofoError

FILLING = [(0, 0)]  # a batch that does not count; told by its identity


class Validation:
    """Measures a classifier on the middle clip of each video."""

    def __init__(
        self,
        dataset: ViewDataset,
        targets: Targets,
        model: ClassifierSettings,
        labels: str,
        batch: int,
        workers: int,
    ) -> None:
        self.dataset, self._targets, self._model = dataset, targets, model
        self._labels, self._batch, self._workers = labels, batch, workers

    def __len__(self) -> int:
        return len(self.dataset)

    def __call__(
        self, model: nn.Module, accelerator: Accelerator, stop: Callable[[], bool]
    ) -> dict[str, float]:
        """Metrics by name, none if ``stop`` says so; every process of the run takes part.

        "loss": cross-entropy without smoothing; "top1", the share of videos that are right in all
        heads, and "top1_NAME" of each where there are several; "error", of which the best
        checkpoint has least: 1 - top1, or the loss where a video may have several classes. A video
        that cannot be read does not count; "videos" do.
        """
        engine = Engine.of(accelerator)
        order = self.order(engine)
        # How many videos, their loss, hits in all heads, hits in each.
        total_X = torch.zeros(3 + len(self._targets.labels.classes), device=engine.device)
        reason = ""
        steps = run_model(
            lambda clips: self._sums(clips.index_B, score(model, self._model, clips)[0]),
            self.dataset,
            order,
            engine,
            workers=self._workers,
            every_batch=True,
        )
        for keys, step in zip(order, steps, strict=True):
            for row, text in step.views.failures:
                reason = reason or f"{self.dataset.videos[row].path}: {text}"
            if step.output is not None and keys is not FILLING:
                total_X += step.output
            if stop():
                steps.close()
                return {}
        videos, *sums = accelerator.reduce(total_X, "sum").tolist()
        if not videos:
            raise MofoError(
                f"{reason}; none of {len(self)} videos to validate on can be read: look at the "
                "files with `mofo detect`"
            )
        loss, *right = (value / videos for value in sums)
        metrics = {"videos": videos, "loss": loss}
        if self._labels != "single":
            return {**metrics, "error": loss}
        metrics["top1"] = right[0]
        heads = list(self._targets.labels.classes)
        if len(heads) > 1:
            metrics |= {f"top1_{head}": top1 for head, top1 in zip(heads, right[1:], strict=True)}
        return {**metrics, "error": 1 - metrics["top1"]}

    def order(self, engine: Engine) -> list[list[tuple[int, int]]]:
        """Batches of this process's rows; for all processes as many.

        The last ones are filled up, and what fills them does not count: a model that is divided
        over the processes is to be run equally often by all.
        """
        order = in_batches(engine.share(range(len(self))), 1, self._batch)
        share = -(-len(self) // engine.processes)
        missing = -(-share // self._batch) - len(order)
        return [*order, *[FILLING] * missing]

    def _sums(self, index_B: Tensor, logits: dict[str, Tensor]) -> Tensor:
        """Sums over clips: how many, loss, hits in all heads, hits in each."""
        targets = self._targets(index_B.clamp(min=0))
        loss = label_loss(logits, targets, self._labels) * len(index_B)
        right_HB = torch.stack([hits(logits[head], targets[head]) for head in logits])
        sums = [loss, right_HB.prod(0).sum(), *right_HB.sum(1)]
        return torch.stack([torch.full_like(loss, len(index_B)), *sums]).float()
