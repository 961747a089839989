"""How long a run is and what the learning rate is at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mofo.training.pretrain_settings import OptimSettings


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Linear warm-up, then half a cosine, step by step.

    Attributes:
        steps: of the whole run.
        warmup: steps until the peak is reached.
        steps_an_epoch: not a whole number in general.
        peak, last: learning rates, scaled to the batch.
    """

    steps: int
    warmup: int
    steps_an_epoch: float
    peak: float
    last: float

    @classmethod
    def of(cls, optim: OptimSettings, clips: int) -> Schedule:
        """The schedule for ``clips`` clips an epoch."""
        an_epoch = clips / optim.batch
        steps = max(1, round(optim.epochs * an_epoch))
        scale = optim.batch / 256
        return cls(
            steps=steps,
            warmup=min(steps, round(optim.warmup_epochs * an_epoch)),
            steps_an_epoch=an_epoch,
            peak=optim.lr * scale,
            last=optim.min_lr * scale,
        )

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - 1 - self.warmup)
        return self.last + (self.peak - self.last) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
