"""The one loop that runs a model over clips: validation, evaluation, features and prediction."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list, gather_object

from mofo.clips.batch import ClipBatch, blank_clip
from mofo.clips.loader import batches
from mofo.clips.view_clips import ViewBatch, ViewDataset, collate_views
from mofo.system.environment import PATIENCE, pick_device, torch_timeout
from mofo.system.group import doing, watch
from mofo.system.progress import Bar
from mofo.types import MofoError, SettingsError

Output = TypeVar("Output")
Forward = Callable[[ClipBatch], Output]
"""Clips on the model's device to whatever the model makes of them."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Where a model runs, and which share of the work is this process's.

    Attributes:
        device: of the model.
        precision: "fp32" or "bf16".
        rank, processes: number of this process, and how many there are.
    """

    device: torch.device
    precision: str = "fp32"
    rank: int = 0
    processes: int = 1

    @classmethod
    def alone(cls, device: torch.device | str | None = None, precision: str = "auto") -> Engine:
        """This process by itself.

        Args:
            device: None: a GPU if there is one.
            precision: "fp32", "bf16", or "auto": bf16 on a GPU.

        Raises:
            SettingsError: an unknown precision.
        """
        device, precision = pick_device(device, precision)
        return cls(device=device, precision=precision)

    @classmethod
    def shared(cls, precision: str = "auto") -> Engine:
        """All processes that were launched together (``torchrun``, ``accelerate launch``)."""
        _, precision = pick_device(None, precision)
        # Without being told, accelerate takes processes without a GPU for independent ones.
        state = PartialState(
            cpu=not torch.accelerator.is_available(), timeout=torch_timeout(PATIENCE)
        )
        watch(PATIENCE)
        return cls(
            device=state.device,
            precision=precision,
            rank=state.process_index,
            processes=state.num_processes,
        )

    @classmethod
    def of(cls, accelerator: Accelerator) -> Engine:
        """The processes of a training."""
        return cls(
            device=accelerator.device,
            precision="bf16" if accelerator.mixed_precision == "bf16" else "fp32",
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
        )

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reports: the only one, or number 0."""
        return self.rank == 0

    def autocast(self) -> torch.autocast:
        """Context in which a model computes in ``precision``."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def share(self, items: Sequence[Any]) -> Sequence[Any]:
        """What of ``items`` is this process's to do."""
        return items[self.rank :: self.processes]

    def gather(self, work: Callable[[], Output]) -> list[Output]:
        """What ``work`` returns in each process, in all of them.

        Raises:
            MofoError: of any process, in all of them: the others would wait for it.
        """
        try:
            parts: list[Any] = [work()]
        except MofoError as error:
            parts = [error]
        if self.processes > 1:
            doing("gathers results", waits=True)
            parts = gather_object(parts)
            doing("")
        for part in parts:
            if isinstance(part, MofoError):
                raise part
        return parts

    def broadcast(self, value: Output) -> Output:
        """The main process's ``value``, in all of them."""
        values = [value]
        if self.processes > 1:
            doing("gets results", waits=self.rank > 0)
            broadcast_object_list(values)
            doing("")
        return values[0]

    def wait(self) -> None:
        """Returns when all processes are here."""
        if self.processes > 1:
            doing("is done with its share", waits=True)
            PartialState().wait_for_everyone()
            doing("")


class Step(NamedTuple, Generic[Output]):
    """One batch.

    ``views``: the clips, on the CPU, and why others could not be read.
    ``output``: what the model made of the clips; None if there are none.
    """

    views: ViewBatch
    output: Output | None


def run_model(
    forward: Forward[Output],
    dataset: ViewDataset,
    order: Sequence[Sequence[tuple[int, int]]],
    engine: Engine,
    *,
    workers: int = 0,
    every_batch: bool = False,
    title: str | None = None,
    progress: bool = False,
) -> Generator[Step[Output]]:
    """Runs a model over views of videos, batch by batch; the batches stay in order.

    Args:
        forward: the model, in evaluation mode; called without gradients.
        order: batches of ``(row, view)``; see ``in_batches``.
        workers: processes that read; at most one a processor is started.
        every_batch: run the model on a black clip where nothing of a batch can be read, as one must
            that is divided over processes.
        title, progress: name of a progress bar, and whether there is one.
    """
    if workers < 0:
        raise SettingsError(f"workers {workers}: expected 0 or more")
    pin = engine.device.type == "cuda"
    read = batches(dataset, order, collate_views, workers=workers, pin=pin)
    show = progress and engine.is_main
    bar = Bar(total=sum(map(len, order)), unit="view", desc=title, show=show)
    try:
        for number, keys in enumerate(order):
            doing(f"reads batch {number} of {len(order)}")
            views = next(read)
            clips, output = views.clips, None
            if clips is None and every_batch:
                clips = blank_clip(dataset.settings.grid)
            if clips is not None:
                doing(f"computes batch {number} of {len(order)}", waits=every_batch)
                with torch.no_grad(), engine.autocast():
                    output = forward(clips.to(engine.device, non_blocking=True))
            yield Step(views, output if views.clips is not None else None)
            bar.update(len(keys))
    finally:
        doing("")
        read.close()  # ends the workers
        bar.close()


def in_batches(rows: Sequence[int], views: int, batch: int) -> list[list[tuple[int, int]]]:
    """All views of some rows in order, ``batch`` at a time."""
    if batch < 1:
        raise SettingsError(f"batch {batch}: expected 1 or more")
    keys = [(row, view) for row in rows for view in range(views)]
    return [keys[start : start + batch] for start in range(0, len(keys), batch)]
