"""One clip of the motion-actions set: everything it shows, and its rendering with exact truth.

What is drawn: a background, still distractors that lie on it, the things that the class is about,
a small restless distractor, and a near layer in front. All but the poses of the things is drawn
without a look at the class; the camera moves all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from mofo.synth.actions.classes import CLASSES
from mofo.synth.actions.levels import Level, level_named
from mofo.synth.actions.materials import TEXTURES, Texture, background, texture
from mofo.synth.actions.motion_paths import Poses, draw_poses
from mofo.synth.camera_path import CameraPath, camera_path
from mofo.synth.cutouts import Shown

FPS = 12
"""Frames a second of a clip of ``FRAMES`` frames; a clip of more lasts as long."""
FRAMES = 16

# A thing moves in a frame when a point of it goes this far against the background in a 16th of the
# clip before or after it, in sides: a quarter of a pixel at 112.
_MOVING = 0.25 / 112
_EDGE = 0.04  # of the world beyond what the camera sees


@dataclass(frozen=True, kw_only=True)
class ActionRecipe:
    """What one clip shows: a pure function of this.

    Attributes:
        label: name of a class of ``CLASSES``.
        split: "train", "validation" or "test": decides over textures and backgrounds.
        size: height and width, pixels, even.
        frames: number of frames; the clip lasts as long, whatever it is.
    """

    label: str
    level: str
    split: str
    seed: tuple[int, ...]
    size: int = 112
    frames: int = FRAMES

    @property
    def fps(self) -> float:
        """Frames a second."""
        return FPS * self.frames / FRAMES


@dataclass(frozen=True, eq=False)
class ActionClip(Shown):
    """A generated clip and its truth; things: one or two, then the restless one if there is one."""

    recipe: ActionRecipe
    group: str
    crf: int


@dataclass(frozen=True, eq=False)
class _Sprite:
    """A texture with its way over the screen: matrices from its pixels to the screen's."""

    rgba_HW4: np.ndarray
    to_screen_T23: np.ndarray

    def paint(self, frame_HW3: np.ndarray, t: int) -> tuple[tuple[slice, slice], np.ndarray] | None:
        """Blends it into the float32 frame; the region it touched and its pixels there."""
        matrix_23 = self.to_screen_T23[t]
        rows, columns = self.rgba_HW4.shape[:2]
        corners_42 = np.array([[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]])
        seen_42 = corners_42 @ matrix_23[:, :2].T + matrix_23[:, 2]
        size = frame_HW3.shape[0]
        x1, y1 = np.clip(np.floor(seen_42.min(0)), 0, size).astype(int)
        x2, y2 = np.clip(np.ceil(seen_42.max(0)) + 1, 0, size).astype(int)
        if x2 <= x1 or y2 <= y1:
            return None
        inner_23 = matrix_23.copy()
        inner_23[:, 2] -= (x1, y1)
        rgba_HW4 = cv2.warpAffine(self.rgba_HW4, inner_23, (int(x2 - x1), int(y2 - y1)))
        where = slice(y1, y2), slice(x1, x2)
        alpha_HW1 = rgba_HW4[..., 3:].astype(np.float32) / 255
        frame_HW3[where] += alpha_HW1 * (rgba_HW4[..., :3] - frame_HW3[where])
        return where, rgba_HW4[..., 3] > 127


def make_action_clip(recipe: ActionRecipe) -> ActionClip:
    """Renders the clip of a recipe."""
    level, action = level_named(recipe.level), CLASSES[recipe.label]
    rng = np.random.default_rng(recipe.seed)
    camera = _camera(level, recipe.frames, rng)
    poses = draw_poses(action, level, recipe.frames, rng)

    low_2, high_2 = _seen_world(camera)
    width, height = np.ceil((high_2 - low_2) * recipe.size).astype(int)
    contrast = rng.uniform(*level.contrast)
    ground = background(recipe.split, int(width), int(height), contrast, rng)
    to_screen_T33 = _to_screen(camera, recipe.size)
    ground_33 = _scaled(1 / recipe.size, low_2)

    def fresh() -> Texture:
        for _ in range(4):  # not of the background's own picture, if there is another
            chosen = texture(recipe.split, int(rng.integers(TEXTURES[recipe.split])))
            if not chosen.name.endswith(ground.name):
                break
        return chosen

    def sprite(one: Texture, matrices_T33: np.ndarray, scale_T: np.ndarray) -> _Sprite:
        rgba_HW4, size = one.nearest(float(scale_T.max() * camera.zoom_T.max() * recipe.size))
        rgba_HW4 = _set_apart(rgba_HW4, one.grey, ground.grey, level.distance, rng)
        centre_2 = -(np.array(rgba_HW4.shape[1::-1]) - 1) / 2 / size
        return _Sprite(rgba_HW4, (matrices_T33 @ _scaled(1 / size, centre_2))[:, :2])

    behind, things, front = [], [], []
    ends = level.size_two
    for _ in range(rng.integers(level.still_things + 1)):
        still = _still(rng.uniform(low_2, high_2), rng.uniform(*ends), recipe.frames, rng)
        behind.append(sprite(fresh(), to_screen_T33 @ _poses_33(still, 0), still.scale_KT[0]))
    names = []
    stage_T33 = to_screen_T33 @ _shift(camera.centre_T2)
    length = level.stage(action.family)
    seen = replace(poses, place_KT2=poses.on_stage(camera.centre_T2, length))
    for k in rng.permutation(len(poses.scale_KT)):  # either may be in front
        one = fresh()
        names.append((k, one.name))
        things.append((k, sprite(one, stage_T33 @ _poses_33(seen, k), poses.scale_KT[k])))
    moving = [_moving(poses, k) for k in range(len(poses.scale_KT))]
    if rng.random() < level.restless:
        restless = _restless(rng.uniform(low_2, high_2), recipe.frames, rng)
        matrices_T33 = to_screen_T33 @ _poses_33(restless, 0)
        things.append((len(moving), sprite(fresh(), matrices_T33, restless.scale_KT[0])))
        moving.append(_moving(restless, 0))
    if rng.random() < level.foreground and np.ptp(camera.centre_T2) > 0:
        edge_2 = np.array([[-0.55, 0.1], [0.55, 0.1], [0.0, 0.6]][rng.integers(3)])
        near = _still(edge_2, rng.uniform(0.35, 0.5), recipe.frames, rng)
        slide_T33 = to_screen_T33 @ _shift(-rng.uniform(0.15, 0.5) * camera.centre_T2)
        front.append(sprite(fresh(), slide_T33 @ _poses_33(near, 0), near.scale_KT[0]))

    blur = rng.uniform(*level.blur) / 1000 * recipe.size
    noise = rng.uniform(*level.noise)
    gain_T = 1 + rng.normal(0, 0.004, recipe.frames)  # exposure never stands quite still
    crf = int(rng.integers(level.crf[0], level.crf[1] + 1))

    side = recipe.size
    video_THW3 = np.empty((recipe.frames, side, side, 3), np.uint8)
    label_THW = np.zeros((recipe.frames, side, side), np.uint8)
    ground_T23 = (to_screen_T33 @ ground_33)[:, :2]
    for t in range(recipe.frames):
        frame_HW3 = cv2.warpAffine(
            ground.rgb_HW3, ground_T23[t], (side, side), borderMode=cv2.BORDER_REFLECT_101
        ).astype(np.float32)
        layers = [*((0, s) for s in behind), *((k + 1, s) for k, s in things)]
        for value, layer in [*layers, *((0, s) for s in front)]:
            touched = layer.paint(frame_HW3, t)
            if touched is not None:
                label_THW[t][touched[0]][touched[1]] = value
        if blur > 0.2:
            frame_HW3 = cv2.GaussianBlur(frame_HW3, (0, 0), blur)
        # Grey noise: most of a sensor's noise is in the luma once it is compressed.
        grain_HW3 = cv2.merge([rng.standard_normal((side, side), np.float32)] * 3)
        cv2.addWeighted(frame_HW3, gain_T[t], grain_HW3, noise, 0, video_THW3[t], cv2.CV_8U)
    group = f"{ground.name}/{min(names)[1]}"
    return ActionClip(video_THW3, label_THW, np.stack(moving, 1), recipe, group, crf)


def _camera(level: Level, frames: int, rng: np.random.Generator) -> CameraPath:
    """A camera's path; as far over the whole clip, whatever its number of frames."""
    path = camera_path(str(rng.choice(level.cameras)), frames, rng)
    pace = level.camera_pace * FRAMES / frames
    return replace(
        path,
        centre_T2=path.centre_T2 * pace,
        zoom_T=path.zoom_T**pace,
        angle_T=path.angle_T * pace,
    )


def _seen_world(camera: CameraPath) -> tuple[np.ndarray, np.ndarray]:
    """The corner points, in sides, of the world that is ever seen."""
    corners_42 = 0.5 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    to_screen_T23 = camera.world_to_screen()
    linear_T22 = np.linalg.inv(to_screen_T23[:, :, :2])
    at_T42 = np.einsum("tij,tkj->tki", linear_T22, corners_42 - to_screen_T23[:, None, :, 2])
    points_P2 = at_T42.reshape(-1, 2)
    return points_P2.min(0) - _EDGE, points_P2.max(0) + _EDGE


def _to_screen(camera: CameraPath, size: int) -> np.ndarray:
    """Matrices ``(T, 3, 3)`` from the world, in sides, to pixels."""
    return _scaled(size, np.full(2, size / 2 - 0.5)) @ _homogeneous(camera.world_to_screen())


def _homogeneous(matrix_T23: np.ndarray) -> np.ndarray:
    below_T13 = np.broadcast_to([[[0.0, 0.0, 1.0]]], (len(matrix_T23), 1, 3))
    return np.concatenate([matrix_T23, below_T13], 1)


def _scaled(scale: float, shift_2: np.ndarray) -> np.ndarray:
    return np.array([[scale, 0, shift_2[0]], [0, scale, shift_2[1]], [0, 0, 1.0]])


def _shift(shift_T2: np.ndarray) -> np.ndarray:
    matrix_T33 = np.tile(np.eye(3), (len(shift_T2), 1, 1))
    matrix_T33[:, :2, 2] = shift_T2
    return matrix_T33


def _poses_33(poses: Poses, k: int) -> np.ndarray:
    """Matrices ``(T, 3, 3)`` from thing k (unit area, centred) to the stage."""
    scale_T, angle_T = poses.scale_KT[k], poses.angle_KT[k]
    matrix_T33 = _shift(poses.place_KT2[k])
    matrix_T33[:, 0, 0] = matrix_T33[:, 1, 1] = scale_T * np.cos(angle_T)
    matrix_T33[:, 1, 0] = scale_T * np.sin(angle_T)
    matrix_T33[:, 0, 1] = -matrix_T33[:, 1, 0]
    return matrix_T33


def _still(place_2: np.ndarray, scale: float, frames: int, rng: np.random.Generator) -> Poses:
    return Poses(
        np.tile(place_2, (1, frames, 1)),
        np.zeros((frames, 2)),
        np.full((1, frames), scale),
        np.full((1, frames), rng.uniform(0, 2 * np.pi)),
    )


def _restless(place_2: np.ndarray, frames: int, rng: np.random.Generator) -> Poses:
    """A small thing that jitters around its place."""
    still = _still(place_2, rng.uniform(0.06, 0.10), frames, rng)
    return replace(still, place_KT2=still.place_KT2 + rng.normal(0, 0.012, (1, frames, 2)))


def _moving(poses: Poses, k: int) -> np.ndarray:
    """Bool (T,): whether thing k moves against the background just before or just after t."""
    points_P2 = np.array([[0, 0, 1], [0.5, 0, 1], [-0.5, 0, 1], [0, 0.5, 1], [0, -0.5, 1]])
    placed = replace(poses, place_KT2=poses.place_KT2 + poses.anchor_T2)
    place_TP2 = (_poses_33(placed, k) @ points_P2.T)[:, :2].transpose(0, 2, 1)
    step_T = np.linalg.norm(np.diff(place_TP2, axis=0), axis=2).max(1)
    fast_T = np.concatenate([[False], step_T * len(place_TP2) / FRAMES >= _MOVING, [False]])
    return fast_T[:-1] | fast_T[1:]


def _set_apart(
    rgba_HW4: np.ndarray, grey: float, ground: float, distance: float, rng: np.random.Generator
) -> np.ndarray:
    """Shifts a texture's grey value so that it differs from the ground's by ``distance``."""
    sides = [s for s in (-1.0, 1.0) if 35 <= ground + s * distance <= 220] or [
        np.sign(127 - ground)
    ]
    target = grey
    if abs(grey - ground) < distance:
        target = ground + rng.choice(sides) * distance
    rgb_HW3 = cv2.add(rgba_HW4[..., :3], np.full((*rgba_HW4.shape[:2], 3), target - grey), dtype=0)
    return np.dstack([rgb_HW3, rgba_HW4[..., 3]])
