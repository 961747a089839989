"""Opening files: what one is like, and all that is wrong with it, for ``mofo data check``."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import av
import cv2
import numpy as np

from mofo.datasets.file_report import (
    BLANK,
    DAMAGED,
    HDR,
    INTERLACED,
    OUTSIDE,
    STILL,
    TRUNCATED,
    UNREADABLE,
    Fault,
    FileReport,
    FileTask,
)  # fmt: skip
from mofo.types import VideoError
from mofo.video.clip import IndexMismatchError, read_frames
from mofo.video.container import reason_of
from mofo.video.index import FrameIndex, Source, index_frames
from mofo.video.location import locate
from mofo.video.picture import crop_picture, grey_picture
from mofo.video.reader import VideoInfo, VideoReader

_SIDE = 160  # pixels of a picture's longer side
_FLAT = 2.0  # standard deviation of grey levels, 0 to 255, under which a frame shows nothing
_HDR_CURVES = {16: "SMPTE 2084 (PQ)", 18: "ARIB STD-B67 (HLG)"}  # by AVColorTransferCharacteristic
_PROBED = 256  # files that are opened ahead of their turn


@dataclass(frozen=True)
class FileMetadata:
    """What is known about a file once it has been opened.

    ``width``, ``height``: pixels of the upright frame. ``fps``: frames a second, on average.
    """

    width: int
    height: int
    fps: float | None
    frames: int


def file_metadata(index: FrameIndex) -> FileMetadata:
    """Size, rate and number of frames, as counted, not as the file says."""
    seconds_T = index.seconds_T
    fps = None
    if len(index) > 1:
        fps = float(np.round((len(index) - 1) / (seconds_T[-1] - seconds_T[0]), 4))
    return FileMetadata(index.width, index.height, fps, len(index))


def probe(paths: Iterable[str], workers: int) -> Iterator[tuple[str, FileMetadata | VideoError]]:
    """Open files, decoding no more of each than one frame where that is enough.

    Args:
        paths: each once.
        workers: threads; libraries release Python's lock while they read and decode.

    Yields:
        In the order of the paths: what a file is like, or why it cannot be read.
    """
    rest = iter(paths)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        while batch := list(islice(rest, _PROBED)):
            yield from zip(batch, pool.map(_probe, batch), strict=True)


def _probe(path: str) -> FileMetadata | VideoError:
    try:
        return file_metadata(index_frames(path))
    except VideoError as error:
        return error


@dataclass
class _Findings:
    """What is found on the way."""

    faults: list[Fault] = field(default_factory=list)
    picture: str = ""

    def fault(self, kind: str, reason: str, *segment: float | None) -> None:
        self.faults.append(Fault(kind, reason, *segment))


def inspect_file(task: FileTask, progress: Callable[[int], None] | None = None) -> FileReport:
    """Opens a file, decodes its first, middle and last frame, or all, and checks its segments.

    Whatever is wrong with the file becomes a fault, so that the others go on.
    """
    findings = _Findings()
    digest = ""
    try:
        digest = _digest(task.path, progress) if task.digest else ""
        index, info, frames = _frames(task, findings, progress or (lambda frames: None))
        for start, end in task.segments:
            first, stop = index.segment(start, end)
            if first >= stop:
                last = index.seconds_T[-1] - index.seconds_T[0]
                text = f"no frame from {start or 0:g} s on: the last one is at {last:g} s"
                findings.fault(OUTSIDE, text, start, end)
        times_T = index.seconds_T
        step = (times_T[-1] - times_T[0]) / max(1, len(index) - 1)
        return FileReport(
            task.key,
            frames,
            width=index.width,
            height=index.height,
            count=len(index),
            seconds=round(float(times_T[-1] - times_T[0] + (step or 1 / (info.fps or 25))), 3),
            codec=index.codec,
            faults=tuple(findings.faults),
            digest=digest,
            picture=findings.picture,
        )
    except VideoError as error:
        reason = error.reason
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
    except MemoryError:
        reason = "out of memory"
    except (av.FFmpegError, cv2.error, ValueError) as error:
        reason = f"cannot be decoded ({reason_of(error)})"
    return FileReport(task.key, faults=(Fault(UNREADABLE, reason),), digest=digest)


def _frames(
    task: FileTask, findings: _Findings, progress: Callable[[int], None]
) -> tuple[FrameIndex, VideoInfo, int]:
    """Decode what is asked for; the index that proved to be right, and the frames decoded."""
    least = Source.TABLE
    while True:
        index = index_frames(task.path, least)
        progress(1)
        last = len(index) - 1
        try:
            spreads, damaged, is_interlaced, curve = [], 0, False, ""
            for number, frame in read_frames(task.path, index, sorted({0, last // 2, last})):
                progress(1)
                damaged += frame.is_corrupt
                is_interlaced |= frame.interlaced_frame
                curve = _HDR_CURVES.get(int(frame.color_trc), "")
                spreads.append(float(grey_picture(frame, _small(index)).std()))
                if number == last // 2 and task.picture:
                    findings.picture = _picture(frame, index)
        except IndexMismatchError:
            least = Source(index.source + 1)
            continue
        break
    if last == 0:
        findings.fault(STILL, "has only one frame: nothing can move in it")
    elif max(spreads) < _FLAT:
        findings.fault(
            BLANK, "shows nothing: its first, middle and last frame have one colour each"
        )
    if is_interlaced:
        reason = (
            "each frame is two fields, so what moves has combs: deinterlace it (ffmpeg -vf bwdif)"
        )
        findings.fault(INTERLACED, reason)
    if curve:
        reason = f"{curve}: pictures are taken as coded, without tone mapping, and look pale"
        findings.fault(HDR, reason)
    if damaged and not task.full:
        findings.fault(DAMAGED, f"{damaged} of {len(spreads)} frames are damaged")
    with VideoReader(task.path, colour=None) as reader:
        info = reader.info
        frames = len(spreads)
        if task.full:
            frames = 0
            for _ in reader:
                progress(1)
                frames += 1
            for text in reader.warnings:
                findings.fault(TRUNCATED if text.startswith("truncated") else DAMAGED, text)
        else:
            # Writers give the last picture, whose end nobody knows, the length of the one before.
            lengths = [1 / info.fps if info.fps else 0.04, *np.diff(index.seconds_T[-2:])]
            end = float(index.seconds_T[-1] + max(lengths))
            truncated = reader.truncation(len(index), end)
            if truncated is not None:
                findings.fault(TRUNCATED, truncated)
    return index, info, frames


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
    with locate(path).open() as file:
        while part := file.read(1 << 20):
            content.update(part)
            if progress is not None:
                progress(0)
    return content.hexdigest()
