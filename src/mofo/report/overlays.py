"""Pictures of motion areas: overlay videos and contact sheets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mofo.report.sheet import save_png
from mofo.types import MotionArea
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter

# RGB. Orange and blue are told apart by everybody.
_AREA, _MOVER, _TEXT, _PAPER, _QUIET = (
    (255, 140, 0),
    (60, 170, 255),
    (30, 30, 30),
    (255, 255, 255),
    (150, 150, 150),
)
_BAND = 22  # pixels of a caption


def write_overlay(
    path: str | Path, area: MotionArea, mp4: str | Path, *, height: int = 360
) -> None:
    """Writes the video with its motion area drawn in (thick: the area, thin: single movers).

    Args:
        path: the video.
        area: its motion area.
        mp4: target.
        height: frames are scaled down to this height, pixels.

    Raises:
        VideoError: the video cannot be read or the target not written.
    """
    size = fit_size(area, height)
    fps = frame_rate(area)
    Path(mp4).parent.mkdir(parents=True, exist_ok=True)
    with VideoReader(path, colour="rgb", size=size) as reader, VideoWriter(mp4, fps=fps) as writer:
        for t, frame in enumerate(reader):
            if t >= len(area) or frame.image is None:
                break
            writer.write(_timeline(draw_area(frame.image, area, t), area, t))


def write_contact_sheet(
    path: str | Path, area: MotionArea, png: str | Path, *, columns: int = 4, rows: int = 3
) -> None:
    """Writes moments of the video with their motion areas, evenly over its length, as one PNG.

    Raises:
        VideoError: the video cannot be read.
    """
    frames = np.unique(np.linspace(0, max(len(area) - 1, 0), columns * rows).round().astype(int))
    pictures = moments(path, frames.tolist(), fit_size(area, 180))
    tiles = [captioned(draw_area(pictures[t], area, t), caption(area, t)) for t in sorted(pictures)]
    if not tiles:
        return
    name = Path(path).name
    moving = f"{100 * area.valid_T.mean():.0f} % of {len(area)} frames with motion"
    sheet_HW3 = _grid(tiles, columns)
    header_HW3 = np.full((_BAND + 8, sheet_HW3.shape[1], 3), 255, np.uint8)
    _write_text(header_HW3, f"{_ascii(name)}   {moving}   flow: {area.flow}", 16, 0.5)
    save_png(np.vstack([header_HW3, sheet_HW3]), png)


def draw_area(picture_HW3: np.ndarray, area: MotionArea, t: int) -> np.ndarray:
    """A copy of the picture (RGB, any size) with the area of frame t: box thick, movers thin."""
    drawn_HW3 = picture_HW3.copy()
    height, width = drawn_HW3.shape[:2]
    scale_4 = np.array([width / area.width, height / area.height] * 2)
    thick = max(1, round(min(height, width) / 90))
    if not area.valid_T[t]:
        return drawn_HW3
    if len(area.movers[t]) > 1:
        for box_4 in area.movers[t]:
            draw_box(drawn_HW3, box_4 * scale_4, max(1, thick // 2), _MOVER)
    draw_box(drawn_HW3, area.box_T4[t] * scale_4, thick)
    return drawn_HW3


def moments(path: str | Path, frames: list[int], size: tuple[int, int]) -> dict[int, np.ndarray]:
    """Pictures (RGB, of ``size``) of chosen frames, by their numbers."""
    wanted, last = set(frames), max(frames, default=-1)
    pictures = {}
    with VideoReader(path, colour="rgb", size=size) as reader:
        for t, frame in enumerate(reader):
            if t in wanted and frame.image is not None:
                pictures[t] = frame.image
            if t >= last:
                break
    return pictures


def fit_size(area: MotionArea, height: int) -> tuple[int, int]:
    """Size for pictures: this height at most, even, at least 32 pixels either way."""
    scale = min(height / area.height, 2.4 * height / area.width)
    scale = min(scale, 1.0) if area.height >= 90 else scale
    return tuple(max(32, 2 * round(side * scale / 2)) for side in (area.width, area.height))  # type: ignore[return-value]


def frame_rate(area: MotionArea) -> float:
    """Frames a second, 1 to 120."""
    steps = np.diff(area.time_T)
    middle = float(np.median(steps)) if len(steps) else 0.0
    return float(np.clip(1 / middle, 1, 120)) if middle > 0 else 25.0


def caption(area: MotionArea, t: int) -> str:
    """Time of frame t, and how much of it is motion area."""
    if not area.valid_T[t]:
        return f"{area.time_T[t]:.2f} s  no motion"
    x1, y1, x2, y2 = area.box_T4[t]
    share = (x2 - x1) * (y2 - y1) / (area.width * area.height)
    return f"{area.time_T[t]:.2f} s  {100 * share:.0f} %"


def _timeline(picture_HW3: np.ndarray, area: MotionArea, t: int) -> np.ndarray:
    """The picture over a strip: height is the area's share of the frame, lines are cuts."""
    width = picture_HW3.shape[1]
    strip_HW3 = np.full((24, width, 3), 245, np.uint8)
    size_T2 = area.box_T4[:, 2:] - area.box_T4[:, :2]
    share_T = size_T2.prod(1) / (area.width * area.height)
    place_W = np.linspace(0, len(area) - 1, width).round().astype(int)
    heights_W = np.ceil(share_T[place_W] * 24).astype(int)
    strip_HW3[np.arange(24)[:, None] >= 24 - heights_W] = _AREA
    for cut in area.cuts:
        strip_HW3[:, int(cut * (width - 1) / max(len(area) - 1, 1))] = _TEXT
    x = int(t * (width - 1) / max(len(area) - 1, 1))
    strip_HW3[:, max(x - 1, 0) : x + 1] = (0, 90, 200)
    return np.vstack([picture_HW3, strip_HW3])


def draw_box(
    picture_HW3: np.ndarray,
    box_4: np.ndarray,
    thick: int,
    colour: tuple[int, int, int] = _AREA,
) -> None:
    """Draws a box (pixels of the picture) into a picture, on its inside."""
    x1, y1, x2, y2 = (round(float(value)) for value in box_4)
    # On the box's inside, so that an area that touches the border is seen.
    inset = thick // 2
    corners = (x1 + inset, y1 + inset), (x2 - 1 - inset, y2 - 1 - inset)
    cv2.rectangle(picture_HW3, *corners, colour, thick)


def captioned(picture_HW3: np.ndarray, text: str) -> np.ndarray:
    """The picture with a line of text above, and a margin."""
    band_HW3 = np.full((_BAND, picture_HW3.shape[1], 3), 255, np.uint8)
    _write_text(band_HW3, text, 15, 0.42)
    tile_HW3 = np.vstack([band_HW3, picture_HW3])
    return np.pad(tile_HW3, ((0, 4), (2, 2), (0, 0)), constant_values=255)


def _write_text(band_HW3: np.ndarray, text: str, baseline: int, size: float) -> None:
    cv2.putText(
        band_HW3, text, (3, baseline), cv2.FONT_HERSHEY_SIMPLEX, size, _TEXT, 1, cv2.LINE_AA
    )


def _ascii(text: str) -> str:
    # OpenCV's font knows no other letters and would print question marks.
    return text.encode("ascii", "replace").decode()


def _grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    blank_HW3 = np.full_like(tiles[0], 255)
    padded = tiles + [blank_HW3] * (-len(tiles) % columns)
    return np.vstack([np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)])
