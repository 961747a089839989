"""What a training tells while it runs, and when it has ended."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from mofo.clips.batch import ClipBatch
from mofo.training.optim import Schedule
from mofo.training.order import Division
from mofo.training.pretrain_settings import TrainingSettings
from mofo.training.step import StepMetrics
from mofo.training.tasks import Task


class Training(Protocol):
    """What a callback sees of the ``Trainer``; its attributes are explained there."""

    task: Task
    settings: TrainingSettings
    out: Path
    accelerator: Accelerator
    model: nn.Module
    bare_model: nn.Module
    is_main: bool
    start: int
    videos: int
    schedule: Schedule
    division: Division

    @property
    def is_sharded(self) -> bool: ...  # noqa: D102

    def evaluating(self) -> contextlib.AbstractContextManager[None]:
        """Within, the model is in evaluation mode."""


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """How a run ended.

    Attributes:
        main: whether this is the process that speaks (the only one, or number 0).
        steps, of: steps done and in the whole run.
        finished: whether the run is complete.
        loss: mean over the last line of the log.
        checkpoint: the newest one.
        stopped_by: name of the signal that ended it early, or "".
        unreadable: how many videos cannot be read; they are named in ``unreadable_file``.
        validation: metrics of the last validation, by name; empty without one.
        best: step of the best checkpoint by validation; None without one.
    """

    main: bool
    steps: int
    of: int
    finished: bool
    loss: float
    checkpoint: Path
    stopped_by: str
    unreadable: int
    unreadable_file: Path
    validation: dict[str, float] = field(default_factory=dict)
    best: int | None = None


class Callback:
    """What happens beside a training. Every process calls it; override what you need."""

    def on_start(self, trainer: Training) -> None:
        """Before the first step of this process."""

    def on_batch(self, trainer: Training, step: int, batch: ClipBatch) -> None:
        """Before a step, with the first batch of it, still on the CPU."""

    def on_step(self, trainer: Training, metrics: StepMetrics) -> None:
        """After each step."""

    def on_validation(self, trainer: Training, step: int, metrics: dict[str, float]) -> None:
        """After a validation, ``step`` steps done."""

    def on_checkpoint(self, trainer: Training, path: Path) -> None:
        """After a checkpoint has been written."""

    def on_end(self, trainer: Training) -> None:
        """When the training ends, however it ends."""


class ProgressBar(Callback):
    """A bar on stderr, what follows from the settings, and each validation in a line."""

    _bar: tqdm[Any]

    def on_start(self, trainer: Training) -> None:
        """Says once what follows from the settings."""
        if trainer.is_main:
            say(_explain(trainer))
        self._bar = tqdm(
            total=trainer.schedule.steps,
            initial=trainer.start,
            unit="step",
            disable=not trainer.is_main,
            dynamic_ncols=True,
        )

    def on_step(self, trainer: Training, metrics: StepMetrics) -> None:
        """Moves the bar."""
        seconds = metrics.data_s + metrics.compute_s
        self._bar.update()
        self._bar.set_postfix_str(
            f"loss {metrics.loss:.4f}, {metrics.clips / seconds:.1f} clips/s, "
            f"waiting {metrics.data_s / seconds:.0%}",
            refresh=False,
        )

    def on_validation(self, trainer: Training, step: int, metrics: dict[str, float]) -> None:
        """Says the metrics."""
        text = ", ".join(f"{key} {value:.4g}" for key, value in metrics.items())
        if trainer.is_main:
            say([f"step {step:,}: validation {text}"])

    def on_end(self, trainer: Training) -> None:
        """Leaves the bar as it is."""
        self._bar.close()


def say(lines: Iterable[str]) -> None:
    """Writes lines to stderr, above a bar if there is one."""
    for line in lines:
        tqdm.write(line, file=sys.stderr)


def _explain(trainer: Training) -> list[str]:
    s, d, accelerator = trainer.schedule, trainer.division, trainer.accelerator
    parameters = sum(p.numel() for p in trainer.bare_model.parameters()) / 1e6
    lines = [
        f"{trainer.videos:,} videos, {s.steps:,} steps of {d.batch} clips: {d.processes} "
        f"process{'es' if d.processes > 1 else ''} x {d.passes} "
        f"pass{'es' if d.passes > 1 else ''} x {d.micro} clips",
        f"{parameters:.1f} M parameters; {accelerator.device.type}, {accelerator.mixed_precision}",
        *trainer.task.notes(),
        f"learning rate {s.peak:.2e} after {s.warmup:,} steps, {s.last:.2e} at the end",
    ]
    if trainer.start:
        lines.append(f"continuing from step {trainer.start:,}: {trainer.out}")
    return lines
