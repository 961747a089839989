"""What a worker does for ``mofo data check``: look at one file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2

from mofo.types import VideoError
from mofo.video.clip import IndexMismatchError, read_frames
from mofo.video.container import reason_of
from mofo.video.index import FrameIndex, Source, index_frames
from mofo.video.picture import crop_picture, grey_picture
from mofo.video.reader import VideoInfo, VideoReader

UNREADABLE, STOPPED, OUTSIDE = "unreadable", "stopped", "outside"
TRUNCATED, DAMAGED, STILL, BLANK = "truncated", "damaged", "one frame", "blank"
QUARANTINED = frozenset({UNREADABLE, STOPPED, OUTSIDE})
"""Kinds of faults that make a file, or a stretch of one, useless."""

_SIDE = 160  # pixels of a picture's longer side
_FLAT = 2.0  # standard deviation of grey levels, 0 to 255, under which a frame shows nothing


@dataclass(frozen=True)
class FileTask:
    """One file to look at.

    Attributes:
        key, path: the file.
        stretches: ``(start, end)`` in seconds, those that rows of the catalog are about.
        full: decode all frames.
        digest: read the whole file for a hash of its content.
        picture: send its middle frame along.
    """

    key: str
    path: str
    stretches: tuple[tuple[float | None, float | None], ...] = ()
    full: bool = False
    digest: bool = False
    picture: bool = False


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file, or with a stretch of it."""

    kind: str
    reason: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Look:
    """What was seen of a file.

    Attributes:
        key: the file.
        frames: decoded for it.
        width, height: pixels of the upright frame; 0 if it cannot be read.
        count: frames in it.
        seconds: from the first to the end of the last frame.
        codec: FFmpeg's name.
        faults: what is wrong with it.
        digest: of its content; empty if not asked for.
        picture: JPEG in base64; empty if not asked for, or if there is none.
    """

    key: str
    frames: int = 0
    width: int = 0
    height: int = 0
    count: int = 0
    seconds: float = 0.0
    codec: str = ""
    faults: tuple[Fault, ...] = ()
    digest: str = ""
    picture: str = ""

    def to_json(self) -> dict[str, Any]:
        """For a file; ``from_json`` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Look:
        """What ``to_json`` gave; TypeError if it did not."""
        faults = tuple(Fault(**fault) for fault in row["faults"])
        return cls(**{**row, "faults": faults})


@dataclass
class _Seen:
    """A look under way."""

    faults: list[Fault] = field(default_factory=list)
    picture: str = ""

    def fault(self, kind: str, reason: str, *stretch: float | None) -> None:
        self.faults.append(Fault(kind, reason, *stretch))


def look(task: FileTask, progress: Callable[[int], None] | None = None) -> Look:
    """Open a file; decode its first, middle and last frame, or all; see whether rows fit it.

    Everything that is wrong with the file becomes a fault, so that the others go on.
    """
    seen = _Seen()
    digest = ""
    try:
        digest = _digest(task.path, progress) if task.digest else ""
        index, info, frames = _frames(task, seen, progress or (lambda frames: None))
        for start, end in task.stretches:
            first, stop = index.segment(start, end)
            if first >= stop:
                last = index.seconds_T[-1] - index.seconds_T[0]
                text = f"no frame from {start or 0:g} s on: the last one is at {last:g} s"
                seen.fault(OUTSIDE, text, start, end)
        times_T = index.seconds_T
        step = (times_T[-1] - times_T[0]) / max(1, len(index) - 1)
        return Look(
            task.key,
            frames,
            width=index.width,
            height=index.height,
            count=len(index),
            seconds=round(float(times_T[-1] - times_T[0] + (step or 1 / (info.fps or 25))), 3),
            codec=index.codec,
            faults=tuple(seen.faults),
            digest=digest,
            picture=seen.picture,
        )
    except VideoError as error:
        reason = error.reason
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
    except MemoryError:
        reason = "out of memory"
    except (av.FFmpegError, cv2.error, ValueError) as error:
        reason = f"cannot be decoded ({reason_of(error)})"
    return Look(task.key, faults=(Fault(UNREADABLE, reason),), digest=digest)


def _frames(
    task: FileTask, seen: _Seen, progress: Callable[[int], None]
) -> tuple[FrameIndex, VideoInfo, int]:
    """Decode what is asked for; the index that proved to be right, and the frames decoded."""
    least = Source.TABLE
    while True:
        index = index_frames(task.path, least)
        progress(1)
        last = len(index) - 1
        try:
            spreads, damaged = [], 0
            for number, frame in read_frames(task.path, index, sorted({0, last // 2, last})):
                progress(1)
                damaged += frame.is_corrupt
                spreads.append(float(grey_picture(frame, _small(index)).std()))
                if number == last // 2 and task.picture:
                    seen.picture = _picture(frame, index)
        except IndexMismatchError:
            least = Source(index.source + 1)
            continue
        break
    if last == 0:
        seen.fault(STILL, "has only one frame: nothing can move in it")
    elif max(spreads) < _FLAT:
        seen.fault(BLANK, "shows nothing: its first, middle and last frame have one colour each")
    if damaged and not task.full:
        seen.fault(DAMAGED, f"{damaged} of {len(spreads)} frames are damaged")
    with VideoReader(task.path, colour=None) as reader:
        info = reader.info
        frames = len(spreads)
        if task.full:
            frames = sum(_told(1, progress) for _ in reader)
            for text in reader.warnings:
                seen.fault(TRUNCATED if text.startswith("truncated") else DAMAGED, text)
    if not task.full:
        _truncated(index, info, seen)
    return index, info, frames


def _told(frames: int, progress: Callable[[int], None]) -> int:
    progress(frames)
    return frames


def _truncated(index: FrameIndex, info: VideoInfo, seen: _Seen) -> None:
    """Compare what is there with what the file promises; as ``Container.complaints`` does."""
    seconds = float(index.seconds_T[-1] - index.seconds_T[0])
    if info.frames is not None:
        step = 1 / info.fps if info.fps else 0.04
        if len(index) < info.frames and (info.duration or 0) - seconds > 2.5 * step:
            seen.fault(TRUNCATED, f"{len(index)} of {info.frames} frames are in the file")
    elif info.duration and info.duration - seconds > max(0.5, 0.02 * info.duration):
        text = f"{seconds:.2f} s of {info.duration:.2f} s are in the file"
        seen.fault(TRUNCATED, text)


def _small(index: FrameIndex) -> tuple[int, int]:
    scale = min(1.0, _SIDE / max(index.width, index.height))
    return max(1, round(index.width * scale)), max(1, round(index.height * scale))


def _picture(frame: av.VideoFrame, index: FrameIndex) -> str:
    upright = (index.width, index.height)
    image_HW3 = crop_picture(
        frame,
        (0, 0, *upright),
        _small(index),
        upright=upright,
        rotation=index.rotation,
        mirrored=index.mirrored,
    )
    done, data = cv2.imencode(".jpg", image_HW3[..., ::-1])
    return base64.b64encode(data.tobytes()).decode() if done else ""


def _digest(path: str, progress: Callable[[int], None] | None) -> str:
    content = hashlib.blake2b(digest_size=16)
    with Path(path).open("rb") as file:
        while part := file.read(1 << 20):
            content.update(part)
            if progress is not None:
                progress(0)
    return content.hexdigest()
