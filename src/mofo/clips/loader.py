"""The loader: worker processes that turn keys into batches, in the order that they are given."""

from __future__ import annotations

import errno
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mofo.clips.batch import ClipBatch, collate
from mofo.clips.dataset import ClipDataset
from mofo.registry import plugins
from mofo.system.processes import (
    begin_worker,
    death,
    outliving_signals,
    starting_workers,
    usable_cpus,
    worker_count,
)
from mofo.types import MofoError


def clip_batches(
    dataset: ClipDataset, order: Sampler[Any], *, workers: int, pin: bool
) -> Generator[ClipBatch]:
    """Batches of clips.

    Args:
        dataset: gives clips for keys.
        order: lists of keys, one list a batch.
        workers: processes that read, at most one a processor; 0: this one does, as with a single
            batch and in a script that workers cannot import, see ``worker_count``.
        pin: put batches into page-locked memory, for a GPU.

    Raises:
        MofoError: as the dataset raises it, from whichever process.
    """
    yield from batches(dataset, order, collate, workers=workers, pin=pin)


def batches(
    dataset: Any, order: Any, together: Callable[[Any], Any], *, workers: int, pin: bool
) -> Generator[Any]:
    """Batches of anything that a dataset gives for lists of keys; see ``clip_batches``.

    ``dataset``: its ``__getitems__`` gives a list for a list of keys.
    ``together``: makes a batch of such a list; a function of a module, for the workers.
    """
    count = len(order) if hasattr(order, "__len__") else workers
    workers = worker_count(min(workers, usable_cpus()), count) if count > 1 else 0
    loader: Any = DataLoader(
        _Guarded(dataset),
        batch_sampler=order,
        num_workers=workers,
        collate_fn=partial(_collate, together),
        pin_memory=pin,
        worker_init_fn=partial(_begin, plugins()) if workers else None,
        multiprocessing_context=_context() if workers else None,
        generator=torch.Generator(),  # else it draws the workers' seed from torch's global one
    )
    try:
        iterator = iter(loader)
    except (OSError, EOFError) as error:
        _drop_half_made(error)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise _reading_error("no shared memory is left") from None
        if isinstance(error, ConnectionError | EOFError):
            raise _reading_error("what starts them died") from error
        raise
    try:
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:
                raise _explained(error, iterator) from error
            if isinstance(batch, MofoError):
                raise batch
            yield batch
    finally:
        _end(iterator)


class ReadingError(MofoError):
    """The processes that read videos cannot go on."""


def _explained(error: Exception, iterator: Any) -> Exception:
    """What a user can do about an error of the DataLoader; the error itself if it is a bug."""
    workers = getattr(iterator, "_workers", ())
    if workers and isinstance(error, OSError | EOFError):  # of a connection to a dying worker
        wait([worker.sentinel for worker in workers], timeout=5)
    died = [worker.exitcode for worker in workers if worker.exitcode]
    if not died and not any(word in str(error) for word in ("shared memory", "shm", "/torch_")):
        return error
    reason = death(died[0]) if died and died[0] != -signal.SIGBUS else "no shared memory is left"
    return _reading_error(reason)


def _reading_error(reason: str) -> ReadingError:
    return ReadingError(
        f"a process that reads videos ended: {reason}: use fewer workers (run.workers, --workers) "
        "or smaller batches; in a container, give it more shared memory (--shm-size 8g)"
    )


def _drop_half_made(error: Exception) -> None:
    """The iterator whose making failed goes now: torch's ``__del__`` would print a traceback."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda ignored: None
    try:
        traceback.clear_frames(error.__traceback__)
    finally:
        sys.unraisablehook = hook


def _end(iterator: Any) -> None:
    """Ends the workers, also those that wait for a lock which a dead one holds."""
    workers = getattr(iterator, "_workers", ())
    if any(worker.exitcode for worker in workers):
        for worker in workers:
            worker.kill()
    if workers:
        iterator._shutdown_workers()
    for worker in workers:
        worker.kill()
        worker.join()


class _Guarded(Dataset[Any]):
    """Hands errors over as results: a DataLoader would make a page of traceback of one line."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Any:
        try:
            return self._dataset.__getitems__(keys)
        except MofoError as error:
            return error


def _collate(together: Callable[[Any], Any], samples: Any) -> Any:
    return samples if isinstance(samples, MofoError) else together(samples)


def _context() -> Any:
    # Plain fork copies OpenCV's and OpenMP's threads in whatever state they are: workers may hang.
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imports once for all workers
    with outliving_signals(), starting_workers():
        forkserver.ensure_running()
    return context


def _begin(plugin_names: Sequence[str], worker: int) -> None:
    begin_worker(plugin_names)
