"""What people have in hand as one video: a path, bytes, an open file, or frames in memory.

    with video_input(frames_THWC, fps=30) as video:
        area = analyse(video, settings)

``VideoReader`` reads frames in memory as it reads a file. What needs a file gets one from
``file_input`` for as long as it works.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Protocol

import av
import numpy as np

from mofo.system.files import temporary_folder
from mofo.types import SettingsError, VideoError
from mofo.video.writer import VideoWriter

FPS = 25.0  # of frames that come without times
_CLOCK = Fraction(1, 90_000)


class FrameSequence(Protocol):
    """Frames by number: arrays, tensors, lists of pictures, decoders of torchcodec."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Frames:
    """A video whose frames are in memory, or made when they are asked for.

    It can stand for a path in a ``VideoReader``, and be read again and again.

    Args:
        frames: uint8 ``(T, H, W, 3)`` or ``(T, 3, H, W)`` RGB, or ``(T, H, W)`` grey, of NumPy or
            torch; a list of such frames or of PIL images; a torchcodec ``VideoDecoder``.
        fps: frames a second; None: those of the decoder, or 25.
        name: what errors call it.

    Raises:
        SettingsError: it is none of these, has no frames, or an impossible rate.
    """

    def __init__(
        self, frames: FrameSequence, fps: float | None = None, name: str = "frames in memory"
    ) -> None:
        if not (hasattr(frames, "__getitem__") and hasattr(frames, "__len__")):
            raise SettingsError(
                f"a video cannot be a {type(frames).__name__}: expected a path, bytes, an open "
                "binary file, frames (NumPy, torch, PIL) or a decoder; an iterator is for "
                "mofo.stream"
            )
        if not len(frames):
            raise VideoError(name, "has no frames")
        if fps is not None and not 0 < fps <= 1000:
            raise SettingsError(f"fps is {fps}, expected more than 0 and at most 1000")
        known = getattr(getattr(frames, "metadata", None), "average_fps", None)
        self.frames, self.name = frames, name
        self.fps = float(fps or known or FPS)
        self._timed = fps is None and hasattr(frames, "get_frame_at")  # a decoder knows times

    def __len__(self) -> int:
        return len(self.frames)

    def picture(self, index: int) -> tuple[np.ndarray, float]:
        """Frame ``index`` as uint8 RGB ``(H, W, 3)``, and its time in seconds.

        Raises:
            SettingsError: it is something else than a picture of 8 bits.
        """
        if self._timed:
            found = self.frames.get_frame_at(index)  # type: ignore[attr-defined]
            return to_rgb(found.data), float(found.pts_seconds)
        return to_rgb(self.frames[index]), index / self.fps

    def open(self) -> OpenFrames:
        """The frames as a ``VideoReader`` reads those of a file."""
        return OpenFrames(map(self.picture, range(len(self))), self.picture(0), self.fps, len(self))


def to_rgb(picture: Any) -> np.ndarray:
    """A picture of NumPy, torch or PIL as uint8 RGB ``(H, W, 3)``, contiguous."""
    if hasattr(picture, "convert"):  # PIL
        picture = picture.convert("RGB")
    elif hasattr(picture, "detach"):  # torch
        picture = picture.detach().cpu().numpy()
    image = np.asarray(picture)
    if image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] not in (1, 3):
        image = image.transpose(1, 2, 0)  # as torch has it
    if image.ndim == 2:
        image = image[..., None]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise SettingsError(
            f"a frame is {image.dtype} {image.shape}: expected uint8, 0 to 255, (H, W, 3) or "
            "(3, H, W) RGB, or (H, W) grey"
        )
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


class OpenFrames:
    """Stands in for a ``Container``, see there.

    ``pictures``: all frames, RGB, and their times in seconds. ``fps``: frames a second.
    """

    codec = "rawvideo"

    def __init__(
        self,
        pictures: Iterator[tuple[np.ndarray, float]],
        first: tuple[np.ndarray, float],
        fps: float,
        frames: int | None,
    ) -> None:
        self._pictures, self.first = pictures, _coded(*first)
        self.used, self.fps, self.frames = False, fps, frames
        self.duration = frames / fps if frames else None

    def decode(self) -> Iterator[av.VideoFrame]:
        """All frames."""
        return itertools.starmap(_coded, self._pictures)

    def complaints(self, last: int, end: float, back: int) -> list[str]:
        """Nothing is wrong."""
        return []

    def truncation(self, packets: int, end: float) -> str | None:
        """Nothing is missing."""
        return None

    def close(self) -> None:
        """Nothing to let go of."""


def _coded(rgb_HW3: np.ndarray, time: float) -> av.VideoFrame:
    # As most files are coded, so that the same frames give the same areas.
    frame = av.VideoFrame.from_ndarray(rgb_HW3, format="rgb24")
    frame = frame.reformat(format="yuv420p", threads=1)
    frame.pts, frame.time_base = round(time / _CLOCK), _CLOCK
    return frame


VideoPath = str | os.PathLike[str] | Frames
"""What a ``VideoReader`` reads."""

VideoInput = str | os.PathLike[str] | bytes | IO[bytes] | FrameSequence | Frames
"""What can be given as one video."""


def are_paths(source: Any) -> bool:
    """Whether it is a list of paths rather than one video."""
    return (
        isinstance(source, Sequence)
        and not isinstance(source, str | bytes)
        and len(source) > 0
        and isinstance(source[0], str | os.PathLike)
    )


@contextlib.contextmanager
def video_input(source: VideoInput, fps: float | None = None) -> Iterator[VideoPath]:
    """What can be given as one video, for a ``VideoReader``.

    Bytes and open files lie in a temporary file while the block runs. ``source``: path; bytes or
    open binary file of a video file; frames, see ``Frames``. ``fps``: frames a second of frames in
    memory; None: a decoder's own, or 25.
    """
    if isinstance(source, str | os.PathLike | Frames):
        yield source
    elif isinstance(source, bytes | bytearray | memoryview):
        with _temporary("bytes of a video") as path:
            path.write_bytes(source)
            yield path
    elif hasattr(source, "read"):
        opened: Any = source
        name = getattr(opened, "name", None)
        with _temporary(name if isinstance(name, str) else "an open file") as path:
            with path.open("wb") as file:
                shutil.copyfileobj(opened, file)
            yield path
    elif are_paths(source):
        raise SettingsError(f"one video is expected here, not a list of {len(source)} paths")
    else:
        yield Frames(source, fps)


@contextlib.contextmanager
def file_input(source: VideoInput, fps: float | None = None) -> Iterator[str]:
    """The same as a file: frames in memory become a lossless one while the block runs."""
    with video_input(source, fps) as video:
        if not isinstance(video, Frames):
            yield os.fspath(video)
            return
        with _temporary(video.name) as path:
            # Colours for every pixel, since models look at colours, too.
            with VideoWriter(path, fps=video.fps, crf=0, pix_fmt="yuv444p") as writer:
                for index in range(len(video)):
                    writer.write(*video.picture(index))
            yield str(path)


@contextlib.contextmanager
def _temporary(name: str) -> Iterator[Path]:
    """A file for a while; errors call it by the name of what it holds."""
    with temporary_folder() as folder:
        path = folder / "video.mp4"
        try:
            yield path
        except VideoError as error:
            if error.path != str(path):
                raise
            raise VideoError(name, error.reason) from None
