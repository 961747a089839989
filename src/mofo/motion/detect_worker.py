"""What a worker process does: one video, from file to part (and pictures of it)."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mofo.motion.merge import Located
from mofo.motion.parts import write_part
from mofo.motion.presets import DetectSettings
from mofo.system.files import FULL_DISK, replaced
from mofo.types import MofoError, MotionArea, VideoError

OVERLAYS = "overlays"
Draw = Mapping[str, Callable[[str, MotionArea, Path], object]]
"""Pictures of a finished video: ending (".mp4") -> function of a module (so that worker processes
can import it) that takes the video, its area and the file to write.
"""


@dataclass(frozen=True)
class Task:
    """One video for a worker.

    Attributes:
        key, path, size: of the video; bytes.
        folder: of the store.
        settings: of the detection.
        draw: pictures to draw, too.
        spans: only these segments are looked at; none: all of it.
        known: where the area is in the store, when only pictures are missing.
    """

    key: str
    path: str
    size: int
    folder: Path
    settings: DetectSettings
    draw: Draw
    known: Located | None = None
    spans: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        frames: frames processed.
        warnings: of the motion area.
        failure: the reason, in one line; empty when all went well. A failed picture is a failure
            too, though the area is kept.
        trace: traceback of an error that we did not foresee: a bug, to be shown.
        disk_full: no further video can be written.
    """

    frames: int = 0
    warnings: tuple[str, ...] = ()
    failure: str = ""
    trace: str = ""
    disk_full: bool = False


def detect_video(task: Task, progress: Callable[[int], None] | None = None) -> Outcome:
    """Detects one video and writes its part; draws its pictures.

    Every error of one video becomes an ``Outcome``, so that the others go on.
    """
    frames = 0
    warnings: tuple[str, ...] = ()
    try:
        if task.known is not None:
            area = task.known.area()
        else:
            from mofo.motion.analyse import analyse
            from mofo.motion.listed import analyse_listed

            if task.spans:
                area, frames = analyse_listed(task.path, task.settings, task.spans, progress)
            else:
                area = analyse(task.path, task.settings, progress=progress)
                frames = len(area)
            warnings = area.warnings
            for file in picture_files(task.folder, task.key, (".mp4", ".png")):
                file.unlink(missing_ok=True)  # it would show another detection
            write_part(task.folder, task.key, task.path, task.size, area, task.settings)
        for file, write in zip(
            picture_files(task.folder, task.key, task.draw), task.draw.values(), strict=True
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            with replaced(file, suffix=file.suffix) as temporary:
                write(task.path, area, temporary)
        return Outcome(frames, warnings)
    except Exception as error:
        return replace(failed(error), frames=frames, warnings=warnings)


def failed(error: Exception) -> Outcome:
    """What an error that ended a task is told as."""
    if isinstance(error, VideoError):
        return Outcome(failure=error.reason)
    if isinstance(error, MofoError):
        return Outcome(failure=str(error))
    if isinstance(error, MemoryError):
        return Outcome(failure="out of memory")
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        reason = f"{error.strerror or error}{where}"
        return Outcome(failure=reason, disk_full=error.errno in FULL_DISK)
    reason = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
    return Outcome(failure=reason, trace="".join(traceback.format_exception(error)))


def picture_files(folder: Path, key: str, endings: Iterable[str]) -> list[Path]:
    """Where the pictures of a video lie.

    ``a/b.mp4`` gives ``b.mp4`` and ``b.png``; other endings stay in the name, as ``b.webm.mp4``.
    """
    names = [part for part in PurePosixPath(key).parts if part not in ("/", "..")]
    base = folder.joinpath(OVERLAYS, *names)
    base = base.with_suffix("") if base.suffix == ".mp4" else base
    return [base.with_name(base.name + ending) for ending in endings]
