"""Processes of one gloo group, forked from a warm one."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable

from accelerate.state import AcceleratorState, GradientState

from helpers.forked import Ended, forked


def ranks(
    count: int,
    function: Callable[[int], int | None],
    *,
    seconds: float = 240,
    during: Callable[[list[int]], None] | None = None,
) -> tuple[list[int], Ended]:
    """Calls a function with its rank in as many processes as would be launched together.

    Args:
        count: of processes.
        function: what it returns is the exit code; None: 0.
        seconds: limit of time.
        during: called once, in a process beside, with the numbers of the processes.

    Returns:
        The exit codes, below 0 for signals, and what all wrote.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def launch() -> list[int]:
        numbers = []
        for rank in range(count):
            if not (number := os.fork()):
                os.environ |= {
                    "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
                    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
                }  # fmt: skip
                _live(function, rank)
            numbers.append(number)
        if during is not None:
            during(numbers)
        return [os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) for number in numbers]

    ended = forked(launch, seconds=seconds)
    assert not ended.hung, ended
    return ended.value, ended


def _live(function: Callable[[int], int | None], rank: int) -> None:
    """A process's life; never returns."""
    code: int | None = 97
    try:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        code = function(rank)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
