"""How things move in each class, and why a single frame does not tell.

A path is a ``Poses``: place, scale and angle of each thing at each frame, against the background.
Every class is built so that **the pose at any one frame has the same distribution in all classes of
its family, at every frame**; what differs is only how poses follow one another.

*Place.* Whatever moves only one way drifts: seen from a fixed start, "left" ends further left, and
the last frame gives it away; no choice of starts can undo that. So paths run on a torus, the stage:
what reaches its left border goes on from its right border, like a clip in a loop, and the whole
path is shifted by an offset that is uniform on the stage. A uniform place plus any independent way
is uniform again: place is uniform at each frame in *every* class (moving, stopping, meeting and so
on), and independent of scale, angle and distance. For one thing the stage is a little
smaller than the frame, so that most of it is always seen; for two it is the middle of the frame and
carries the point half-way between them. The camera comes after it and knows no class.

*Scale.* For the same reason "towards" cannot grow for ever: log scale runs round in a cycle, it
grows evenly from the least to the greatest and starts again, with a uniform phase; log scale is
uniform at every frame, and it is drawn from the same uniform once a clip in the other classes.

*Angle.* Uniform at every frame: uniform at the start, plus any turn.

*Distance of two things.* Each class has a cycle of phases with a uniform start. A share ``FAR`` of
it the distance falls (or rises, or first falls and then rises) evenly between reach and contact,
the rest of it the two touch: "meeting" stays, "pushing" goes on together, "passing" goes half round
the other at contact, "returning" waits and goes back. So distance has the same distribution in
all, the axis is uniform on the circle, and the centre is uniform on the torus.

*Order.* A class and its opposite are the same function, run backwards: reversed clips of the one
are, exactly, clips of the other in distribution, so frames in shuffled order cannot tell them
apart, nor can anything symmetrical in time, such as the union of the boxes of a clip. No blur
depends on speed: a frame of a thing at rest looks like one of a moving thing.

Times are in clips (0 to 1), so that another number of frames shows the same path more finely.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mofo.synth.actions.classes import ActionClass
from mofo.synth.actions.levels import Level, Range

FAR = 0.7
"""Share of a cycle that two things are apart."""


@dataclass(frozen=True, eq=False)
class Poses:
    """Poses of K things at T frames.

    ``anchor_T2``: the point that the stage holds; places are relative to it.
    ``angle_KT``: radians, positive turns clockwise on screen (y points down).
    """

    place_KT2: np.ndarray
    anchor_T2: np.ndarray
    scale_KT: np.ndarray
    angle_KT: np.ndarray

    def backwards(self) -> Poses:
        """The same, from the last frame to the first."""
        turned = (a_KT[:, ::-1] for a_KT in (self.place_KT2, self.scale_KT, self.angle_KT))
        place_KT2, scale_KT, angle_KT = turned
        return Poses(place_KT2, self.anchor_T2[::-1], scale_KT, angle_KT)

    def on_stage(self, camera_T2: np.ndarray, length: float) -> np.ndarray:
        """Places ``(K, T, 2)`` as the camera sees them from its centre, the anchor on the stage."""
        anchor_T2 = (self.anchor_T2 - camera_T2 + length / 2) % length - length / 2
        return self.place_KT2 + anchor_T2


def draw_poses(action: ActionClass, level: Level, frames: int, rng: np.random.Generator) -> Poses:
    """A random path of a class."""
    poses = _PATHS[action.path](np.linspace(0, 1, frames), level, rng)
    if action.backwards:
        poses = poses.backwards()
    offset_2 = rng.uniform(-0.5, 0.5, 2) * level.stage(action.family)
    return replace(poses, anchor_T2=poses.anchor_T2 + offset_2)


def _between(ends: Range, rng: np.random.Generator) -> float:
    return float(rng.uniform(*ends))


def _log_between(ends: Range, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(ends))))


def _heading(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])


def _one(
    place_T2: np.ndarray,
    level: Level,
    rng: np.random.Generator,
    *,
    scale_T: np.ndarray | None = None,
    turn_T: np.ndarray | None = None,
) -> Poses:
    """A single thing; scale and angle stay as they are if not given."""
    still_T = np.zeros(len(place_T2))
    if scale_T is None:
        scale_T = still_T + _log_between(level.size_one, rng)
    turned_T = still_T if turn_T is None else turn_T
    angle_T = rng.uniform(0, 2 * np.pi) + turned_T
    return Poses(np.zeros_like(place_T2)[None], place_T2, scale_T[None], angle_T[None])


def _sideways(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """To the left."""
    heading_2 = _heading(180 + rng.uniform(-level.swing, level.swing))
    return _one(time_T[:, None] * heading_2 * _between(level.travel, rng), level, rng)


def _upright(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """Up."""
    heading_2 = _heading(-90 + rng.uniform(-level.swing, level.swing))
    return _one(time_T[:, None] * heading_2 * _between(level.travel, rng), level, rng)


def _depth(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """Nearer, from the least scale to the greatest, and again."""
    phase_T = (rng.random() + time_T / _between(level.cycle_one, rng)) % 1
    low, high = np.log(level.size_one)
    still_T2 = np.zeros((len(time_T), 2))
    return _one(still_T2, level, rng, scale_T=np.exp(low + (high - low) * phase_T))


def _turning(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """Clockwise on the spot."""
    turn_T = np.deg2rad(_between(level.turn, rng)) * time_T
    return _one(np.zeros((len(time_T), 2)), level, rng, turn_T=turn_T)


def _halting(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """More or less sideways, then still."""
    stop = rng.uniform(0.4, 0.6)
    # As fast as what never stops, so that half a clip does for half the way.
    way_T = np.minimum(time_T, stop) * _between(level.travel, rng) * 1.3
    side = rng.choice([0.0, 180.0])
    return _one(way_T[:, None] * _heading(side + rng.uniform(-60, 60)), level, rng)


def _falling(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """Still, then down, faster and faster."""
    begin = rng.uniform(0.2, 0.4)
    fall_T = np.maximum(time_T - begin, 0) ** 2 / (1 - begin) ** 2 * _between(level.travel, rng)
    heading_2 = _heading(90 + rng.uniform(-level.swing, level.swing) / 2)
    return _one(fall_T[:, None] * heading_2, level, rng)


def _bouncing(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """Parabolas with a sharp turn at the floor; perhaps drifting sideways."""
    phase_T = (rng.random() + time_T / rng.uniform(0.45, 0.65)) % 1
    height_T = _between(level.travel, rng) / 2 * (1 - (2 * phase_T - 1) ** 2)
    drift_T = rng.uniform(-0.25, 0.25) * time_T
    return _one(np.stack([drift_T, -height_T], 1), level, rng)


def _swaying(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """To and fro along a line near the horizontal."""
    wave_T = np.sin(2 * np.pi * (rng.random() + time_T / rng.uniform(0.6, 0.9)))
    heading_2 = _heading(rng.uniform(-level.swing, level.swing))
    return _one(wave_T[:, None] * heading_2 * _between(level.travel, rng) / 4, level, rng)


@dataclass(frozen=True, eq=False)
class _Two:
    """What all classes of two things draw alike.

    Attributes:
        phase_T: of the cycle, 0 to 1, not wrapped.
        contact, reach: least and greatest distance of their centres.
        axis: direction from the second to the first at the cycle's beginning, radians.
    """

    phase_T: np.ndarray
    sizes_2: np.ndarray
    contact: float
    reach: float
    axis: float

    @classmethod
    def drawn(cls, time_T: np.ndarray, level: Level, rng: np.random.Generator) -> _Two:
        phase_T = rng.random() + time_T / _between(level.cycle_two, rng)
        sizes_2 = np.array([_log_between(level.size_two, rng) for _ in range(2)])
        contact = 0.46 * float(sizes_2.sum())
        return cls(phase_T, sizes_2, contact, contact + rng.uniform(0.32, 0.44), _circle(rng))

    def distance(self, part_T: np.ndarray) -> np.ndarray:
        """Distance where ``part_T`` of the way from far (0) to contact (1) is done."""
        return self.reach + (self.contact - self.reach) * np.clip(part_T, 0, 1)

    def poses(self, first_T2: np.ndarray, second_T2: np.ndarray, rng: np.random.Generator) -> Poses:
        """Poses of both at these places; the stage holds the point half-way."""
        middle_T2 = (first_T2 + second_T2) / 2
        ones_T = np.ones(len(self.phase_T))
        angles_2 = rng.uniform(0, 2 * np.pi, 2)
        return Poses(
            np.stack([first_T2, second_T2]) - middle_T2,
            middle_T2,
            self.sizes_2[:, None] * ones_T,
            angles_2[:, None] * ones_T,
        )


def _circle(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, 2 * np.pi))


def _axis(angle: float | np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def _closing(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """Both move to the middle, then stay together; then again from afar."""
    two = _Two.drawn(time_T, level, rng)
    half_T2 = two.distance(two.phase_T % 1 / FAR)[:, None] / 2 * _axis(two.axis)
    return two.poses(half_T2, -half_T2, rng)


def _pushing(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """The first comes up to the second, which stands, and pushes it on at the same speed."""
    two = _Two.drawn(time_T, level, rng)
    phase_T = two.phase_T % 1
    way = (two.reach - two.contact) / FAR  # a cycle, at the speed of coming up
    # All goes on from cycle to cycle: the pusher always at its speed, the other now and then.
    pushed_T = way * (np.floor(two.phase_T) * (1 - FAR) + np.maximum(phase_T - FAR, 0))
    first_T = two.distance(phase_T / FAR) - pushed_T
    axis_2 = _axis(two.axis)
    return two.poses(first_T[:, None] * axis_2, -pushed_T[:, None] * axis_2, rng)


def _to_and_fro(two: _Two) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance, share of the time at contact that is over, and number of the cycle."""
    phase_T, cycle_T = two.phase_T % 1, np.floor(two.phase_T)
    part_T = np.minimum(phase_T, 1 - phase_T) / (FAR / 2)
    return two.distance(part_T), np.clip((phase_T - FAR / 2) / (1 - FAR), 0, 1), cycle_T


def _passing(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """Up to each other, half round each other at contact, and on; then back the same way."""
    two = _Two.drawn(time_T, level, rng)
    distance_T, over_T, cycle_T = _to_and_fro(two)
    side = rng.choice([-1.0, 1.0])
    half_T2 = distance_T[:, None] / 2 * _axis(two.axis + side * np.pi * (over_T + cycle_T))
    return two.poses(half_T2, -half_T2, rng)


def _returning(time_T: np.ndarray, level: Level, rng: np.random.Generator) -> Poses:
    """Up to each other, a rest at contact, and back."""
    two = _Two.drawn(time_T, level, rng)
    half_T2 = _to_and_fro(two)[0][:, None] / 2 * _axis(two.axis)
    return two.poses(half_T2, -half_T2, rng)


_PATHS: dict[str, Callable[[np.ndarray, Level, np.random.Generator], Poses]] = {
    "sideways": _sideways,
    "upright": _upright,
    "depth": _depth,
    "turning": _turning,
    "halting": _halting,
    "falling": _falling,
    "bouncing": _bouncing,
    "swaying": _swaying,
    "closing": _closing,
    "pushing": _pushing,
    "passing": _passing,
    "returning": _returning,
}
