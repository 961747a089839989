"""Validation within a run: one clip of each video, every video once, whatever the processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import Sampler

from mofo.clips.batch import ClipBatch
from mofo.clips.dataset import ClipDataset
from mofo.clips.loader import clip_batches
from mofo.models.classifier import ClassifierSettings
from mofo.models.heads import label_loss
from mofo.training.finetune_step import Targets, hits, score


class Validation:
    """Measures a classifier on the middle clip of each video.

    Args:
        dataset: without anything random.
        targets: of its rows.
        model: sizes of the classifier.
        labels: "single" or "multi".
        batch: clips at once.
        workers: processes that read.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        targets: Targets,
        model: ClassifierSettings,
        labels: str,
        batch: int,
        workers: int,
    ) -> None:
        self._dataset, self._targets, self._model = dataset, targets, model
        self._labels, self._batch, self._workers = labels, batch, workers

    def __len__(self) -> int:
        return len(self._dataset)

    @torch.no_grad()
    def __call__(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        """Measures by name; every process of the run takes part.

        "loss": cross-entropy without smoothing; "top1", the share of videos that are right in all
        heads, and "top1_NAME" of each where there are several; "error", what the best checkpoint
        has least of: 1 - top1, or the loss where a video may have several classes. A video that
        cannot be read does not count; "videos" do.
        """
        order = _Shares(len(self._dataset), accelerator, self._batch)
        pin = accelerator.device.type == "cuda"
        workers = min(self._workers, len(order))
        batches = clip_batches(self._dataset, order, workers=workers, pin=pin)
        # How many videos, their loss, hits in all heads, hits in each.
        total_X = torch.zeros(3 + len(self._targets.labels.classes), device=accelerator.device)
        for rows, batch in zip(order.rows(), batches, strict=True):
            # What stands in for a video that cannot be read has another row than was asked for.
            pairs = zip(rows, batch.index_B.tolist(), strict=False)
            counted = [k for k, (asked, given) in enumerate(pairs) if asked == given]
            with accelerator.autocast():
                total_X += self._pass(model, batch.to(accelerator.device), counted)
        summed_X: Tensor = accelerator.reduce(total_X, "sum")
        videos, *_ = summed_X.tolist()
        if not videos:
            return {}
        _, loss, *right = (summed_X / videos).tolist()
        heads = list(self._targets.labels.classes)
        found = {"videos": videos, "loss": loss}
        if self._labels != "single":
            return {**found, "error": loss}
        found["top1"] = right[0]
        if len(heads) > 1:
            found |= {f"top1_{head}": value for head, value in zip(heads, right[1:], strict=True)}
        return {**found, "error": 1 - found["top1"]}

    def _pass(self, model: nn.Module, batch: ClipBatch, counted: list[int]) -> Tensor:
        """Sums over the counted clips: how many, loss, hits in all heads, hits in each."""
        logits, _ = score(model, self._model, batch)
        kept = torch.tensor(counted, dtype=torch.int64, device=batch.index_B.device)
        logits = {head: values[kept] for head, values in logits.items()}
        targets = {head: values[kept] for head, values in self._targets(batch.index_B).items()}
        loss = label_loss(logits, targets, self._labels) * len(kept)
        right_HB = torch.stack([hits(logits[head], targets[head]) for head in logits])
        sums = [loss, right_HB.prod(0).sum(), *right_HB.sum(1)]
        return torch.stack([torch.full_like(loss, len(kept)), *sums]).float()


class _Shares(Sampler[list[tuple[int, int]]]):
    """Each process's rows, in batches; as many of the same size for all."""

    def __init__(self, rows: int, accelerator: Accelerator, batch: int) -> None:
        super().__init__()
        self._rows, self._batch = rows, batch
        self._rank, self._processes = accelerator.process_index, accelerator.num_processes

    def __len__(self) -> int:
        return -(-self._rows // (self._batch * self._processes))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number in range(len(self)):
            own = self._own(number)
            # The last ones are filled up: under FSDP all processes ask the model equally often.
            yield [(0, row) for row in (own or [0])]

    def rows(self) -> Iterator[list[int]]:
        """The rows of each batch that count."""
        return (self._own(number) for number in range(len(self)))

    def _own(self, number: int) -> list[int]:
        first = (number * self._processes + self._rank) * self._batch
        return list(range(first, min(first + self._batch, self._rows)))
