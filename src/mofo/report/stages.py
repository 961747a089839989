"""The stages of detection side by side: frame, optical flow, motion map, motion area."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mofo.motion.analyse import analyse
from mofo.motion.presets import DetectSettings, Watch
from mofo.report.lettering import QUIET, text_block
from mofo.report.overlays import caption, draw_area, frame_rate, moments
from mofo.report.sheet import GAP, INNER, beside, make_folder, page, save_png, stacked
from mofo.types import MotionArea
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter

_MAP_NAMES = {"paper": "motion map", "default": "motion beyond the camera's"}


def write_stages(
    path: str | Path,
    settings: DetectSettings,
    png: str | Path,
    *,
    frames: list[int] | None = None,
    rows: int = 4,
) -> MotionArea:
    """Writes frame, flow, map and motion area side by side, a row a moment.

    Args:
        path: the video.
        settings: backend and preset.
        png: target.
        frames: frame numbers; by default ``rows`` of them evenly over the video.
        rows: how many moments if ``frames`` is None.

    Returns:
        The motion area of the whole video.

    Raises:
        VideoError: the video cannot be read.
    """
    if frames is None:
        with VideoReader(path, colour=None) as reader:
            total = sum(1 for _ in reader)
        frames = [int((row + 0.5) * total / rows) for row in range(rows)]
    watch = Watch(frozenset(frames))
    area = analyse(path, settings, watch=watch)
    size = _panel(area.width, area.height)
    pictures = moments(path, [t for t in frames if t < len(area)], size)
    lines = []
    for t, picture_HW3 in sorted(pictures.items()):
        blank_HW3 = np.full_like(picture_HW3, 235)
        flow_hw2, map_hw = watch.flows.get(t), watch.maps.get(t)
        panels = [
            picture_HW3,
            blank_HW3 if flow_hw2 is None else flow_picture(flow_hw2, size),
            blank_HW3 if map_hw is None else map_picture(map_hw, size, settings.preset),
            draw_area(picture_HW3, area, t),
        ]
        line_HW3 = beside(panels)
        told = text_block(_told(area, t), line_HW3.shape[1], size=14, colour=QUIET)
        lines.append(stacked([told, line_HW3], gap=4))
    if lines:
        heads = beside([text_block(name, size[0], bold=True) for name in _names(settings)])
        sheet_HW3 = page(stacked([heads, *lines]), title=Path(path).name, notes=_notes(area))
        save_png(sheet_HW3, png)
    return area


def write_stages_video(path: str | Path, settings: DetectSettings, mp4: str | Path) -> MotionArea:
    """Writes frame, flow, map and motion area of every frame side by side, as a video.

    The whole video is gone through twice; flow and maps wait in memory as small pictures, some
    20 KB a frame.

    Returns:
        The motion area of the whole video.

    Raises:
        VideoError: the video cannot be read or the target not written.
    """
    with VideoReader(path, colour=None) as reader:
        size = _panel(reader.info.width, reader.info.height)
    kept = _KeptPictures(size, settings.preset)
    area = analyse(path, settings, watch=kept)
    blank_HW3 = np.full((size[1], size[0], 3), 235, np.uint8)
    heads = [text_block(name, size[0], bold=True) for name in _names(settings)]
    make_folder(mp4)
    with (
        VideoReader(path, colour="rgb", size=size) as reader,
        VideoWriter(mp4, fps=frame_rate(area)) as writer,
    ):
        for t, frame in enumerate(reader):
            if t >= len(area) or frame.image is None:
                break
            tiles = [
                frame.image,
                kept.picture(kept.flow_pictures, t, blank_HW3),
                kept.picture(kept.map_pictures, t, blank_HW3),
                draw_area(frame.image, area, t),
            ]
            panels = [stacked(pair) for pair in zip(heads, tiles, strict=True)]
            writer.write(page(beside(panels), title=Path(path).name, lines=[_told(area, t)]))
    return area


class _KeptPictures(Watch):
    """Keeps flow and map of all frames: as compressed pictures, since floats would fill memory."""

    def __init__(self, size: tuple[int, int], preset: str) -> None:
        super().__init__(frozenset())
        self._size, self._preset = size, preset
        self._full = 0.5
        self.flow_pictures: dict[int, np.ndarray] = {}
        self.map_pictures: dict[int, np.ndarray] = {}

    def flow(self, position: int, flow_hw2: np.ndarray | None) -> None:
        """Draws the flow that leads to a frame."""
        if flow_hw2 is not None:
            # Follows the speed slowly down, so that colours do not flicker.
            self._full = max(0.95 * self._full, _full_speed(flow_hw2))
            self._keep(self.flow_pictures, position, flow_picture(flow_hw2, self._size, self._full))

    def map(self, position: int, map_hw: np.ndarray) -> None:
        """Draws the map of a frame."""
        self._keep(self.map_pictures, position, map_picture(map_hw, self._size, self._preset))

    @staticmethod
    def picture(pictures: dict[int, np.ndarray], t: int, blank_HW3: np.ndarray) -> np.ndarray:
        """The picture of frame t, and forgets it; blank if there is none."""
        data = pictures.pop(t, None)
        if data is None:
            return blank_HW3
        return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    @staticmethod
    def _keep(pictures: dict[int, np.ndarray], position: int, picture_HW3: np.ndarray) -> None:
        bgr_HW3 = cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2BGR)
        _, pictures[position] = cv2.imencode(".jpg", bgr_HW3, [cv2.IMWRITE_JPEG_QUALITY, 95])


def _names(settings: DetectSettings) -> tuple[str, ...]:
    """Of the four panels."""
    return "frame", "optical flow", _MAP_NAMES[settings.preset], "motion area"


def _notes(area: MotionArea) -> tuple[str, ...]:
    """What the colours mean."""
    return (
        f"Optical flow ({area.flow}): how each point moves from one frame to the next; the hue is "
        "the direction, the strength the speed. The map glows where something moves otherwise "
        "than the camera.",
        "Orange: the motion area. Blue: single movers, where there are several. Grey: not known.",
    )


def _told(area: MotionArea, t: int) -> str:
    """Number and time of frame t, and how much of it is motion area."""
    time, _, share = caption(area, t).partition("  ")
    told = f"motion area {share} of the frame" if area.valid_T[t] else share
    return f"frame {t} · {time} · {told}"


def flow_picture(flow_hw2: np.ndarray, size: tuple[int, int], full: float = 0.0) -> np.ndarray:
    """Flow in colour, uint8 RGB: hue is the direction, strength the speed.

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


def map_picture(
    map_hw: np.ndarray, size: tuple[int, int], preset: str, full: float = 0.0
) -> np.ndarray:
    """A motion map in colour, uint8 RGB.

    ``full`` is the value with the brightest colour in the paper's preset; 0: its own greatest.
    """
    map_HW = cv2.resize(map_hw, size, interpolation=cv2.INTER_LINEAR)
    # The default preset's map is in units of noise: 8 of them are bright, whatever the video.
    full = max(full or float(map_HW.max()), 1e-6) if preset == "paper" else 8.0
    grey_HW = np.clip(map_HW / full * 255, 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey_HW, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def _panel(width: int, height: int) -> tuple[int, int]:
    """Size of one of four pictures beside each other on a sheet."""
    scale = min((INNER - 3 * GAP) // 4 / width, 400 / height)
    return max(32, int(width * scale)), max(32, int(height * scale))
