"""From candidates in single frames to movers that last (preset ``default``).

Noise flickers, movers stay: candidates are linked over time, short-lived tracks go, gaps are
filled and the boxes' edges smoothed. What only slides along with the camera is parallax, not
motion.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mofo.motion.movers import FrameMovers


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
    result: list[list[np.ndarray]] = [[] for _ in candidates]
    for track in _link(candidates, s):
        span = track.frames[-1] - track.frames[0] + 1
        if len(track.frames) < need or len(track.frames) < s.least_density * span:
            continue
        if _is_parallax(track, s):
            continue
        for t, box_4 in zip(*_filled(track, s), strict=True):
            result[t].append(box_4)
    limit_4 = np.array([width, height, width, height], np.float32)
    margin_4 = np.array([-1, -1, 1, 1], np.float32) * s.margin
    return [
        np.clip(_merged(np.array(boxes, np.float32).reshape(-1, 4)) + margin_4, 0, limit_4)
        if boxes
        else np.zeros((0, 4), np.float32)
        for boxes in result
    ]


def _link(candidates: list[FrameMovers], s: TrackSettings) -> list[_Track]:
    tracks: list[_Track] = []
    alive: list[_Track] = []
    for t, movers in enumerate(candidates):
        alive = [track for track in alive if t - track.frames[-1] <= s.gap]
        # Best overlap first; each candidate continues one track, a track takes one candidate.
        pairs = sorted(
            (
                (_overlap(track.boxes[-1], movers.box_K4[k]), i, k)
                for i, track in enumerate(alive)
                for k in range(len(movers.box_K4))
            ),
            reverse=True,
        )
        taken_tracks: set[int] = set()
        taken: set[int] = set()
        for overlap, i, k in pairs:
            if overlap > 0.1 and i not in taken_tracks and k not in taken:
                alive[i].add(t, movers, k)
                taken_tracks.add(i)
                taken.add(k)
        for k in range(len(movers.box_K4)):
            if k not in taken:
                track = _Track()
                track.add(t, movers, k)
                tracks.append(track)
                alive.append(track)
    return tracks


def _overlap(a_4: np.ndarray, b_4: np.ndarray) -> float:
    """Share of the smaller box that lies in the other."""
    width = min(a_4[2], b_4[2]) - max(a_4[0], b_4[0])
    height = min(a_4[3], b_4[3]) - max(a_4[1], b_4[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a_4, b_4)]
    return float(width * height / max(min(areas), 1e-6))


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


def _merged(boxes_K4: np.ndarray) -> np.ndarray:
    """Joins boxes of which one lies mostly inside another."""
    boxes = list(boxes_K4)
    i = 0
    while i < len(boxes):
        for j in range(len(boxes)):
            if i != j and _overlap(boxes[i], boxes[j]) > 0.6:
                a, b = boxes[i], boxes[j]
                joined = np.concatenate([np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])])
                boxes = [box for n, box in enumerate(boxes) if n not in (i, j)] + [joined]
                i = -1
                break
        i += 1
    return np.array(boxes, np.float32)
