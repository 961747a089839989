"""Preset ``paper``: maps and boxes of the paper's recipe (arXiv 2308.12447).

The map of a frame says how much the flow's derivatives add up over eight flows; boxes come from
each map, and are settled over time. Pixel constants hold at a short side of 240 and scale with it.
Everything stays float32: in the 8 bits of the released code the strongest motion wraps to nothing
and small spots vanish.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from mofo.motion.flow.backend import FlowStream
from mofo.motion.presets import PRESETS, FrameMotion, Preset, Watch

WINDOW = 8  # flows: t-3 .. t+4
_BEFORE = 3
_BORDER = 8  # pixels at short side 240
_ACROSS = np.array([-1, 0, 1], np.float32)
_ALONG = np.ones(3, np.float32)
_SHRINK = 8  # the wide blur is done on a picture this much smaller
_WIDE_SIGMA = 30.0
# Of the brightest value before the wide blur: one step of 8 bits, where the paper's spots end.
_LEFT_OVER = 1 / 255


@PRESETS.register("paper")
class PaperPreset(Preset):
    """The paper's recipe without the released code's defects. Every frame has a box."""

    line = "the paper's recipe: derivatives of flow, one box a frame"
    flow = "tvl1"
    cuts = False

    def find(self, stream: FlowStream, watch: Watch) -> Iterator[FrameMotion]:
        """See ``Preset.find``. Frames come out at the end: boxes depend on each other."""
        frames = 0

        def flows() -> Iterator[np.ndarray | None]:
            nonlocal frames
            for flow_HW2 in _dense(stream):
                watch.flow(frames, flow_HW2)
                frames += 1
                yield flow_HW2

        boxes: list[np.ndarray | None] = []
        for map_HW in motion_maps(flows()):
            watch.map(len(boxes), map_HW)
            boxes.append(frame_box(map_HW))
        boxes += [None] * (frames - len(boxes))  # a clip of one frame has no flow
        for box_4 in settled_boxes(boxes, *stream.size):
            yield FrameMotion(box_4[None], box_field(box_4, stream.size, stream.field_yx))


def box_field(box_4: np.ndarray, size: tuple[int, int], field_yx: tuple[int, int]) -> np.ndarray:
    """The motion field of a box: the share of each cell that it covers, float32 0 to 1.

    Args:
        box_4: pixels.
        size: width and height of the frame in pixels.
        field_yx: rows and columns of the field.
    """
    covered = []
    for axis, cells in ((1, field_yx[0]), (0, field_yx[1])):
        edges = np.linspace(0, size[axis], cells + 1)
        inner = np.clip(edges, box_4[axis], box_4[axis + 2])
        covered.append(np.diff(inner) / np.diff(edges))
    return np.outer(*covered).astype(np.float32)


def _dense(stream: FlowStream) -> Iterator[np.ndarray | None]:
    """Flow for every pixel of the analysis; None for the first frame only.

    Where nothing leads to a later frame, such as an I-frame without vectors, the last flow stands
    in.
    """
    last_HW2: np.ndarray | None = None
    for number, frame in enumerate(stream):
        flow_HW2 = frame.flow_hw2
        if flow_HW2 is not None and flow_HW2.shape[:2] != stream.size[::-1]:
            flow_HW2 = cv2.resize(flow_HW2, stream.size, interpolation=cv2.INTER_LINEAR)
        if flow_HW2 is not None:
            last_HW2 = flow_HW2
        elif last_HW2 is None:
            last_HW2 = np.zeros((*stream.size[::-1], 2), np.float32)
        yield last_HW2 if number else None


def flow_gradient(flow_HW2: np.ndarray, border: int) -> np.ndarray:
    """Motion map of a summed flow: mean over u and v of the length of its Prewitt gradient.

    Args:
        flow_HW2: float32, pixels.
        border: pixels at each side that are set to 0.

    Returns:
        float32 ``(H, W)``.
    """
    total_HW = np.zeros(flow_HW2.shape[:2], np.float32)
    for part_HW in cv2.split(flow_HW2):
        x_HW = cv2.sepFilter2D(part_HW, cv2.CV_32F, _ACROSS, _ALONG)
        y_HW = cv2.sepFilter2D(part_HW, cv2.CV_32F, _ALONG, _ACROSS)
        total_HW += cv2.magnitude(x_HW, y_HW)
    total_HW *= 0.5
    if border:
        total_HW[:border] = total_HW[-border:] = 0
        total_HW[:, :border] = total_HW[:, -border:] = 0
    return total_HW


def motion_maps(flows: Iterable[np.ndarray | None]) -> Iterator[np.ndarray]:
    """Motion map of each frame of a clip, as its flows stream by.

    The gradient is linear, so the sum over the window is taken of the flows, and that sum runs: a
    flow is added and one is taken away for each frame. Sums are kept in float32 and made afresh
    every 64 frames, so that rounding does not pile up.

    Args:
        flows: one entry a frame: the flow from the frame before, float32 ``(H, W, 2)``. The first
            entry is None, since nothing leads to the first frame. N frames have N - 1 flows; the
            last one stands for the missing flow of the last frame.

    Yields:
        float32 ``(H, W)``, one a frame; nothing for a clip of a single frame.
    """
    held: deque[np.ndarray] = deque()
    running_HW2: np.ndarray | None = None
    border, taken, seen, given = 0, 0, 0, 0
    for flow_HW2 in _last_repeated(flows):
        if running_HW2 is None:
            running_HW2 = np.zeros_like(flow_HW2)
            border = round(_BORDER * min(flow_HW2.shape[:2]) / 240)
        held.append(flow_HW2)
        running_HW2 += flow_HW2
        seen += 1
        if len(held) > WINDOW:
            running_HW2 -= held.popleft()
            taken += 1
            if taken % 64 == 0:
                running_HW2 = np.asarray(np.sum(list(held), axis=0, dtype=np.float32))
        # Frame t has the flows t-3 .. t+4; the first frames share the clip's first eight.
        while len(held) == WINDOW and given + WINDOW - _BEFORE <= seen:
            yield flow_gradient(running_HW2, border)
            given += 1
    while running_HW2 is not None and given < seen:  # the last frames share the last eight
        yield flow_gradient(running_HW2, border)
        given += 1


def _last_repeated(flows: Iterable[np.ndarray | None]) -> Iterator[np.ndarray]:
    last: np.ndarray | None = None
    for flow_HW2 in flows:
        if flow_HW2 is not None:
            last = flow_HW2
            yield flow_HW2
    if last is not None:
        yield last


def frame_box(map_HW: np.ndarray) -> np.ndarray | None:
    """Box of one motion map, float32 ``(4,)`` in its pixels; None when nothing is left."""
    scale = min(map_HW.shape) / 240
    blurred_HW = cv2.GaussianBlur(map_HW, (0, 0), scale)
    _, deviation = cv2.meanStdDev(blurred_HW)
    peak = float(blurred_HW.max())
    if peak <= 0:
        return None
    least = max(0.4 * peak, 1.5 * float(deviation[0, 0]))
    _, kept_HW = cv2.threshold(blurred_HW, least, 0, cv2.THRESH_TOZERO)
    wide_HW = wide_blur(kept_HW, _WIDE_SIGMA * scale)
    _, left_HW = cv2.threshold(wide_HW, peak * _LEFT_OVER, 1, cv2.THRESH_BINARY)
    count, _, stats, centres = cv2.connectedComponentsWithStats(
        left_HW.astype(np.uint8), connectivity=8
    )
    if count < 2:
        return None
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:2]
    apart = np.linalg.norm(centres[order[0]] - centres[order[-1]])
    if apart > 0.4 * np.hypot(*map_HW.shape):
        order = order[:1]
    corner_K2, size_K2 = stats[order, :2], stats[order, 2:4]
    return np.concatenate([corner_K2.min(0), (corner_K2 + size_K2).max(0)]).astype(np.float32)


def wide_blur(image_HW: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur for large sigmas by way of a smaller picture; error about 1 % of the peak."""
    shrink = max(1, min(_SHRINK, int(sigma / 3)))
    if shrink == 1:
        return cv2.GaussianBlur(image_HW, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT)
    height, width = image_HW.shape
    small_size = (-(-width // shrink), -(-height // shrink))
    # Two boxes make a tent, which keeps the centre of what is smaller than a cell. Borders are
    # mirrored at the edge of the frame; OpenCV's default would take half a cell away from them.
    odd = shrink // 2 * 2 + 1
    small_hw = cv2.resize(
        cv2.blur(image_HW, (odd, odd), borderType=cv2.BORDER_REFLECT),
        small_size,
        interpolation=cv2.INTER_AREA,
    )
    # Variance that the boxes and the enlargement below add by themselves.
    added = (odd**2 + shrink**2 - 2) / 12 + shrink**2 / 6
    rest = (sigma**2 - added) ** 0.5
    small_hw = cv2.GaussianBlur(
        small_hw,
        (0, 0),
        rest * small_size[0] / width,
        sigmaY=rest * small_size[1] / height,
        borderType=cv2.BORDER_REFLECT,
    )
    return cv2.resize(small_hw, (width, height), interpolation=cv2.INTER_LINEAR)


def settled_boxes(boxes: list[np.ndarray | None], width: int, height: int) -> np.ndarray:
    """The paper's rules over time.

    Args:
        boxes: one a frame, None where the frame's map left nothing.
        width, height: of the analysed frame, pixels.

    Returns:
        float32 ``(T, 4)``. Every frame has a box: the recipe knows no "nothing moves".
    """
    central_4 = np.array([width / 4, height / 4, 3 * width / 4, 3 * height / 4], np.float32)
    found: list[np.ndarray] = []
    for box_4 in boxes:
        found.append(box_4 if box_4 is not None else (found[-1] if found else central_4))
    boxes_T4 = _neighbours(np.array(found, np.float32).reshape(-1, 4), width, height)
    boxes_T4 = _undrifted(boxes_T4)
    return _padded(boxes_T4, width, height)


def _neighbours(boxes_T4: np.ndarray, width: int, height: int) -> np.ndarray:
    """Boxes too wide, tall or small take the nearest good one; if none is good, all stay."""
    size_T2 = boxes_T4[:, 2:] - boxes_T4[:, :2]
    bad_T = (
        (size_T2[:, 0] > 0.7 * width)
        | (size_T2[:, 1] > 0.7 * height)
        | (size_T2.prod(1) < 0.01 * width * height)
    )
    good = np.flatnonzero(~bad_T)
    if len(good) == 0:
        return boxes_T4
    frames = np.arange(len(boxes_T4))
    after = np.searchsorted(good, frames)
    right, left = good[np.minimum(after, len(good) - 1)], good[np.maximum(after - 1, 0)]
    nearest = np.where(np.abs(frames - left) <= np.abs(right - frames), left, right)
    return boxes_T4[np.where(bad_T, nearest, frames)]


def _undrifted(boxes_T4: np.ndarray) -> np.ndarray:
    """A box that strays from the running mean takes its predecessor's place."""
    settled_T4 = boxes_T4.copy()
    mean_4 = settled_T4[0].astype(float) if len(settled_T4) else np.zeros(4)
    for t in range(1, len(settled_T4)):
        box_4 = settled_T4[t]
        area = float((box_4[2] - box_4[0]) * (box_4[3] - box_4[1]))
        if ((box_4 - mean_4) ** 2).mean() > 0.1 * area:
            settled_T4[t] = settled_T4[t - 1]
        mean_4 += (settled_T4[t] - mean_4) / (t + 1)
    return settled_T4


def _padded(boxes_T4: np.ndarray, width: int, height: int) -> np.ndarray:
    """5 % more on each side of boxes under 0.4 of the frame, each axis by itself, once."""
    size_T2 = boxes_T4[:, 2:] - boxes_T4[:, :2]
    grow_T2 = np.where(size_T2 < 0.4 * np.array([width, height]), 0.05 * size_T2, 0)
    grown_T4 = np.concatenate([boxes_T4[:, :2] - grow_T2, boxes_T4[:, 2:] + grow_T2], 1)
    return np.clip(grown_T4, 0, [width, height, width, height]).astype(np.float32)
