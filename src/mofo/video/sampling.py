"""Which frames of a video make a clip: pure functions of numbers.

All return int64 frame numbers ``(T,)``, never falling, inside the stretch ``[start, stop)`` of the
video. Randomness comes from the generator that is passed; without one the middle is taken.
"""

from __future__ import annotations

import numpy as np

from mofo.types import SettingsError


def dense(
    count: int, stride: int, start: int, stop: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """``count`` frames, each ``stride`` after the one before, from a random (or the middle) place.

    A stretch that is too short is taken from its beginning, and its last frame is repeated.
    """
    _check(count, start, stop, stride)
    room = stop - start - _span(count, stride)
    first = start
    if room > 0:
        first += room // 2 if rng is None else int(rng.integers(room + 1))
    return np.minimum(first + stride * np.arange(count, dtype=np.int64), stop - 1)


def timed(
    count: int,
    seconds: float,
    seconds_T: np.ndarray,
    start: int = 0,
    rng: np.random.Generator | None = None,
    *,
    place: float = 0.5,
) -> np.ndarray:
    """``count`` frames at equal steps over ``seconds`` of time, whatever the frame rate.

    At each time the frame that a player shows. A stretch that is too short is taken from its
    beginning, and its last frame is repeated. ``place``: without ``rng``: 0 the first possible
    clip, 1 the last one.
    """
    _check(count, start, start + len(seconds_T))
    if not seconds > 0:
        raise SettingsError(f"a clip of {seconds:g} seconds: expected more than 0")
    own_T = np.maximum.accumulate(np.asarray(seconds_T, np.float64))
    step = seconds / count
    room = max(0.0, own_T[-1] - own_T[0] - (count - 1) * step)
    begin = own_T[0] + room * (place if rng is None else rng.random())
    wanted_T = begin + step * np.arange(count) + 1e-6  # times of files are rounded
    return start + np.searchsorted(own_T, wanted_T, side="right").astype(np.int64) - 1


def moving_first(
    moving_F: np.ndarray, stop_S: np.ndarray, share: float, rng: np.random.Generator
) -> int:
    """Draws the first frame of a clip, rather where something moves.

    Args:
        moving_F: bool, frames of the stretch in which anything moves.
        stop_S: int64, end of the clip that begins at each possible first frame (from 0 on).
        share: of the drawing that goes by the share of moving frames in a clip; the rest is even.
    """
    sum_F = np.concatenate([[0], np.cumsum(moving_F, dtype=np.float64)])
    first_S = np.arange(len(stop_S))
    weight_S = (sum_F[stop_S] - sum_F[first_S]) / (stop_S - first_S)
    if not weight_S.any():
        weight_S = np.ones(len(stop_S))
    chance_S = (1 - share) / len(stop_S) + share * weight_S / weight_S.sum()
    place = int(np.searchsorted(np.cumsum(chance_S), rng.random(), side="right"))
    return min(place, len(stop_S) - 1)


def segments(
    count: int, start: int, stop: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """One frame out of each of ``count`` equal segments: a random one, or the middle one.

    Temporal segment networks (arXiv 1608.00859), section 3.1. The segments are equal in real
    numbers, so that every frame of the stretch is as likely as any other; in a stretch shorter than
    ``count`` frames are repeated evenly, not the last one only.
    """
    _check(count, start, stop)
    place_T = np.full(count, 0.5) if rng is None else rng.random(count)
    index_T = (np.arange(count) + place_T) * ((stop - start) / count)
    return np.minimum(start + np.floor(index_T).astype(np.int64), stop - 1)


def views(count: int, stride: int, start: int, stop: int, several: int) -> tuple[np.ndarray, ...]:
    """``several`` dense clips, spread evenly from the first possible to the last: for testing.

    One view is the middle one. Too short a stretch gives the same clip several times, as ``dense``
    makes it.
    """
    _check(count, start, stop, stride, several)
    room = max(0, stop - start - _span(count, stride))
    places = [room / 2] if several == 1 else np.linspace(0, room, several)
    steps_T = stride * np.arange(count, dtype=np.int64)
    return tuple(np.minimum(start + int(place) + steps_T, stop - 1) for place in places)


def segment_views(count: int, start: int, stop: int, several: int) -> tuple[np.ndarray, ...]:
    """``several`` clips of one frame out of each of ``count`` equal segments: for testing.

    As VideoMAE tests networks that were trained on segments: from one clip to the next, all frames
    move on by the same part of a segment. Here the first clip begins half such a part into the
    segments, so that the clips lie symmetrically in time; one view is ``segments``' middle.
    """
    _check(count, start, stop, several=several)
    length = (stop - start) / count
    places = (np.arange(several) + 0.5) / several
    return tuple(
        np.minimum(start + ((np.arange(count) + place) * length).astype(np.int64), stop - 1)
        for place in places
    )


def _span(count: int, stride: int) -> int:
    """Frames from the first to the last one of a dense clip, both included."""
    return (count - 1) * stride + 1


def _check(count: int, start: int, stop: int, stride: int = 1, several: int = 1) -> None:
    if min(count, stride, several) < 1:
        raise SettingsError(
            f"{several} clips of {count} frames at stride {stride}: each must be 1 or more"
        )
    if not 0 <= start < stop:
        raise SettingsError(f"no frames from {start} to {stop}")
