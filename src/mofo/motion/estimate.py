"""How long a detection will take: a few of its videos are done, and nothing is kept."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mofo.motion.detect_worker import Outcome, Task, detect_video
from mofo.motion.merge import merge, scan
from mofo.system.pool import make_engine
from mofo.system.processes import worker_count

_LEAST, _MOST = 12, 60  # videos that are tried
_SECONDS = 15.0  # after which no more than the least are


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        videos: to do. bytes: in them.
        seconds: wall time, about.
        workers: processes, 0: this one.
        tried: videos that were done for it.
    """

    videos: int
    bytes: int
    seconds: float
    workers: int
    tried: int


def estimate(
    tasks: Sequence[Task], engine: str, workers: int | None, timeout: float | None
) -> Estimate:
    """Does some of the videos, evenly from small to large, by the processes that a run would have.

    Args:
        tasks: all that a run would do.
        engine, workers, timeout: as of ``detect_many``.

    Raises:
        MofoError: no worker can start.
    """
    total = sum(task.size for task in tasks)
    count = worker_count(workers, len(tasks))
    if not tasks:
        return Estimate(0, 0, 0.0, count, 0)
    groups = min(len(tasks), max(_MOST, 4 * count))
    by_size = sorted(tasks, key=lambda task: task.size)
    # The middle one of each of several groups of equal number, in no order: there may not be time
    # for all.
    chosen = [by_size[int((group + 0.5) * len(tasks) / groups)] for group in range(groups)]
    random.Random(0).shuffle(chosen)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mofo-") as folder:
        trials = (
            replace(task, folder=Path(folder))
            for number, task in enumerate(chosen)
            if number < max(_LEAST, count) or time.monotonic() - start < _SECONDS
        )
        run = make_engine(engine, timed, workers, groups, timeout).run(trials)
        with contextlib.closing(run) as results:
            tried, spans = 0, dict[int, tuple[float, float]]()  # at work, by process
            for result in filter(None, results):
                tried, came = tried + 1, time.monotonic() - start
                if result.value:
                    _, seconds, process = result.value
                    spans[process] = spans.get(process, (came - seconds,))[0], came
        merging = time.monotonic()
        merge(scan(Path(folder), tasks[0].settings))
        merging = time.monotonic() - merging
    spans = spans or {0: (0.0, time.monotonic() - start)}
    # Tasks one after the other, with what lies between them; processes start once.
    each = sum(end - begin for begin, end in spans.values()) / max(1, count) / tried
    seconds = min(begin for begin, _ in spans.values()) + (each + merging / tried) * len(tasks)
    return Estimate(len(tasks), total, seconds, count, tried)


def timed(task: Task, progress: Callable[[int], None] | None = None) -> tuple[Outcome, float, int]:
    """What became of a task, the seconds that it took, and the number of the process."""
    importlib.import_module("mofo.motion.analyse")  # once a process, and no work on the video
    start = time.monotonic()
    return detect_video(task, progress), time.monotonic() - start, os.getpid()
