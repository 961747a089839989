import contextlib
import gc
import os
import signal
import threading
from pathlib import Path

import pytest
import torch

# A shell starts what it runs in the background with Ctrl-C ignored, and so would be all that the
# tests start and stop by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Set when a library is first used, and the same whichever test does so.
SET_BY_LIBRARIES = (
    "PYTEST_CURRENT_TEST", "TORCHINDUCTOR_", "TRITON_", "ACCELERATE_", "LD_LIBRARY_PATH",
    "KMP_",
)  # fmt: skip


def pytest_collection_finish():
    """Four thousand tests and what they import stay: no collection of garbage looks at them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _lists_of_shards(tmp_path_factory):
    """What tests keep of tar shards does not stay with the user."""
    os.environ["MOFO_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _one_thread():
    """Small models gain nothing by threads, and the tests run in two processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _process_stays_as_it_was():
    """A test leaves scheduling, working folder and environment of its process as they were.

    An encoder once put the whole process under real-time scheduling, and other tests hung.
    """
    threads = [thread.native_id for thread in threading.enumerate() if thread.native_id]
    before = _process_state(threads)
    yield
    after = _process_state(threads)
    changed = {
        name: (before.get(name), after.get(name))
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
        and (name[0] != "thread" or before.keys() >= {name} <= after.keys())
    }
    assert not changed, f"the test left this process changed (before, after): {changed}"


def _process_state(threads: list[int]) -> dict[tuple[str, object], object]:
    state: dict[tuple[str, object], object] = {
        ("environment", name): value
        for name, value in os.environ.items()
        if not name.startswith(SET_BY_LIBRARIES)
    }
    state["folder", ""] = Path.cwd()
    if hasattr(os, "sched_getaffinity"):  # Linux
        state["processors", ""] = os.sched_getaffinity(0)
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                state["thread", thread] = os.sched_getscheduler(thread)
    return state
