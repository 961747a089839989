"""One step of a training: forward and backward passes, then the optimiser."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from mofo.clips.batch import ClipBatch
from mofo.system.group import doing
from mofo.training.optim import Schedule, set_rate
from mofo.training.tasks import ForwardStep, StepOutput


@dataclass
class StepMetrics:
    """What is known about a finished step.

    Attributes:
        step: counted from 0.
        loss, lr, norm: mean loss, learning rate, norm of the gradient before clipping.
        metrics: of the task, by name; see ``StepOutput``.
        data_s, compute_s: seconds spent waiting for clips, and on all else; of the process that
            waited longest for clips.
        failures: videos of the step that could not be used, in any process; see ``ClipBatch``.
    """

    step: int
    epoch: float
    loss: float
    lr: float
    norm: float
    metrics: dict[str, float]
    clips: int
    data_s: float
    compute_s: float
    stopping: bool = False
    failures: list[tuple[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All numbers in one level, for a log."""
        line = asdict(self)
        del line["stopping"], line["failures"]
        return {**line.pop("metrics"), **line}


class NotFiniteStep(Exception):  # noqa: N818 - caught by the trainer, never seen by a user
    """The loss or the gradient of a step is not finite; nothing was changed by it."""

    def __init__(self, step: int, what: str, value: float, batch: ClipBatch) -> None:
        super().__init__(f"{what} of step {step} is {value}")
        self.step, self.what, self.value, self.batch = step, what, value, batch


@dataclass(kw_only=True)
class StepRunner:
    """Runs steps.

    ``accelerator``: devices, precision, processes.
    ``clip_grad_norm``: largest norm of the gradient; 0: not clipped.
    """

    accelerator: Accelerator
    model: nn.Module
    optimiser: torch.optim.Optimizer
    forward_step: ForwardStep
    passes: int
    clips: int
    schedule: Schedule
    seed: int
    clip_grad_norm: float = 0.0
    stop: Callable[[], bool] = bool

    def run(
        self,
        step: int,
        batches: Iterator[ClipBatch],
        on_batch: Callable[[int, ClipBatch], None] = lambda step, batch: None,
    ) -> StepMetrics:
        """Runs one step.

        ``step``: its number, from 0.
        ``on_batch``: called with the first of them, before it goes to the device.

        Raises:
            NotFiniteStep: see there.
        """
        began = time.perf_counter()
        waited = 0.0
        outputs: list[StepOutput] = []
        failures: list[tuple[str, str]] = []
        for number in range(self.passes):
            started = time.perf_counter()
            doing(f"reads the clips of step {step:,}")
            batch = next(batches)
            failures += batch.failures
            if number == 0:
                on_batch(step, batch)
            batch = batch.to(self.accelerator.device, non_blocking=True)
            waited += time.perf_counter() - started
            outputs.append(self._pass(step, number, batch))
        shared = self._shared(outputs, failures, waited)
        loss, norm = shared["loss"], self._norm()
        # The gradient and these means are shared, so all processes see the same.
        if not math.isfinite(norm) or not math.isfinite(loss):
            what, value = ("loss", loss) if not math.isfinite(loss) else ("gradient", norm)
            raise NotFiniteStep(step, what, value, batch)
        rate = self.schedule.rate(step)
        set_rate(self.optimiser, rate)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return StepMetrics(
            step=step,
            epoch=(step + 1) / self.schedule.steps_an_epoch,
            lr=rate,
            norm=norm,
            clips=self.clips,
            compute_s=max(0.0, time.perf_counter() - began - shared["data_s"]),
            **shared,
        )

    def _pass(self, step: int, number: int, batch: ClipBatch) -> StepOutput:
        last = number == self.passes - 1
        with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
            # Before a model with buffers, or one that is divided, DDP and FSDP wait for each other.
            doing(f"computes step {step:,}", waits=True)
            self._set_seed(step, number)
            with self.accelerator.autocast():
                output = self.forward_step(self.model, batch)
            doing(f"shares the gradients of step {step:,}", waits=True)
            self.accelerator.backward(output.loss / self.passes)
        output = StepOutput(output.loss.detach(), output.metrics)
        # Seen at once, while the batch is at hand; several processes see it in the mean.
        alone = self.accelerator.num_processes == 1
        if alone and not last and not math.isfinite(value := output.loss.item()):
            raise NotFiniteStep(step, "loss", value, batch)
        return output

    def _set_seed(self, step: int, number: int) -> None:
        """Drop path draws from torch's own generator: made a function of the step as all else."""
        rank = self.accelerator.process_index
        state = np.random.SeedSequence([self.seed, step, number, rank]).generate_state(1)
        torch.manual_seed(int(state[0]))

    def _shared(
        self, outputs: list[StepOutput], failures: list[tuple[str, str]], waited: float
    ) -> dict[str, Any]:
        """What all processes know of the step: fields of its metrics.

        All passes of all processes are as large, so their mean is the mean over clips.
        """
        names = list(outputs[0].metrics)
        rows = [torch.stack([each.loss, *(each.metrics[n] for n in names)]) for each in outputs]
        mean_K = torch.stack([row.float() for row in rows]).mean(0)
        own = torch.tensor([waited, self.stop(), bool(failures)], dtype=mean_K.dtype)
        row_K = torch.cat([mean_K, own.to(mean_K.device)])
        row_PK: Tensor = self.accelerator.gather(row_K[None]).cpu()
        loss, *metrics = row_PK[:, : len(names) + 1].mean(0).tolist()
        waited, stopping, some_failed = row_PK[:, len(names) + 1 :].max(0).values.tolist()
        if some_failed and self.accelerator.num_processes > 1:
            failures = gather_object(failures)
        return {
            "loss": loss,
            "metrics": dict(zip(names, metrics, strict=True)),
            "data_s": waited,
            "stopping": bool(stopping),
            "failures": failures,
        }

    def _norm(self) -> float:
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        if self.clip_grad_norm:
            norm: Any = self.accelerator.clip_grad_norm_(parameters, self.clip_grad_norm)
        else:
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        # Under FSDP each process knows a part.
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
