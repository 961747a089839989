"""The forward step of a fine-tuning: augmentation, classifier, loss; and labels as targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from mofo.clips.batch import ClipBatch, ClipSample, collate
from mofo.clips.labels import LabelTable
from mofo.models.classifier import ClassifierSettings, inside_of, motion_of
from mofo.models.encoder import keeps_slots
from mofo.models.heads import label_loss
from mofo.training.augment.augmentation import Augmentation, Augmented, Plan
from mofo.training.finetune_settings import AugmentSettings, LabelLossSettings
from mofo.training.tasks import StepOutput


class Targets:
    """The labels of a catalog's rows, looked up where the batch is."""

    def __init__(self, labels: LabelTable) -> None:
        self.labels = labels
        # Numbers of the classes, padded by the number that is one too many: (rows, largest count).
        self._table = {head: _padded(rows, len(labels.classes[head]))
                       for head, rows in labels.numbers.items()}  # fmt: skip

    def __call__(self, index_B: Tensor) -> dict[str, Tensor]:
        """Float (B, classes) by head: 1 for each class of a row."""
        targets = {}
        for head, table_RM in self._table.items():
            if table_RM.device != index_B.device:
                table_RM = self._table[head] = table_RM.to(index_B.device)
            classes = len(self.labels.classes[head])
            blank_BC = torch.zeros(len(index_B), classes + 1, device=index_B.device)
            targets[head] = blank_BC.scatter(1, table_RM[index_B], 1.0)[:, :classes]
        return targets


@dataclass(frozen=True, eq=False)
class PlannedBatch(ClipBatch):
    """A batch, and what is to happen to each of its clips. ``plan``: see ``Augmentation.plan``."""

    plan: Plan | None = None


class PlannedCollate:
    """Makes planned batches of samples, where they are read: a GPU is not waited for then."""

    def __init__(self, augmentation: Augmentation) -> None:
        self._augmentation = augmentation

    def __call__(self, samples: Sequence[ClipSample]) -> PlannedBatch:
        """As ``collate``."""
        batch = collate(samples)
        parts = {field.name: getattr(batch, field.name) for field in fields(batch)}
        return PlannedBatch(**parts, plan=self._augmentation.plan(batch.noise_BN))


class FinetuneStep:
    """Augments a batch and computes the loss."""

    def __init__(
        self,
        model: ClassifierSettings,
        augment: AugmentSettings,
        loss: LabelLossSettings,
        targets: Targets,
    ) -> None:
        self._loss, self.targets, self._model = loss, targets, model
        self.augmentation = Augmentation(
            augment,
            model.model.grid,
            model.area_span,
            model.motion,
            model.motion_threshold,
            gives_motion=model.tokens.uses_motion,
        )

    def augmented(self, batch: ClipBatch) -> Augmented:
        """What the model gets of a batch."""
        plan = batch.plan if isinstance(batch, PlannedBatch) else None
        return self.augmentation(batch, self.targets(batch.index_B), plan)

    def __call__(self, model: nn.Module, batch: ClipBatch) -> StepOutput:
        """Returns the loss of a batch on the model's device.

        Metrics: "area", the share of the tokens inside the motion area; "still", the share of the
        clips without motion; "top1_NAME", the share of the clips whose largest logit of a head is
        a class that they have, mixed ones included.
        """
        clips = self.augmented(batch)
        tokens, sizes, keep_BV = self._model.tokens, self._model.model, None
        if tokens.leaves_out:
            inputs = clips.frames_BTHWC, clips.motion_Bthw, batch.noise_BN
            keep_BV = tokens.choose(sizes.grid, *inputs, per_slot=keeps_slots(sizes))
        logits = model(clips.frames_BTHWC, clips.inside_BN, keep_BV)
        loss = label_loss(logits, clips.targets, self._loss.labels, self._loss.smoothing)
        inside_BN = clips.inside_BN
        metrics = {
            "area": inside_BN.float().mean(),
            "still": (~inside_BN.any(1)).float().mean(),
        }
        for head, values_BC in logits.items():
            metrics[f"top1_{head}"] = hits(values_BC, clips.targets[head]).mean()
        return StepOutput(loss, metrics)


def score(
    model: nn.Module, settings: ClassifierSettings, batch: ClipBatch
) -> tuple[dict[str, Tensor], Tensor]:
    """Logits by head of clips as they are, and the tokens inside their areas (B, N)."""
    inside_BN, sizes = inside_of(settings, motion_of(settings, batch)), settings.model
    keep_BV = settings.tokens.of_clips(batch, sizes.grid, per_slot=keeps_slots(sizes))
    return model(batch.frames_BTHWC, inside_BN, keep_BV), inside_BN


def hits(logits_BC: Tensor, target_BC: Tensor) -> Tensor:
    """For each row the target's value at its largest logit: 1 for a hit."""
    return target_BC.gather(1, logits_BC.detach().argmax(1, keepdim=True)).squeeze(1)


def case_of(targets: Targets, batch: ClipBatch) -> dict[str, Any]:
    """The labels of a batch, as JSON; see ``targets_of``."""
    rows = batch.index_B.tolist()
    labels = targets.labels
    return {
        "several": labels.several,
        "classes": {head: list(names) for head, names in labels.classes.items()},
        "numbers": {
            head: {str(row): list(labels.numbers[head][row]) for row in rows}
            for head in labels.classes
        },
    }


def targets_of(case: Mapping[str, Any]) -> Targets:
    """The labels that ``case_of`` gave; those of all other rows are empty."""
    rows = {int(row) for numbers in case["numbers"].values() for row in numbers}
    every = range(max(rows, default=-1) + 1)
    return Targets(
        LabelTable(
            {head: tuple(names) for head, names in case["classes"].items()},
            {
                head: tuple(tuple(numbers.get(str(row), ())) for row in every)
                for head, numbers in case["numbers"].items()
            },
            case["several"],
        )
    )


def _padded(rows: tuple[tuple[int, ...], ...], blank: int) -> Tensor:
    length = max(map(len, rows), default=1) or 1
    return torch.tensor([list(row) + [blank] * (length - len(row)) for row in rows])
