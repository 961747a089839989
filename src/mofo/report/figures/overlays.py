"""Motion areas drawn over their video: an overlay video, a contact sheet, one frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from mofo.report.figures.layout import (
    GAP,
    INK,
    INNER,
    in_rows,
    make_folder,
    page,
    save_png,
    stacked,
    text_block,
)
from mofo.report.figures.marks import AREA, draw_area
from mofo.types import MotionArea, VideoError
from mofo.video.inputs import VideoPath
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter

_HEIGHT, _STRIP = 360, 24  # pixels of a frame at most, and of the timeline
_COLUMNS, _ROWS = 4, 3  # of a contact sheet
_STRIP_PAPER, _NOW = (245, 245, 245), (0, 90, 200)


def write_overlay(path: str | Path, area: MotionArea, mp4: str | Path) -> None:
    """Writes the video with its motion area drawn in (thick: the area, thin: single movers).

    ``mp4``: target; its folder is made. ``height``: frames are scaled down to this height, pixels.
    """
    size = fit_size(area, _HEIGHT)
    make_folder(mp4)
    with VideoWriter(mp4, fps=frame_rate(area)) as writer:
        for t, picture_HW3 in video_frames(path, size, range(len(area))):
            strip_HW3 = _timeline(area, t, size[0])
            writer.write(stacked([draw_area(picture_HW3, area, t), strip_HW3], 0), clock(area, t))


def write_contact_sheet(path: str | Path, area: MotionArea, png: str | Path) -> None:
    """Writes ``contact_sheet`` as PNG."""
    save_png(contact_sheet(path, area), png)


def contact_sheet(path: str | Path, area: MotionArea) -> np.ndarray:
    """Returns moments of the video with their motion areas, evenly over its length, as a sheet."""
    places = np.linspace(0, max(len(area) - 1, 0), _COLUMNS * _ROWS)
    frames = np.unique(places.round().astype(int))
    room = (INNER - (_COLUMNS - 1) * GAP) // _COLUMNS
    size = fit_size(area, min(180, int(room * area.height / area.width)))
    tiles = []
    for t, picture_HW3 in video_frames(path, size, frames):
        caption_HW3 = text_block(caption(area, t), picture_HW3.shape[1], size=13)
        tiles.append(stacked([caption_HW3, draw_area(picture_HW3, area, t)], 2))
    if not tiles:
        raise VideoError(path, "has no frames that could be shown")
    moving = f"{100 * area.valid_T.mean():.0f} % of {len(area)} frames with motion"
    lines = [f"{moving} · optical flow: {area.flow}"]
    return page(in_rows(tiles, _COLUMNS), title=Path(path).name, lines=lines)


OVERLAYS = {".mp4": write_overlay, ".png": write_contact_sheet}
"""What ``detect_many`` can draw of each video, by ending."""


def video_frames(
    path: VideoPath, size: tuple[int, int], wanted: Collection[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the numbers and pictures (uint8 RGB, of ``size``) of wanted frames, in order."""
    last = max(wanted, default=-1)
    with VideoReader(path, colour="rgb", size=size) as reader:
        for t, frame in enumerate(reader):
            if t > last:
                return
            if t in wanted and frame.image is not None:
                yield t, frame.image


def fit_size(area: MotionArea, height: int) -> tuple[int, int]:
    """Returns a size for pictures: this height at most, even, at least 32 pixels either way."""
    scale = min(height / area.height, 2.4 * height / area.width)
    scale = min(scale, 1.0) if area.height >= 90 else scale
    width, high = (max(32, 2 * round(side * scale / 2)) for side in (area.width, area.height))
    return width, high


def frame_rate(area: MotionArea) -> float:
    """Returns frames a second, 1 to 120."""
    steps = np.diff(area.time_T)
    middle = float(np.median(steps)) if len(steps) else 0.0
    return float(np.clip(1 / middle, 1, 120)) if middle > 0 else 25.0


def clock(area: MotionArea, t: int) -> float:
    """Returns seconds from the first frame to frame ``t``: videos of ours keep uneven times."""
    return float(area.time_T[t] - area.time_T[0])


def area_share(area: MotionArea) -> np.ndarray:
    """Returns float ``(T,)``: the share of each frame that its box takes, 0 where nothing moves."""
    size_T2 = area.box_T4[:, 2:] - area.box_T4[:, :2]
    return np.where(area.valid_T, size_T2.prod(1) / (area.width * area.height), 0.0)


def caption(area: MotionArea, t: int) -> str:
    """Time of frame ``t``, and how much of it is motion area."""
    share = f"{100 * area_share(area)[t]:.0f} % motion area" if area.valid_T[t] else "no motion"
    return f"{area.time_T[t]:.2f} s · {share}"


def _timeline(area: MotionArea, t: int, width: int) -> np.ndarray:
    """A strip: height is the area's share of the frame, dark lines are cuts, blue is now."""
    strip_HW3 = np.full((_STRIP, width, 3), _STRIP_PAPER, np.uint8)
    place_W = np.linspace(0, len(area) - 1, width).round().astype(int)
    heights_W = np.ceil(area_share(area)[place_W] * _STRIP).astype(int)
    strip_HW3[np.arange(_STRIP)[:, None] >= _STRIP - heights_W] = AREA
    column = (width - 1) / max(len(area) - 1, 1)
    for cut in area.cuts:
        strip_HW3[:, int(cut * column)] = INK
    x = int(t * column)
    strip_HW3[:, max(x - 1, 0) : x + 1] = _NOW
    return strip_HW3
