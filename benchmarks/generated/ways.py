"""Ways of things and of a camera that follows one, in generated clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mofo.synth.camera_path import CameraPath, wander

# Beside the kinds of ``camera_path``: a camera that keeps the first mover near the middle, see
# ``follow_path``, and one in a scene with depth, see depth.py.
SCENES = ("follow", "depth")


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Pose of a cut-out in the world at each frame: position (short sides), angle, scale."""

    position_T2: np.ndarray
    angle_T: np.ndarray
    scale_T: np.ndarray

    def to_world(self) -> np.ndarray:
        """Similarities ``(T, 2, 3)`` from the cut-out (unit area, centred) to the world."""
        cos_T, sin_T = self.scale_T * np.cos(self.angle_T), self.scale_T * np.sin(self.angle_T)
        linear_T22 = np.stack([np.stack([cos_T, -sin_T], 1), np.stack([sin_T, cos_T], 1)], 1)
        return np.concatenate([linear_T22, self.position_T2[:, :, None]], 2)


def trajectory(
    start_2: np.ndarray, size: float, frames: int, rng: np.random.Generator, *, pauses: bool
) -> Trajectory:
    """A random way through the world: straight, curved or to and fro, perhaps turning or growing.

    Args:
        pauses: whether the cut-out may stand still for a part of the clip. It always moves in the
            rest.

    Speeds are .003 to .025 short sides a frame (0.7 to 6 pixels at 240), spread evenly in log.
    """
    speed = np.exp(rng.uniform(np.log(0.003), np.log(0.025)))
    heading = rng.uniform(0, 2 * np.pi)
    turn_rate = rng.choice([0.0, rng.uniform(-0.06, 0.06)])
    pace_T = np.ones(frames)
    if pauses:
        length = int(frames * rng.uniform(0.25, 0.5))
        begin = int(rng.integers(-length // 2, frames - length // 2))
        pace_T[max(begin, 0) : max(begin + length, 0)] = 0
    s_T = np.cumsum(pace_T)
    s_T -= s_T[frames // 2]
    heading_T = heading + turn_rate * s_T
    velocity_T2 = speed * pace_T[:, None] * np.stack([np.cos(heading_T), np.sin(heading_T)], 1)
    if rng.random() < 0.25:  # to and fro
        velocity_T2 *= np.sign(np.sin(2 * np.pi * s_T / rng.uniform(20, 40) + 1e-3))[:, None]
    position_T2 = np.cumsum(velocity_T2, 0)
    position_T2 += start_2 - position_T2[frames // 2]
    spin = rng.choice([0.0, rng.uniform(-0.05, 0.05)]) * min(1.0, 0.1 / size)
    growth = rng.choice([0.0, rng.uniform(-0.008, 0.008)])
    return Trajectory(
        position_T2, rng.uniform(0, 2 * np.pi) + spin * s_T, size * np.exp(growth * s_T)
    )


def follow_path(
    followed_T2: np.ndarray, half_2: np.ndarray, rng: np.random.Generator
) -> CameraPath:
    """The path of a camera that keeps something near the middle of the frame.

    It lags by up to three frames, is smooth over seven, wanders, and never has its subject quite in
    the middle.

    Args:
        half_2: half the width and height of the frame, in short sides.
    """
    frames, lag = len(followed_T2), int(rng.integers(0, 4))
    seen_T2 = np.concatenate([np.repeat(followed_T2[:1], lag, 0), followed_T2])[:frames]
    padded_T2 = np.pad(seen_T2, ((3, 3), (0, 0)), mode="reflect", reflect_type="odd")
    smooth_T2 = np.lib.stride_tricks.sliding_window_view(padded_T2, 7, axis=0).mean(-1)
    off_2 = rng.uniform(-0.25, 0.25, 2) * half_2
    angle_T = np.deg2rad(wander(frames, 0.5, 8, rng)[:, 0])
    return CameraPath(smooth_T2 + off_2 + wander(frames, 0.02, 10, rng), np.ones(frames), angle_T)
