"""The local engine: worker processes that may die without taking the run along."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_int64
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawArray
from typing import Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from mofo.motion.worker import Outcome, Task, do, end_with_parent, one_thread
from mofo.types import MofoError

_BEAT = 0.5  # seconds between two looks at the workers
_slots: Any = None  # in a worker process: the array shared with the parent, set once at its start


@dataclass
class _Flight:
    """A task handed to the pool, and what was last seen of it."""

    task: Task
    slot: int
    seen: int = 0
    since: float = 0.0


class LocalPool:
    """Runs tasks in ``workers`` processes.

    Processes are spawned, not forked: a fork copies locks that other threads hold. Each task has a
    slot of shared memory without locks (a killed worker could hold one for ever) where its worker
    notes its process id and the frames done.

    Args:
        workers: processes, at least 1.
        stall: give a video up that makes no new frame for so many seconds; None waits for ever.
    """

    def __init__(self, workers: int, stall: float | None = None) -> None:
        self._workers = workers
        self._stall = stall
        # Twice the workers: each finds its next task waiting, and a million are never in memory.
        self._depth = 2 * workers
        self._shared = RawArray(c_int64, 2 * self._depth + 1)
        self._free = list(range(self._depth))
        self._flying: dict[ProcessFuture[Outcome], _Flight] = {}

    @property
    def frames(self) -> int:
        """Frames done so far of the videos that are being worked on."""
        return sum(max(self._shared[2 * f.slot] - 1, 0) for f in self._flying.values())

    def run(self, tasks: Iterator[Task]) -> Iterator[Outcome | None]:
        """Outcomes as they come, in no order; None now and then, so that the caller can look up.

        Raises:
            MofoError: no worker process can start.
        """
        again: deque[Task] = deque()
        tried: dict[str, int] = {}
        pool = self._start()
        try:
            while True:
                self._fill(pool, again, tasks)
                if not self._flying:
                    break
                wait(self._flying, timeout=_BEAT, return_when=FIRST_COMPLETED)
                broken = False
                for future in [future for future in self._flying if future.done()]:
                    flight = self._land(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        broken = True
                        again.append(flight.task)
                    except ProcessExpired as error:
                        yield Outcome(flight.task.key, failure=death(error.exitcode))
                    except CancelledError:
                        reason = f"gave up: no new frame for {self._stall:g} seconds"
                        yield Outcome(flight.task.key, failure=reason)
                if broken:
                    self._restart(pool, again, tried)
                    for key in [key for key, times in tried.items() if times > 2]:
                        again = deque(task for task in again if task.key != key)
                        del tried[key]
                        yield Outcome(key, failure="the worker processes died again and again")
                    pool = self._start()
                yield from self._look()
                yield None
        finally:
            pool.stop()
            pool.join()

    def _start(self) -> ProcessPool:
        context = multiprocessing.get_context("spawn")
        return ProcessPool(
            max_workers=self._workers, initializer=_begin, initargs=(self._shared,), context=context
        )

    def _fill(self, pool: ProcessPool, again: deque[Task], tasks: Iterator[Task]) -> None:
        while self._free:
            task = again.popleft() if again else next(tasks, None)
            if task is None:
                return
            slot = self._free.pop()
            self._shared[2 * slot] = self._shared[2 * slot + 1] = 0
            try:
                future = pool.schedule(_do_in_slot, args=(task, slot))
            except (BrokenProcessPool, RuntimeError):
                # Broken since the last look; the tasks under way will say so.
                self._free.append(slot)
                again.appendleft(task)
                if not self._flying:
                    raise self._cannot_start() from None
                return
            self._flying[future] = _Flight(task, slot, since=time.monotonic())

    def _land(self, future: ProcessFuture[Outcome]) -> _Flight:
        flight = self._flying.pop(future)
        self._free.append(flight.slot)
        return flight

    def _restart(self, pool: ProcessPool, again: deque[Task], tried: dict[str, int]) -> None:
        pool.stop()
        pool.join()
        if not self._shared[2 * self._depth]:
            raise self._cannot_start()
        again.extend(self._land(future).task for future in list(self._flying))
        for task in again:
            tried[task.key] = tried.get(task.key, 0) + 1

    def _look(self) -> Iterator[Outcome]:
        """Find tasks that stand still, and tasks whose worker vanished unnoticed."""
        now = time.monotonic()
        for future, flight in list(self._flying.items()):
            frames = self._shared[2 * flight.slot]
            pid = self._shared[2 * flight.slot + 1]
            if frames != flight.seen:
                flight.seen, flight.since = frames, now
            elif future.done() or not pid:
                continue
            elif self._stall is not None and now - flight.since > self._stall:
                future.cancel()  # the pool kills the worker and starts another
            elif now - flight.since > 10 * _BEAT and not _alive(pid):
                # Killed in the moment between taking a task and being seen with it.
                future.cancel()
                self._land(future)
                yield Outcome(flight.task.key, failure=death(None))

    def _cannot_start(self) -> MofoError:
        return MofoError(
            "the worker processes cannot start: a script that calls detect_many needs "
            "`if __name__ == '__main__':` around the call, or workers=0"
        )


def death(exitcode: int | None) -> str:
    """The one-line reason for a worker that ended by itself."""
    known = {-9: ": out of memory?", -11: ": a crash in a decoder?", -6: ": a crash in a decoder?"}
    if exitcode is None:
        return "the worker process died"
    return f"the worker process died (exit code {exitcode}{known.get(exitcode, '')})"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _begin(shared: Any) -> None:
    """First thing in a worker process."""
    global _slots
    end_with_parent()
    one_thread()
    _slots = shared
    _slots[len(_slots) - 1] = 1


def _do_in_slot(task: Task, slot: int) -> Outcome:
    _slots[2 * slot + 1] = os.getpid()
    _slots[2 * slot] = 1

    def progress(frames: int) -> None:
        _slots[2 * slot] = 1 + frames

    return do(task, progress)
