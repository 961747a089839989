"""Still things at other depths than the plane of the camera's model.

What such a plane leaves over of a still scene (plane and parallax; Irani and Anandan, PAMI 1998)
points to or from one place in the frame, the epipole, wherever it is. One region alone always has
an epipole, also a mover; so a region counts as still only if what is left over in the *rest* of the
frame agrees on an epipole, and the region agrees with the rest, in direction and in sign. A mover
before a flat background stays a mover, since there the rest has nothing to agree on.
"""

from __future__ import annotations

import cv2
import numpy as np

from mofo.motion.evidence import Evidence, ramp

_MOVING = 0.5  # share of a cell from which on it belongs to a region that is to be judged
_STILL_CAMERA = 0.15  # pixels a frame; then there is no parallax
_LEAST = 0.25  # pixels a frame that are left over by chance
_HEAVY = 0.1  # weight of a region, as a share of the heaviest one's, to be judged
_HALO = 3  # cells around a region to which its flow leaks
_ENOUGH = 3.0  # cells with a residual of a pixel a frame: the least that tells an epipole
_ROUNDS = 4
_ALONG = 0.2  # sine of the angle to the epipole: scale of the robust weights
_AGREES = 0.3  # the same, of what agrees
_AGREED = (0.74, 0.85)  # share of what is left over that has to agree; from which it surely does
_ACROSS = (0.12, 0.3)  # the same sine, root mean square, of what is surely still, of what is not
_SAME_SIGN = 0.9  # share of a region that lies on the same side of the plane as the rest
_STEP = 2  # frames from one that is judged to the next
_REACH = 4  # frames on each side over which verdicts are averaged


def still_share(field_Thw: np.ndarray, evidence: Evidence) -> np.ndarray:
    """How sure it is, 0 to 1, that cells belong to a still thing.

    Args:
        field_Thw: float32, share of each cell that seems to move.
        evidence: of the same frames.
    """
    frames, rows, columns = field_Thw.shape
    y_hw, x_hw = np.mgrid[0:rows, 0:columns].astype(np.float32)
    place_P2 = (np.stack([x_hw - columns / 2, y_hw - rows / 2], -1) * (2 / rows)).reshape(-1, 2)
    length_Thw = np.maximum(np.linalg.norm(evidence.residual_Thw2, axis=-1), 1e-6)
    # At most 1: what is fast, and leaks, must not outvote the rest.
    weight_Thw = evidence.trust_Thw * np.clip(length_Thw - np.float32(_LEAST), 0, 1)
    verdict_Thw = np.zeros((len(range(0, frames, _STEP)), rows, columns), np.float32)
    disc = np.ones((2 * _HALO + 1, 2 * _HALO + 1), np.uint8)
    for number, t in enumerate(range(0, frames, _STEP)):
        region_hw = (field_Thw[t] > _MOVING).view(np.uint8)
        if evidence.camera_T[t] < _STILL_CAMERA or not region_hw.any():
            continue
        _, label_hw = cv2.connectedComponents(region_hw, connectivity=8)
        mass_K = np.bincount(label_hw.ravel(), field_Thw[t].ravel())
        mass_K[0] = 0
        judged = [0, *np.flatnonzero(mass_K > _HEAVY * mass_K.max()).tolist()]
        # Each region, after what is in none of them; and around each what does not vote on it.
        inner_Khw = label_hw == np.array(judged)[:, None, None]
        halo_Khw = np.stack([cv2.dilate(inner_hw.view(np.uint8), disc) for inner_hw in inner_Khw])
        halo_Khw[0] = cv2.dilate(region_hw, disc)
        cells = np.flatnonzero(weight_Thw[t])
        inner_KP, halo_KP = (
            each.reshape(len(judged), -1)[:, cells] for each in (inner_Khw, halo_Khw)
        )
        vote_KP = weight_Thw[t].ravel()[cells] * (halo_KP == 0)
        enough_K = vote_KP.sum(1) >= _ENOUGH
        if not enough_K.any():
            continue
        length_P = length_Thw[t].ravel()[cells]
        towards_P2 = evidence.residual_Thw2[t].reshape(-1, 2)[cells] / length_P[:, None]
        sine_KP, cosine_KP = _to_epipole(place_P2[cells], towards_P2, vote_KP)
        sign_K1 = np.sign((vote_KP * cosine_KP * (sine_KP < _AGREES)).sum(1, keepdims=True))
        same_KP = cosine_KP * sign_K1 > 0
        agreed_K = (vote_KP * (same_KP & (sine_KP < _AGREES))).sum(1)
        agreed_K = ramp(agreed_K / np.maximum(vote_KP.sum(1), 1e-6), *_AGREED) * enough_K
        own_KP = evidence.trust_Thw[t].ravel()[cells] * length_P * inner_KP
        own_KP /= np.maximum(own_KP.sum(1, keepdims=True), 1e-6)
        across_K = np.sqrt((own_KP * np.square(sine_KP)).sum(1))
        still_K = agreed_K * (1 - ramp(across_K, *_ACROSS))
        still_K *= (own_KP * same_KP).sum(1) > _SAME_SIGN
        # What is in no region is judged cell by cell.
        alone_P = agreed_K[0] * (1 - ramp(sine_KP[0], *_ACROSS))
        verdict_Thw[number].flat[cells] = alone_P * inner_KP[0]
        for k in np.flatnonzero(still_K[1:] > 0).tolist():
            near_hw = halo_Khw[k + 1] * np.float32(still_K[k + 1])
            verdict_Thw[number] = np.maximum(verdict_Thw[number], near_hw)
    reach = _REACH // _STEP
    sum_Thw = np.cumsum(np.pad(verdict_Thw, ((1, 0), (0, 0), (0, 0))), axis=0)
    at_T = np.arange(frames) // _STEP
    first_T, last_T = np.maximum(at_T - reach, 0), np.minimum(at_T + reach + 1, len(verdict_Thw))
    return (sum_Thw[last_T] - sum_Thw[first_T]) / (last_T - first_T)[:, None, None].astype(
        np.float32
    )


def _to_epipole(
    place_P2: np.ndarray, towards_P2: np.ndarray, vote_KP: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sine (absolute) and cosine of the angles between directions and the way to the epipole.

    Args:
        place_P2: where the directions were seen.
        towards_P2: unit vectors.
        vote_KP: weights, a row for each epipole that is sought.
    """
    x, y = place_P2.T
    u, v = towards_P2.T
    line_P3 = np.stack([v, -u, u * y - v * x], -1)  # through the place, along the direction
    product_P9 = (line_P3[:, :, None] * line_P3[:, None, :]).reshape(-1, 9)
    weight_KP = vote_KP
    sine_KP = cosine_KP = vote_KP
    for _ in range(_ROUNDS):
        moments_K33 = (weight_KP @ product_P9).reshape(-1, 3, 3)
        e_K31 = np.linalg.eigh(moments_K33)[1][:, :, 0, None].astype(np.float32)
        dx_KP, dy_KP = (e_K31[:, i] - e_K31[:, 2] * place_P2[:, i] for i in (0, 1))
        far_KP = np.maximum(np.hypot(dx_KP, dy_KP), 1e-6)
        sine_KP = np.abs(u * dy_KP - v * dx_KP) / far_KP
        cosine_KP = (u * dx_KP + v * dy_KP) / far_KP
        weight_KP = vote_KP / np.square(1 + np.square(sine_KP / np.float32(_ALONG)))
    return sine_KP, cosine_KP
