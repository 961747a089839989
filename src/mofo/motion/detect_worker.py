"""What a worker process does: one video, from file to part (and overlay)."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mofo.motion.detect_plan import overlay_files
from mofo.motion.merge import Located
from mofo.motion.parts import write_part
from mofo.motion.presets import DetectSettings
from mofo.system.files import FULL_DISK, replaced
from mofo.types import MofoError, MotionArea, VideoError


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
    from mofo.report.figures.overlays import write_contact_sheet, write_overlay

    movie, sheet = overlay_files(Path(task.folder), task.key)
    writers: tuple[tuple[Path, Callable[[str, MotionArea, Path], object]], ...]
    writers = ((movie, write_overlay), (sheet, write_contact_sheet))
    for file, write in writers:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced(file, suffix=file.suffix) as temporary:
            write(task.path, area, temporary)


def _said(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
