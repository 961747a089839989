"""From candidates in single frames to movers that last (preset ``default``).

Noise flickers, movers stay: candidates are linked over time, short-lived tracks go, gaps are
filled and the boxes' edges smoothed. What only slides along with the camera is parallax, not
motion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np

from mofo.motion.movers import FrameMovers

_Box = list[float]  # x1, y1, x2, y2; Python's own numbers are faster here than numpy's


@dataclass(frozen=True, kw_only=True)
class TrackSettings:
    """Constants.

    Attributes:
        gap: frames that a track may be out of sight.
        least_frames: candidates that make a track; fewer only in shots shorter than twice this.
        least_density: share of a track's frames with a candidate.
        smooth: frames in the running median of each box edge (odd).
        margin: pixels added at each side of a box.
        parallax: share of a track's own motion (squared) that must be a multiple of the camera's
            for it to be parallax.
        most_parallax: that multiple, at most.
        least_across: pixels a frame that the camera must move across its main direction for the
            comparison to mean anything.
    """

    gap: int = 8
    least_frames: int = 6
    least_density: float = 0.4
    smooth: int = 7
    margin: float = 1.0
    parallax: float = 0.65
    most_parallax: float = 0.5
    least_across: float = 0.3


@dataclass(eq=False)
class _Track:
    frames: list[int] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)
    own: list[np.ndarray] = field(default_factory=list)
    camera: list[np.ndarray] = field(default_factory=list)

    def add(self, t: int, movers: FrameMovers, k: int) -> None:
        self.frames.append(t)
        self.boxes.append(movers.box_K4[k])
        self.own.append(movers.own_K2[k])
        self.camera.append(movers.camera_K2[k])


def lasting_movers(
    candidates: list[FrameMovers],
    width: int,
    height: int,
    settings: TrackSettings | None = None,
) -> list[np.ndarray]:
    """Boxes of the movers of one shot.

    Args:
        candidates: one entry a frame of the shot.
        width, height: of the analysed frame in pixels; boxes are clipped to it.
        settings: constants.

    Returns:
        One float32 ``(K, 4)`` array a frame, pixels of the analysed frame.
    """
    s = settings or TrackSettings()
    need = min(s.least_frames, max(1, len(candidates) // 2))
    result: list[list[_Box]] = [[] for _ in candidates]
    for track in _link(candidates, s):
        span = track.frames[-1] - track.frames[0] + 1
        if len(track.frames) < need or len(track.frames) < s.least_density * span:
            continue
        if _is_parallax(track, s):
            continue
        frames, boxes_T4 = _filled(track, s)
        for t, box in zip(frames, boxes_T4.tolist(), strict=True):
            result[t].append(box)
    merged = [_merged(boxes) for boxes in result]
    margin_4 = np.array([-1, -1, 1, 1], np.float32) * s.margin
    limit_4 = np.array([width, height, width, height], np.float32)
    all_K4 = np.array([box for boxes in merged for box in boxes], np.float32).reshape(-1, 4)
    all_K4 = np.clip(all_K4 + margin_4, 0, limit_4)
    ends = list(accumulate(map(len, merged), initial=0))
    return [all_K4[start:end] for start, end in pairwise(ends)]


def _link(candidates: list[FrameMovers], s: TrackSettings) -> list[_Track]:
    tracks: list[_Track] = []
    alive: list[tuple[_Track, _Box]] = []  # with the last box
    for t, movers in enumerate(candidates):
        alive = [(track, box) for track, box in alive if t - track.frames[-1] <= s.gap]
        boxes: list[_Box] = movers.box_K4.tolist()
        # Best overlap first; each candidate continues one track, a track takes one candidate.
        pairs = sorted(
            (
                (overlap, i, k)
                for i, (_, last) in enumerate(alive)
                for k, box in enumerate(boxes)
                if (overlap := _overlap(last, box)) > 0.1
            ),
            reverse=True,
        )
        taken_tracks: set[int] = set()
        taken: set[int] = set()
        for _, i, k in pairs:
            if i not in taken_tracks and k not in taken:
                track = alive[i][0]
                track.add(t, movers, k)
                alive[i] = (track, boxes[k])
                taken_tracks.add(i)
                taken.add(k)
        for k, box in enumerate(boxes):
            if k not in taken:
                track = _Track()
                track.add(t, movers, k)
                tracks.append(track)
                alive.append((track, box))
    return tracks


def _overlap(a: _Box, b: _Box) -> float:
    """Share of the smaller box that lies in the other."""
    ax1, ay1, ax2, ay2 = a
    bx1, by1, bx2, by2 = b
    # Conditions rather than min() and max(): this is called for every pair of boxes.
    width = (ax2 if ax2 < bx2 else bx2) - (ax1 if ax1 > bx1 else bx1)
    height = (ay2 if ay2 < by2 else by2) - (ay1 if ay1 > by1 else by1)
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min((ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1))
    return width * height / max(smaller, 1e-6)


def _is_parallax(track: _Track, s: TrackSettings) -> bool:
    """Whether the track's own motion is the camera's, times one factor.

    A still thing nearer (or farther) than what the camera's model follows moves on screen by a
    constant multiple of the background's motion. When the camera moves now one way, now another, no
    mover does that by chance. Along a straight pan it may well: then the track is kept.
    """
    own, camera = np.array(track.own), np.array(track.camera)
    # Root mean square of the camera's motion across its main direction.
    across = float(np.linalg.svd(camera, compute_uv=False)[-1]) / np.sqrt(len(camera))
    if len(camera) < 2 or across < s.least_across:
        return False
    factor = float((own * camera).sum() / (camera**2).sum())
    # Parallax wavers with the camera; what keeps its pace moves by itself.
    if own.var(0).sum() < 0.25 * factor**2 * camera.var(0).sum():
        return False
    left = float(((own - factor * camera) ** 2).sum() / max((own**2).sum(), 1e-9))
    return abs(factor) <= s.most_parallax and 1 - left > s.parallax


def _filled(track: _Track, s: TrackSettings) -> tuple[range, np.ndarray]:
    """Every frame of the track and its smoothed boxes (T, 4)."""
    frames = range(track.frames[0], track.frames[-1] + 1)
    boxes = np.array(track.boxes)
    dense_T4 = np.stack([np.interp(frames, track.frames, boxes[:, i]) for i in range(4)], 1)
    half = s.smooth // 2
    padded_T4 = (
        np.pad(dense_T4, ((half, half), (0, 0)), mode="reflect", reflect_type="odd")
        if (len(dense_T4) > half)
        else np.pad(dense_T4, ((half, half), (0, 0)), mode="edge")
    )
    windows_T4s = np.lib.stride_tricks.sliding_window_view(padded_T4, s.smooth, axis=0)
    smooth_T4 = np.median(windows_T4s, axis=-1)
    # Medians are taken edge by edge; on jumpy boxes opposite edges could cross.
    low_T2, high_T2 = smooth_T4[:, :2], smooth_T4[:, 2:]
    return frames, np.concatenate([np.minimum(low_T2, high_T2), np.maximum(low_T2, high_T2)], 1)


def _merged(boxes: list[_Box]) -> list[_Box]:
    """Joins boxes of which one lies mostly inside another."""
    i = 0
    while i < len(boxes):
        for j in range(len(boxes)):
            if i != j and _overlap(boxes[i], boxes[j]) > 0.6:
                (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = boxes[i], boxes[j]
                joined = [min(ax1, bx1), min(ay1, by1), max(ax2, bx2), max(ay2, by2)]
                boxes = [box for n, box in enumerate(boxes) if n not in (i, j)] + [joined]
                i = -1
                break
        i += 1
    return boxes
