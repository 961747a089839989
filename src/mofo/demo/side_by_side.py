"""Trainings side by side, a process each: a small model gains little by a second thread."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from mofo.system.processes import (
    death,
    end_with_parent,
    is_importing_main,
    starting_workers,
    usable_cpus,
)
from mofo.training.pretrain_settings import TrainingSettings
from mofo.types import MofoError

_BEAT, _LINE_EVERY = 1.0, 30.0  # seconds
_TAIL = 4096  # bytes of a journal that hold its last line
_DONE, _STOPPED = "done", "stopped"
_STOPS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Training:
    """A run to do: its name for a reader, "pretrain" or "finetune", its settings and steps."""

    name: str
    kind: str
    settings: TrainingSettings
    steps: int


def train_all(trainings: Sequence[Training], *, progress: bool) -> None:
    """Does the trainings, as many at a time as there are processors; unfinished ones go on.

    Args:
        trainings: what to do.
        progress: show bars, or a line now and then where stderr is no terminal.

    Raises:
        MofoError: as the training raises it, or its process died.
        KeyboardInterrupt: stopped; every training has saved what it learned.
    """
    if is_importing_main():
        sys.exit(1)  # a script without a guard is run again by each process: see LocalEngine
    at_once = max(1, min(len(trainings), usable_cpus()))
    threads = max(1, min(4, usable_cpus() // at_once))
    for first in range(0, len(trainings), at_once):
        several = [_Process(one, threads) for one in trainings[first : first + at_once]]
        with _stopping(several), _Bars(several, show=progress) as bars:
            for one in several:
                one.start()
            while waiting := [one for one in several if one.is_running()]:
                wait([one.pipe for one in waiting], timeout=_BEAT)
                for one in waiting:
                    one.listen()
                    one.check()
                bars.beat()


class _Process:
    """One training in its process."""

    def __init__(self, training: Training, threads: int) -> None:
        self.training = training
        self._threads = threads
        self._process: BaseProcess | None = None
        self._said: Any = None
        self.pipe: Connection
        self._journal = Path(training.settings.run.out) / "metrics.jsonl"

    def start(self) -> None:
        """Not seen by Ctrl-C until it can save what it has learned; it inherits what is blocked."""
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_train,
            args=(theirs, self.training.kind, self.training.settings, self._threads),
            name=f"mofo-{self.training.kind}",
        )
        with starting_workers(self._threads):
            process.start()
            self._process = process  # not before: who stops now waits for those that have begun
        theirs.close()

    def is_running(self) -> bool:
        """Whether nothing was heard from it yet."""
        return self._process is not None and self._said is None

    def listen(self) -> None:
        """Takes what it said; a dead one says nothing more."""
        assert self._process is not None
        try:
            if self.pipe.poll():
                self._said = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            self._said = MofoError(f"{self.training.name}: {death(self._process.exitcode)}")

    def check(self) -> None:
        """Raises what it told; of one that was stopped by somebody else nothing else is known."""
        if isinstance(self._said, MofoError):
            raise self._said
        if self._said == _STOPPED:
            raise KeyboardInterrupt

    def ask_to_stop(self) -> None:
        """It ends the step in hand, saves and ends; before its first step it just ends."""
        if self._process is not None and self._process.is_alive():
            self._process.terminate()

    def end(self) -> None:
        """Waits until it is gone."""
        if self._process is not None:
            self._process.join()
            self.pipe.close()

    def kill(self) -> None:
        """What was saved stays."""
        if self._process is not None:
            self._process.kill()

    def step(self) -> int:
        """Steps done, as far as its journal says."""
        try:
            with self._journal.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                line = file.read().rsplit(b"\n", 2)[-2]
            return int(line.partition(b'"step": ')[2].split(b",")[0]) + 1
        except (OSError, IndexError, ValueError):
            return 0


@contextlib.contextmanager
def _stopping(several: Sequence[_Process]) -> Iterator[None]:
    """However the block ends, no process is left; SIGTERM counts as Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # only the main thread may
        before = None
    try:
        yield
    except BaseException:
        for one in several:
            one.ask_to_stop()
        raise
    finally:
        try:
            for one in several:
                one.end()
        except BaseException:  # a second Ctrl-C
            for one in several:
                one.kill()
            raise
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)


class _Bars:
    """A bar for each training; a line for all now and then where there is no terminal."""

    def __init__(self, several: Sequence[_Process], *, show: bool) -> None:
        self._several, self._show = several, show
        self._is_terminal = sys.stderr.isatty()
        self._last = time.monotonic()
        width = max(len(one.training.name) for one in several)
        self._bars: list[tqdm[Any]] = [
            tqdm(
                total=one.training.steps,
                desc=f"     {one.training.name:{width}}",
                unit="step",
                position=place,
                dynamic_ncols=True,
                disable=not (show and self._is_terminal),
            )
            for place, one in enumerate(several)
        ]

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self._bars:
            bar.close()

    def beat(self) -> None:
        """Time has passed."""
        if not self._show:
            return
        if self._is_terminal:
            for bar, one in zip(self._bars, self._several, strict=True):
                bar.update(one.step() - bar.n)
        elif time.monotonic() - self._last >= _LINE_EVERY:
            self._last = time.monotonic()
            steps = ", ".join(
                f"{one.training.name} {one.step():,} of {one.training.steps:,}"
                for one in self._several
            )
            print(f"     steps: {steps}", file=sys.stderr, flush=True)


def _train(pipe: Connection, kind: str, settings: Any, threads: int) -> None:
    """The life of a process: one training."""
    with contextlib.suppress(OSError):
        os.setpgrp()  # Ctrl-C is for the parent, which passes it on once
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    end_with_parent()
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(threads)
    # tqdm's own lock is a semaphore of the system, which a process that is killed leaves behind.
    tqdm.set_lock(threading.RLock())
    try:
        from mofo.training.trainer import train

        report = train(settings)
    except MofoError as error:
        pipe.send(MofoError(str(error)))  # not all kinds of errors can be sent
        return
    pipe.send(_DONE if report.finished else _STOPPED)
