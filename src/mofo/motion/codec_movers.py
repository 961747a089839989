"""Movers from the codec's vectors alone (preset ``default``, flow ``codec``), many frames at once.

The same idea as movers.py without its second witness: there are no pictures to sharpen an outline.
What a frame costs must stay well under what decoding it costs, so the camera is a similarity with a
closed form, and everything but the connected components is done on whole stacks of frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mofo.motion.camera import fit_similarity
from mofo.motion.movers import FrameMovers, mean_inside, regions


@dataclass(frozen=True, kw_only=True)
class CodecMoverSettings:
    """Constants, see ``movers.MoverSettings``; vectors are noisier than flow."""

    window: int = 2
    low: float = 2.5
    high: float = 4.0
    least_noise: float = 0.25
    least_area: float = 0.0025


class CodecMoverFinder:
    """Finds movers in stacks of vector fields.

    Args:
        shape_hw: rows and columns of a field.
        cell: pixels a cell.
        settings: constants.
    """

    def __init__(
        self, shape_hw: tuple[int, int], cell: float, settings: CodecMoverSettings | None = None
    ) -> None:
        self._settings = settings or CodecMoverSettings()
        self._shape_hw, self._cell = shape_hw, cell
        rows, columns = shape_hw
        unit = max(min(rows, columns) / 2, 1.0)
        y_hw, x_hw = np.mgrid[0:rows, 0:columns].astype(np.float32)
        self._x = ((x_hw - (columns - 1) / 2) / unit).ravel()
        self._y = ((y_hw - (rows - 1) / 2) / unit).ravel()
        border = np.maximum(
            np.abs(self._x) / max(float(self._x.max()), 1e-6),
            np.abs(self._y) / max(float(self._y.max()), 1e-6),
        )
        self._prior = (0.2 + 0.8 * border**2).astype(np.float32)
        # Some hundred cells tell the camera's motion as well as all.
        self._some = np.flatnonzero(
            np.indices(shape_hw).sum(0).ravel() % max(1, rows * columns // 300) == 0
        )

    def find(
        self, flow_Thw2: np.ndarray, confidence_Thw: np.ndarray
    ) -> tuple[list[FrameMovers], np.ndarray]:
        """Candidates of each frame of a stretch without a cut, and their scores.

        Args:
            flow_Thw2: float32, flow that leads to each frame, pixels a frame.
            confidence_Thw: 0..1.

        Returns:
            One ``FrameMovers`` a frame and the scores ``(T, h, w)`` in units of the noise.
        """
        s = self._settings
        shift_Thw2, noise_T = self._camera(flow_Thw2, confidence_Thw)
        weight_Thw1 = confidence_Thw[..., None]
        total_Thw1 = _around(weight_Thw1, s.window)
        mean_Thw2 = _around((flow_Thw2 - shift_Thw2) * weight_Thw1, s.window)
        mean_Thw2 /= total_Thw1 + np.float32(0.3 * s.window)
        noise_T = np.maximum(noise_T, np.float32(s.least_noise))
        score_Thw = np.hypot(mean_Thw2[..., 0], mean_Thw2[..., 1]) / noise_T[:, None, None]
        score_Thw = _smooth(score_Thw)
        peak_T = score_Thw.max((1, 2))
        found = [
            self._movers(score_Thw[t], mean_Thw2[t], shift_Thw2[t])
            if peak_T[t] >= s.high
            else FrameMovers(np.zeros((0, 4), np.float32), np.zeros((0, 2)), np.zeros((0, 2)))
            for t in range(len(score_Thw))
        ]
        return found, score_Thw

    def _camera(
        self, flow_Thw2: np.ndarray, confidence_Thw: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The camera's flow (T, h, w, 2) and the noise (T,): a similarity by reweighting."""
        frames, some = len(flow_Thw2), self._some
        x, y = self._x[some], self._y[some]
        u, v = np.moveaxis(flow_Thw2.reshape(frames, -1, 2)[:, some], -1, 0).copy()
        base = confidence_Thw.reshape(frames, -1)[:, some] * self._prior[some]
        base = base / np.maximum(base.sum(1, keepdims=True), 1e-6)
        p_T4, weight, rest = fit_similarity(x, y, u, v, base, base, 5)
        at_u, at_v, grow, turn = p_T4.T[..., None]
        noise_T = (weight * rest).sum(1) / np.maximum(weight.sum(1), 1e-6)
        shift_Thw2 = np.empty_like(flow_Thw2).reshape(frames, -1, 2)
        shift_Thw2[..., 0] = at_u + grow * self._x - turn * self._y
        shift_Thw2[..., 1] = at_v + turn * self._x + grow * self._y
        return shift_Thw2.reshape(flow_Thw2.shape), noise_T.astype(np.float32)

    def _movers(
        self, score_hw: np.ndarray, mean_hw2: np.ndarray, shift_hw2: np.ndarray
    ) -> FrameMovers:
        s, cell = self._settings, self._cell
        boxes, own, camera = [], [], []
        for window, inside_hw in regions(score_hw, s.low, s.high, s.least_area):
            rows, columns = window
            boxes.append(
                (columns.start * cell, rows.start * cell, columns.stop * cell, rows.stop * cell)
            )
            own.append(mean_inside(mean_hw2[window], inside_hw))
            camera.append(mean_inside(shift_hw2[window], inside_hw))
        return FrameMovers(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(own).reshape(-1, 2),
            np.array(camera).reshape(-1, 2),
        )


def _around(values_T: np.ndarray, window: int) -> np.ndarray:
    """Sum over the flows from ``window - 1`` before a frame to ``window`` after it, cut at ends.

    Entry t of the stack leads to frame t, so frame t lies between entries t and t + 1.
    """
    total_T = values_T.copy()
    for shift in range(1, window + 1):
        if shift < window:
            total_T[shift:] += values_T[:-shift]
        total_T[:-shift] += values_T[shift:]
    return total_T


def _smooth(score_Thw: np.ndarray) -> np.ndarray:
    """A little blur over rows and columns, (1, 2, 1) / 4 each way, borders repeated."""
    padded = np.pad(score_Thw, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) * np.float32(1 / 16)
