"""The camera's motion between two frames, fitted robustly to a field of optical flow.

The model is the flow of a plane seen by a moving camera (8 parameters, the first-order form of a
homography). It is reached in two steps: a similarity (4 parameters) from several starts, then the
full model, held near the similarity unless the flow says otherwise. A large mover over a flat
background would otherwise bend eight free parameters to its own motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Scales of the robust weights 1 / (1 + (r/c)^2)^2 in pixels: never sure of less than LEAST, never
# tolerant of more than MOST.
_LEAST, _MOST = 0.15, 2.0
_RIDGE_8 = 3e-3 * np.array([0, 1, 1, 0, 1, 1, 3, 3])


@dataclass(frozen=True, eq=False)
class CameraMotion:
    """Result of one fit.

    Attributes:
        homography_33: maps pixels of the first frame to the second.
        residual_hw2: flow minus the camera's, pixels a frame.
        noise: typical length of the residual on the background, pixels.
        shift_hw2: the camera's own flow.
    """

    homography_33: np.ndarray
    residual_hw2: np.ndarray
    noise: float
    shift_hw2: np.ndarray


class CameraFitter:
    """Fits the camera's motion frame after frame; each fit starts from the last.

    Args:
        shape_hw: rows and columns of the flow grid.
        cell: pixels a cell of the grid.
    """

    def __init__(self, shape_hw: tuple[int, int], cell: float) -> None:
        rows, columns = shape_hw
        self._middle_2 = (np.array([columns, rows]) * cell - 1) / 2
        self._unit = min(rows, columns) * cell / 2
        y_hw, x_hw = np.mgrid[0:rows, 0:columns].astype(np.float32)
        x_hw = (x_hw * cell + (cell - 1) / 2 - self._middle_2[0]) / self._unit
        y_hw = (y_hw * cell + (cell - 1) / 2 - self._middle_2[1]) / self._unit
        one, nil = np.ones_like(x_hw), np.zeros_like(x_hw)
        self._u8_hw8 = np.stack([one, x_hw, y_hw, nil, nil, nil, x_hw**2, x_hw * y_hw], -1)
        self._v8_hw8 = np.stack([nil, nil, nil, one, x_hw, y_hw, x_hw * y_hw, y_hw**2], -1)
        # A few hundred points say as much as all.
        step = max(1, round(np.sqrt(rows * columns / 400)))
        self._some = np.s_[step // 2 :: step, step // 2 :: step]
        self._u8 = np.ascontiguousarray(self._u8_hw8[self._some].reshape(-1, 8))
        self._v8 = np.ascontiguousarray(self._v8_hw8[self._some].reshape(-1, 8))
        x, y = self._u8[:, 1], self._u8[:, 2]
        self._x, self._y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        # What is near the border is more often background.
        border = np.maximum(
            np.abs(x) / np.abs(x).max(initial=1e-6), np.abs(y) / np.abs(y).max(initial=1e-6)
        )
        self._prior = (0.2 + 0.8 * border**2).astype(np.float32)
        self._rim = border > 0.5
        self._last: np.ndarray | None = None
        self._last_score = 0.0
        self._since_restart = 0

    def fit(self, flow_hw2: np.ndarray, confidence_hw: np.ndarray) -> CameraMotion:
        """Fits one field.

        Args:
            flow_hw2: float32, pixels a frame, at the cells' centres.
            confidence_hw: float32 in 0..1, how far the flow can be trusted (texture).
        """
        u, v = flow_hw2[..., 0][self._some].ravel(), flow_hw2[..., 1][self._some].ravel()
        base = self._prior * confidence_hw[self._some].ravel()
        total = float(base.sum())
        if total < 1e-6:  # nothing can be seen: say that nothing moved
            nothing_hw2 = np.zeros_like(flow_hw2)
            return CameraMotion(np.eye(3), nothing_hw2, _LEAST, nothing_hw2)
        base /= total
        similarity_4, weight = self._similarity(u, v, base)
        p = similarity_4
        near_8 = np.array([p[0], p[2], -p[3], p[1], p[3], p[2], 0, 0])
        full_8, weight, rest = _irls(u, v, base, weight, self._u8, self._v8, _RIDGE_8, near_8, 3)
        full_8f = full_8.astype(np.float32)
        shift_hw2 = np.stack([self._u8_hw8 @ full_8f, self._v8_hw8 @ full_8f], -1)
        return CameraMotion(
            self._homography(full_8),
            flow_hw2 - shift_hw2,
            _weighted_median(rest, weight) / 1.17,
            shift_hw2,
        )

    def _similarity(
        self, u: np.ndarray, v: np.ndarray, base: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best similarity of up to three starts: last frame's, all points, those at the border."""
        starts = []
        if self._last is not None:
            p = self._last
            rest = np.hypot(
                u - p[0] - p[2] * self._x + p[3] * self._y,
                v - p[1] - p[3] * self._x - p[2] * self._y,
            )
            starts.append(base / (1 + rest**2) ** 2)
            best = self._from(u, v, base, starts)
        self._since_restart += 1
        if not starts or best[0] < self._last_score - 0.05 or self._since_restart >= 8:
            self._since_restart = 0
            for some in (base, base * self._rim):
                if some.sum() > 0.01:
                    rest = np.hypot(u - _weighted_median(u, some), v - _weighted_median(v, some))
                    scale = max(1.0, 2 * _weighted_median(rest, some))
                    starts.append(some / (1 + (rest / scale) ** 2) ** 2)
            best = self._from(u, v, base, starts)
        self._last_score, self._last, weight = best
        return self._last, weight

    def _from(
        self, u: np.ndarray, v: np.ndarray, base: np.ndarray, starts: list[np.ndarray]
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Score, parameters and weights from the best start; earlier ones win when it is close."""
        p_S4, weight_SP, rest_SP = fit_similarity(
            self._x, self._y, u[None], v[None], base[None], np.stack(starts), 6
        )
        scores = (base / (1 + np.square(rest_SP / np.float32(0.5)))).sum(1)
        best = 0
        for other in range(1, len(scores)):
            if scores[other] > scores[best] + 0.02:
                best = other
        return float(scores[best]), p_S4[best], weight_SP[best]

    def _homography(self, p_8: np.ndarray) -> np.ndarray:
        q = p_8 / self._unit
        to_unit_33 = np.array(
            [
                [1 / self._unit, 0, -self._middle_2[0] / self._unit],
                [0, 1 / self._unit, -self._middle_2[1] / self._unit],
                [0, 0, 1],
            ]
        )
        inner_33 = np.array([[1 + q[1], q[2], q[0]], [q[4], 1 + q[5], q[3]], [-q[6], -q[7], 1]])
        return np.linalg.inv(to_unit_33) @ inner_33 @ to_unit_33


def fit_similarity(
    x: np.ndarray,
    y: np.ndarray,
    u_BP: np.ndarray,
    v_BP: np.ndarray,
    base_BP: np.ndarray,
    weight_BP: np.ndarray,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flows of similarities ``(u, v) = (a + gx - ty, b + tx + gy)`` by iterative reweighting.

    Args:
        x, y: float32 ``(P,)`` places, about -1..1.
        u_BP, v_BP: flows; first axis B or 1.
        base_BP: weights of the points, summing to 1 in each row; first axis B or 1.
        weight_BP: weights to start with.
        rounds: how often the weights are made anew.

    Returns:
        Parameters ``(B, 4)`` (a, b, g, t), last weights ``(B, P)``, lengths of the residuals.
    """
    moments_P4 = np.stack([np.ones_like(x), x, y, x * x + y * y], 1)
    rest_BP = a = b = grow = turn = u_BP
    for _ in range(rounds):
        sw, sx, sy, sr = (weight_BP @ moments_P4).T[..., None]
        su, sux, suy, _ = ((weight_BP * u_BP) @ moments_P4).T[..., None]
        sv, svx, svy, _ = ((weight_BP * v_BP) @ moments_P4).T[..., None]
        sw = np.maximum(sw, 1e-9)
        mx, my, mu, mv = sx / sw, sy / sw, su / sw, sv / sw
        spread = sr / sw - mx * mx - my * my + np.float32(1e-4)
        grow = ((sux + svy) / sw - mx * mu - my * mv) / spread
        turn = ((svx - suy) / sw - mx * mv + my * mu) / spread
        a, b = mu - grow * mx + turn * my, mv - turn * mx - grow * my
        rest_BP = np.hypot(u_BP - a - grow * x + turn * y, v_BP - b - turn * x - grow * y)
        # The weights have all but silenced the outliers, so their mean is robust enough.
        scale = 2.0 * (weight_BP * rest_BP).sum(1, keepdims=True) / sw
        scale = np.clip(scale, _LEAST, _MOST).astype(np.float32)
        weight_BP = base_BP / np.square(1 + np.square(rest_BP / scale))
    return np.concatenate([a, b, grow, turn], 1), weight_BP, rest_BP


def _irls(
    u: np.ndarray,
    v: np.ndarray,
    base: np.ndarray,
    weight: np.ndarray,
    u_rows: np.ndarray,
    v_rows: np.ndarray,
    ridge: np.ndarray,
    prior: np.ndarray,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Iteratively reweighted least squares: parameters, last weights, residual lengths."""
    rest = np.zeros_like(u)
    p = prior
    for _ in range(rounds):
        wu, wv = u_rows * weight[:, None], v_rows * weight[:, None]
        total = float(weight.sum())
        pull = total * ridge
        normal = (wu.T @ u_rows + wv.T @ v_rows).astype(float)
        normal.flat[:: len(p) + 1] += pull + 1e-9
        p = np.linalg.solve(normal, wu.T @ u + wv.T @ v + pull * prior)
        p_f = p.astype(np.float32)
        rest = np.hypot(u - u_rows @ p_f, v - v_rows @ p_f)
        # The weights have all but silenced the outliers, so their mean is robust enough.
        scale = min(max(2.0 * float(weight @ rest) / total, _LEAST), _MOST)
        weight = base / np.square(1 + np.square(rest / np.float32(scale)))
    return p, weight, rest


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    heap = np.cumsum(weights[order])
    return float(values[order[min(np.searchsorted(heap, heap[-1] / 2), len(values) - 1)]])
