"""Camera paths of generated clips: how the window moves over the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CAMERAS = ("static", "pan", "zoom", "rotate", "handheld")


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Where the camera looks at each frame.

    Lengths are in units of the frame's short side, so that a path means the same at every size.
    ``zoom_T``: magnification; above 1 the world looks larger. ``angle_T``: roll in radians,
    positive turns the world clockwise on screen.
    """

    centre_T2: np.ndarray
    zoom_T: np.ndarray
    angle_T: np.ndarray

    def __len__(self) -> int:
        return len(self.zoom_T)

    def world_to_screen(self, depth: float = 0.0) -> np.ndarray:
        """Similarities ``(T, 2, 3)`` from world to screen, both in short sides, screen centred.

        Args:
            depth: parallax of a layer. A layer at 0 is the background; at d it is nearer, and
                slides over the background by d times the camera's translation.
        """
        scale_T = self.zoom_T
        cos_T, sin_T = scale_T * np.cos(self.angle_T), scale_T * np.sin(self.angle_T)
        linear_T22 = np.stack([np.stack([cos_T, -sin_T], 1), np.stack([sin_T, cos_T], 1)], 1)
        centre_T2 = self.centre_T2 + depth * (self.centre_T2 - self.centre_T2[:1])
        shift_T2 = -np.einsum("tij,tj->ti", linear_T22, centre_T2)
        return np.concatenate([linear_T22, shift_T2[:, :, None]], 2)


def camera_path(kind: str, frames: int, rng: np.random.Generator) -> CameraPath:
    """A random path of one of the kinds in ``CAMERAS``.

    Speeds, a frame, in short sides: pan .004 to .018 (1 to 4.3 pixels at 240), zoom up to 1.0 %,
    roll up to .6 degrees; hand-held is a slow drift with jitter of about .003 (0.7 pixels), small
    rolls and breathing zoom.
    """
    ones_T, zeros_T = np.ones(frames), np.zeros(frames)
    centre_T2 = np.zeros((frames, 2))
    s_T = np.arange(frames, dtype=float)
    zoom_T, angle_T = ones_T, zeros_T
    if kind == "pan":
        speed, heading = rng.uniform(0.004, 0.018), rng.uniform(0, 2 * np.pi)
        # A pan that swells and slackens, not a metronome.
        pace_T = np.cumsum(
            1 + 0.4 * np.sin(2 * np.pi * (s_T / frames * rng.uniform(0.5, 2) + rng.random()))
        )
        centre_T2 = speed * pace_T[:, None] * [np.cos(heading), np.sin(heading)]
    elif kind == "zoom":
        rate = rng.choice([-1, 1]) * rng.uniform(0.003, 0.010)
        zoom_T = np.exp(rate * s_T)
        centre_T2 = 0.002 * s_T[:, None] * rng.uniform(-1, 1, 2)
    elif kind == "rotate":
        angle_T = np.deg2rad(rng.choice([-1, 1]) * rng.uniform(0.15, 0.6)) * s_T
        centre_T2 = 0.002 * s_T[:, None] * rng.uniform(-1, 1, 2)
    elif kind == "handheld":
        drift_T2 = s_T[:, None] * rng.uniform(0.002, 0.008) * _unit(rng)
        centre_T2 = drift_T2 + wander(frames, 0.012, 6, rng) + rng.normal(0, 0.002, (frames, 2))
        angle_T = np.deg2rad(wander(frames, 1.0, 8, rng)[:, 0])
        zoom_T = np.exp(wander(frames, 0.015, 12, rng)[:, 0])
    elif kind != "static":
        raise ValueError(f"camera {kind!r}: one of {CAMERAS}")
    zoom_T = zoom_T / zoom_T.min()  # never look at less than one world unit a short side
    return CameraPath(centre_T2 - centre_T2.mean(0), zoom_T, angle_T - angle_T.mean())


def _unit(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def wander(frames: int, size: float, period: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random walk around 0: white noise under a Gaussian of ``period`` frames, (T, 2)."""
    pad = int(3 * period)
    kernel = np.exp(-0.5 * (np.arange(-pad, pad + 1) / (period / 2)) ** 2)
    noise_T2 = rng.normal(size=(frames + 2 * pad, 2))
    smooth_T2 = np.stack([np.convolve(noise_T2[:, i], kernel, "valid") for i in range(2)], 1)
    return smooth_T2 * size / np.sqrt((kernel**2).sum())
