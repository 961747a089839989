"""How good motion areas are, against exact truth.

Truth and detection have one form: for every frame a float32 ``(K, 4)`` array with a box around each
mover, in pixels, K = 0 where nothing moves. Measures of a clip are means over frames; intervals are
taken over clips, since the frames of one clip are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mofo.evaluation.measures import DRAWS, Interval, bootstrap, mean_of
from mofo.types import hull

WINDOW, STRIDE = 32, 16  # frames that a training clip spans (16 at stride 2), and their spacing


@dataclass(frozen=True)
class ClipScores:
    """Measures of one clip, all in 0..1; NaN where the clip has no frame to judge by.

    Attributes:
        iou: IoU of the frame's box with the hull of the true movers, over frames with motion; 0
            for a frame in which nothing was found.
        union: the same for the box around ``WINDOW`` frames, over windows that hold motion.
        recall: share of the moving pixels inside the frame's box, over frames with motion.
        share: share of the frame that its box takes, over frames with motion; less is better at
            equal recall.
        region: IoU of the regions that the single mover boxes cover, over frames with motion.
        paused: share of the frame taken, over frames of a clip with movers in which none moves.
        false: share of the frame taken, over all frames of a clip in which nothing ever moves.
    """

    iou: float
    union: float
    recall: float
    share: float
    region: float
    paused: float
    false: float


def box_area(box_4: np.ndarray) -> float:
    """Area in square pixels; 0 for a box that is empty or inside out."""
    x1, y1, x2, y2 = (float(side) for side in box_4)
    return max(x2 - x1, 0.0) * max(y2 - y1, 0.0)


def box_iou(a_4: np.ndarray, b_4: np.ndarray) -> float:
    """Intersection over union of two boxes ``(x1, y1, x2, y2)``, 0..1; 0 if both are empty."""
    common_4 = np.concatenate([np.maximum(a_4[:2], b_4[:2]), np.minimum(a_4[2:], b_4[2:])])
    common = box_area(common_4)
    return common / (box_area(a_4) + box_area(b_4) - common) if common > 0 else 0.0


def frame_ious(found: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> np.ndarray:
    """IoU of the hulls, one for each frame with motion in the truth.

    Args:
        found, truth: per frame a ``(K, 4)`` array of boxes.

    Returns:
        float64, as many as there are frames with K > 0 in ``truth``; 0 where nothing was found.
    """
    return np.array(
        [_hull_iou(f_K4, t_K4) for f_K4, t_K4 in zip(found, truth, strict=True) if len(t_K4)]
    )


def union_ious(
    found: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    window: int = WINDOW,
    stride: int = STRIDE,
) -> np.ndarray:
    """IoU of the boxes around whole windows of frames, one for each window that holds true motion.

    Windows lie fully inside the clip; a clip shorter than ``window`` is one window.
    """
    _check_length(found, truth)
    ious = []
    for start in range(0, max(len(truth) - window, 0) + 1, stride):
        true_K4, found_K4 = (_stacked(boxes[start : start + window]) for boxes in (truth, found))
        if len(true_K4):
            ious.append(_hull_iou(found_K4, true_K4))
    return np.array(ious)


def frame_recalls(found: Sequence[np.ndarray], moving_THW: np.ndarray) -> np.ndarray:
    """Share of the moving pixels inside the frame's box, 0..1, for frames with such pixels.

    Args:
        found: per frame ``(K, 4)`` boxes; their hull, rounded to whole pixels, is the frame's box.
        moving_THW: bool, the pixels of things that move in that frame.
    """
    _check_length(found, moving_THW)
    recalls = []
    for boxes_K4, moving_HW in zip(found, moving_THW, strict=True):
        total = np.count_nonzero(moving_HW)
        if total:
            inside = moving_HW[_pixels(hull(boxes_K4).box_4)]
            recalls.append(np.count_nonzero(inside) / total)
    return np.array(recalls)


def area_shares(found: Sequence[np.ndarray], width: int, height: int) -> np.ndarray:
    """Share of the frame that its box takes, 0..1, one a frame; 0 where nothing was found."""
    return np.array([box_area(hull(boxes_K4).box_4) for boxes_K4 in found]) / (width * height)


def region_iou(found_K4: np.ndarray, true_K4: np.ndarray, width: int, height: int) -> float:
    """IoU of the pixels that lie in any of the boxes, 0..1; 0 if neither covers a pixel.

    Unlike the IoU of the hulls, it does not reward a box for the empty ground between two movers.
    """
    found_HW, true_HW = (_raster(boxes_K4, width, height) for boxes_K4 in (found_K4, true_K4))
    either = np.count_nonzero(found_HW | true_HW)
    return np.count_nonzero(found_HW & true_HW) / either if either else 0.0


def score_clip(
    found: Sequence[np.ndarray], truth: Sequence[np.ndarray], moving_THW: np.ndarray
) -> ClipScores:
    """All measures of one clip.

    Args:
        found: detected boxes, per frame ``(K, 4)`` in pixels of the full frame.
        truth: true boxes of what moves in that frame, same form.
        moving_THW: bool, the pixels of what moves in that frame.

    Raises:
        ValueError: the three do not have the same number of frames.
    """
    _check_length(found, truth)
    _check_length(found, moving_THW)
    height, width = moving_THW.shape[1:]
    moves_T = np.array([len(boxes_K4) > 0 for boxes_K4 in truth], bool)
    share_T = area_shares(found, width, height)
    regions = [
        region_iou(f_K4, t_K4, width, height)
        for f_K4, t_K4 in zip(found, truth, strict=True)
        if len(t_K4)
    ]
    positive = bool(moves_T.any())
    return ClipScores(
        iou=_mean(frame_ious(found, truth)),
        union=_mean(union_ious(found, truth)),
        recall=_mean(frame_recalls(found, moving_THW)),
        share=_mean(share_T[moves_T]),
        region=_mean(np.array(regions)),
        paused=_mean(share_T[~moves_T]) if positive else float("nan"),
        false=float("nan") if positive else _mean(share_T),
    )


def mean_interval(values: np.ndarray, *, seed: int = 0, draws: int = DRAWS) -> Interval:
    """Mean and its 95 % interval; all NaN if there is no value.

    Args:
        values: one a clip, any unit; NaN are left out.
    """
    value_V = np.asarray(values, np.float64).ravel()
    value_V = value_V[~np.isnan(value_V)]
    if len(value_V) == 0:
        return Interval(*[float("nan")] * 3)
    rng = np.random.default_rng(seed)
    return bootstrap({"mean": mean_of(value_V)}, len(value_V), rng, draws=draws)["mean"]


def _hull_iou(found_K4: np.ndarray, true_K4: np.ndarray) -> float:
    found, true = hull(found_K4), hull(true_K4)
    return box_iou(found.box_4, true.box_4) if found.valid and true.valid else 0.0


def _stacked(boxes: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, 4), np.float32), *boxes])


def _pixels(box_4: np.ndarray) -> tuple[slice, slice]:
    x1, y1, x2, y2 = (max(round(float(side)), 0) for side in box_4)
    return slice(y1, y2), slice(x1, x2)


def _raster(boxes_K4: np.ndarray, width: int, height: int) -> np.ndarray:
    inside_HW = np.zeros((height, width), bool)
    for box_4 in boxes_K4:
        inside_HW[_pixels(box_4)] = True
    return inside_HW


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _check_length(found: Sequence[np.ndarray], truth: Sequence[np.ndarray] | np.ndarray) -> None:
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} frames were detected, the truth has {len(truth)}")
