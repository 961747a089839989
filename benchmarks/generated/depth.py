"""Scenes with real depth: a wall, a ground and things that stand on it, seen by a moving camera.

Every surface is a plane in space, so that parallax is exact: the camera rolls forward or back,
sideways, or around a place in the scene, and sways a little, as if it were carried. Lengths are in
units of which the far wall is 6 to 10 away; the focal length is the frame's short side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from generated.ways import Trajectory, trajectory
from mofo.synth.camera_path import wander
from mofo.synth.cutouts import Cutout, cut_out

_WAYS = ("forward", "sideways", "around")


@dataclass(frozen=True, eq=False)
class _Thing:
    """A cut-out that stands in the scene facing the camera's first view, or moves in its plane.

    ``way`` of a mover: its pose as it would be at distance 1.
    """

    cutout: Cutout
    distance: float
    place_2: np.ndarray
    size: float
    way: Trajectory | None = None
    mover: int = -1

    def plane(self, t: int) -> np.ndarray:
        """Steps of a column and of a row of the picture in space, and its corner: (3, 3) rows."""
        angle, size, place_2 = 0.0, self.size, self.place_2
        if self.way is not None:
            angle, size = float(self.way.angle_T[t]), float(self.way.scale_T[t]) * self.distance
            place_2 = self.way.position_T2[t] * self.distance
        unit = size / self.cutout.size
        across_3 = unit * np.array([np.cos(angle), np.sin(angle), 0])
        down_3 = unit * np.array([-np.sin(angle), np.cos(angle), 0])
        rows, columns = self.cutout.alpha_HW.shape
        middle_3 = np.array([*place_2, self.distance])
        corner_3 = middle_3 - across_3 * (columns - 1) / 2 - down_3 * (rows - 1) / 2
        return np.stack([across_3, down_3, corner_3])


class DepthScene:
    """A scene and the camera's way through it.

    Args:
        photos: textures, in the order in which they are used.
        size: width and height of the frames in pixels.
        area: range of one mover's area as a share of the frame.
    """

    def __init__(
        self,
        photos: Sequence[np.ndarray],
        size: tuple[int, int],
        frames: int,
        movers: int,
        area: tuple[float, float],
        rng: np.random.Generator,
    ) -> None:
        width, height = size
        self._focal = min(size)
        y_HW, x_HW = np.mgrid[0:height, 0:width]
        self._ray_HW3 = np.stack(
            [(x_HW - (width - 1) / 2) / self._focal, (y_HW - (height - 1) / 2) / self._focal,
             np.ones(x_HW.shape)], -1,
        )  # fmt: skip
        self._far, self._floor = rng.uniform(6, 10), rng.uniform(0.6, 1.2)
        near = rng.uniform(1.6, 2.4)
        self._eye_T3, self._turn_T = self._camera(frames, near, rng)
        half_2 = np.array(size) / self._focal / 2
        texel = 1.2 * self._focal / self._far  # pixels of the wall's picture a unit
        wall_HW3, ground_HW3 = photos[0], photos[1 % len(photos)]
        scale = max(0.7, 4 * half_2[0] * self._far * texel / wall_HW3.shape[1])
        self._wall_HW3 = cv2.resize(
            wall_HW3, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        )
        self._ground_HW3 = cv2.resize(
            ground_HW3, (int(3 * self._focal / near),) * 2, interpolation=cv2.INTER_AREA
        )
        rows, columns = self._wall_HW3.shape[:2]
        self._wall_33 = np.array(
            [[1 / texel, 0, 0], [0, 1 / texel, 0],
             [-columns / 2 / texel, -rows / 2 / texel, self._far]]
        )  # fmt: skip
        step = 2 * near / self._focal
        self._ground_33 = np.array([[step, 0, 0], [0, 0, step], [-3, self._floor, 0]])
        things = [
            self._still(photos[(2 + k) % len(photos)], near, half_2, rng)
            for k in range(int(rng.integers(2, 6)))
        ]
        things += [
            self._moving(photos[(7 + k) % len(photos)], k, near, half_2, area, frames, rng)
            for k in range(movers)
        ]
        self._things = sorted(things, key=lambda thing: -thing.distance)

    @staticmethod
    def _camera(
        frames: int, near: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Place (T, 3) and turn about the vertical (T,) in radians."""
        way, sign = rng.choice(_WAYS), rng.choice([-1, 1])
        speed = rng.uniform(0.0036, 0.018) * near  # 0.9 to 4.3 pixels at 240 for what is near
        s_T = np.arange(frames) - frames // 2
        eye_T3, turn_T = np.zeros((frames, 3)), np.zeros(frames)
        if way == "forward":
            eye_T3[:, 2], eye_T3[:, 0] = 2 * speed * sign * s_T, 0.1 * speed * s_T
        else:
            eye_T3[:, 0] = speed * sign * s_T
        eye_T3[:, :2] += wander(frames, 0.004 * near, 8, rng)
        eye_T3[:, 1] = eye_T3[:, 1].clip(-0.4, 0.4)
        if way == "around":
            turn_T = -np.arctan2(eye_T3[:, 0], rng.uniform(3, 7))
        return eye_T3, turn_T + np.deg2rad(wander(frames, 0.1, 8, rng)[:, 0])

    def _still(
        self, photo_HW3: np.ndarray, near: float, half_2: np.ndarray, rng: np.random.Generator
    ) -> _Thing:
        distance, size = rng.uniform(near, 0.7 * self._far), rng.uniform(0.5, 1.5)
        x = rng.uniform(-1.2, 1.2) * distance * half_2[0]
        return _Thing(
            cut_out(photo_HW3, rng), distance, np.array([x, self._floor - 0.45 * size]), size
        )

    def _moving(
        self,
        photo_HW3: np.ndarray,
        number: int,
        near: float,
        half_2: np.ndarray,
        area: tuple[float, float],
        frames: int,
        rng: np.random.Generator,
    ) -> _Thing:
        distance = rng.uniform(near, 0.6 * self._far)
        size = np.sqrt(np.exp(rng.uniform(*np.log(area))) * 4 * half_2.prod())
        tries: list[tuple[float, Trajectory]] = []
        while len(tries) < 30 and max((inside for inside, _ in tries), default=0) <= 0.85:
            way = trajectory(rng.uniform(-0.7, 0.7, 2) * half_2, size, frames, rng, pauses=False)
            screen_T2 = way.position_T2 - self._eye_T3[:, :2] / distance
            inside = (np.abs(screen_T2) < half_2 - 0.25 * min(size, 1)).all(1).mean()
            tries.append((float(inside), way))
        way = max(tries, key=lambda one: one[0])[1]
        return _Thing(cut_out(photo_HW3, rng), distance, np.zeros(2), size, way, number)

    def render(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame ``t``: float32 RGB ``(H, W, 3)``, and uint8 labels ``(H, W)``, mover + 1."""
        wall_HW3, _ = self._seen(t, self._wall_33, self._wall_HW3, None)
        frame_HW3 = wall_HW3.astype(np.float32)
        ground_HW3, _ = self._seen(t, self._ground_33, self._ground_HW3, None)
        view_HW3 = self._ray_HW3 @ self._turned(t).T
        down_HW = view_HW3[..., 1]
        depth_HW = (self._floor - self._eye_T3[t, 1]) / np.maximum(down_HW, 1e-6)
        before_HW = depth_HW * view_HW3[..., 2] < self._far - self._eye_T3[t, 2]
        floor_HW = (down_HW > 1e-3) & before_HW
        frame_HW3[floor_HW] = ground_HW3[floor_HW]
        label_HW = np.zeros(frame_HW3.shape[:2], np.uint8)
        for thing in self._things:
            picture_HW3, alpha_HW = self._seen(
                t, thing.plane(t), thing.cutout.rgb_HW3, thing.cutout.alpha_HW
            )
            frame_HW3 += alpha_HW[..., None] * (picture_HW3 - frame_HW3)
            label_HW[alpha_HW > 0.5] = thing.mover + 1
        return frame_HW3, label_HW

    def _turned(self, t: int) -> np.ndarray:
        """From rays of the camera to the scene, (3, 3)."""
        cos, sin = np.cos(self._turn_T[t]), np.sin(self._turn_T[t])
        return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])

    def _seen(
        self, t: int, plane_33: np.ndarray, picture_HW3: np.ndarray, alpha_HW: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """A plane as the camera sees it, and how much of it, 0 to 1; mirrored on without alpha."""
        to_plane_33 = plane_33.copy()
        to_plane_33[2] -= self._eye_T3[t]
        place_HW3 = self._ray_HW3 @ (np.linalg.inv(to_plane_33.T) @ self._turned(t)).T
        ahead_HW = place_HW3[..., 2] > 1e-4
        place_HW2 = place_HW3[..., :2] / np.where(ahead_HW, place_HW3[..., 2], 1)[..., None]
        place_HW2 = place_HW2.astype(np.float32)
        border = cv2.BORDER_REFLECT_101 if alpha_HW is None else cv2.BORDER_REPLICATE
        seen_HW3 = cv2.remap(picture_HW3, place_HW2, None, cv2.INTER_LINEAR, borderMode=border)
        if alpha_HW is None:
            return seen_HW3, ahead_HW.astype(np.float32)
        cover_HW = cv2.remap(alpha_HW, place_HW2, None, cv2.INTER_LINEAR)
        return seen_HW3, cover_HW * ahead_HW / np.float32(255)
