"""What a training will need: memory, time, disk and cores for reading, before it is begun.

    print("\\n".join(plan(settings, "8xH100").lines()))

Two small steps are run here, on clips of the recipe's own videos: they tell the memory and the
operations of a clip, how fast this machine computes and how fast a core reads. For GPUs, time is
worked out from the operations and the share of its peak that a GPU reaches in practice.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import FlopCounterMode

from mofo.clips.batch import ClipBatch
from mofo.registry import unknown
from mofo.training.optim import Schedule
from mofo.training.order import Division
from mofo.training.pretrain_settings import TrainingSettings
from mofo.training.tasks import TASKS, Task
from mofo.types import SettingsError

_GB = 1e9
_USABLE = 0.9  # of a device's memory: the rest is the driver's, and what fragments
_REACHED = 0.35  # of a GPU's peak that trainings of vision transformers reach, bf16
_STEPS = 5  # that are timed


class Gpu(NamedTuple):
    """A GPU: gigabytes of memory, and its peak of dense bf16 products in 1e12 operations a second.

    By the vendor's data sheets.
    """

    memory: float
    peak: float


GPUS = {
    "A100": Gpu(80, 312),
    "A100-40": Gpu(40, 312),
    "B200": Gpu(180, 2250),
    "H100": Gpu(80, 989),
    "H200": Gpu(141, 989),
    "L4": Gpu(24, 121),
    "L40S": Gpu(48, 362),
    "RTX4090": Gpu(24, 165),
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a training will need. Bytes and seconds, of one device unless said otherwise.

    Attributes:
        device: "this machine's CPU", or such as "8 x H100".
        micro_batch: largest part of the batch that fits a device; 0: not even one clip.
        fixed_memory, clip_memory: of weights, gradients, moments; of each clip beside them.
        memory: with ``micro_batch``, what else the process holds included on a CPU.
        clip_operations: floating-point operations of a clip, forward and backward.
        step_seconds, hours: of a step; of all of them.
        read_rate: clips a second that one core reads.
        cores: that read as fast as all devices compute.
        disk: bytes of the checkpoints that are kept.
    """

    device: str
    devices: int
    worked_out: bool
    parameters: int
    steps: int
    batch: int
    micro_batch: int
    fixed_memory: float
    clip_memory: float
    memory: float
    clip_operations: float
    step_seconds: float
    hours: float
    read_rate: float
    cores: int
    disk: float

    def lines(self) -> list[str]:
        """For people."""
        how = "worked out, not measured" if self.worked_out else "measured here"
        if self.micro_batch:
            fits = f"run.micro_batch {self.micro_batch} fits: {self.memory / _GB:.2f} GB a device"
        else:
            fits = f"not even one clip fits: {self.memory / _GB:.2f} GB are needed"
        return [
            f"{self.device}; {self.parameters / 1e6:.1f} M parameters",
            f"memory: {fits} ({self.fixed_memory / _GB:.2f} GB for weights, gradients and moments, "
            f"{self.clip_memory / _GB:.3f} GB a clip)",
            f"time: {self.hours:.3g} hours for {self.steps:,} steps of {self.batch} clips, "
            f"{self.step_seconds:.3g} s each ({how}; {self.clip_operations / 1e9:.3g} G operations "
            "a clip)",
            f"reading: {self.cores} cores keep up (one reads {self.read_rate:.3g} clips a second "
            "here)",
            f"disk: {self.disk / _GB:.2f} GB of checkpoints",
        ]


class _Measured(NamedTuple):
    """Bytes without and for a clip, and of the update; of a clip its operations.

    Seconds: of each pass whatever its clips, of each clip, of the update, of reading a clip.
    """

    fixed: float
    clip: float
    update: float
    operations: float
    pass_seconds: float
    clip_seconds: float
    update_seconds: float
    read_seconds: float


def plan(settings: TrainingSettings, gpus: str | None = None) -> Plan:
    """Returns what a training will need.

    ``settings``: the recipe, with a source of videos that can be read.
    ``gpus``: such as "1xH200" or "8xA100"; None: this machine's CPU.
    """
    devices, gpu = _devices(gpus)
    task = TASKS[settings.task](settings)
    if not len(task.dataset):
        raise SettingsError(f"{' '.join(settings.data.source)}: no video to measure with")
    run, optim, repeats = settings.run, settings.optim, settings.data.clips_per_video
    held = 0.0 if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    model = task.build()
    measured = _measure(task, model, repeats, bf16=gpu is not None)
    memory = gpu.memory * _GB if gpu else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    largest = int((_USABLE * memory - measured.fixed - held) / max(measured.clip, 1.0))
    micro = 0
    if largest >= repeats:
        # On a GPU larger parts cost nothing; a CPU gains nothing by them.
        wanted = largest if gpu else min(run.micro_batch, largest)
        division = Division.of(batch=optim.batch, micro=wanted, repeats=repeats, processes=devices)
        micro = division.micro
    if gpu:
        step_seconds = measured.operations * optim.batch / (gpu.peak * 1e12 * _REACHED * devices)
    else:
        passes = math.ceil(optim.batch / max(micro, repeats))
        step_seconds = (
            passes * measured.pass_seconds
            + optim.batch * measured.clip_seconds
            + measured.update_seconds
        )
    steps = Schedule.of(optim, len(task.dataset) * repeats).steps
    parameters = sum(p.numel() for p in model.parameters())
    copies = 3 + bool(task.ema_decay)  # weights, two moments, their average
    return Plan(
        device=f"{devices} x {gpus.partition('x')[2]}" if gpus else "this machine's CPU",
        devices=devices,
        worked_out=gpu is not None,
        parameters=parameters,
        steps=steps,
        batch=optim.batch,
        micro_batch=micro,
        fixed_memory=measured.fixed,
        clip_memory=measured.clip,
        memory=held + max(measured.fixed + max(micro, repeats) * measured.clip, measured.update),
        clip_operations=measured.operations,
        step_seconds=step_seconds,
        hours=steps * step_seconds / 3600,
        read_rate=1 / measured.read_seconds,
        cores=max(1, math.ceil(optim.batch / step_seconds * measured.read_seconds)),
        disk=4.0 * parameters * copies * (run.keep_last + 1),
    )


def _devices(gpus: str | None) -> tuple[int, Gpu | None]:
    if gpus is None:
        return 1, None
    count, _, name = gpus.partition("x")
    if not count.isdigit() or int(count) < 1:
        raise SettingsError(f"--gpus {gpus!r}: write how many and which, such as 1xH200")
    if name not in GPUS:
        raise SettingsError(unknown("GPU", name, tuple(GPUS)))
    return int(count), GPUS[name]


def _batch(task: Task, parts: int) -> ClipBatch:
    """Clips of the first videos, cut as a training cuts them: ``parts`` decoded pieces."""
    samples = task.dataset.__getitems__([(0, row % len(task.dataset)) for row in range(parts)])
    return task.collate_fn(samples)


def _measure(task: Task, model: nn.Module, repeats: int, *, bf16: bool) -> _Measured:
    began = time.perf_counter()
    batches = [_batch(task, parts) for parts in (1, 2)]
    read_seconds = (time.perf_counter() - began) / (3 * repeats)
    optimiser = task.optimiser(model)
    model.train()

    def compute(batch: ClipBatch) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = task.forward_step(model, batch).loss
        loss.backward()

    def update() -> None:
        float(nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    compute(batches[0])
    update()  # the optimiser has its moments from now on
    peaks, updates, operations = [], [], 0
    for batch in batches:
        peak, operations = _peak(model, optimiser, partial(compute, batch))
        peaks.append(peak)
        updates.append(_peak(model, optimiser, update)[0])
    # A pass of one part, of two, and the update, by turns.
    works = (partial(compute, batches[0]), partial(compute, batches[1]), update)
    rounds = [[0.0] * 3] if bf16 else [[_seconds(work) for work in works] for _ in range(_STEPS)]
    one, two, updating = (statistics.median(column) for column in zip(*rounds, strict=True))
    clip = (peaks[1] - peaks[0]) / repeats
    fixed, per_clip = peaks[0] - clip * repeats, operations / (2 * repeats)
    passing = min(one, max(0.0, 2 * one - two))
    return _Measured(
        fixed, clip, max(updates), per_clip, passing, (one - passing) / repeats, updating,
        read_seconds,
    )  # fmt: skip


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _peak(
    model: nn.Module, optimiser: torch.optim.Optimizer, work: Callable[[], None]
) -> tuple[float, int]:
    """Most bytes of tensors while it works, and its floating-point operations."""
    gc.collect()
    tracker, counter = MemTracker(), FlopCounterMode(display=False)
    tracker.track_external(model, optimiser)
    with tracker, counter:
        work()
    snapshot = tracker.get_tracker_snapshot("peak")
    return sum(kinds["Total"] for kinds in snapshot.values()), counter.get_total_flops()
