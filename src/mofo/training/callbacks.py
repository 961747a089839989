"""What a training tells while it runs, and when it has ended."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from mofo.clips.batch import ClipBatch
from mofo.system.progress import Bar, clock
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
    is_sharded: bool
    start: int
    videos: int
    schedule: Schedule
    division: Division

    def evaluating(self) -> contextlib.AbstractContextManager[None]:
        """Within, the model is in evaluation mode."""


_FEW_STEPS = 100
_TIMED = 5  # steps before the first word on how long it takes


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
        next: what to do then, see ``Task.next_command``.
        motion: what the clips told about motion, in a line; empty where it was not looked at.
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
    next: str = ""
    motion: str = ""


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

    _bar: Bar

    def on_start(self, trainer: Training) -> None:
        """Says once what follows from the settings."""
        if trainer.is_main:
            say(_explain(trainer))
        self._seconds: list[float] = []
        self._bar = Bar(
            total=trainer.schedule.steps,
            initial=trainer.start,
            unit="step",
            show=trainer.is_main,
            every=math.inf,  # here lines come by run.log_every
        )

    def on_step(self, trainer: Training, metrics: StepMetrics) -> None:
        """Moves the bar; a line for the log where there is none, and once how long it takes."""
        seconds = metrics.data_s + metrics.compute_s
        done, steps = metrics.step + 1, trainer.schedule.steps
        self._seconds.append(seconds)
        state = (
            f"loss {metrics.loss:.4f}, {metrics.clips / seconds:.1f} clips/s, "
            f"waiting {metrics.data_s / seconds:.0%}"
        )
        self._bar.update()
        self._bar.set_postfix_str(state, refresh=False)
        if not trainer.is_main:
            return
        left = clock(sorted(self._seconds)[len(self._seconds) // 2] * (steps - done))
        if len(self._seconds) == min(_TIMED, steps - trainer.start) and done < steps:
            say([f"about {left} for the {steps - done:,} steps to go, besides validation"])
        if self._bar.is_line and (done % trainer.settings.run.log_every == 0 or done == steps):
            say([f"step {done:,} of {steps:,}: {state}, lr {metrics.lr:.2e}, {left} left"])

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


def _precision(accelerator: Accelerator) -> str:
    return "fp32" if accelerator.mixed_precision == "no" else accelerator.mixed_precision


def _few(trainer: Training) -> list[str]:
    """What follows from having few videos."""
    batch, steps = trainer.division.batch, trainer.schedule.steps
    optim, lines = trainer.settings.optim, []
    if batch < optim.batch:
        lines.append(f"fewer clips than optim.batch {optim.batch}: {batch} a step, all there are")
    if steps < _FEW_STEPS:
        epochs = optim.epochs * _FEW_STEPS / steps
        lines.append(f"{steps} steps are few: --optim.epochs {epochs:.0f} makes {_FEW_STEPS}")
    return lines


def _explain(trainer: Training) -> list[str]:
    s, d, accelerator = trainer.schedule, trainer.division, trainer.accelerator
    parameters = sum(p.numel() for p in trainer.bare_model.parameters()) / 1e6
    lines = [
        *_few(trainer),
        f"{trainer.videos:,} videos, {s.steps:,} steps of {d.batch} clips: {d.processes} "
        f"process{'es' if d.processes > 1 else ''} x {d.passes} "
        f"pass{'es' if d.passes > 1 else ''} x {d.micro} clips",
        f"{parameters:.1f} M parameters; {accelerator.device.type}, {_precision(accelerator)}",
        *trainer.task.notes(),
        f"learning rate {s.peak:.2e} from step {s.warmup:,} on, falling to {s.last:.2e} at the end",
    ]
    if trainer.start:
        lines.append(f"continuing from step {trainer.start:,}: {trainer.out}")
    return lines
