"""A running average of the weights, which often predicts better than the last ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average: ``average = decay * average + (1 - decay) * weight``.

    It works on whatever tensors the engine keeps, pieces of them included.

    Args:
        parameters: of the model; the average begins with them.
        decay: in (0, 1); near the number of steps it should reach back over, 1 - 1/steps.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self._parameters = [p for p in parameters if p.requires_grad]
        self._decay = decay
        self._average = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """To be called after each step of the optimiser."""
        weights = [p.detach() for p in self._parameters]
        torch._foreach_lerp_(self._average, weights, 1 - self._decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the model has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self._parameters, self._average, strict=True):
            held = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(held)
