"""Motion areas of a video that has not ended: a camera, an address, any iterator of frames."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import av
import cv2
import numpy as np

from mofo.motion.analyse import full_size
from mofo.motion.flow.backend import FLOWS, PictureFlow
from mofo.motion.presets import PRESETS, DetectSettings, Watch
from mofo.types import FrameArea, SettingsError, VideoError
from mofo.video.container import reason_of
from mofo.video.inputs import FPS, Frames, OpenFrames, to_rgb
from mofo.video.reader import VideoReader

LEAST_DELAY = 4


class LiveFrame(NamedTuple):
    """A frame and where things move in it.

    ``picture_HW3`` is uint8 RGB; ``area`` has its number since the beginning, and its time.
    """

    picture_HW3: np.ndarray
    area: FrameArea


def stream(
    source: int | str | Iterable[Any],
    *,
    delay: int = 16,
    flow: str = "",
    short_side: int = 240,
    fps: float = FPS,
) -> Iterator[LiveFrame]:
    """Motion areas of a camera or another source without end, frame by frame.

    What moves in a frame is known for sure only some frames later. With a delay of 16 frames an
    area is less certain than that of ``detect``, which looks 24 frames ahead and back. Memory does
    not grow.

    Args:
        source: number of a camera (0 is the first); an address that FFmpeg knows (rtsp://,
            http://), or a file; or frames one after the other, as ``detect`` takes them.
        delay: the area of a frame comes when at most so many later frames were read, 4 or more.
        flow: optical flow by pictures; empty: that of the preset.
        short_side: of the analysis, pixels.
        fps: frames a second of frames in memory.

    Raises:
        VideoError: the source cannot be opened, or has no frames.
        SettingsError: an impossible delay; a flow that needs a file.
    """
    settings = DetectSettings(flow=flow, short_side=short_side)
    backend, preset = FLOWS[settings.flow](), PRESETS[settings.preset]()
    if not isinstance(backend, PictureFlow):
        raise SettingsError(f"flow {settings.flow!r} needs a whole file: choose another to stream")
    if delay < LEAST_DELAY:
        raise SettingsError(f"delay is {delay}: {LEAST_DELAY} frames are the least")
    preset.delay = delay
    return _areas(_LiveFrames(source, fps), backend, preset, settings)


def _areas(
    live: _LiveFrames, backend: PictureFlow, preset: Any, settings: DetectSettings
) -> Iterator[LiveFrame]:
    with (
        live,
        backend.open(live, settings.short_side, cuts=preset.cuts, reader=VideoReader) as flow,
    ):
        info = flow.reader.info
        scale_2 = np.array([info.width, info.height]) / flow.size
        for number, motion in enumerate(preset.find(flow, Watch())):
            picture_HW3, seconds = live.waiting.popleft()
            [movers_K4], [box_4], [valid] = full_size(
                [motion.movers_K4], scale_2, info.width, info.height
            )
            field_yx = motion.field_yx
            if field_yx is not None:
                field_yx = np.rint(np.clip(field_yx, 0, 1) * 255).astype(np.uint8)
            area = FrameArea(number, seconds, bool(valid), box_4, movers_K4, field_yx)
            yield LiveFrame(picture_HW3, area)


class _LiveFrames(Frames):
    """Frames that come once, and wait here until their area is known."""

    def __init__(self, source: int | str | Iterable[Any], fps: float) -> None:
        self.fps, self._close = fps, lambda: None
        self.waiting: deque[tuple[np.ndarray, float]] = deque()
        if isinstance(source, int):
            self.name = f"camera {source}"
            pictures = self._camera(source)
        elif isinstance(source, str):
            self.name = source
            pictures = self._address(source)
        else:
            self.name = "frames in memory"
            pictures = ((to_rgb(one), t / fps) for t, one in enumerate(source))
        first = next(pictures, None)
        if first is None:
            raise VideoError(self.name, "has no frames")
        self._pictures = itertools.chain([first], pictures)
        self._first = first

    def __enter__(self) -> _LiveFrames:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def open(self) -> OpenFrames:
        """The frames that are still to come; the first one may be looked at again and again."""

        def noted() -> Iterator[tuple[np.ndarray, float]]:
            for picture in self._pictures:
                self.waiting.append(picture)
                yield picture

        return OpenFrames(noted(), self._first, self.fps, None)

    def _camera(self, number: int) -> Iterator[tuple[np.ndarray, float]]:
        capture = cv2.VideoCapture(number)
        self._close = capture.release
        if not capture.isOpened():
            raise VideoError(self.name, "cannot be opened: is it connected, and free?")
        self.fps = capture.get(cv2.CAP_PROP_FPS) or self.fps
        begin = time.monotonic()
        while True:
            good, bgr_HW3 = capture.read()
            if not good:
                return
            yield cv2.cvtColor(bgr_HW3, cv2.COLOR_BGR2RGB), time.monotonic() - begin

    def _address(self, address: str) -> Iterator[tuple[np.ndarray, float]]:
        try:
            container = av.open(address, timeout=10)
        except (av.FFmpegError, ValueError, OSError) as error:
            raise VideoError(address, f"cannot be opened ({reason_of(error)})") from None
        self._close = container.close
        if not container.streams.video:
            raise VideoError(address, "has no video stream")
        self.fps = float(container.streams.video[0].average_rate or self.fps)
        with container:
            try:
                for number, frame in enumerate(container.decode(video=0)):
                    seconds = number / self.fps if frame.time is None else frame.time
                    yield frame.to_ndarray(format="rgb24", threads=1), seconds
            except av.FFmpegError as error:
                raise VideoError(address, f"ended ({reason_of(error)})") from None
