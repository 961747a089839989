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
_NEIGHBOURS = 4  # frames on each side that have a say in what is background
_EXACT = 0.1  # pixels that a camera which stands may seem to move by
_LEAD = 0.05  # share of the frame that a motion must explain better than standing does
_SLOW = 1.0  # mean flow, pixels a frame, from which on a camera does not stand
_RIDGE_8 = 3e-3 * np.array([0, 1, 1, 0, 1, 1, 3, 3])


@dataclass(frozen=True, eq=False)
class CameraMotion:
    """Result of the fits of T fields.

    Attributes:
        homography_T33: maps pixels of each first frame to the second.
        residual_Thw2: flow minus the camera's, pixels a frame.
        noise_T: typical length of the residual on the background, pixels.
        shift_Thw2: the camera's own flow.
    """

    homography_T33: np.ndarray
    residual_Thw2: np.ndarray
    noise_T: np.ndarray
    shift_Thw2: np.ndarray


class CameraFitter:
    """Fits the camera's motion to many fields at once: one alone would be all numpy's overhead.

    Args:
        shape_hw: rows and columns of the flow grid.
        cell: width and height of a cell of the grid in pixels.
    """

    def __init__(self, shape_hw: tuple[int, int], cell: tuple[float, float]) -> None:
        rows, columns = shape_hw
        wide, tall = cell
        self._middle_2 = (np.array([columns * wide, rows * tall]) - 1) / 2
        self._unit = min(rows * tall, columns * wide) / 2
        y_hw, x_hw = np.mgrid[0:rows, 0:columns].astype(np.float32)
        x_hw = (x_hw * wide + (wide - 1) / 2 - self._middle_2[0]) / self._unit
        y_hw = (y_hw * tall + (tall - 1) / 2 - self._middle_2[1]) / self._unit
        one, nil = np.ones_like(x_hw), np.zeros_like(x_hw)
        u8_8hw = np.stack([one, x_hw, y_hw, nil, nil, nil, x_hw**2, x_hw * y_hw])
        v8_8hw = np.stack([nil, nil, nil, one, x_hw, y_hw, x_hw * y_hw, y_hw**2])
        self._uv8 = np.stack([u8_8hw, v8_8hw], -1).reshape(8, -1)  # (8, h*w*2), as flow lies
        # A few hundred points say as much as all.
        step = max(1, round(np.sqrt(rows * columns / 300)))
        self._some = np.s_[:, step // 2 :: step, step // 2 :: step]
        self._u8, self._v8 = (
            np.ascontiguousarray(rows_8hw[self._some].reshape(8, -1).T)
            for rows_8hw in (u8_8hw, v8_8hw)
        )
        self._products = _outer(self._u8) + _outer(self._v8)
        x, y = self._u8[:, 1], self._u8[:, 2]
        self._x, self._y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        # What is near the border is more often background.
        border = np.maximum(
            np.abs(x) / np.abs(x).max(initial=1e-6), np.abs(y) / np.abs(y).max(initial=1e-6)
        )
        self._prior = (0.2 + 0.8 * border**2).astype(np.float32)
        self._rim = (border > 0.5).astype(np.float32)

    def fit(self, flow_Thw2: np.ndarray, confidence_Thw: np.ndarray) -> CameraMotion:
        """Fits consecutive fields of one shot.

        Args:
            flow_Thw2: float32, pixels a frame, at the cells' centres.
            confidence_Thw: float32 in 0..1, how far the flow can be trusted (texture).
        """
        frames = len(flow_Thw2)
        u, v = (
            np.ascontiguousarray(flow_Thw2[..., i][self._some]).reshape(frames, -1) for i in (0, 1)
        )
        base = self._prior * confidence_Thw[self._some].reshape(frames, -1)
        total = base.sum(1, keepdims=True)
        blind_T = total[:, 0] < 1e-6  # nothing can be seen: say that nothing moved
        base /= np.maximum(total, np.float32(1e-6))
        p_T4, weight = self._similarity(u, v, base)
        at_u, at_v, grow, turn = p_T4.T
        nil = np.zeros_like(grow)
        near_T8 = np.stack([at_u, grow, -turn, at_v, turn, grow, nil, nil], 1)
        p_T8, weight, rest = self._planar(u, v, base, weight, near_T8)
        still_T = self._is_still(u, v, base, rest)
        p_T8[still_T], rest[still_T] = 0, np.hypot(u, v)[still_T]
        p_T8 = _bridged(p_T8, blind_T)
        noise_T = _weighted_median(rest, weight) / np.float32(1.17)
        noise_T[blind_T] = _LEAST
        shift_Thw2 = (p_T8.astype(np.float32) @ self._uv8).reshape(flow_Thw2.shape)
        residual_Thw2 = flow_Thw2 - shift_Thw2
        residual_Thw2[blind_T] = 0
        return CameraMotion(self._homography(p_T8), residual_Thw2, noise_T, shift_Thw2)

    def _similarity(
        self, u_TP: np.ndarray, v_TP: np.ndarray, base_TP: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best similarity of three starts: all points, those at the border, the neighbours'.

        What is background in a frame was so a moment ago and will be: where the single frames
        disagree, the places that most of them follow decide.
        """
        best_p, best_weight, best_score = self._from(u_TP, v_TP, base_TP, base_TP, 4)
        rim_TP = base_TP * self._rim
        seen_T = rim_TP.sum(1) > 0.01
        if seen_T.any():
            p, weight, score = self._from(u_TP, v_TP, base_TP, rim_TP, 4)
            better = seen_T & (score > best_score + 0.02)
            best_p[better], best_weight[better] = p[better], weight[better]
            best_score[better] = score[better]
        agreed_TP = _mean_around(best_weight / np.maximum(base_TP, 1e-9), _NEIGHBOURS)
        common_TP = base_TP * np.square(np.square(agreed_TP))  # dissenters have next to no say
        p, weight, rest = fit_similarity(self._x, self._y, u_TP, v_TP, base_TP, common_TP, 4)
        alone = best_score > _score(base_TP, rest) + 0.05
        p[alone], weight[alone] = best_p[alone], best_weight[alone]
        return p, weight

    def _from(
        self,
        u_TP: np.ndarray,
        v_TP: np.ndarray,
        base_TP: np.ndarray,
        some_TP: np.ndarray,
        rounds: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parameters, weights and score of the fit that starts at the median of some points."""
        at_u, at_v = _weighted_median(u_TP, some_TP), _weighted_median(v_TP, some_TP)
        rest = np.hypot(u_TP - at_u[:, None], v_TP - at_v[:, None])
        scale = np.maximum(1.0, 2 * _weighted_median(rest, some_TP))[:, None]
        start = some_TP / np.square(1 + np.square(rest / scale))
        p, weight, rest = fit_similarity(self._x, self._y, u_TP, v_TP, base_TP, start, rounds)
        return p, weight, _score(base_TP, rest)

    def _planar(
        self,
        u_TP: np.ndarray,
        v_TP: np.ndarray,
        base_TP: np.ndarray,
        weight_TP: np.ndarray,
        near_T8: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The 8 parameters by reweighting: parameters, last weights, residual lengths."""
        rest_TP = np.zeros_like(u_TP)
        p_T8 = near_T8
        for _ in range(3):
            total_T = weight_TP.sum(1)
            pull_T8 = total_T[:, None] * _RIDGE_8
            normal_T88 = (weight_TP @ self._products).astype(float).reshape(-1, 8, 8)
            normal_T88[:, range(8), range(8)] += pull_T8 + 1e-9
            right_T8 = (weight_TP * u_TP) @ self._u8 + (weight_TP * v_TP) @ self._v8
            p_T8 = np.linalg.solve(normal_T88, (right_T8 + pull_T8 * near_T8)[..., None])[..., 0]
            p = p_T8.astype(np.float32)
            rest_TP = np.hypot(u_TP - p @ self._u8.T, v_TP - p @ self._v8.T)
            weight_TP = _reweighted(base_TP, weight_TP, rest_TP, total_T)
        return p_T8, weight_TP, rest_TP

    def _is_still(
        self, u_TP: np.ndarray, v_TP: np.ndarray, base_TP: np.ndarray, rest_TP: np.ndarray
    ) -> np.ndarray:
        """Whether the camera stands, which explains the exact places nearly as well as any motion.

        A motion between a slow mover's and none explains both too badly to be the camera's.
        """
        speed_TP = np.hypot(u_TP, v_TP)
        lead_T1 = _sharp(base_TP, speed_TP) - _sharp(base_TP, rest_TP)
        slow_T = (base_TP * speed_TP).sum(1) < _SLOW
        return slow_T & (_mean_around(lead_T1, _NEIGHBOURS)[:, 0] > -_LEAD)

    def _homography(self, p_T8: np.ndarray) -> np.ndarray:
        q = (p_T8 / self._unit).T
        to_unit_33 = np.array(
            [
                [1 / self._unit, 0, -self._middle_2[0] / self._unit],
                [0, 1 / self._unit, -self._middle_2[1] / self._unit],
                [0, 0, 1],
            ]
        )
        one = np.ones_like(q[0])
        inner_33T = np.array(
            [[one + q[1], q[2], q[0]], [q[4], one + q[5], q[3]], [-q[6], -q[7], one]]
        )
        return np.linalg.inv(to_unit_33) @ np.moveaxis(inner_33T, -1, 0) @ to_unit_33


def _bridged(p_T8: np.ndarray, blind_T: np.ndarray) -> np.ndarray:
    """Parameters in which those of blind frames lie between their neighbours'; 0 if all are."""
    if not blind_T.any():
        return p_T8
    frames, seen = np.arange(len(p_T8)), np.flatnonzero(~blind_T)
    if len(seen) == 0:
        return np.zeros_like(p_T8)
    return np.stack([np.interp(frames, seen, p_T[seen]) for p_T in p_T8.T], 1)


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
        weight_BP = _reweighted(base_BP, weight_BP, rest_BP, sw[:, 0])
    return np.concatenate([a, b, grow, turn], 1), weight_BP, rest_BP


def _reweighted(
    base_BP: np.ndarray, weight_BP: np.ndarray, rest_BP: np.ndarray, total_B: np.ndarray
) -> np.ndarray:
    """Weights from the lengths of the residuals that the last weights led to."""
    # They have all but silenced the outliers, so their mean is a robust enough scale.
    scale_B = 2.0 * np.einsum("bp,bp->b", weight_BP, rest_BP) / np.maximum(total_B, 1e-9)
    scale_B1 = np.clip(scale_B, _LEAST, _MOST).astype(np.float32)[:, None]
    return base_BP / np.square(1 + np.square(rest_BP / scale_B1))


def _score(base_TP: np.ndarray, rest_TP: np.ndarray) -> np.ndarray:
    """Weight of the points that a model explains, 0..1."""
    return (base_TP / (1 + np.square(2 * rest_TP))).sum(1)


def _sharp(base_TP: np.ndarray, rest_TP: np.ndarray) -> np.ndarray:
    """Weight of the points that a model explains to a small part of a pixel, 0..1, (T, 1)."""
    return (base_TP / (1 + np.square(rest_TP / np.float32(_EXACT)))).sum(1, keepdims=True)


def _outer(rows_P8: np.ndarray) -> np.ndarray:
    return (rows_P8[:, :, None] * rows_P8[:, None, :]).reshape(len(rows_P8), -1)


def _mean_around(values_TP: np.ndarray, reach: int) -> np.ndarray:
    """Mean over the frames up to ``reach`` away, as far as there are any."""
    total_TP, count_T1 = values_TP.copy(), np.ones((len(values_TP), 1), np.float32)
    for shift in range(1, min(reach, len(values_TP) - 1) + 1):
        for there, here in (
            (slice(shift, None), slice(None, -shift)),
            (slice(None, -shift), slice(shift, None)),
        ):
            total_TP[there] += values_TP[here]
            count_T1[there] += 1
    return total_TP / count_T1


def _weighted_median(values_TP: np.ndarray, weights_TP: np.ndarray) -> np.ndarray:
    order = np.argsort(values_TP, axis=1)
    heap = np.cumsum(np.take_along_axis(weights_TP, order, 1), axis=1)
    place = (heap < heap[:, -1:] / 2).sum(1).clip(max=values_TP.shape[1] - 1)
    rows = np.arange(len(values_TP))
    return values_TP[rows, order[rows, place]]
