"""What is trained: the seam between ``Trainer`` and each kind of training, and their registry.

    @TASKS.register("colour")
    class ColourTask(PretrainTask):
        name = "colour"

        def forward_step(self, model, batch): ...

    mofo pretrain --task colour ...     # or "task: colour" in a recipe

A task says what is special about it: data, model, loss, optimiser groups, validation. All else
(steps, processes, checkpoints, logs, resuming) is the trainer's.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mofo.clips.batch import ClipBatch, ClipSample, collate
from mofo.clips.dataset import ClipDataset
from mofo.registry import Registry
from mofo.training.optim import adamw
from mofo.training.pretrain_settings import TrainingSettings
from mofo.training.recipe import TASK, read_recipe
from mofo.types import SettingsError


def _own() -> None:
    import mofo.training.finetune_task
    import mofo.training.latent_task
    import mofo.training.pretrain_task  # noqa: F401


TASKS: Registry[type[Task]] = Registry("task", _own)


class StepOutput(NamedTuple):
    """What a forward step returns.

    Attributes:
        loss: scalar with a gradient.
        metrics: scalars for the log, without one, by name; the same names in every step.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


ForwardStep = Callable[[nn.Module, ClipBatch], StepOutput]


class Task(ABC):
    """What is trained, and how.

    Attributes:
        name: under which it is registered; recipes and checkpoints name it.
        verb: of the command that runs it: ``mofo pretrain`` or ``mofo finetune``.
        settings_type: what its recipes are made of.
        dataset: the clips.
        problems: ``(path, reason)`` of the videos that cannot be used at all.
        collate_fn: makes a batch of samples, in the processes that read, to which it is sent.
        share_V: how often each video is seen, float with sum 1; None: all alike.
        ema_decay: of the weights' running average; 0: none is kept.
        early_stop_patience: validations without a new best after which the run ends; 0: never.
        validates: whether ``validate`` measures anything, so that it tells the best checkpoint.
    """

    name: ClassVar[str]
    verb: ClassVar[str] = "pretrain"
    settings_type: ClassVar[type[TrainingSettings]]

    dataset: ClipDataset
    problems: tuple[tuple[str, str], ...] = ()
    collate_fn: Callable[[Sequence[ClipSample]], ClipBatch] = staticmethod(collate)
    share_V: np.ndarray | None = None
    ema_decay: float = 0.0
    early_stop_patience: int = 0
    validates: bool = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    def build(self) -> nn.Module:
        """Returns the model as it is before the first step, a function of ``run.seed``."""

    @abstractmethod
    def forward_step(self, model: nn.Module, batch: ClipBatch) -> StepOutput:
        """Returns the loss of a batch that is on the model's device; ``model`` may be wrapped."""

    def optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        """Returns the optimiser of a model that may be wrapped."""
        return adamw(model, self.settings.optim)

    def validate(
        self, model: nn.Module, accelerator: Accelerator, stop: Callable[[], bool]
    ) -> dict[str, float]:
        """Returns metrics, "error" among them: the lowest is the best. Empty: no validation.

        Args:
            model, accelerator: of the training.
            stop: whether to give up, empty-handed, as the run is to stop; to be asked now and then,
                by all processes equally often.
        """
        return {}

    def metadata(self) -> dict[str, Any]:
        """Returns what a checkpoint stores about the model and the data, as JSON."""
        return {}

    def notes(self) -> list[str]:
        """Returns lines to say at the beginning."""
        return []

    def next_command(self) -> str:
        """Returns what to do with the finished run: a command, or what is missing for one."""
        return f"mofo show reconstruction {shlex.quote(self.settings.run.out)} VIDEO"

    def replay_case(self, batch: ClipBatch) -> dict[str, Any]:
        """Returns what ``replayed`` needs beside settings, weights and batch, as JSON."""
        return {}

    @classmethod
    def replayed(cls, settings: Any, case: dict[str, Any]) -> tuple[nn.Module, ForwardStep]:
        """Returns model and forward step for a batch that was captured, without any data set.

        Raises:
            SettingsError: this task cannot.
        """
        raise SettingsError(f"task {cls.name!r} cannot run a captured batch again")


def load_settings(
    recipe: str | Path | None,
    options: Iterable[tuple[str, str]] = (),
    *,
    verb: str | None = None,
    task: str | None = None,
) -> TrainingSettings:
    """Returns the settings of any training: those of the task that the recipe is for.

        settings = mofo.load_settings("tiny", [("data.source", "videos"), ("run.out", "runs/a")])

    Args:
        recipe: file or name, see ``Settings.from_yaml``.
        options: keys such as ``optim.lr`` with values as YAML writes them.
        verb: "pretrain" or "finetune": has to be that of the task; None: either.
        task: what is trained; None: as the recipe says, else what the verb is named after.

    Raises:
        SettingsError: as ``Settings.from_yaml``; a task of the other verb.
    """
    read = read_recipe(recipe)
    name = str(task or read.content.get(TASK, verb or "pretrain"))
    kind = TASKS[name]
    if verb not in (None, kind.verb):
        raise SettingsError(
            f"{read.name}: task {name!r} is for `mofo {kind.verb}`, not for `mofo {verb}`"
        )
    return kind.settings_type.from_recipe(
        read._replace(content={**read.content, TASK: name}), options
    )
