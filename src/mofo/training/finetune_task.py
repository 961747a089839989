"""Fine-tuning from a recipe: what of a run is about labels."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import Sampler

from mofo.clips.batch import ClipBatch
from mofo.clips.dataset import ClipDataset, ClipSettings
from mofo.clips.labels import LabelError, LabelTable, labelled
from mofo.clips.sources import MotionChoice
from mofo.clips.transforms import CropSettings
from mofo.datasets.catalog import Catalog, read_catalog
from mofo.datasets.label_faults import label_faults
from mofo.datasets.video import Video
from mofo.models.classifier import Classifier, ClassifierSettings, load_encoder
from mofo.models.model_settings import ModelSettings
from mofo.models.saved_settings import plain_classifier
from mofo.system.processes import usable_cpus
from mofo.training.choice import balanced_shares, few_of_each
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.finetune_step import FinetunePass, PlannedTogether, Targets, case_of
from mofo.training.layer_decay import freeze, layer_groups
from mofo.training.order import Division, SampleOrder
from mofo.training.run import Run
from mofo.training.same_run import digest
from mofo.training.saved_models import Sampling, encoder_weights
from mofo.training.task import RunReport
from mofo.training.validation import Validation
from mofo.types import SettingsError

TRAIN, VALIDATION = "train", "validation"
_DOUBTFUL = ("two labels", "classes alike")


def finetune(settings: FinetuneSettings, *, progress: bool = False) -> RunReport:
    """Trains a classifier, from the last checkpoint in ``settings.run.out`` if there is one.

    With the same settings, any interruption leaves the sequence of losses as it would have been.
    Checkpoints are validated when they are made; the best one is kept and named in ``best.json``.

    Args:
        settings: the recipe.
        progress: show a bar.

    Raises:
        SettingsError: settings that are impossible, or not those of the run in ``run.out``.
        LabelError: labels that are missing or unknown.
        CheckpointError: a checkpoint cannot be written or read, ``model.init`` included.
        NotFiniteError: the loss is no number; batch and state are in a file.
        TooManyUnreadableError: see ``data.max_unreadable``.
    """
    return Run(_Finetuning(settings), progress=progress).go()


class _Finetuning:
    """The task; see ``Task``."""

    kind = "finetune"

    def __init__(self, settings: FinetuneSettings) -> None:
        self.settings = settings
        data, run = settings.data, settings.run
        self.average, self.patience = settings.optim.ema_decay, settings.optim.early_stop_patience
        self._notes: list[str] = []
        catalog = read_catalog(data.source)
        if data.flip and catalog.flip is False:
            raise SettingsError(
                f"data.flip: labels of {', '.join(data.source)} know left from right, and would be "
                "wrong for mirrored clips: set data.flip to false"
            )
        train, held_out, classes = self._split(catalog)
        several = settings.loss.labels == "multi"
        labels = LabelTable.of(train, data.heads, classes, several=several)
        if data.per_class:
            rows = few_of_each(labels, data.heads[0], data.per_class, run.seed)
            train = tuple(train[row] for row in rows)
            labels = LabelTable.of(train, data.heads, labels.classes, several=several)
        self._labels, self.problems = labels, catalog.problems
        self._model = self._classifier()
        self.dataset = self._clips(train, random=True)
        self.one_pass = FinetunePass(self._model, settings.augment, settings.loss, Targets(labels))
        self.together = PlannedTogether(self.one_pass.augmentation)
        self._share_V = None
        if data.balance:
            self._share_V = balanced_shares(labels, data.heads, data.balance)
        self._validation: Validation | None = None
        self._validated = ""
        if held_out:
            asked = LabelTable.of(held_out, data.heads, labels.classes, several=several)
            self._validated = digest([[v.key for v in held_out], dict(asked.numbers)])
            self._validation = Validation(
                self._clips(held_out, random=False),
                Targets(asked),
                self._model,
                settings.loss.labels,
                run.micro_batch,
                min(run.workers, usable_cpus()),
            )
            both = {v.key for v in train} & {v.key for v in held_out}
            if both:
                self._notes.append(f"{len(both)} videos are trained on and validated on")
        self.validates = self._validation is not None

    def _split(
        self, catalog: Catalog
    ) -> tuple[tuple[Video, ...], tuple[Video, ...], dict[str, tuple[str, ...]]]:
        """Videos to train on and to validate on, and the classes as far as a source names them."""
        data = self.settings.data
        videos, without = labelled(catalog.videos, data.heads)
        if not videos:
            if not without and catalog.problems:
                raise LabelError(f"{_first_of(catalog)}; there is no video to train on")
            path, reason = without[0] if without else (data.source[0], "has no video")
            raise LabelError(
                f"{path} {reason}; no video of data.source has all of data.heads "
                f"({', '.join(data.heads)}): give a CSV with the columns path and label, folders "
                "named after classes, or a data set in a known format"
            )
        self._leave_out(without)
        train = tuple(v for v in videos if v.split in (TRAIN, None))
        if not train:
            unusable = f"; not usable: {_first_of(catalog)}" if catalog.problems else ""
            raise LabelError(
                f"{data.source[0]}: none of {len(videos)} videos is in split 'train'{unusable}"
            )
        self._doubt(catalog)
        classes = {head: names for head, names in catalog.classes.items() if head in data.heads}
        held_out = tuple(v for v in videos if v.split == VALIDATION)
        if data.validation:
            other = read_catalog(data.validation)
            held_out, without = labelled(other.videos, data.heads)
            self._leave_out(without)
            # A file with both splits may be named for both.
            held_out = tuple(v for v in held_out if v.split in (VALIDATION, None)) or held_out
            if not held_out:
                raise LabelError(f"{data.validation[0]}: data.validation has no labelled video")
            classes = {**other.classes, **classes}
        return train, held_out, classes

    def _leave_out(self, without: tuple[tuple[str, str], ...]) -> None:
        if without:
            path, reason = without[0]
            more = f" and {len(without) - 1} more" if len(without) > 1 else ""
            self._notes.append(f"left out: {path}{more}: {reason}")

    def _doubt(self, catalog: Catalog) -> None:
        """Tells of labels that contradict each other: they are trained on as they are."""
        faults = [one for one in label_faults(catalog) if one.kind in _DOUBTFUL]
        if faults:
            more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
            source = " ".join(self.settings.data.source)
            self._notes.append(
                f"doubtful labels{more}: {faults[0].what} {faults[0].reason}; "
                f"mofo data check {source} lists all"
            )

    def _classifier(self) -> ClassifierSettings:
        """Sizes from the recipe, and where it says nothing from the checkpoint to begin with."""
        choice = self.settings.model
        start: ModelSettings | None = None
        self._start = None
        if choice.init:
            opened, start, weights = encoder_weights(choice.init)
            self._start = (opened.path, weights)
        tubelet = choice.tubelet or (start.grid.tubelet if start else 2)
        patch = choice.patch or (start.grid.patch if start else 16)
        grid = self.settings.grid(tubelet, patch)
        options: dict[str, Any] = {
            "grid": grid,
            "drop_path": choice.drop_path,
            "activation_checkpointing": choice.activation_checkpointing,
        }  # fmt: skip
        if choice.size or start is None:
            model = ModelSettings.named(choice.size or "base", **options)
        else:
            model = replace(start, **options)
        return ClassifierSettings(
            classes={head: len(names) for head, names in self._labels.classes.items()},
            model=model,
            labels=self.settings.loss.labels,
            fusion=choice.fusion,
            fusion_heads=choice.fusion_heads or None,
            per=choice.area_span,
        )

    def _clips(self, videos: tuple[Video, ...], *, random: bool) -> ClipDataset:
        data = self.settings.data
        clips = ClipSettings(
            grid=self._model.model.grid,
            sampling=data.sampling,
            stride=data.stride,
            random=random,
            crop=CropSettings(flip=data.flip),
            motion=data.areas,
            repeats=data.clips_per_video if random else 1,
        )
        return ClipDataset(videos, clips, seed=self.settings.run.seed)

    def build(self) -> nn.Module:
        generator = torch.Generator().manual_seed(self.settings.run.seed)
        model = Classifier(self._model, generator=generator)
        if self._start is not None:
            path, weights = self._start
            report = load_encoder(model, weights, str(path))
            self._notes.append(f"{path}: {report}")
        fixed = freeze(model, self.settings.model.freeze)
        if fixed:
            self._notes.append(f"{fixed / 1e6:.1f} M parameters do not train")
        return model

    def optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        optim = self.settings.optim
        groups = layer_groups(
            model,
            depth=self._model.model.depth,
            decay=optim.layer_decay,
            weight_decay=optim.weight_decay,
        )
        return torch.optim.AdamW(groups, lr=0.0, betas=optim.betas)

    def order(self, division: Division, rank: int, start: int, stop: int) -> Sampler[Any]:
        return SampleOrder(
            len(self.dataset),
            seed=self.settings.run.seed,
            division=division,
            rank=rank,
            start=start,
            stop=stop,
            share_V=self._share_V,
        )

    def facts(self) -> dict[str, Any]:
        data = self.settings.data
        sampling = Sampling(
            sampling=data.sampling,
            stride=data.stride,
            areas=MotionChoice.parse(data.areas).source,
        )
        return {
            "classifier": plain_classifier(self._model),
            "classes": {head: list(names) for head, names in self._labels.classes.items()},
            "sampling": asdict(sampling),
            "labels": digest(dict(self._labels.numbers)),
            "validated": self._validated,
        }

    def explain(self) -> list[str]:
        heads = ", ".join(f"{head}: {len(n)} classes" for head, n in self._labels.classes.items())
        validated = f"validated on {len(self._validation)} videos" if self._validation else (
            "not validated: no video is in split 'validation', and data.validation is empty"
        )  # fmt: skip
        return [f"{heads}; fusion {self._model.fusion}; {validated}", *self._notes]

    def case(self, batch: ClipBatch) -> dict[str, Any]:
        return {
            "classifier": plain_classifier(self._model),
            **case_of(self.one_pass.targets, batch),
        }

    def draw(self, model: nn.Module, batch: ClipBatch, path: Path, title: str) -> None:
        from mofo.report.figures.augmented import write_augmented

        write_augmented(batch, self.one_pass, path, title=title)

    def validate(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        return self._validation(model, accelerator) if self._validation else {}


def _first_of(catalog: Catalog) -> str:
    """The first thing that cannot be used, and how many more there are."""
    (name, reason), *more = catalog.problems
    return f"{name}: {reason}{f' (and {len(more)} more)' if more else ''}"
