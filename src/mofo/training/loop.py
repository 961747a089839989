"""The loop: passes, a step of the optimiser, a line of the log, now and then a checkpoint."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mofo.clips.batch import ClipBatch
from mofo.system.processes import StopRequest
from mofo.training.optim import set_rate
from mofo.training.pretrain_settings import RunSettings
from mofo.training.schedule import Schedule
from mofo.training.step import PassResult

_ASK_EVERY = 10  # steps after which several processes agree on whether to stop


class SaveHook(Protocol):
    """Called when a checkpoint is due."""

    def __call__(self, step: int, *, last: bool) -> None:
        """See ``Loop.on_save``."""


@dataclass
class StepLine:
    """What is known about a finished step.

    Attributes:
        step: counted from 0.
        epoch: passes over the videos at the step's end.
        loss, lr, norm: mean loss, learning rate, norm of the gradient before clipping.
        facts: what else the passes found, by name; see ``PassResult``.
        clips: in the step, over all processes.
        data_s, compute_s: seconds spent waiting for clips, and on all else.
    """

    step: int
    epoch: float
    loss: float
    lr: float
    norm: float
    facts: dict[str, float]
    clips: int
    data_s: float
    compute_s: float

    def plain(self) -> dict[str, Any]:
        """All of it in one level, for a log."""
        line = asdict(self)
        return {**line.pop("facts"), **line}


class NotANumber(Exception):  # noqa: N818 - caught by pretrain.py, never seen by a user
    """The loss or the gradient of a step is no finite number; nothing was changed by it."""

    def __init__(self, step: int, what: str, value: float, batch: ClipBatch) -> None:
        super().__init__(f"{what} of step {step} is {value}")
        self.step, self.what, self.value, self.batch = step, what, value, batch


@dataclass
class Loop:
    """What a run is made of.

    Attributes:
        accelerator: the engine: devices, precision, processes.
        model, optimiser: as prepared by it.
        one_pass: batch to loss.
        batches: the passes' batches, one after the other.
        passes: that make a step.
        schedule: learning rates.
        run: intervals.
        clip: largest norm of the gradient; 0: not clipped.
        on_step: called after each step.
        on_save: called with the number of steps done when a checkpoint is due, and with whether
            these are all.
        on_batch: called with the first batch of each step.
        enough: asked after each checkpoint whether the run should end early.
    """

    accelerator: Accelerator
    model: nn.Module
    optimiser: torch.optim.Optimizer
    one_pass: Callable[[nn.Module, ClipBatch], PassResult]
    batches: Iterator[ClipBatch]
    passes: int
    schedule: Schedule
    run: RunSettings
    clip: float
    clips: int
    on_step: Callable[[StepLine], None]
    on_save: SaveHook
    on_batch: Callable[[int, ClipBatch], None]
    enough: Callable[[], bool] = lambda: False
    stop: StopRequest = field(default_factory=StopRequest)

    def go(self, start: int) -> int:
        """Runs from step ``start`` to the end, or until asked to stop; gives the steps done.

        Raises:
            NotANumber: see there.
        """
        self.model.train()
        end = self.schedule.steps
        if self.run.stop_at:
            end = min(end, self.run.stop_at)
        step = start
        while step < end:
            self.on_step(self._step(step))
            step += 1
            stopping = self._asked(step)
            if step % self.run.save_every == 0 or step == end or stopping:
                self.on_save(step, last=step == self.schedule.steps)
                if self.enough():
                    break
            if stopping:
                break
        return step

    def _step(self, step: int) -> StepLine:
        began = time.perf_counter()
        waited = 0.0
        results: list[PassResult] = []
        for number in range(self.passes):
            asked = time.perf_counter()
            batch = next(self.batches)
            if number == 0:
                self.on_batch(step, batch)
            batch = batch.to(self.accelerator.device, non_blocking=True)
            waited += time.perf_counter() - asked
            results.append(self._pass(step, number, batch))
        loss, facts = self._means(results)
        norm = self._norm()
        # The gradient is shared, so all processes see the same; a loss may be one's own.
        if not math.isfinite(norm) or not math.isfinite(loss):
            what, value = ("loss", loss) if not math.isfinite(loss) else ("gradient", norm)
            raise NotANumber(step, what, value, batch)
        rate = self.schedule.rate(step)
        set_rate(self.optimiser, rate)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        total = time.perf_counter() - began
        return StepLine(
            step=step,
            epoch=(step + 1) / self.schedule.steps_an_epoch,
            loss=loss,
            lr=rate,
            norm=norm,
            facts=facts,
            clips=self.clips,
            data_s=waited,
            compute_s=total - waited,
        )

    def _pass(self, step: int, number: int, batch: ClipBatch) -> PassResult:
        last = number == self.passes - 1
        with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
            self._seed(step, number)
            with self.accelerator.autocast():
                result = self.one_pass(self.model, batch)
            self.accelerator.backward(result.loss / self.passes)
        result = PassResult(result.loss.detach(), result.facts)
        # Seen at once, while the batch is at hand; several processes see it in the mean.
        alone = self.accelerator.num_processes == 1
        if alone and not last and not math.isfinite(value := result.loss.item()):
            raise NotANumber(step, "loss", value, batch)
        return result

    def _seed(self, step: int, number: int) -> None:
        """Drop path draws from torch's own generator: made a function of the step as all else."""
        rank = self.accelerator.process_index
        state = np.random.SeedSequence([self.run.seed, step, number, rank]).generate_state(1)
        torch.manual_seed(int(state[0]))

    def _means(self, results: list[PassResult]) -> tuple[float, dict[str, float]]:
        names = list(results[0].facts)
        rows = [torch.stack([each.loss, *(each.facts[n] for n in names)]) for each in results]
        mean = torch.stack([row.float() for row in rows]).mean(0)
        reduced: Tensor = self.accelerator.reduce(mean, "mean")
        loss, *facts = reduced.tolist()
        return loss, dict(zip(names, facts, strict=True))

    def _norm(self) -> float:
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        if self.clip:
            norm: Any = self.accelerator.clip_grad_norm_(parameters, self.clip)
        else:
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        # Under FSDP each process knows a part.
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def _asked(self, step: int) -> bool:
        if self.accelerator.num_processes == 1:
            return bool(self.stop)
        if step % _ASK_EVERY:
            return False
        flag = torch.tensor([float(bool(self.stop))], device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum").item() > 0)
