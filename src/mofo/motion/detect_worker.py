"""What a worker process does: one video, from file to part (and overlay)."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mofo.motion.detect_plan import overlay_files
from mofo.motion.detect_settings import DetectSettings
from mofo.motion.merge import Located
from mofo.motion.parts import part_file, write_part
from mofo.types import MofoError, MotionArea, VideoError

# Every library that brings its own threads; read by them when they are first imported.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Task:
    """One video for a worker.

    ``known``: where its area lies in the store, when only the overlay is wanted.
    """

    key: str
    path: str
    size: int
    folder: str
    settings: DetectSettings
    overlay: bool
    known: Located | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        frames: frames processed.
        warnings: of the motion area.
        failure: the reason, in one line; empty when all went well. A failed overlay is a failure
            too, though the area is kept.
        trace: traceback of an error that we did not foresee: a bug, to be shown.
        disk_full: no further video can be written.
    """

    key: str
    frames: int = 0
    warnings: tuple[str, ...] = ()
    failure: str = ""
    trace: str = ""
    disk_full: bool = False


def one_thread() -> None:
    """Keep this process to one thread: parallelism is over videos, which scales better."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    import cv2

    cv2.setNumThreads(1)
    if "torch" in sys.modules:  # not yet imported, it reads the variables by itself
        import torch

        torch.set_num_threads(1)


def end_with_parent() -> None:
    """End this process as soon as its parent is gone, however that ended (SIGKILL).

    The parent's sentinel is a pipe that the system closes; a waiting thread costs nothing.
    """
    import multiprocessing
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def do(task: Task, progress: Callable[[int], None] | None = None) -> Outcome:
    """Detect one video and write its part; draw the overlay if asked.

    Every error of one video becomes an ``Outcome``, so that the others go on.
    """
    frames = 0
    warnings: tuple[str, ...] = ()
    try:
        if task.known is not None:
            area = task.known.area()
        else:
            from mofo.motion.analyse import analyse

            area = analyse(task.path, task.settings, progress=progress)
            frames, warnings = len(area), area.warnings
            folder = Path(task.folder)
            for file in overlay_files(folder, task.key):
                file.unlink(missing_ok=True)  # it would show another detection
            write_part(folder, task.key, task.path, task.size, area, task.settings)
        if task.overlay:
            draw(task, area)
    except VideoError as error:
        return Outcome(task.key, frames, warnings, error.reason)
    except MofoError as error:
        return Outcome(task.key, frames, warnings, str(error))
    except MemoryError:
        return Outcome(task.key, frames, warnings, "out of memory")
    except OSError as error:
        full = error.errno in FULL_DISK
        return Outcome(task.key, frames, warnings, _said(error), disk_full=full)
    except Exception as error:
        reason = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
        return Outcome(task.key, frames, warnings, reason, traceback.format_exc())
    return Outcome(task.key, frames, warnings)


def draw(task: Task, area: MotionArea) -> None:
    """Write the overlay and the contact sheet of one video, whole or not at all."""
    from mofo.report.overlays import write_contact_sheet, write_overlay

    movie, sheet = overlay_files(Path(task.folder), task.key)
    writers: tuple[tuple[Path, Callable[[str, MotionArea, Path], object]], ...]
    writers = ((movie, write_overlay), (sheet, write_contact_sheet))
    for file, write in writers:
        file.parent.mkdir(parents=True, exist_ok=True)
        # The ending stays: the writers choose the format by it.
        digest = part_file(Path(task.folder), task.key).stem[-16:]
        temporary = file.with_name(f".{digest}-{os.getpid()}{file.suffix}")
        try:
            write(task.path, area, temporary)
            temporary.replace(file)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _said(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
