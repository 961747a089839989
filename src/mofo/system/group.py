"""Processes that were launched together: when one fails or stands still, all end, with one line.

torch leaves the others waiting: for minutes or for ever, and then for a page of traceback. Here
each process says through the launcher's store what it does, and a thread of each reads what became
of the others. Nothing of it goes through the GPUs, so it also works while they wait.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, NoReturn

_TICK = 1.0  # seconds
_SILENT = 60  # ticks after which a process that says nothing is gone: killed, its machine down
_OVER = "mofo/over"


@dataclass
class _Now:
    """What this process does.

    Attributes:
        text: "reads the clips of step 7"; empty: something that may take as long as it likes.
        number: of such notes so far: in a training, who has made fewer is behind.
        ticks: since when. Not seconds: all processes of a job may be put to sleep together.
    """

    text: str = ""
    waits: bool = False
    number: int = 0
    ticks: int = 0


_now = _Now()
_watch: _Watch | None = None


def doing(text: str, *, waits: bool = False) -> None:
    """Notes what this process does now, for the line that names it if it takes too long.

    ``text``: as in "process 3 of 8 TEXT"; empty: something that may take any time.
    ``waits``: this may be a wait for other processes, so that those which do not are to blame.
    """
    global _now
    _now = _Now(text, waits, _now.number + 1)


def watch(limit: float) -> None:
    """Watches the other processes from now on, if there are any.

    ``limit``: seconds after which a process that does not go on ends all; 0: never.
    """
    global _watch
    distributed = _group()
    if distributed is None:
        return
    atexit.register(leave)
    if _watch is None and distributed.get_world_size() > 1:
        _watch = _Watch()
    if _watch is not None:
        _watch.limit = limit


def is_watching() -> bool:
    """Whether there are other processes."""
    return _watch is not None


def is_first_to_fail(error: BaseException) -> bool:
    """Tells the other processes that this one has failed; they end, too, without a word.

    False where another one has told so before, whose line says why: ``error`` may be no more than
    its consequence.
    """
    return _watch is None or _watch.tell(type(error).__name__)


def is_lost(error: BaseException) -> bool:
    """Whether an error of torch's means no more than that another process is gone."""
    words = ("gloo", "nccl", "connection", "socket", "recvvalue")
    return (
        _watch is not None
        and isinstance(error, RuntimeError)
        and any(word in str(error).lower() for word in words)
    )


def leave(*, together: bool = False) -> None:
    """Ends this process's part in the group, if it has one.

    Left to the end of the interpreter, the group's threads now and then abort the process: probably
    those that still hold tensors and ask for the interpreter's lock when it is gone.

    Args:
        together: wait until all are here. A launcher that sees the first one end with an exit code
            ends the others at once.
    """
    global _watch
    distributed = _group()
    if distributed is not None and together and _watch is not None:
        doing("ends", waits=True)
        _watch.is_leaving = True
        distributed.barrier()
    if _watch is not None:
        _watch.stop()
        _watch = None
    if distributed is not None:
        distributed.destroy_process_group()


def end(code: int) -> NoReturn:
    """Ends this process at once: torch would first wait for the others."""
    sys.stdout.flush()
    sys.stderr.flush()
    if _watch is not None and _watch.rank == 0:
        time.sleep(4 * _TICK)  # it may be the one that holds the store, in which the others read
    os._exit(code)


def _group() -> Any:
    """torch.distributed, if this process is in a group."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed


class _Watch:
    """The thread that speaks and listens."""

    def __init__(self) -> None:
        from torch import distributed

        doing("")
        self.rank, self.count = distributed.get_rank(), distributed.get_world_size()
        self.limit, self.is_leaving = 0.0, False
        # A connection of its own: another thread's wait would hold up ours.
        store: Any = distributed.distributed_c10d._get_default_store()
        self._store = store.clone()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._heard: dict[int, tuple[str, int]] = {}  # by process: last word, ticks since then
        self._beat, self._is_over = 0, False
        self._speak()
        self._thread = threading.Thread(target=self._run, daemon=True, name="mofo-watch")
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def tell(self, line: str) -> bool:
        """Says that the run is over; returns whether this process is the first to say so."""
        if self._is_over:
            return False
        with self._lock, contextlib.suppress(RuntimeError):
            mine = f"{self.rank}: {line}".encode()
            return bytes(self._store.compare_set(_OVER, "", mine)) == mine
        return True  # nobody listens any more

    def _run(self) -> None:
        while not self._ended.wait(_TICK):
            _now.ticks += 1
            try:
                with self._lock:
                    self._speak()
                    is_over = self._store.check([_OVER])
            except RuntimeError:  # of the store: what held it is gone
                if self.is_leaving:
                    return
                self._end("process 0, or what launched this one, is gone", tell=False)
            if is_over:
                self._is_over = True
                self._ended.wait(_TICK)  # the main thread may be about to end by itself
                end(1)
            if line := self._standstill():
                self._end(
                    f"{line}: look at that machine, its files and its log; a training goes on from "
                    "its last checkpoint with the same command"
                )

    def _speak(self) -> None:
        self._beat += 1
        now = _now
        words = f"{self._beat}|{int(now.waits)}|{now.number}|{now.ticks}|{now.text}"
        self._store.set(f"mofo/{self.rank}", words)

    def _standstill(self) -> str:
        """Which process keeps the others waiting, once that takes too long."""
        limit = self.limit / _TICK or math.inf
        if _now.ticks < min(_SILENT / 6, limit):
            self._heard.clear()
            return ""
        with self._lock:
            names = [f"mofo/{rank}" for rank in range(self.count)]
            words = [
                bytes(self._store.get(name)).decode() if self._store.check([name]) else "0|0|0|0|"
                for name in names
            ]
        for rank, word in enumerate(words):
            before, silent = self._heard.get(rank, ("", 0))
            self._heard[rank] = (word, silent + 1 if word == before else 0)
            if self._heard[rank][1] > _SILENT:
                return f"process {rank} of {self.count} is gone, or its machine is"
        if _now.ticks < limit:
            return ""
        parts = [word.split("|", 4)[1:] for word in words]
        waits, number, ticks, text = ([part[k] for part in parts] for k in range(4))
        blamed = [rank for rank in range(self.count) if waits[rank] == "0"]
        if not blamed:  # then those that are behind
            last = max(map(int, number))
            blamed = [rank for rank in range(self.count) if int(number[rank]) < last]
        if not blamed:
            return f"all {self.count} processes have waited for each other for {self.limit:g} s"
        if not all(text[rank] and int(ticks[rank]) >= limit for rank in blamed):
            return ""  # they go on, if slowly
        several = "es" if len(blamed) > 1 else ""
        return (
            f"process{several} {', '.join(map(str, blamed))} of {self.count} {text[blamed[0]]} "
            f"since {self.limit:g} s, and the others wait"
        )

    def _end(self, line: str, *, tell: bool = True) -> None:
        if not tell or self.tell(line):
            print(f"mofo: {line}", file=sys.stderr)
        end(1)
