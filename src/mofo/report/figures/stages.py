"""The stages of detection side by side: frame, optical flow, motion map, motion area."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from mofo.motion.analyse import analyse
from mofo.motion.presets import DetectSettings, Watch
from mofo.report.figures.films import moments
from mofo.report.figures.layout import (
    GAP,
    INNER,
    QUIET,
    beside,
    make_folder,
    page,
    picture_kind,
    save_png,
    stacked,
    text_block,
)
from mofo.report.figures.marks import draw_area
from mofo.report.figures.overlays import caption, clock, frame_rate, video_frames
from mofo.types import MotionArea
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter

_MAP_NAMES = {"paper": "motion map", "default": "motion field"}
_BLANK = 235


def write_stages(
    path: str | Path,
    settings: DetectSettings,
    out: str | Path,
    *,
    frames: list[int] | None = None,
    rows: int = 4,
) -> MotionArea:
    """Writes frame, flow, map and motion area side by side.

    The video is read twice; flow and maps wait in memory as small pictures, some 20 KB a frame.

    Args:
        path: the video.
        settings: backend and preset.
        out: ``.png``: a row for each moment; ``.mp4``: all frames.
        frames: of a PNG, frame numbers; None: ``rows`` of them evenly over the video.
        rows: how many moments if ``frames`` is None.

    Returns:
        The motion area of the whole video.

    Raises:
        SettingsError: another kind of file.
        VideoError: the video cannot be read or the target not written.
    """
    is_picture = picture_kind(out) == "png"
    with VideoReader(path, colour=None) as reader:
        size = _panel(reader.info.width, reader.info.height)
        if is_picture and frames is None:
            frames = moments(sum(1 for _ in reader), rows)
    wanted = frozenset(frames) if is_picture and frames is not None else None
    kept = _KeptPictures(size, settings.preset, wanted)
    area = analyse(path, settings, watch=kept)
    names = ("frame", "optical flow", _MAP_NAMES[settings.preset], "motion area")
    heads_HW3 = beside([text_block(name, size[0], bold=True) for name in names])
    title, notes = Path(path).name, _notes(area)

    def drawn_rows() -> Iterator[tuple[int, str, np.ndarray]]:
        shown = range(len(area)) if wanted is None else wanted & {*range(len(area))}
        for t, frame_HW3 in video_frames(path, size, shown):
            panels = [frame_HW3, *kept.pop(t), draw_area(frame_HW3, area, t)]
            yield t, f"frame {t} · {caption(area, t)}", beside(panels)

    if is_picture:
        lines = [
            stacked([text_block(text, row_HW3.shape[1], size=14, colour=QUIET), row_HW3], 4)
            for _, text, row_HW3 in drawn_rows()
        ]
        if lines:
            save_png(page(stacked([heads_HW3, *lines]), title=title, notes=notes), out)
        return area
    make_folder(out)
    with VideoWriter(out, fps=frame_rate(area)) as writer:
        for t, text, row_HW3 in drawn_rows():
            body_HW3 = stacked([heads_HW3, row_HW3])
            writer.write(page(body_HW3, title=title, lines=[text], notes=notes), clock(area, t))
    return area


class _KeptPictures(Watch):
    """Keeps flow and map of frames as compressed pictures, since floats would fill memory."""

    def __init__(self, size: tuple[int, int], preset: str, wanted: frozenset[int] | None) -> None:
        super().__init__(wanted or frozenset())
        self._size, self._preset, self._all = size, preset, wanted is None
        self._full = 0.5
        self._flow_pictures: dict[int, np.ndarray] = {}
        self._map_pictures: dict[int, np.ndarray] = {}

    def wants(self, t: int) -> bool:
        """Whether frame ``t`` is to be drawn."""
        return self._all or t in self.wanted

    def flow(self, position: int, flow_hw2: np.ndarray | None) -> None:
        """Draws the flow that leads to a frame."""
        if flow_hw2 is not None and self.wants(position):
            fastest = _full_speed(flow_hw2)
            # In a video it follows the speed slowly down, so that colours do not flicker.
            self._full = max(0.95 * self._full, fastest) if self._all else fastest
            picture_HW3 = flow_picture(flow_hw2, self._size, self._full)
            self._flow_pictures[position] = _compressed(picture_HW3)

    def map(self, position: int, map_hw: np.ndarray) -> None:
        """Draws the map of a frame."""
        if self.wants(position):
            picture_HW3 = map_picture(map_hw, self._size, self._preset)
            self._map_pictures[position] = _compressed(picture_HW3)

    def pop(self, t: int) -> list[np.ndarray]:
        """Returns the pictures of flow and map of frame ``t``, blank if unknown; forgets them."""
        pictures = []
        for kept in (self._flow_pictures, self._map_pictures):
            data = kept.pop(t, None)
            if data is None:
                pictures.append(np.full((self._size[1], self._size[0], 3), _BLANK, np.uint8))
            else:
                pictures.append(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])
        return pictures


def _compressed(picture_HW3: np.ndarray) -> np.ndarray:
    bgr_HW3 = cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr_HW3, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]


def _notes(area: MotionArea) -> tuple[str, ...]:
    return (
        f"Optical flow ({area.flow}): how each point moves from one frame to the next; the hue is "
        "the direction, the strength the speed. The map glows where something moves "
        "otherwise than the camera.",
        "Orange: motion field (tint) and motion area (box). Blue: single movers, where there are "
        "several. Grey: not known.",
    )


def flow_picture(flow_hw2: np.ndarray, size: tuple[int, int], full: float = 0.0) -> np.ndarray:
    """Returns flow in colour, uint8 RGB: hue is the direction, strength the speed.

    ``full`` is the speed, in pixels of the flow, with the strongest colour; 0: its own fastest.
    """
    flow_HW2 = cv2.resize(flow_hw2, size, interpolation=cv2.INTER_LINEAR)
    speed_HW, angle_HW = cv2.cartToPolar(
        np.ascontiguousarray(flow_HW2[..., 0]), np.ascontiguousarray(flow_HW2[..., 1])
    )
    full = full or _full_speed(flow_HW2)
    hsv_HW3 = np.empty((*speed_HW.shape, 3), np.uint8)
    hsv_HW3[..., 0] = (angle_HW * (180 / (2 * np.pi))).astype(np.int32) % 180
    hsv_HW3[..., 1] = np.clip(speed_HW / full * 255, 0, 255)
    hsv_HW3[..., 2] = 255
    return cv2.cvtColor(hsv_HW3, cv2.COLOR_HSV2RGB)


def _full_speed(flow_hw2: np.ndarray) -> float:
    speed_hw = np.hypot(flow_hw2[..., 0], flow_hw2[..., 1])
    return max(float(np.percentile(speed_hw, 99)), 0.5)


def map_picture(map_hw: np.ndarray, size: tuple[int, int], preset: str) -> np.ndarray:
    """Returns a motion map in colour, uint8 RGB; in the paper's preset its maximum is brightest."""
    map_HW = cv2.resize(map_hw, size, interpolation=cv2.INTER_LINEAR)
    # The default preset's map is the motion field, a share of each cell.
    full = max(float(map_HW.max()), 1e-6) if preset == "paper" else 1.0
    grey_HW = np.clip(map_HW / full * 255, 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey_HW, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def _panel(width: int, height: int) -> tuple[int, int]:
    """Size of one of four pictures beside each other on a sheet."""
    scale = min((INNER - 3 * GAP) // 4 / width, 400 / height)
    return max(32, int(width * scale)), max(32, int(height * scale))
