"""Still things at other depths than the plane of the camera's model.

What such a plane leaves over of a still scene (plane and parallax; Irani and Anandan, PAMI 1998)
points to or from one place in the frame, the epipole, wherever it is. One region alone always has
an epipole, also a mover; so a region counts as still only if what is left over in the *rest* of the
frame agrees on an epipole, and the region with the rest. A mover before a flat background stays a
mover, since there the rest has nothing to agree on. Two rules ask so, and one is enough:

*By angles*: what is left over is long enough for angles to tell, and all on one side of the plane.
*By pixels* across the way to the epipole, where so much of the rest departs from the plane that
there is depth without doubt: the plane may then lie between near and far, so sides say nothing, but
no still thing is left behind much farther than the rest. Most parallax is short, and its angles are
noise.
"""

from __future__ import annotations

import cv2
import numpy as np

from mofo.motion.evidence import Evidence, ramp

_MOVING = 0.5  # share of a cell from which on it belongs to a region that is to be judged
_STILL_CAMERA = 0.05  # pixels a frame; then there is no parallax
_HEAVY = 0.1  # weight of a region, as a share of the heaviest one's, to be judged
_HALO = 3  # cells around a region to which its flow leaks
_ACROSS = (0.12, 0.3)  # sine to the epipole, root mean square, of what is surely still, is not
_STEP = 2  # frames from one that is judged to the next
_REACH = 4  # frames on each side over which verdicts are averaged
# By angles.
_LEAST = 0.25  # pixels a frame that are left over by chance
_ENOUGH = 3.0  # cells with a residual of a pixel a frame: the least that tells an epipole
_ROUNDS = 4
_ALONG = 0.2  # sine of the angle to the epipole: scale of the robust weights
_AGREES = 0.3  # the same, of what agrees
_AGREED = (0.74, 0.85)  # share of what is left over that has to agree; from which it surely does
_SAME_SIGN = 0.9  # share of a region that lies on the same side of the plane as the rest
# By pixels.
_TRIED = 120  # epipoles
_NOISE = 0.15  # pixels a frame: scale of the robust weights
_ERROR = 0.2  # pixels a frame across the way to the epipole that say nothing
_OPEN = (0.28, 0.38)  # share of the rest that the plane must, should leave over to speak of depth
_SOLVED = (0.45, 0.57)  # share of that which the epipole must, should explain
_LONGEST = 2.0  # times the 90th percentile of what agrees: as far as still things are left behind


def still_share(field_Thw: np.ndarray, evidence: Evidence) -> np.ndarray:
    """How sure it is, 0 to 1, that cells belong to a still thing.

    Args:
        field_Thw: float32, share of each cell that seems to move.
        evidence: of the same frames.
    """
    frames, rows, columns = field_Thw.shape
    y_hw, x_hw = np.mgrid[0:rows, 0:columns].astype(np.float32)
    place_P2 = (np.stack([x_hw - columns / 2, y_hw - rows / 2], -1) * (2 / rows)).reshape(-1, 2)
    normal_EP2 = _normals(place_P2)
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
        inner_KP, halo_KP = (each.reshape(len(judged), -1) for each in (inner_Khw, halo_Khw))
        trust_P = evidence.trust_Thw[t].ravel()
        rest_P2 = evidence.residual_Thw2[t].reshape(-1, 2)
        vote_KP, own_KP = trust_P * (halo_KP == 0), trust_P * inner_KP
        rules = (
            _by_angles(place_P2, rest_P2, vote_KP, own_KP),
            _by_pixels(normal_EP2, rest_P2, vote_KP, own_KP),
        )
        alone_P, still_K = (np.maximum(*verdicts) for verdicts in zip(*rules, strict=True))
        # What is in no region is judged cell by cell.
        verdict_Thw[number] = (alone_P * inner_KP[0]).reshape(rows, columns)
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


def _by_angles(
    place_P2: np.ndarray, rest_P2: np.ndarray, vote_KP: np.ndarray, own_KP: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How still cells are that are in no region, and regions: 0 to 1, ``(P,)`` and ``(K,)``.

    Args:
        place_P2: of the cells.
        rest_P2: what the plane leaves over there.
        vote_KP: how far the cell has a say in where the epipole is by which region k is judged.
        own_KP: how far it belongs to region k; the first is what is in none.
    """
    length_P = np.maximum(np.hypot(rest_P2[:, 0], rest_P2[:, 1]), 1e-6)
    # At most 1: what is fast, and leaks, must not outvote the rest.
    weight_P = np.clip(length_P - np.float32(_LEAST), 0, 1)
    cells = np.flatnonzero(weight_P)
    length_P = length_P[cells]
    vote_KP = vote_KP[:, cells] * weight_P[cells]
    enough_K = vote_KP.sum(1) >= _ENOUGH
    alone_P = np.zeros_like(weight_P)
    if not enough_K.any():
        return alone_P, np.zeros(len(own_KP))
    sine_KP, cosine_KP = _to_epipole(place_P2[cells], rest_P2[cells] / length_P[:, None], vote_KP)
    sign_K1 = np.sign((vote_KP * cosine_KP * (sine_KP < _AGREES)).sum(1, keepdims=True))
    same_KP = cosine_KP * sign_K1 > 0
    agreed_K = (vote_KP * (same_KP & (sine_KP < _AGREES))).sum(1)
    agreed_K = ramp(agreed_K / np.maximum(vote_KP.sum(1), 1e-6), *_AGREED) * enough_K
    own_KP = own_KP[:, cells] * length_P
    own_KP /= np.maximum(own_KP.sum(1, keepdims=True), 1e-6)
    across_K = np.sqrt((own_KP * np.square(sine_KP)).sum(1))
    still_K = agreed_K * (1 - ramp(across_K, *_ACROSS))
    still_K *= (own_KP * same_KP).sum(1) > _SAME_SIGN
    alone_P[cells] = agreed_K[0] * (1 - ramp(sine_KP[0], *_ACROSS))
    return alone_P, still_K


def _by_pixels(
    normal_EP2: np.ndarray, rest_P2: np.ndarray, vote_KP: np.ndarray, own_KP: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """See ``_by_angles``; ``normal_EP2`` is across the way from the cells to E epipoles."""
    length_P = np.hypot(rest_P2[:, 0], rest_P2[:, 1])
    by_plane_K = vote_KP @ _explained(length_P)
    votes_K = vote_KP.sum(1)
    open_K = votes_K - by_plane_K
    depth_K = ramp(open_K / np.maximum(votes_K, 1), *_OPEN)
    if not depth_K.any():
        return np.zeros_like(length_P), np.zeros(len(own_KP))
    across_EP = np.abs(normal_EP2[..., 0] * rest_P2[:, 0] + normal_EP2[..., 1] * rest_P2[:, 1])
    score_KE = vote_KP @ _explained(across_EP).T
    across_KP = across_EP[score_KE.argmax(1)]
    solved_K = depth_K * ramp((score_KE.max(1) - by_plane_K) / np.maximum(open_K, 1e-6), *_SOLVED)
    agree_KP = vote_KP * (across_KP < np.maximum(_ERROR, _AGREES * length_P))
    longest_K1 = _LONGEST * _high(length_P, agree_KP)[:, None]
    square_KP = np.square(np.maximum(across_KP - _ERROR, 0) / (length_P + 1e-3))
    own_KP = own_KP * length_P
    own_KP /= np.maximum(own_KP.sum(1, keepdims=True), 1e-6)
    still_K = solved_K * (1 - ramp(np.sqrt((own_KP * square_KP).sum(1)), *_ACROSS))
    still_K *= (own_KP * length_P).sum(1) < longest_K1[:, 0]
    alone_P = solved_K[0] * (1 - ramp(np.sqrt(square_KP[0]), *_ACROSS))
    return alone_P * (length_P < longest_K1[0]), still_K


def _explained(across: np.ndarray) -> np.ndarray:
    """How far, 0 to 1, a model explains what is so many pixels from it."""
    return 1 / (1 + np.square(across / np.float32(_NOISE)))


def _high(values_P: np.ndarray, weight_KP: np.ndarray) -> np.ndarray:
    """Weighted 90th percentiles, (K,)."""
    order_P = np.argsort(values_P)
    heap_KP = np.cumsum(weight_KP[:, order_P], axis=1)
    place_K = (heap_KP < 0.9 * heap_KP[:, -1:]).sum(1).clip(max=len(values_P) - 1)
    return values_P[order_P[place_K]]


def _normals(place_P2: np.ndarray) -> np.ndarray:
    """Unit vectors across the way from places to epipoles all over half a sphere, (E, P, 2)."""
    number_E1 = np.arange(_TRIED, dtype=np.float32)[:, None] + np.float32(0.5)
    z_E1, turn_E1 = number_E1 / _TRIED, np.float32(np.pi * (1 + 5**0.5)) * number_E1
    # At z = 0 they are infinitely far, as for a camera that moves sideways.
    radius_E1 = np.sqrt(1 - z_E1 * z_E1)
    across_EP2 = np.stack(
        [
            z_E1 * place_P2[:, 1] - radius_E1 * np.sin(turn_E1),
            radius_E1 * np.cos(turn_E1) - z_E1 * place_P2[:, 0],
        ],
        -1,
    )
    return across_EP2 / np.maximum(np.linalg.norm(across_EP2, axis=-1, keepdims=True), 0.1)


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
