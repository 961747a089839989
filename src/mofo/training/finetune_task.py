"""Fine-tuning: labelled clips through augmentation and classifier to the loss; validation."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from mofo.clips.batch import ClipBatch
from mofo.clips.dataset import ClipDataset, ClipSettings
from mofo.clips.labels import LabelError, LabelTable, labelled
from mofo.clips.sources import MotionChoice
from mofo.clips.transforms import CropSettings
from mofo.clips.view_clips import ViewDataset, ViewSettings
from mofo.datasets.catalog import Catalog, read_catalog
from mofo.datasets.label_faults import label_faults
from mofo.datasets.splits import TRAIN, VALIDATION, held_out_splits
from mofo.datasets.video import Video
from mofo.models.classifier import Classifier, ClassifierSettings, load_encoder
from mofo.models.lora import add_lora
from mofo.models.model_settings import ModelSettings
from mofo.training.finetune_settings import ClassifierChoice, FinetuneSettings
from mofo.training.finetune_step import (
    FinetuneStep,
    PlannedCollate,
    Targets,
    case_of,
    targets_of,
)
from mofo.training.optim import freeze, layer_groups
from mofo.training.order import balanced_shares, few_of_each
from mofo.training.same_run import digest
from mofo.training.saved_models import encoder_weights
from mofo.training.tasks import TASKS, ForwardStep, StepOutput, Task
from mofo.training.validation import Validation
from mofo.types import SettingsError

_DOUBTFUL = ("two labels", "classes alike")


@TASKS.register("finetune")
class FinetuneTask(Task):
    """A classifier on labelled videos.

    Checkpoints are validated when they are made; the best one is kept and named in ``best.json``.

    Raises:
        SettingsError: settings that are impossible.
        LabelError: labels that are missing or unknown.
        CheckpointError: ``model.init`` cannot be read.
    """

    name = verb = "finetune"
    settings_type = FinetuneSettings

    def __init__(self, settings: FinetuneSettings) -> None:
        super().__init__(settings)
        data, run, optim = settings.data, settings.run, settings.optim
        if MotionChoice.parse(data.areas).source == "none":
            for name, used in (
                ("tokens.by motion", settings.tokens.uses_motion),
                ("data.motion_crop", data.motion_crop > 0),
            ):
                if used:
                    raise SettingsError(f"{name} needs motion areas: set data.areas")
        self.ema_decay, self.early_stop_patience = optim.ema_decay, optim.early_stop_patience
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
        self.dataset = self._clips(train)
        self.step = FinetuneStep(self._model, settings.augment, settings.loss, Targets(labels))
        self.collate_fn = PlannedCollate(self.step.augmentation)
        if data.balance:
            self.share_V = balanced_shares(labels, data.heads, data.balance)
        self._validation: Validation | None = None
        self._validated = ""
        if held_out:
            held = LabelTable.of(held_out, data.heads, labels.classes, several=several)
            self._validated = digest([[v.key for v in held_out], dict(held.numbers)])
            self._validation = Validation(
                self._views(held_out),
                Targets(held),
                self._model,
                settings.loss.labels,
                run.micro_batch,
                run.workers,
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
        # Better than those by which the best checkpoint was chosen: the test videos.
        splits = held_out_splits(videos)
        self._tests = ["--split", splits[-1]] if splits else []
        if data.validation:
            other = read_catalog(data.validation)
            held_out, without = labelled(other.videos, data.heads)
            self._leave_out(without)
            # A file with both splits may be named for both.
            held_out = tuple(v for v in held_out if v.split in (VALIDATION, None)) or held_out
            self._tests = ["--split", VALIDATION if held_out[0].split == VALIDATION else "all"]
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
        """Notes labels that contradict each other: they are trained on as they are."""
        faults = [fault for fault in label_faults(catalog) if fault.kind in _DOUBTFUL]
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
            saved = encoder_weights(choice.init)
            start = saved.settings
            self._start = (saved.name, saved.weights)
            self._notes += [saved.note] if saved.note else []
        tubelet = choice.tubelet or (start.grid.tubelet if start else 2)
        patch = choice.patch or (start.grid.patch if start else 16)
        grid = self.settings.grid(tubelet, patch)
        options: dict[str, Any] = {
            "grid": grid,
            "drop_path": choice.drop_path,
            "activation_checkpointing": choice.activation_checkpointing,
            "encoder": choice.encoder or (start.encoder if start else "vit"),
        }
        if start is None:
            model = ModelSettings.named(choice.size or "base", **options)
        else:
            model = replace(start, **options)
            named = ModelSettings.named(choice.size) if choice.size else start
            if (named.width, named.depth) != (start.width, start.depth):
                self._notes.append(f"model.size {choice.size} is not used: model.init has its own")
        return ClassifierSettings(
            classes={head: len(names) for head, names in self._labels.classes.items()},
            model=model,
            labels=self.settings.loss.labels,
            fusion=choice.fusion,
            fusion_heads=choice.fusion_heads or None,
            area_span=choice.area_span,
            motion=self.settings.motion,
            motion_threshold=choice.motion_threshold,
            tokens=self.settings.tokens,
        )

    def _views(self, videos: tuple[Video, ...]) -> ViewDataset:
        cut = self.settings.data.cut()
        areas, grid = cut.pop("areas"), self._model.model.grid
        views = ViewSettings(grid=grid, temporal=1, spatial=1, motion=areas, **cut)
        return ViewDataset(videos, views)

    def _clips(self, videos: tuple[Video, ...]) -> ClipDataset:
        data, cut = self.settings.data, self.settings.data.cut()
        areas, crop = cut.pop("areas"), CropSettings(flip=data.flip, fit=cut.pop("fit"))
        clips = ClipSettings(
            grid=self._model.model.grid,
            crop=crop,
            motion_crop=data.motion_crop,
            motion=areas,
            repeats=data.clips_per_video,
            **cut,
        )
        return ClipDataset(videos, clips, seed=self.settings.run.seed)

    def build(self) -> nn.Module:
        """Returns the classifier, with the encoder to begin with and what does not train."""
        generator = torch.Generator().manual_seed(self.settings.run.seed)
        model = Classifier(self._model, generator=generator)
        if self._start is not None:
            path, weights = self._start
            self._notes.append(f"{path}: {load_encoder(model, weights, str(path))}")
        fixed = adapt(model, self.settings.model, self.settings.run.seed)
        self._layers = model.layer_names()
        if fixed:
            self._notes.append(f"{fixed / 1e6:.1f} M parameters do not train")
        return model

    def forward_step(self, model: nn.Module, batch: ClipBatch) -> StepOutput:
        """See ``FinetuneStep``."""
        return self.step(model, batch)

    def optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW with rates that fall from the head to the pixels."""
        optim = self.settings.optim
        groups = layer_groups(
            model,
            layers=self._layers,
            decay=optim.layer_decay,
            weight_decay=optim.weight_decay,
        )
        return torch.optim.AdamW(groups, lr=0.0, betas=optim.betas)

    def validate(
        self, model: nn.Module, accelerator: Accelerator, stop: Callable[[], bool]
    ) -> dict[str, float]:
        """See ``Validation``."""
        return self._validation(model, accelerator, stop) if self._validation else {}

    def metadata(self) -> dict[str, Any]:
        """Sizes of the classifier, its classes, how clips were taken, and digests of labels."""
        data = self.settings.data
        return {
            "classifier": asdict(self._model),
            "classes": {head: list(names) for head, names in self._labels.classes.items()},
            "sampling": data.cut() | {"areas": MotionChoice.parse(data.areas).source},
            "labels": digest(dict(self._labels.numbers)),
            "validated": self._validated,
        }

    def notes(self) -> list[str]:
        """Classes, fusion, validation, and what is doubtful."""
        heads = ", ".join(f"{head}: {len(n)} classes" for head, n in self._labels.classes.items())
        validated = f"validated on {len(self._validation)} videos" if self._validation else (
            "not validated: no video is in split 'validation', and data.validation is empty"
        )  # fmt: skip
        return [f"{heads}; fusion {self._model.fusion}; {validated}", *self._notes]

    def next_command(self) -> str:
        """A test on videos that were held out; without any, what makes some."""
        data, out = self.settings.data, self.settings.run.out
        if not self._tests:
            return (
                f"mofo predict --encoder {shlex.quote(out)} VIDEO (there is no video to test on: "
                f"`mofo data convert {shlex.join(data.source)} --to videos.csv --hold-out 0.25` "
                "makes a list)"
            )
        store = MotionChoice.parse(data.areas).store
        words = [out, *(data.validation or data.source), *self._tests]
        words += ["--store", store] if store else []
        return f"mofo evaluate --encoder {shlex.join(words)}"

    def replay_case(self, batch: ClipBatch) -> dict[str, Any]:
        """The sizes, and the labels of the batch."""
        return {"classifier": asdict(self._model), **case_of(self.step.targets, batch)}

    @classmethod
    def replayed(
        cls, settings: FinetuneSettings, case: dict[str, Any]
    ) -> tuple[nn.Module, ForwardStep]:
        """See ``Task``."""
        sizes = ClassifierSettings.from_dict(case["classifier"])
        step = FinetuneStep(sizes, settings.augment, settings.loss, targets_of(case))
        model = Classifier(sizes)
        adapt(model, settings.model)
        return model, step


def adapt(model: Classifier, choice: ClassifierChoice, seed: int = 0) -> int:
    """Says what of an encoder trains; returns the number of parameters that do not."""
    freeze(model, choice.freeze)
    if choice.lora:
        add_lora(model.encoder, choice.lora, model.frozen_blocks, seed)
    return sum(p.numel() for p in model.parameters() if not p.requires_grad)


def _first_of(catalog: Catalog) -> str:
    """The first thing that cannot be used, and how many more there are."""
    (name, reason), *more = catalog.problems
    return f"{name}: {reason}{f' (and {len(more)} more)' if more else ''}"
