"""Pictures of motion areas: overlay videos, contact sheets, and the stages side by side."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mofo.motion.analyse import analyse
from mofo.motion.parts import replaced
from mofo.motion.settings import DetectSettings
from mofo.motion.watch import Watch
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
_MAP_NAMES = {"paper": "motion map", "default": "motion beyond the camera's"}
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
    size = _fit(area, height)
    fps = _rate(area)
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
    pictures = _moments(path, area, frames.tolist(), _fit(area, 180))
    tiles = [
        _captioned(draw_area(pictures[t], area, t), _caption(area, t)) for t in sorted(pictures)
    ]
    if not tiles:
        return
    name = Path(path).name
    moving = f"{100 * area.valid_T.mean():.0f} % of {len(area)} frames with motion"
    sheet_HW3 = _grid(tiles, columns)
    header_HW3 = np.full((_BAND + 8, sheet_HW3.shape[1], 3), 255, np.uint8)
    _write_text(header_HW3, f"{_ascii(name)}   {moving}   flow: {area.flow}", 16, 0.5)
    _save_png(np.vstack([header_HW3, sheet_HW3]), png)


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
    size = _fit(area, 200)
    pictures = _moments(path, area, [t for t in frames if t < len(area)], size)
    lines = []
    for t, picture_HW3 in sorted(pictures.items()):
        blank_HW3 = np.full_like(picture_HW3, 235)
        flow_hw2, map_hw = watch.flows.get(t), watch.maps.get(t)
        lines.append(
            np.hstack(
                [
                    _captioned(picture_HW3, f"frame {t}, {area.time_T[t]:.2f} s"),
                    _captioned(
                        blank_HW3 if flow_hw2 is None else flow_picture(flow_hw2, size),
                        f"flow ({area.flow}), hue: direction",
                    ),
                    _captioned(
                        blank_HW3 if map_hw is None else _heat(map_hw, size, settings.preset),
                        _MAP_NAMES[settings.preset],
                    ),
                    _captioned(draw_area(picture_HW3, area, t), _caption(area, t)),
                ]
            )
        )
    if lines:
        _save_png(np.vstack(lines), png)
    return area


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
            _rectangle(drawn_HW3, box_4 * scale_4, _MOVER, max(1, thick // 2))
    _rectangle(drawn_HW3, area.box_T4[t] * scale_4, _AREA, thick)
    return drawn_HW3


def flow_picture(flow_hw2: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Flow in colour, uint8 RGB: hue is the direction, strength the speed."""
    flow_HW2 = cv2.resize(flow_hw2, size, interpolation=cv2.INTER_LINEAR)
    speed_HW, angle_HW = cv2.cartToPolar(
        np.ascontiguousarray(flow_HW2[..., 0]), np.ascontiguousarray(flow_HW2[..., 1])
    )
    full = max(float(np.percentile(speed_HW, 99)), 0.5)
    hsv_HW3 = np.empty((*speed_HW.shape, 3), np.uint8)
    hsv_HW3[..., 0] = (angle_HW * (180 / (2 * np.pi))).astype(np.int32) % 180
    hsv_HW3[..., 1] = np.clip(speed_HW / full * 255, 0, 255)
    hsv_HW3[..., 2] = 255
    return cv2.cvtColor(hsv_HW3, cv2.COLOR_HSV2RGB)


def _heat(map_hw: np.ndarray, size: tuple[int, int], preset: str) -> np.ndarray:
    map_HW = cv2.resize(map_hw, size, interpolation=cv2.INTER_LINEAR)
    # The default preset's map is in units of noise: 8 of them are bright, whatever the video.
    full = max(float(map_HW.max()), 1e-6) if preset == "paper" else 8.0
    grey_HW = np.clip(map_HW / full * 255, 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey_HW, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def _moments(
    path: str | Path, area: MotionArea, frames: list[int], size: tuple[int, int]
) -> dict[int, np.ndarray]:
    wanted, last = set(frames), max(frames, default=-1)
    pictures = {}
    with VideoReader(path, colour="rgb", size=size) as reader:
        for t, frame in enumerate(reader):
            if t in wanted and frame.image is not None:
                pictures[t] = frame.image
            if t >= last:
                break
    return pictures


def _fit(area: MotionArea, height: int) -> tuple[int, int]:
    """Size for pictures: this height at most, even, at least 32 pixels either way."""
    scale = min(height / area.height, 2.4 * height / area.width)
    scale = min(scale, 1.0) if area.height >= 90 else scale
    return tuple(max(32, 2 * round(side * scale / 2)) for side in (area.width, area.height))  # type: ignore[return-value]


def _rate(area: MotionArea) -> float:
    steps = np.diff(area.time_T)
    middle = float(np.median(steps)) if len(steps) else 0.0
    return float(np.clip(1 / middle, 1, 120)) if middle > 0 else 25.0


def _caption(area: MotionArea, t: int) -> str:
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


def _rectangle(
    picture_HW3: np.ndarray, box_4: np.ndarray, colour: tuple[int, int, int], thick: int
) -> None:
    x1, y1, x2, y2 = (round(float(value)) for value in box_4)
    # Drawn on the box's inside, so that an area that touches the border is seen.
    inset = thick // 2
    corners = (x1 + inset, y1 + inset), (x2 - 1 - inset, y2 - 1 - inset)
    cv2.rectangle(picture_HW3, *corners, colour, thick)


def _captioned(picture_HW3: np.ndarray, text: str) -> np.ndarray:
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


def _save_png(picture_HW3: np.ndarray, png: str | Path) -> None:
    done, data = cv2.imencode(".png", cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2BGR))
    assert done
    with replaced(Path(png), flush=False) as part:
        part.write_bytes(data.tobytes())
