"""Clips of motion areas: frames with their boxes, and the motion map beside them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mofo.motion.analyse import analyse
from mofo.motion.presets import DetectSettings, Watch
from mofo.report.overlays import draw_area, fit_size, frame_rate
from mofo.report.page.media import Clip, ClipMaker
from mofo.report.stages import map_picture
from mofo.types import MotionArea
from mofo.video.reader import Frame, VideoReader

_SECONDS, _LOOKED = 6.0, 40.0  # of a clip; of a video that is searched for the best place
_HEIGHT, _UPRIGHT, _GAP = 208, 320, 4  # pixels: landscape, portrait, between pictures
_FASTEST = 16.0  # frames a second on the page
_PAPER = 128


def best_stretch(area: MotionArea) -> tuple[int, int]:
    """First frame, and the one after the last, of the seconds with most motion near the start."""
    rate = frame_rate(area)
    length = max(1, round(_SECONDS * rate))
    looked = min(len(area), round(_LOOKED * rate))
    if looked <= length:
        return 0, looked
    sums_T = np.cumsum([0, *area.valid_T[:looked]])
    moving_S = sums_T[length:] - sums_T[:-length]
    first = int(moving_S.argmax())
    return first, first + length


def area_clip(
    path: str | Path,
    area: MotionArea,
    settings: DetectSettings | None,
    stretch: tuple[int, int],
    maker: ClipMaker,
) -> tuple[Clip | None, bool]:
    """A stretch of a video with its motion area and, beside it, its motion map.

    Args:
        path: the video.
        area: of all of its frames.
        settings: of the detection, to make the map once more; None: without a map.
        stretch: of frames.
        maker: has the room.

    Returns:
        The clip, and whether the map is in it.

    Raises:
        VideoError: the video cannot be read.
    """
    maps: dict[int, np.ndarray] = {}
    if settings is not None:
        watch = _Maps()
        analyse(path, settings, watch=watch, reader=partial(_Part, stretch=stretch))
        maps = watch.maps
    rate = frame_rate(area)
    every = max(1, round(rate / _FASTEST))
    frames = _frames(path, area, stretch, maps, settings, every)
    return maker.clip(frames, rate / every), bool(maps)


def plain_clip(
    path: str | Path, stretch: tuple[int, int], rate: float, maker: ClipMaker
) -> Clip | None:
    """A stretch of a video as it is.

    Raises:
        VideoError: the video cannot be read.
    """
    every = max(1, round(rate / _FASTEST))
    with VideoReader(path, colour=None) as probe:
        scale = min(1.0, _UPRIGHT / probe.info.height)
        size = tuple(max(2, 2 * round(side * scale / 2)) for side in probe.size)
    with _Part(path, stretch=stretch, colour="rgb", size=size) as reader:
        frames = (f.image for k, f in enumerate(reader) if f.image is not None and k % every == 0)
        return maker.clip(frames, rate / every)


def _frames(
    path: str | Path,
    area: MotionArea,
    stretch: tuple[int, int],
    maps: dict[int, np.ndarray],
    settings: DetectSettings | None,
    every: int,
) -> Iterator[np.ndarray]:
    size = fit_size(area, _UPRIGHT if area.height > area.width else _HEIGHT)
    full = max((float(map_hw.max()) for map_hw in maps.values()), default=1.0)
    with _Part(path, stretch=stretch, colour="rgb", size=size) as reader:
        for t, frame in enumerate(reader, stretch[0]):
            if t >= len(area) or (t - stretch[0]) % every:
                continue
            assert frame.image is not None
            tiles = [draw_area(frame.image, area, t)]
            if maps and settings is not None:
                map_hw = maps.get(t - stretch[0])
                map_HW3 = np.zeros_like(frame.image)
                if map_hw is not None:
                    map_HW3 = map_picture(map_hw.astype(np.float32), size, settings.preset, full)
                gap_HW3 = np.full((size[1], _GAP, 3), _PAPER, np.uint8)
                tiles += [gap_HW3, map_HW3]
            yield np.hstack(tiles)


class _Maps(Watch):
    """Keeps the maps of all frames, small."""

    def __init__(self) -> None:
        super().__init__(frozenset())

    def map(self, position: int, map_hw: np.ndarray) -> None:
        """Keeps the map of a frame."""
        scale = min(1.0, _HEIGHT / map_hw.shape[0])
        size = (max(1, round(map_hw.shape[1] * scale)), max(1, round(map_hw.shape[0] * scale)))
        small_hw = cv2.resize(map_hw.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        self.maps[position] = small_hw.astype(np.float16)


class _Part(VideoReader):
    """A stretch of the frames of a video."""

    def __init__(self, path: Any, *, stretch: tuple[int, int], **options: Any) -> None:
        super().__init__(path, **options)
        self._stretch = stretch

    def __iter__(self) -> Iterator[Frame]:
        first, stop = self._stretch
        for t, frame in enumerate(super().__iter__()):
            if t >= stop:
                return
            if t >= first:
                yield frame
