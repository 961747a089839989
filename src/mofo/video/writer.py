"""Writing videos: mp4 (H.264) or webm (VP9), the same bytes for the same frames every time."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from mofo.system.files import temporary_beside
from mofo.types import SettingsError, VideoError
from mofo.video.container import reason_of

_CODECS = {".mp4": "libx264", ".webm": "libvpx-vp9"}
_CLOCK = 90_000  # ticks a second for frames with times of their own; webm rounds to 1/1000 s
_AVX2, _AVX_512F = 11, 13  # OpenCV's numbers of these; its Python has no names for them


class VideoWriter:
    """Writes frames to a video file that appears under its name only when it is complete.

    Use it as a context manager. Frames go to a hidden file beside the target, which is renamed when
    the block ends well and removed when it does not.

    Odd widths and heights: 4:2:0 and 4:2:2 formats, which browsers and players want, have one
    colour sample for two pixels, so a last column or row is repeated to make the size even. With
    ``pix_fmt="yuv444p"`` (or "gray" in mp4) sizes stay as they are.

    Args:
        path: the target; its suffix chooses the format: ``.mp4`` or ``.webm``.
        fps: frames per second, used for frames without a time and as a hint for the others.
        crf: constant quality, less is better and larger: 0-51 for mp4 (0 is lossless, default 20),
            0-63 for webm (default 32).
        pix_fmt: FFmpeg's name of the coded pixel format.
        gop: largest number of frames from one key frame to the next; None leaves it to the encoder.
        bframes: largest number of consecutive B-frames (mp4); None leaves it to the encoder.

    Raises:
        SettingsError: impossible options or frames.
        VideoError: the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float = 25.0,
        crf: int | None = None,
        pix_fmt: str = "yuv420p",
        gop: int | None = None,
        bframes: int | None = None,
    ) -> None:
        self.path = Path(path)
        self._suffix = self.path.suffix.lower()
        if self._suffix not in _CODECS:
            raise SettingsError(f"{self.path}: cannot write this format, use .mp4 or .webm")
        webm = self._suffix == ".webm"
        highest = 63 if webm else 51
        crf = (32 if webm else 20) if crf is None else crf
        if not 0 <= crf <= highest:
            raise SettingsError(f"crf is {crf}, expected 0 to {highest} for {self._suffix}")
        if not 0 < fps <= 1000:
            raise SettingsError(f"fps is {fps}, expected more than 0 and at most 1000")
        if gop is not None and gop < 1:
            raise SettingsError(f"gop is {gop}, expected 1 or more")
        if bframes is not None and not 0 <= bframes <= (0 if webm else 16):
            raise SettingsError(f"bframes is {bframes}, expected 0 to 16 for .mp4, 0 for .webm")
        try:
            layout = av.VideoFormat(pix_fmt, 16, 16)
        except ValueError:
            raise SettingsError(f'pix_fmt "{pix_fmt}" is unknown, use "yuv420p"') from None
        # Multiples that width and height must be of.
        self._multiple = (16 // layout.chroma_width(16), 16 // layout.chroma_height(16))
        self._rate = Fraction(fps).limit_denominator(1001)
        self._pix_fmt = pix_fmt
        self._gop = gop
        self._options = {"crf": str(crf)}
        if webm:
            self._options |= {"deadline": "realtime", "cpu-used": "8", "b": "0"}
        else:
            self._options |= {"preset": "veryfast"}
            if bframes is not None:
                self._options["bf"] = str(bframes)
            if _has_avx512():
                # x264's AVX-512 routine for macroblock trees takes 8 blocks at a time and reads
                # past rows of another length: its decisions hang on what was in memory before.
                self._options["x264-params"] = "asm=AVX2"
        self._part = temporary_beside(self.path, self._suffix)
        self._container: Any = None
        self._stream: Any = None
        self._shape: tuple[int, ...] = ()
        self._timed = False
        self._last, self._time = -1, -1 / _CLOCK
        self._done = False

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, image: np.ndarray, time: float | None = None) -> None:
        """Add a frame.

        Args:
            image: uint8 ``(H, W)`` grey or ``(H, W, 3)`` RGB, of the first frame's size.
            time: presentation time in seconds, later than the one before. Either all frames have
                one or none has.

        Raises:
            SettingsError: another size or type, or a time that does not rise.
            VideoError: the file cannot be written.
        """
        image = np.asarray(image)
        if self._done:
            raise SettingsError(f"{self.path}: frame written after close")
        grey = image.ndim == 2
        if image.dtype != np.uint8 or not (grey or (image.ndim == 3 and image.shape[2] == 3)):
            raise SettingsError(
                f"{self.path}: frame is {image.dtype} {image.shape}, expected uint8 (H, W) or "
                "(H, W, 3)"
            )
        if self._container is None:
            self._timed = time is not None
            self._shape = image.shape[:2]
            self._start(*self._shape)
        if image.shape[:2] != self._shape:
            raise SettingsError(
                f"{self.path}: frame is {image.shape[1]}x{image.shape[0]}, the first one was "
                f"{self._shape[1]}x{self._shape[0]}"
            )
        if (time is not None) != self._timed:
            raise SettingsError(f"{self.path}: give a time for all frames or for none")
        tick = self._last + 1
        if time is not None:
            if time <= self._time:
                raise SettingsError(f"{self.path}: time {time} s is not after the frame before")
            tick, self._time = max(tick, round(time * _CLOCK)), time
        self._last = tick
        below, right = -image.shape[0] % self._multiple[1], -image.shape[1] % self._multiple[0]
        if below or right:
            image = np.pad(image, ((0, below), (0, right), (0, 0))[: image.ndim], "edge")
        frame: Any = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(image), format="gray" if grey else "rgb24"
        )
        frame = frame.reformat(format=self._pix_fmt, threads=1)
        frame.pts = tick
        frame.time_base = self._tick
        self._mux(frame)

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            VideoError: the file cannot be written, or no frame was given.
        """
        if self._done:
            return
        if self._container is None:
            self._done = True
            raise VideoError(self.path, "no frame was written, so no file was made")
        self._mux(None)
        try:
            self._container.close()
            self._part.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            self.abort()
            raise VideoError(self.path, f"cannot be written ({reason_of(error)})") from None
        self._done = True

    def abort(self) -> None:
        """Drop everything written so far; a file that had the name before is left as it was."""
        if self._done:
            return
        self._done = True
        if self._container is not None:
            # What cannot be finished is removed in any case.
            with contextlib.suppress(av.FFmpegError, OSError):
                self._container.close()
        self._part.unlink(missing_ok=True)

    def _start(self, height: int, width: int) -> None:
        self._tick = Fraction(1, _CLOCK) if self._timed else 1 / self._rate
        # bitexact: no random track ids and no dates in the file.
        options = {"fflags": "+bitexact"}
        if self._suffix == ".mp4":
            options["movflags"] = "+faststart"
        try:
            self._container = av.open(
                "file:" + str(self._part.absolute()), "w", format=self._suffix[1:], options=options
            )
            self._stream = stream = self._container.add_stream(
                _CODECS[self._suffix], rate=self._rate, options=self._options
            )
            stream.width = width + -width % self._multiple[0]
            stream.height = height + -height % self._multiple[1]
            stream.pix_fmt = self._pix_fmt
            context = stream.codec_context
            context.time_base = self._tick
            context.thread_count = 1
            if self._gop is not None:
                context.gop_size = self._gop
            context.open()
        except (av.FFmpegError, OSError, ValueError) as error:
            self.abort()
            raise VideoError(
                self.path, f"cannot be written as {self._pix_fmt} ({reason_of(error)})"
            ) from None

    def _mux(self, frame: Any) -> None:
        """Encode a frame (None: what the encoder still holds) and write the packets."""
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            self.abort()
            raise VideoError(self.path, f"cannot be written ({reason_of(error)})") from None


def _has_avx512() -> bool:
    return cv2.checkHardwareSupport(_AVX_512F) and cv2.checkHardwareSupport(_AVX2)
