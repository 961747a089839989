"""Processes: how many fit, how a worker begins and ends, and what a request to stop does."""

from __future__ import annotations

import ast
import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from mofo.registry import load_plugins
from mofo.types import StoppedError

# Ctrl-C; the end of a job, and the warning before it that Slurm and others can send.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# Exit codes of what a signal has stopped: by Ctrl-C; by the others: the same command goes on
# (EX_TEMPFAIL of sysexits.h), so that job scripts know what to put into the queue again.
INTERRUPTED, TRY_AGAIN = 130, 75
# Every library that brings its own threads reads one of these when it is first imported.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def usable_cpus(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> int:
    """Processors that are really ours, at least 1.

    The least of: those the process is bound to, the share that its container or job may use
    (cgroup v2 ``cpu.max``, v1 ``cpu.cfs_quota_us``), and ``SLURM_CPUS_PER_TASK``.
    """
    bound = getattr(os, "sched_getaffinity", None)  # not on macOS
    counts = [len(bound(0)) if bound else os.cpu_count() or 1]
    slurm = environ.get("SLURM_CPUS_PER_TASK", "")
    if slurm.isdigit():
        counts.append(int(slurm))
    counts += [int(share) for share in _quotas(root)]
    return max(1, min(counts))


def _quotas(root: Path) -> list[float]:
    """Processor shares of this process's control groups and all groups above them."""
    base = root / "sys/fs/cgroup"
    shares = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, name = line.partition(":")
        controllers, _, group = name.partition(":")
        if controllers not in ("", "cpu", "cpu,cpuacct"):
            continue
        top = base / controllers
        folder = top / group.lstrip("/")
        # Inside a container the group's path may be seen from outside: then only the top exists.
        for at in {folder, *(up for up in folder.parents if up.is_relative_to(top)), top}:
            if not controllers:
                quota, _, period = _text(at / "cpu.max").partition(" ")
            else:
                quota, period = (_text(at / f"cpu.cfs_{x}_us") for x in ("quota", "period"))
            if quota.isdigit() and period.isdigit() and int(period):
                shares.append(int(quota) / int(period))
    return shares


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


@contextlib.contextmanager
def outliving_signals() -> Iterator[None]:
    """Processes that start inside this block go on ignoring SIGTERM and SIGUSR1.

    For those that multiprocessing starts for itself: the end of a job's time reaches them, too, but
    they have to serve until their parent is done. Only the main thread can do that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in STOPS[1:]]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextlib.contextmanager
def starting_workers() -> Iterator[None]:
    """Start worker processes inside this block; their first call is ``begin_worker``.

    Their numerical libraries get one thread each, whatever they import first: with one for each
    processor in every worker, they would starve each other. Ctrl-C and SIGTERM wait until
    the block ends, and in the new processes until those can ignore them: Ctrl-C goes to all
    processes of a terminal.
    """
    # Started together with the first process, multiprocessing's tracker would let signals through.
    with outliving_signals():
        resource_tracker.ensure_running()
    environment = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    with _waiting_signals():
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        try:
            yield
        finally:
            for name, value in environment.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextlib.contextmanager
def _waiting_signals() -> Iterator[None]:
    """Signals that a thread of a library takes, since it does not block them, wait for the end.

    Python would act on them here, between the start of a process and its first orders.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = [
        (stop, signal.signal(stop, lambda number, frame: came.append(number)))
        for stop in STOPS
        if signal.getsignal(stop) is not signal.SIG_IGN  # it stays so in the new processes
    ]
    try:
        yield
    finally:
        for stop, handler in before:
            signal.signal(stop, handler)
        for number in came:
            os.kill(os.getpid(), number)


def begin_worker(plugins: Iterable[str] = ()) -> None:
    """The first call of a worker process: parallelism is over workers, and their parent decides.

    Keeps the process to one thread; ends it as soon as its parent is gone, however that ended;
    ignores Ctrl-C, SIGTERM and SIGUSR1, which terminals and batch systems send to everyone; imports
    plugins. ``plugins``: what ``mofo.registry.plugins`` says in the parent.
    """
    for stop in STOPS:
        signal.signal(stop, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    end_with_parent()
    one_thread()
    load_plugins(plugins)
    gc.freeze()  # what is imported stays: looking through it would copy pages shared with parents


def one_thread() -> None:
    """Keeps this process, and those that it starts, to one thread of numerical libraries."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    import cv2

    cv2.setNumThreads(1)
    if "torch" in sys.modules:  # not yet imported, it reads the variables by itself
        import torch

        torch.set_num_threads(1)


def end_with_parent() -> None:
    """Ends this process as soon as its parent is gone, however that ended (SIGKILL).

    The parent's sentinel is a pipe that the system closes; a waiting thread costs nothing.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def worker_count(wanted: int | None, tasks: int) -> int:
    """How many worker processes to start; 0: this process does the work.

    Workers import the main module. A script that calls from its top level would begin again in each
    of them, so it gets none, and is told. ``wanted``: at most so many; None: one a processor.
    ``tasks``: more than there are tasks would have nothing to do.
    """
    count = min(usable_cpus() if wanted is None else wanted, tasks)
    if not count or _is_guarded():
        return count
    if count > 1:
        warnings.warn(
            f"{sys.modules['__main__'].__file__}: one process reads all videos; with "
            f"`if __name__ == '__main__':` before what it does, {count} would",
            stacklevel=3,
        )
    return 0


def _is_guarded() -> bool:
    """Whether importing the main module leaves out the work that this call is part of."""
    main = sys.modules["__main__"]
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if path is None or (spec is not None and spec.name.endswith("__main__")):
        return True  # notebook, prompt, ``python -m package``: workers do not import it
    try:
        body = ast.parse(Path(path).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return True
    frame: FrameType | None = sys._getframe()
    while frame is not None and not (
        frame.f_globals is vars(main) and frame.f_code.co_name == "<module>"
    ):
        frame = frame.f_back
    if frame is not None:  # not so in a thread
        line = frame.f_lineno
        body = [node for node in body if node.lineno <= line <= (node.end_lineno or line)]
    tests = [node.test for node in body if isinstance(node, ast.If)]
    return any(
        isinstance(part, ast.Name) and part.id == "__name__"
        for test in tests
        for part in ast.walk(test)
    )


def death(exitcode: int | None) -> str:
    """The one-line reason for a worker that ended by itself."""
    known = {-9: ": out of memory?", -11: ": a crash in a decoder?", -6: ": a crash in a decoder?"}
    if exitcode is None:
        return "the worker process died"
    return f"the worker process died (exit code {exitcode}{known.get(exitcode, '')})"


class StopRequest:
    """While it is entered, the first Ctrl-C, SIGTERM or SIGUSR1 is noted.

    A Ctrl-C after that has its usual effect. Other signals after the first change nothing: a batch
    system and a launcher may both send one. ``name``: of the signal that came, "" while none did.
    """

    def __init__(self) -> None:
        self.name = ""
        self._before: dict[signal.Signals, Any] = {}

    def __bool__(self) -> bool:
        return bool(self.name)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python allows no other
            self._before = {number: signal.signal(number, self._note) for number in STOPS}
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.name:
            self.name = signal.Signals(number).name
        elif number == signal.SIGINT:
            signal.signal(number, self._before[signal.SIGINT])
            os.kill(os.getpid(), number)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGUSR1 inside of ``terminable``; its text is the signal's name."""


def stopped(error: KeyboardInterrupt, text: str) -> StoppedError | KeyboardInterrupt:
    """What to raise in place of ``error``, so that the user reads ``text``: what is kept."""
    if isinstance(error, Terminated):
        return StoppedError(f"{text} ({error})")
    return KeyboardInterrupt(text)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Makes SIGTERM and SIGUSR1 raise ``Terminated``, so that a run ends as tidily as by Ctrl-C.

    Neither is lost where Python ignores exceptions (in ``__del__``, in callbacks of weak
    references): it is sent once more. Only the main thread can do that; in others the block
    changes nothing.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(signal.Signals(number).name)

    def again(ignored: Any) -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            hook(ignored)
            return
        is_signal = isinstance(ignored.exc_value, Terminated) and ignored.exc_value.args
        number = signal.Signals[str(ignored.exc_value)] if is_signal else signal.SIGINT
        threading.Timer(0.01, os.kill, (os.getpid(), number)).start()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, hook = (
        [(number, signal.signal(number, stop)) for number in STOPS[1:]],
        sys.unraisablehook,
    )
    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before:
            signal.signal(number, handler)
