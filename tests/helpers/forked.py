"""Children forked from a warm process: as cheap as a function call, with limits on time and memory.

A process that has imported torch takes three seconds of a processor; its fork takes hundredths.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


def processes_of(session: int) -> list[int]:
    """Processes of a session that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


PATIENCE = 120.0  # seconds in which processes have to notice that their parent is gone


class Ended(NamedTuple):
    """How a child ended.

    Attributes:
        code: exit code, below 0 the signal that ended it.
        value: what the function returned; None if it did not come so far.
        out, err: what it wrote.
        seconds: it took.
        hung: it was ended because its time was over.
        left: processes of its session that outlived it by some seconds.
    """

    code: int
    value: Any
    out: str
    err: str
    seconds: float
    hung: bool
    left: list[int]


def forked(
    function: Callable[[], Any],
    *,
    seconds: float = 240,
    memory: int = 0,
    during: Callable[[int, float], None] | None = None,
) -> Ended:
    """Calls a function in a forked child, in a session of its own.

    Args:
        function: what it returns is pickled; an ``int`` is the exit code, too.
        seconds: limit of time.
        memory: limit of the address space that it may take beyond what it has, bytes; 0: none.
        during: called again and again with the child's number and the seconds since its start.
    """
    # Pipes rather than files: limits of files are not for what is said. They hold a megabyte.
    pipes = [os.pipe() for _ in range(3)]
    for _, into in pipes:
        fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 1 << 20)
    ready, begun = os.pipe()
    pid = os.fork()
    if not pid:
        _live(function, [into for _, into in pipes], begun, memory)
    for into in (begun, *(into for _, into in pipes)):
        os.close(into)
    os.read(ready, 1)  # until the function is about to be called, or the child is dead
    os.close(ready)
    start = time.monotonic()
    hung, status = False, None
    while status is None:
        done, code = os.waitpid(pid, os.WNOHANG)
        status = code if done else None
        passed = time.monotonic() - start
        if status is None and passed > seconds:
            hung = True
            os.killpg(pid, signal.SIGKILL)
        elif status is None and during is not None:
            during(pid, passed)
        time.sleep(0.002)
    took = time.monotonic() - start
    left, end = processes_of(pid), time.monotonic() + PATIENCE
    while left and time.monotonic() < end:
        time.sleep(0.05)
        left = processes_of(pid)
    for other in left:
        os.kill(other, signal.SIGKILL)
    out, err, data = (_content(number) for number, _ in pipes)
    value = pickle.loads(data) if data else None
    out, err = out.decode(errors="replace"), err.decode(errors="replace")
    return Ended(os.waitstatus_to_exitcode(status), value, out, err, took, hung, left)


def _content(pipe: int) -> bytes:
    """What is in a pipe now."""
    os.set_blocking(pipe, False)
    parts = []
    with contextlib.suppress(BlockingIOError):
        while part := os.read(pipe, 1 << 16):
            parts.append(part)
    os.close(pipe)
    return b"".join(parts)


def _live(function: Callable[[], Any], pipes: list[int], begun: int, memory: int) -> None:
    """The child's life; never returns."""
    code = 97
    try:
        os.setsid()
        main = sys.modules["__main__"]  # workers that are spawned are not to import the runner
        main.__spec__ = None
        main.__dict__.pop("__file__", None)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, standard in zip((null, *pipes[:2]), (0, 1, 2), strict=True):
            os.dup2(number, standard)
        sys.stdout, sys.stderr = (open(fd, "w", closefd=False) for fd in (1, 2))  # noqa: SIM115
        if memory:
            now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + memory, now + memory))
        os.write(begun, b"x")
        try:
            value = function()
        except KeyboardInterrupt:
            value = 130  # between the command and here
            print("mofo: stopped", file=sys.stderr)
        code = value if isinstance(value, int) else 0
        os.write(pipes[2], pickle.dumps(value))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)
