"""What the weights go through in a step: optimiser, groups of parameters, rates, average.

Layer-wise decay as in BEiT (Bao et al., arXiv 2106.08254) and VideoMAE: what was pre-trained moves
the less the nearer it is to the pixels.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mofo.models.classifier import Classifier
from mofo.training.pretrain_settings import OptimSettings
from mofo.types import SettingsError

# What DDP and torch.compile put before a parameter's name.
_WRAPPERS = re.compile(r"\b(?:module|_orig_mod)\.")


def adamw(model: nn.Module, settings: OptimSettings) -> torch.optim.AdamW:
    """Returns AdamW over the parameters that train; vectors (norms, biases, tokens) do not decay.

    The learning rate is set at each step from the schedule.
    """
    groups = layer_groups(model, layers=(), decay=1.0, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(groups, lr=0.0, betas=settings.betas)


def layer_groups(
    model: nn.Module,
    *,
    layers: Sequence[Collection[str]],
    decay: float = 0.75,
    weight_decay: float = 0.05,
) -> list[dict[str, Any]]:
    """Returns groups of parameters for an optimiser, from the pixels up; only those that train.

    Each has, beside "params" and "weight_decay" (0 for vectors: norms, biases, the query), its
    "scale" and the "names" of its parameters. The scale is ``decay`` to the number of layers above:
    1 for fusion and heads, ``decay`` for the encoder's last layer and so on down to its embedding.
    ``set_rate`` applies it.

    Args:
        model: a ``Classifier``, whatever engine wraps it.
        layers: names of the parameters of each of its encoder's layers (``layer_names``).
        decay: factor from each layer to the one below it.
    """
    if not 0 < decay <= 1:
        raise SettingsError(f"layer decay {decay} is not above 0 and at most 1")
    if weight_decay < 0:
        raise SettingsError(f"weight decay {weight_decay} is below 0")
    layer_of = {name: layer for layer, names in enumerate(layers) for name in names}
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for wrapped, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        name = _WRAPPERS.sub("", wrapped)
        layer, vector = layer_of.get(name, len(layers)), parameter.ndim <= 1
        group = groups.setdefault(
            (layer, vector),
            {
                "params": [],
                "names": [],
                "scale": decay ** (len(layers) - layer),
                "weight_decay": 0.0 if vector else weight_decay,
            },
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return [groups[key] for key in sorted(groups)]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of all groups: ``rate`` times the group's "scale", if it has one."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def freeze(model: Classifier, what: str | int) -> int:
    """Stops the training of the encoder, or of its patch projection and first blocks.

    To be called before the optimiser is made. ``model``: is changed. ``what``: "encoder", or how
    many blocks (a number, or its digits); 0: nothing.

    Returns:
        The number of parameters that do not train.
    """
    depth = model.encoder.depth
    text = str(what)
    blocks = depth if text == "encoder" else int(text) if text.isdecimal() else -1
    if not 0 <= blocks <= depth:
        raise SettingsError(
            f"freeze {text!r}: say encoder, or a number of blocks from 0 to {depth}"
        )
    if blocks:
        model.freeze(blocks)
    return sum(p.numel() for p in model.parameters() if not p.requires_grad)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Length of a run and its learning rates: linear warm-up, then half a cosine, step by step."""

    steps: int
    warmup: int
    steps_an_epoch: float
    peak: float
    last: float

    @classmethod
    def of(cls, optim: OptimSettings, clips: int, batch: int | None = None) -> Schedule:
        """Returns the schedule for ``clips`` clips an epoch, ``batch`` (``optim.batch``) a step."""
        batch = batch or optim.batch
        an_epoch = clips / batch
        steps = max(1, round(optim.epochs * an_epoch))
        scale = batch / 256
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


class WeightAverage:
    """Exponential moving average: ``average = decay * average + (1 - decay) * weight``.

    It works on whatever tensors the engine keeps, pieces of them included. ``parameters``: of the
    model; the average begins with them. ``decay``: in (0, 1); near the number of steps it should
    reach back over, 1 - 1/steps.
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
