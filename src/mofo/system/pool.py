"""Engines: many tasks in worker processes that may die without taking the run along.

Each worker has a pipe of its own, so it is always known which task a dead one was working on,
and no lock is shared that a killed worker could hold for ever. (Pools of one queue for all workers
lose track of a task whose worker dies in the moment of taking it.)
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from ctypes import c_int64
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray
from typing import Any, NamedTuple, Protocol

from mofo.registry import Registry, plugins
from mofo.system.processes import (
    begin_worker,
    death,
    starting_workers,
    usable_cpus,
    worker_count,
)
from mofo.types import MofoError, SettingsError

_BEAT = 0.5  # seconds between two looks at the workers
_FALSE_STARTS = 3  # processes in a row that end before they could take a task
_READY = "ready"

Work = Callable[[Any, Callable[[int], None] | None], Any]
"""What is done with a task: a function of a module (so that processes can import it) that takes the
task and a function to be called with the number of frames done since its last call.
"""


class Result(NamedTuple):
    """What became of a task: what the work returned, or why its process died or was ended."""

    task: Any
    value: Any = None
    failure: str = ""


class Engine(Protocol):
    """Runs tasks somewhere; made with the work, a number of workers, and a limit in seconds."""

    def __init__(self, work: Work, workers: int, stall: float | None = None) -> None: ...

    @property
    def frames(self) -> int:
        """Frames done so far of unfinished tasks."""

    def run(self, tasks: Iterator[Any]) -> Generator[Result | None]:
        """Results as they come, in any order; None now and then, so that the caller can look up.

        Close the iterator to end the processes.

        Raises:
            MofoError: no worker process can start.
        """


ENGINES: Registry[type[Engine]] = Registry(
    "engine", lambda: importlib.import_module("mofo.system.ray_engine")
)


class InProcess:
    """No processes at all: for debuggers, notebooks and tests. A crash takes everything along."""

    frames = 0

    def __init__(self, work: Work, workers: int = 0, stall: float | None = None) -> None:
        self._work = work

    def run(self, tasks: Iterator[Any]) -> Generator[Result | None]:
        """Results in the order of the tasks."""
        return (Result(task, self._work(task, None)) for task in tasks)


@ENGINES.register("local")
class LocalEngine:
    """Runs tasks in ``workers`` processes, each of which takes one after the other.

    Processes are spawned, not forked: a fork copies locks that other threads hold. Tasks are
    fetched when a worker is free, so a million of them are never in memory.

    Args:
        work: see ``Work``.
        workers: processes, at least 1.
        stall: give up a task that makes no progress for so many seconds; None waits for ever.
    """

    def __init__(self, work: Work, workers: int, stall: float | None = None) -> None:
        # Frames done of the task that each worker has. Plain shared memory, one writer each.
        try:
            shared = RawArray(c_int64, workers)
        except OSError as error:
            error.filename = error.filename or "shared memory (/dev/shm)"
            raise
        self._workers = [_Worker(number, shared, work) for number in range(workers)]
        self._stall = stall
        self._false_starts = 0

    @property
    def frames(self) -> int:
        """Frames done so far of the tasks that are being worked on."""
        return sum(worker.frames() for worker in self._workers)

    def run(self, tasks: Iterator[Any]) -> Generator[Result | None]:
        """See ``Engine.run``."""
        again: deque[Any] = deque()
        try:
            while True:
                for worker in self._workers:
                    task = None
                    if worker.task is None:
                        task = again.popleft() if again else next(tasks, None)
                    if task is not None:
                        worker.give(task)
                busy = [worker for worker in self._workers if worker.task is not None]
                if not busy:
                    return
                wait([worker.sign() for worker in busy], timeout=_BEAT)
                for worker in busy:
                    yield from self._listen(worker, again)
                yield None
        finally:
            for worker in self._workers:
                worker.end()

    def _listen(self, worker: _Worker, again: deque[Any]) -> Iterator[Result]:
        task = worker.task
        assert task is not None
        try:
            for message in worker.messages():
                if message != _READY:
                    worker.task = None
                    yield Result(task, *message)
                    return
                self._false_starts = 0
        except (EOFError, OSError):
            code = worker.end()
            if worker.ready:
                yield Result(task, failure=death(code))
                return
            self._false_starts += 1
            if self._false_starts >= _FALSE_STARTS:
                raise MofoError(
                    f"the worker processes cannot start (exit code {code}): with workers=0 this "
                    "process does the work"
                ) from None
            again.append(task)
            return
        if self._stall is not None and worker.idle_seconds() > self._stall:
            worker.end()
            yield Result(task, failure=f"gave up: no progress for {self._stall:g} seconds")


def check_engine(name: str, workers: int | None, stall: float | None) -> None:
    """Checks what ``make_engine`` is going to get."""
    ENGINES.check(name)
    if workers is not None and workers < 0:
        raise SettingsError(f"workers is {workers}: 0 (this process) is the least")
    if stall is not None and stall <= 0:
        raise SettingsError(f"timeout is {stall:g}: it has to be more than 0 seconds")


def make_engine(
    name: str, work: Work, workers: int | None, tasks: int, stall: float | None = None
) -> Engine:
    """The engine of that name with as many workers as there is work for.

    Args:
        name: in ``ENGINES``.
        workers: processes at most; None for all processors; 0 works in the calling process (local
            engine).
        stall: give up a task that makes no progress for so many seconds.
    """
    if name == "local":
        count = worker_count(workers, tasks)
        return (ENGINES[name] if count else InProcess)(work, count, stall)
    count = min(usable_cpus() if workers is None else workers, tasks)
    return ENGINES[name](work, count, stall)


class _Worker:
    """One worker process at a time, started when there is something to do."""

    def __init__(self, number: int, shared: Any, work: Work) -> None:
        self._number = number
        self._work = work
        self._shared = shared
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._seen = (0, 0.0)
        self.task: Any = None
        self.ready = False

    def frames(self) -> int:
        """Frames done of the task at work."""
        return int(self._shared[self._number]) if self.task is not None else 0

    def give(self, task: Any) -> None:
        """Hand over the next task, to a new process if the old one died while it was idle."""
        if self._process is not None and not self._process.is_alive():
            self.end()
        if self._pipe is None:
            self._start()
        assert self._pipe is not None
        self.task = task
        self._shared[self._number] = 0
        self._seen = (0, time.monotonic())
        # Broken if it died just now: listening to it will bring that to light.
        with contextlib.suppress(OSError):
            self._pipe.send(task)

    def sign(self) -> Connection:
        """What becomes readable when there is news, death included."""
        assert self._pipe is not None
        return self._pipe

    def messages(self) -> Iterator[Any]:
        """What the process has sent; EOFError when it is dead."""
        assert self._pipe is not None
        while self._pipe is not None and self._pipe.poll():
            message = self._pipe.recv()
            if message == _READY:
                self.ready = True
                # Importing the libraries is not the video's fault.
                self._seen = (0, time.monotonic())
            yield message

    def idle_seconds(self) -> float:
        """Seconds since the last new frame."""
        now, frames = time.monotonic(), self.frames()
        if not self.ready or frames != self._seen[0]:
            self._seen = (frames, now)
        return now - self._seen[1]

    def end(self) -> int | None:
        """Make sure the process is gone; return its exit code. Its task is forgotten.

        Killed rather than asked: an idle one has nothing to lose, and what a busy one writes is
        renamed into place or not there at all.
        """
        code = None
        if self._process is not None:
            self._process.join(0.2)  # the pipe closes a moment before the exit code is known
            self._process.kill()
            self._process.join()
            code = self._process.exitcode
            self._process.close()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = self.task = None
        return code

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(
            target=_serve,
            args=(theirs, self._shared, self._number, self._work, plugins()),
            name=f"mofo-worker-{self._number}",
            daemon=True,
        )
        self.ready = False
        with starting_workers():
            process.start()
            self._process = process  # not before: who stops now waits for those that have begun
        theirs.close()


def _serve(
    pipe: Connection, shared: Any, number: int, work: Work, plugin_names: Sequence[str]
) -> None:
    """The life of a worker process."""
    begin_worker(plugin_names)

    def progress(frames: int) -> None:
        shared[number] += frames

    try:
        pipe.send(_READY)
        while True:
            pipe.send((work(pipe.recv(), progress),))
    except (EOFError, BrokenPipeError):
        os._exit(0)
