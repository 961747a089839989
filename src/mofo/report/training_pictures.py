"""Trainings with pictures on the way: what ``mofo pretrain`` and ``mofo finetune`` run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mofo.clips.batch import ClipBatch
from mofo.report.figures.augmented import write_augmented
from mofo.report.figures.reconstruction import write_reconstruction
from mofo.training.callbacks import Callback, RunReport, Training
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.finetune_step import FinetuneStep
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.pretrain_task import PretrainStep
from mofo.training.trainer import train
from mofo.types import MofoError

Draw = Callable[[Any, ClipBatch, Path, str], object]


class TrainingPictures(Callback):
    """Draws a batch every ``run.pictures_every`` steps, into ``pictures`` in the run's folder.

    Of a pre-training: masks and reconstructions; of a fine-tuning: clips after augmentation. A task
    of your own draws what it likes in a method ``draw(model, batch, path, title)``.
    """

    def on_batch(self, trainer: Training, step: int, batch: ClipBatch) -> None:
        """Draws; a picture that cannot be drawn does not end the run."""
        every = trainer.settings.run.pictures_every
        draw = _draw_of(trainer.task)
        if draw is None or not every or step % every:
            return
        if trainer.is_sharded or not trainer.is_main:  # no process has the whole model
            return
        path = trainer.out / "pictures" / f"step_{step:08d}.png"
        with trainer.evaluating():
            try:
                path.parent.mkdir(exist_ok=True)
                draw(trainer.bare_model, batch, path, f"{trainer.out.name}, step {step:,}")
            except (MofoError, OSError) as error:
                tqdm.write(f"{path}: not drawn: {error}", file=sys.stderr)


def pretrain(
    settings: PretrainSettings, *, callbacks: Sequence[Callback] = (), progress: bool = False
) -> RunReport:
    """Pre-trains, from the last checkpoint in ``settings.run.out`` if there is one.

    With the same settings, any interruption leaves the sequence of losses as it would have been.

    Args:
        settings: the recipe.
        callbacks: called beside the pictures, see ``Callback``.
        progress: show a bar.

    Raises:
        SettingsError: settings that are impossible, or not those of the run in ``run.out``.
        MofoError: see ``Trainer.fit``.
    """
    return train(settings, callbacks=[TrainingPictures(), *callbacks], progress=progress)


def finetune(
    settings: FinetuneSettings, *, callbacks: Sequence[Callback] = (), progress: bool = False
) -> RunReport:
    """Trains a classifier, as ``pretrain`` an autoencoder; it is validated on the way.

    Raises:
        LabelError: labels that are missing or unknown; others as ``pretrain``.
        CheckpointError: ``model.init`` cannot be read.
    """
    return train(settings, callbacks=[TrainingPictures(), *callbacks], progress=progress)


def _draw_of(task: Any) -> Draw | None:
    if hasattr(task, "draw"):
        return task.draw  # type: ignore[no-any-return]
    step = getattr(task, "step", None)
    if isinstance(step, PretrainStep):
        return lambda model, batch, path, title: write_reconstruction(
            model, batch, step, path, title=title
        )
    if isinstance(step, FinetuneStep):
        return lambda model, batch, path, title: write_augmented(batch, step, path, title=title)
    return None
