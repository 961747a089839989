"""Pre-training from a recipe: what of a run is about masks and pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import Sampler

from mofo.clips.batch import ClipBatch, collate
from mofo.clips.dataset import ClipDataset, ClipSettings
from mofo.clips.transforms import CropSettings
from mofo.datasets.catalog import Catalog, read_catalog
from mofo.datasets.video import where
from mofo.models.mae import MaskedAutoencoder
from mofo.training.optim import adamw
from mofo.training.order import Division, SampleOrder
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.run import Run
from mofo.training.step import PretrainPass
from mofo.training.task import RunReport
from mofo.types import SettingsError


def pretrain(settings: PretrainSettings, *, progress: bool = False) -> RunReport:
    """Trains, from the last checkpoint in ``settings.run.out`` if there is one.

    With the same settings, any interruption leaves the sequence of losses as it would have been:
    everything random is a function of the seed and the step.

    Args:
        settings: the recipe.
        progress: show a bar.

    Raises:
        SettingsError: settings that are impossible, or not those of the run in ``run.out``.
        CheckpointError: a checkpoint cannot be written or read.
        NotFiniteError: the loss is no number; batch and state are in a file.
        TooManyUnreadableError: see ``data.max_unreadable``.
    """
    return Run(_Pretraining(settings), progress=progress).go()


class _Pretraining:
    """The task; see ``Task``."""

    kind = "pretrain"
    average, patience, validates = 0.0, 0, False  # nothing tells one checkpoint from a better one
    together = staticmethod(collate)

    def __init__(self, settings: PretrainSettings) -> None:
        self.settings = settings
        self.one_pass = PretrainPass(settings)  # finds wrong settings before any work is done
        self._model = settings.model_settings()
        catalog = read_catalog(settings.data.source)
        self.dataset, self.problems = _dataset(settings, catalog), catalog.problems
        self._notes = []
        if settings.data.flip and catalog.flip is False:
            self._notes.append(
                "labels of data.source know left from right, but clips are mirrored (data.flip): "
                "no harm done before labels come in, but fine-tune without"
            )

    def build(self) -> nn.Module:
        generator = torch.Generator().manual_seed(self.settings.run.seed)
        return MaskedAutoencoder(self._model, generator=generator)

    def optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        return adamw(model, self.settings.optim)

    def order(self, division: Division, rank: int, start: int, stop: int) -> Sampler[Any]:
        seed, videos = self.settings.run.seed, len(self.dataset)
        return SampleOrder(videos, seed=seed, division=division, rank=rank, start=start, stop=stop)

    def facts(self) -> dict[str, Any]:
        return {}

    def explain(self) -> list[str]:
        hidden = f"{self.one_pass.num_hidden} of {self.settings.grid().tokens} tokens hidden"
        return [hidden, *self._notes]

    def case(self, batch: ClipBatch) -> dict[str, Any]:
        return {}

    def draw(self, model: Any, batch: ClipBatch, path: Path, title: str) -> None:
        from mofo.report.figures.reconstruction import write_reconstruction

        write_reconstruction(model, batch, self.one_pass, path, title=title)

    def validate(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        return {}


def _dataset(settings: PretrainSettings, catalog: Catalog) -> ClipDataset:
    """The clips."""
    data = settings.data
    videos = where(catalog.videos, lambda video: not data.split or video.split == data.split)
    if not videos and catalog.videos:
        raise SettingsError(f"data.split: none of the {len(catalog)} videos is of {data.split!r}")
    clips = ClipSettings(
        grid=settings.grid(),
        stride=data.stride,
        crop=CropSettings(flip=data.flip),
        motion=data.areas,
        repeats=data.clips_per_video,
    )
    return ClipDataset(videos, clips, seed=settings.run.seed)
