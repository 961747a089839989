"""What a run needs to be told about that which it trains; and how it tells that it has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import Sampler

from mofo.clips.batch import ClipBatch
from mofo.clips.dataset import ClipDataset
from mofo.training.order import Division
from mofo.training.step import PassResult
from mofo.types import ClipSample

OnePass = Callable[[nn.Module, ClipBatch], PassResult]
"""A batch on the model's device to its loss."""


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
        validation: what the last validation found, by name; empty without one.
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
    validation: Mapping[str, float] = field(default_factory=dict)
    best: int | None = None


class Task(Protocol):
    """What is trained, and how; all else is the same for all tasks.

    Attributes:
        kind: name of the task: of its verb and in its checkpoints.
        settings: the recipe.
        dataset: the clips.
        problems: ``(path, reason)`` of the videos that cannot be used at all.
        one_pass: batch to loss.
        average: decay of the weights' running average; 0: none is kept.
        patience: validations in a row without a new best after which the run ends; 0: never.
        together: makes a batch of samples, in the processes that read; as ``collate``.
        validates: whether ``validate`` finds anything, so that the best checkpoint is told by it.
    """

    kind: str
    settings: Any
    dataset: ClipDataset
    problems: tuple[tuple[str, str], ...]
    average: float
    patience: int
    validates: bool

    @property
    def one_pass(self) -> OnePass: ...  # noqa: D102
    @property
    def together(self) -> Callable[[Sequence[ClipSample]], ClipBatch]: ...  # noqa: D102

    def build(self) -> nn.Module:
        """The model as it is before the first step."""

    def optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        """For a model that may be wrapped."""

    def order(self, division: Division, rank: int, start: int, stop: int) -> Sampler[Any]:
        """The keys of each pass of one process."""

    def facts(self) -> dict[str, Any]:
        """What a checkpoint should remember, as JSON."""

    def explain(self) -> list[str]:
        """Lines to say at the beginning."""

    def case(self, batch: ClipBatch) -> dict[str, Any]:
        """What is needed to run a batch again, besides settings and weights, as JSON."""

    def draw(self, model: nn.Module, batch: ClipBatch, path: Path, title: str) -> None:
        """Writes a picture of what the model does."""

    def validate(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        """Measures by name, "error" among them: the lowest is the best. Empty: no validation."""
