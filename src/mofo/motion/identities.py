"""Which boxes of a motion area are one thing: movers with numbers that last over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from mofo.types import MotionArea

_LOST = 1.0  # seconds after which a thing that comes back is a new one
_NEAR = 0.7  # distance of two boxes that may be one thing, in their mean size
_STEADY = 0.6  # of the speed so far that counts on


@dataclass(frozen=True)
class Mover:
    """One box of a mover.

    Attributes:
        row: position of the frame in the area.
        number: of the thing in its video, from 1.
        box_4: float32 ``(x1, y1, x2, y2)``, pixels.
    """

    row: int
    number: int
    box_4: np.ndarray


def movers_of(area: MotionArea, *, clip_union: bool = False) -> Iterator[Mover]:
    """The boxes of all movers, frame by frame, with their numbers.

    A thing keeps its number within a shot as long as it is not out of sight, or at rest, for more
    than a second.

    Args:
        area: of a video.
        clip_union: instead, the one box around all motion of the video, in every frame.
    """
    if clip_union:
        box_4, valid = area.union()
        yield from (Mover(t, 1, box_4) for t in range(len(area)) if valid)
        return
    for t, numbers in enumerate(identities(area)):
        yield from (
            Mover(t, int(number), box_4)
            for number, box_4 in zip(numbers, area.movers[t], strict=True)
        )


def tracks(area: MotionArea, *, clip_union: bool = False) -> dict[int, list[Mover]]:
    """The boxes of each mover, in order, by its number."""
    found: dict[int, list[Mover]] = {}
    for mover in movers_of(area, clip_union=clip_union):
        found.setdefault(mover.number, []).append(mover)
    return found


def identities(area: MotionArea) -> list[np.ndarray]:
    """The number of each mover of each frame, int64, in the order of ``area.movers``."""
    known: list[_Thing] = []
    found, count, cuts = [], 0, set(area.cuts)
    for t, boxes_K4 in enumerate(area.movers):
        time = float(area.time_T[t])
        known = [] if t in cuts else [one for one in known if time - one.time <= _LOST]
        numbers_K = np.zeros(len(boxes_K4), np.int64)
        for which, k in _pairs(known, boxes_K4, time):
            numbers_K[k] = known[which].number
            known[which].move(boxes_K4[k], time)
        for k in np.flatnonzero(numbers_K == 0).tolist():
            count += 1
            numbers_K[k] = count
            known.append(_Thing(count, boxes_K4[k], time))
        found.append(numbers_K)
    return found


@dataclass
class _Thing:
    number: int
    box_4: np.ndarray
    time: float
    speed_2: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def expected(self, time: float) -> np.ndarray:
        return self.box_4 + np.tile(self.speed_2 * (time - self.time), 2)

    def move(self, box_4: np.ndarray, time: float) -> None:
        before_2, after_2 = (b_4[:2] + b_4[2:] for b_4 in (self.box_4, box_4))
        step_2 = (after_2 - before_2) / 2 / max(time - self.time, 1e-6)
        self.speed_2 = _STEADY * self.speed_2 + (1 - _STEADY) * step_2
        self.box_4, self.time = box_4, time


def _pairs(known: list[_Thing], boxes_K4: np.ndarray, time: float) -> list[tuple[int, int]]:
    """Things and boxes that belong together: those that overlap most first, then the nearest."""
    if not known or not len(boxes_K4):
        return []
    old_M14 = np.stack([one.expected(time) for one in known])[:, None]
    new_1K4 = boxes_K4[None].astype(np.float64)
    low, high = np.maximum(old_M14, new_1K4)[..., :2], np.minimum(old_M14, new_1K4)[..., 2:]
    inter_MK = np.clip(high - low, 0, None).prod(-1)
    size_M1, size_1K = (np.clip(b[..., 2:] - b[..., :2], 0, None) for b in (old_M14, new_1K4))
    areas = [size.prod(-1) for size in (size_M1, size_1K)]
    iou_MK = inter_MK / np.maximum(areas[0] + areas[1] - inter_MK, 1e-9)
    between_MK2 = (old_M14[..., :2] + old_M14[..., 2:] - new_1K4[..., :2] - new_1K4[..., 2:]) / 2
    far_MK = np.linalg.norm(between_MK2, axis=-1) / np.maximum((size_M1 + size_1K).mean(-1) / 2, 1)
    score_MK = np.where(iou_MK > 0.05, iou_MK, -far_MK)
    pairs, order = [], np.argsort(-score_MK, axis=None, kind="stable")
    taken: set[tuple[str, int]] = set()
    for m, k in np.column_stack(np.unravel_index(order, score_MK.shape)).tolist():
        if score_MK[m, k] >= -_NEAR and not taken & {("old", m), ("new", k)}:
            pairs.append((m, k))
            taken |= {("old", m), ("new", k)}
    return pairs
