"""A clip's motion area as plain numbers: what a classifier sees that sees no picture at all."""

from __future__ import annotations

import numpy as np


def area_coordinates(
    box_T4: np.ndarray, valid_T: np.ndarray, width: int, height: int
) -> np.ndarray:
    """Features of the area's place and size over time, for ``area_probe``.

    For each frame centre, width and height as shares of the frame and whether anything moves; then
    how the four change from frame to frame and from the first to the last, the box around the whole
    clip in the same form, and the share of frames with motion. The changes could be had from the
    rest, but not by every classifier.

    In a frame without motion the box is taken to lie between those before and after (at the ends:
    as the nearest one); what is never valid is a point in the middle of the frame.

    Args:
        box_T4: pixels, ``(x1, y1, x2, y2)``; read where valid only.
        valid_T: bool.
        width, height: of the clip's frames, pixels.

    Returns:
        float32 ``(9 * T + 5,)``: ``5 * T`` of the frames, ``4 * (T - 1)`` steps, 4 from first to
        last, 4 around all, 1 share.

    Raises:
        ValueError: sizes that do not fit, no frame, or a valid box that is not finite.
    """
    box_T4, valid_T = np.asarray(box_T4, np.float64), np.asarray(valid_T, bool)
    if box_T4.shape != (len(valid_T), 4) or not len(valid_T) or min(width, height) < 1:
        raise ValueError(
            f"area_coordinates: boxes of {box_T4.shape} for {len(valid_T)} frames of "
            f"{width}x{height}"
        )
    known = np.flatnonzero(valid_T)
    place_T4 = np.tile([0.5, 0.5, 0.0, 0.0], (len(valid_T), 1))
    around_4 = place_T4[0]
    if len(known):
        boxes_K4 = box_T4[known]
        if not np.isfinite(boxes_K4).all():
            raise ValueError("area_coordinates: a valid box is not finite")
        place_K4 = _place(boxes_K4, width, height)
        times = np.arange(len(valid_T))
        place_T4 = np.stack([np.interp(times, known, side_K) for side_K in place_K4.T], axis=1)
        hull_14 = np.concatenate([boxes_K4[:, :2].min(0), boxes_K4[:, 2:].max(0)])[None]
        around_4 = _place(hull_14, width, height)[0]
    parts = (
        place_T4,
        valid_T,
        np.diff(place_T4, axis=0),
        place_T4[-1] - place_T4[0],
        around_4,
        valid_T.mean(),
    )
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


def _place(box_K4: np.ndarray, width: int, height: int) -> np.ndarray:
    """Centre and size as shares of the frame."""
    low_K2, high_K2 = box_K4[:, :2] / (width, height), box_K4[:, 2:] / (width, height)
    return np.concatenate([(low_K2 + high_K2) / 2, high_K2 - low_K2], axis=1)
