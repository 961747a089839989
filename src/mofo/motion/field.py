"""The motion field: how much of each cell of a frame moves by itself, from evidence to shares.

Nothing here is in absolute units but two floors under which nothing moves. A cell is compared with
the strongest evidence near it, since flow leaks in proportion to what it leaks from, and with the
disturbance of the background at large (ripples, parallax, leaves), whose level is measured in every
frame. What is left is gathered along the flow over about a second, and completed by colour.
"""

from __future__ import annotations

import cv2
import numpy as np

from mofo.motion.colours import colour_odds
from mofo.motion.evidence import Evidence, ramp
from mofo.motion.parallax import still_share
from mofo.motion.paths import FlowPaths

_HALO = 4  # cells around a mover that its strength speaks for
_BACKGROUND = 20.0  # times the background's disturbance is surely a mover
_DISTURBANCE = 0.9  # quantile of the evidence away from movers, and
_CALM, _OVER_CALM = 0.75, 10.0  # another, of which it is not more than so many times
_FLOOR = 1.0  # evidence that is surely a mover if the background is silent
_EVEN = 0.33  # share of what is surely a mover at which a cell is as likely moving as not
_STEEPNESS = 1.5  # of the share over the logarithm of the evidence
_COLOUR = 0.5  # weight of colour against evidence, both logarithms
_SHORT, _LONG = 0.7, 0.9  # decay a frame of evidence along the flow
_STEADY = 12  # frames on each side over which levels are averaged
_PRESENT = (0.55, 0.8)  # strongest evidence of two seconds under which nothing moves, surely does
_PACE = (0.15, 0.35)  # pixels a frame near a cell under which it stands still, surely moves
_BORDER = (1.2, 1.8)  # length along the frame's border, in roots of its area, of background
_CUT = (0.03, 0.05)  # share of the frame from which on a region there may be a mover, cut off,
_FAR = (0.7, 0.9)  # unless it runs along so much of the frame's short side
_STILL_CAMERA = 0.15  # pixels a frame; then there is no parallax, and all may move


def motion_field(
    evidence: Evidence, flow_Thw2: np.ndarray, picture_Thw3: np.ndarray, every: int = 1
) -> np.ndarray:
    """Share of each cell that moves.

    Args:
        evidence: of T frames of one shot.
        flow_Thw2: float32, flow that leads to each frame from the one before, cells.
        picture_Thw3: float32, colours of the cells, 0..255.
        every: frames of the video from one of the T to the next.

    Returns:
        float32 ``(T, h, w)`` in 0..1.
    """
    paths = FlowPaths(flow_Thw2, picture_Thw3)
    field_Thw = _completed(evidence.strength_Thw, evidence, paths, picture_Thw3, every)
    if every == 1:  # flow by the codec's vectors is too coarse to tell an epipole from
        still_Thw = still_share(field_Thw, evidence)
        if still_Thw.any():
            strength_Thw = evidence.strength_Thw * (1 - still_Thw)
            field_Thw = _completed(strength_Thw, evidence, paths, picture_Thw3, every)
    return field_Thw * ramp(_near(evidence.motion_Thw, _HALO - 1), *_PACE)


def _completed(
    strength_Thw: np.ndarray,
    evidence: Evidence,
    paths: FlowPaths,
    picture_Thw3: np.ndarray,
    every: int,
) -> np.ndarray:
    """Shares from the evidence of single frames, gathered along the flow and by colour."""
    seen_Thw = paths.mean(_relative(strength_Thw, every), _SHORT**every)
    strength_Thw = strength_Thw * _inner(seen_Thw, evidence.camera_T)
    share_Thw = paths.mean(_relative(strength_Thw, every), _LONG**every)
    odds_Thw = np.log(share_Thw + np.float32(0.03)) - np.float32(np.log(_EVEN))
    odds_Thw += np.float32(_COLOUR) * colour_odds(picture_Thw3, ramp(share_Thw, 0.2, 0.5))
    field_Thw = 1 / (1 + np.exp(np.float32(-_STEEPNESS) * odds_Thw))
    peak_T = _steady(_quantile(strength_Thw, 99.7), 2 * _STEADY // every)
    low, high = np.log(_PRESENT)
    field_Thw *= ramp(np.log(peak_T + 1e-6), low, high)[:, None, None]
    return field_Thw


def _relative(strength_Thw: np.ndarray, every: int) -> np.ndarray:
    """Strength as a share, 0 to 1, of what would surely be a mover there."""
    smooth_Thw = np.stack([cv2.GaussianBlur(s_hw, (0, 0), 0.8) for s_hw in strength_Thw])
    sure_T = np.maximum(_FLOOR, _BACKGROUND * _disturbance(strength_Thw, every))
    sure_Thw = np.maximum(_near(smooth_Thw, _HALO), sure_T[:, None, None])
    return np.minimum(strength_Thw / sure_Thw, 1)


def _near(values_Thw: np.ndarray, reach: int) -> np.ndarray:
    """Largest value within ``reach`` cells, with soft edges."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.stack(
        [cv2.GaussianBlur(cv2.dilate(v_hw, disc), (0, 0), reach / 2) for v_hw in values_Thw]
    )


def _disturbance(strength_Thw: np.ndarray, every: int) -> np.ndarray:
    """Level of the evidence away from the strongest movers, (T,).

    Ripples and leaves are everywhere or rise by degrees. A few cells far above a silent rest are
    slow movers beside fast ones, and must not raise the level that they are measured by; where
    flow is the codec's (``every`` over 1) they are wild vectors.
    """
    frames = len(strength_Thw)
    peak_T = np.maximum(_steady(_quantile(strength_Thw, 99), _STEADY), 0.3)
    strong_Thw = (strength_Thw > _EVEN * peak_T[:, None, None]).view(np.uint8)
    square = np.ones((5, 5), np.uint8)
    far_Thw = np.stack([cv2.dilate(strong_hw, square) for strong_hw in strong_Thw]) == 0
    ordered_TP = np.sort(np.where(far_Thw, strength_Thw, np.inf).reshape(frames, -1), axis=1)
    count_T = far_Thw.reshape(frames, -1).sum(1)
    high_T, calm_T = (
        ordered_TP[np.arange(frames), ((count_T - 1).clip(0) * quantile).astype(int)]
        for quantile in (_DISTURBANCE, _CALM)
    )
    level_T = np.minimum(high_T, _OVER_CALM * calm_T) if every == 1 else high_T
    return _steady(np.where(count_T > 20, level_T, peak_T), _STEADY)


def _inner(seen_Thw: np.ndarray, camera_T: np.ndarray) -> np.ndarray:
    """0 to 1: 0 for regions that run along the frame's border while the camera moves.

    Ground, walls and sky that the camera's model does not explain reach far along the border for
    their size; movers do not (after Zhu et al., CVPR 2014, for still pictures). One that the border
    or a corner cuts off does, but is neither small nor as long as the frame.
    """
    _, rows, columns = seen_Thw.shape
    inner_Thw = np.ones_like(seen_Thw)
    for t in np.flatnonzero(_steady(camera_T, _STEADY // 2) > _STILL_CAMERA).tolist():
        region_hw = cv2.GaussianBlur(seen_Thw[t], (0, 0), 1.5) > 0.15
        count, label_hw, stats, _ = cv2.connectedComponentsWithStats(
            region_hw.view(np.uint8), connectivity=4
        )
        if count < 2:
            continue
        edge = np.concatenate([label_hw[0], label_hw[-1], label_hw[:, 0], label_hw[:, -1]])
        length = np.bincount(edge, minlength=count)
        area = stats[:, cv2.CC_STAT_AREA]
        cut = ramp(area / (rows * columns), *_CUT) * (1 - ramp(length / min(rows, columns), *_FAR))
        inner = np.maximum(1 - ramp(length / np.sqrt(area), *_BORDER), cut)
        inner[0] = 1
        inner_Thw[t] = inner[label_hw]
    return inner_Thw


def _quantile(values_Thw: np.ndarray, percent: float) -> np.ndarray:
    return np.percentile(values_Thw.reshape(len(values_Thw), -1), percent, axis=1)


def _steady(values_T: np.ndarray, reach: int) -> np.ndarray:
    """Mean over the frames up to ``reach`` away, as far as there are any."""
    heap = np.concatenate([[0.0], np.cumsum(values_T, dtype=np.float64)])
    frames = np.arange(len(values_T))
    first, last = np.maximum(frames - reach, 0), np.minimum(frames + reach + 1, len(values_T))
    return ((heap[last] - heap[first]) / (last - first)).astype(np.float32)
