"""Thin straight things that a mover carries: ropes, poles, masts, the lines of a paraglider.

They are narrower than a cell and have next to no flow of their own, so the field does not see them.
A trace of change is left where they are. Carried along with the mover that is next to it, the trace
of many frames adds up along what the mover carries; what stands still behind it, ripples and noise
are spread out. What is then straight, long, alone, and begins at the mover is taken for a part.
"""

from __future__ import annotations

import cv2
import numpy as np

_MOVING = 0.5  # share of a cell from which on it belongs to a mover
_NEXT = 8.0  # cells to which a mover's motion reaches (sigma)
_LASTING = 0.9  # what a trace is worth one frame earlier and later
_LEAST = 0.042  # share of the other frames that have a trace there
_ALONE, _AROUND = 2.5, 4.0  # times the mean around it (sigma in pixels)
# Shares of the frame's height: points along a line at least, its length, gaps in it, and how far
# from the mover it may begin.
_POINTS, _LENGTH, _GAP, _APART = 0.15, 0.18, 0.05, 0.08
_RIM = 2  # pixels at the frame's border, where pictures that were aligned end


def thin_traces(
    field_Tyx: np.ndarray, flow_Tyx2: np.ndarray, doubtful: list[np.ndarray]
) -> list[np.ndarray]:
    """How often pixels that a mover carries change in other frames, the near ones above all.

    Args:
        field_Tyx: float32, share of each cell that moves.
        flow_Tyx2: float32, flow that leads to each frame, cells.
        doubtful: bool ``(H, W)`` of each frame: pixels that may have changed.

    Returns:
        For each frame float32 ``(H, W)``, 0 to 1.
    """
    (rows, columns), (height, width) = field_Tyx.shape[1:], doubtful[0].shape
    place_HW2 = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    cell_2 = np.array([width / columns, height / rows], np.float32)
    ways = []  # the motion of the mover that is next, half the way to the frame before
    for field_yx, flow_yx2 in zip(field_Tyx[1:], flow_Tyx2[1:], strict=True):
        weight_yx = np.where(field_yx > _MOVING, field_yx, 0)[..., None]
        both_yx3 = np.concatenate([flow_yx2 * cell_2 * weight_yx, weight_yx], -1, dtype=np.float32)
        both_yx3 = cv2.GaussianBlur(both_yx3, (0, 0), _NEXT)
        way_yx2 = both_yx3[..., :2] / np.maximum(both_yx3[..., 2:], 1e-6)
        ways.append(cv2.resize(way_yx2, (width, height), interpolation=cv2.INTER_LINEAR))
    now = [doubtful_HW.astype(np.float32) for doubtful_HW in doubtful]
    total = [np.zeros_like(trace_HW) for trace_HW in now]
    for sign, order in ((-1, range(1, len(now))), (1, range(len(now) - 2, -1, -1))):
        carried_HW = np.zeros_like(now[0])
        for t in order:
            way_HW2 = ways[t - 1] if sign < 0 else ways[t]
            carried_HW += now[t + sign]
            carried_HW = cv2.remap(
                carried_HW, place_HW2 + np.float32(sign) * way_HW2, None, cv2.INTER_LINEAR
            )
            carried_HW *= np.float32(_LASTING)
            total[t] += carried_HW
    share = np.float32((1 - _LASTING) / (2 * _LASTING))
    return [total_HW * share for total_HW in total]


def with_thin(
    movers_K4: np.ndarray, field_yx: np.ndarray, trace_HW: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Boxes of movers, grown around the thin things that begin at them.

    Args:
        movers_K4: float32, pixels of the frame.
        field_yx: float32, share of each cell that moves.
        trace_HW: float32, see ``thin_traces``.
        size: width and height of the frame in pixels.
    """
    height, width = trace_HW.shape
    moving_yx = (field_yx > _MOVING).view(np.uint8)
    moving_HW = cv2.resize(moving_yx, (width, height), interpolation=cv2.INTER_NEAREST)
    around_HW = cv2.GaussianBlur(trace_HW, (0, 0), _AROUND)
    alone_HW = (trace_HW > _LEAST) & (trace_HW > np.float32(_ALONE) * around_HW)
    alone_HW &= moving_HW == 0
    inner_HW = np.zeros_like(alone_HW)
    inner_HW[_RIM:-_RIM, _RIM:-_RIM] = alone_HW[_RIM:-_RIM, _RIM:-_RIM]
    points, length, gap, apart = (
        round(share * height) for share in (_POINTS, _LENGTH, _GAP, _APART)
    )
    lines_L14 = cv2.HoughLinesP(
        inner_HW.view(np.uint8), 1, np.pi / 90, max(points, 1), None, length, gap
    )
    if lines_L14 is None:
        return movers_K4
    disc = np.ones((2 * apart + 1, 2 * apart + 1), np.uint8)
    near_HW = cv2.dilate(moving_HW, disc)
    scale = np.array([size[0] / width, size[1] / height], np.float32)
    grown_K4 = movers_K4.copy()
    for ends_22 in lines_L14.reshape(-1, 2, 2):
        first, second = (bool(near_HW[y, x]) for x, y in ends_22.tolist())
        if first == second:  # apart from all movers, or beside one
            continue
        ends_22 = ends_22 if first else ends_22[::-1]
        at_2 = ends_22[0] * scale
        apart_K = np.maximum(movers_K4[:, :2] - at_2, at_2 - movers_K4[:, 2:]).max(1)
        k = int(apart_K.argmin())
        if apart_K[k] <= apart * scale.max():
            grown_K4[k, :2] = np.minimum(grown_K4[k, :2], ends_22.min(0) * scale)
            grown_K4[k, 2:] = np.maximum(grown_K4[k, 2:], (ends_22.max(0) + 1) * scale)
    return grown_K4
