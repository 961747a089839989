"""Generated clips with exact truth: cut-outs of real texture move over real photographs.

Every clip is a pure function of its ``ClipRecipe`` (which holds the seed). It is written as a real
H.264 or VP9 file, so that a test of the motion areas exercises the whole path from the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from generated.depth import DepthScene
from generated.photographs import photographs
from generated.ways import Trajectory, follow_path, trajectory
from mofo.synth.camera_path import CameraPath, camera_path, wander
from mofo.synth.cutouts import Cutout, Shown, cut_out
from mofo.video.writer import VideoWriter

# A mover counts as moving in a frame when it is this fast against the background just before or
# just after it, in short sides a frame: a fifth of a pixel at 240.
MOVING_SPEED = 0.2 / 240


@dataclass(frozen=True, kw_only=True)
class ClipRecipe:
    """What a generated clip shows.

    Attributes:
        seed: everything random follows from it.
        camera: one of ``camera_path.CAMERAS`` or ``ways.SCENES``; "handheld" has a second, nearer
            background layer, "follow" keeps the first mover near the middle (and has at least one),
            "depth" moves through a scene with a wall, a ground and things that stand on it.
        movers: number of moving cut-outs, 0 to 3.
        area: range of one mover's area as a share of the frame, drawn evenly in log.
        pauses: movers may stand still for part of the clip.
        width, height, frames, fps: of the video.
        split: photographs to use, see ``photographs``.
        noise: standard deviation of the sensor noise in grey levels.
    """

    seed: int
    camera: str = "static"
    movers: int = 1
    area: tuple[float, float] = (0.02, 0.40)
    pauses: bool = False
    width: int = 320
    height: int = 240
    frames: int = 48
    fps: int = 25
    split: str = "all"
    noise: float = 2.0


@dataclass(frozen=True, eq=False)
class SyntheticClip(Shown):
    """A generated clip and its truth; things are its movers."""

    recipe: ClipRecipe

    def moving_mask(self) -> np.ndarray:
        """Bool ``(T, H, W)``: pixels of cut-outs that move in that frame."""
        frames = len(self.moving_TK)
        table_TL = np.concatenate([np.zeros((frames, 1), bool), self.moving_TK], 1)
        return np.stack([table_TL[t][self.label_THW[t]] for t in range(frames)])


def make_clip(recipe: ClipRecipe) -> SyntheticClip:
    """Renders the clip of a recipe."""
    rng = np.random.default_rng([recipe.seed, 20230812])
    photos = photographs(recipe.split)
    order = rng.permutation(len(photos))
    if recipe.camera == "depth":
        return _depth_clip([photos[k] for k in order], recipe, rng)
    followed = _followed(recipe, rng) if recipe.camera == "follow" else None
    if followed is None:
        path = camera_path(recipe.camera, recipe.frames, rng)
    else:
        half_2 = np.array([recipe.width, recipe.height]) / min(recipe.width, recipe.height) / 2
        path = follow_path(followed.position_T2, half_2, rng)
    background = _Background.around(photos[order[0]], path, recipe, rng)
    layers: list[_Layer] = []
    if recipe.camera == "handheld":
        layers.append(_near_layer(photos[order[1 % len(order)]], path, recipe, rng))
    movers = []
    for k in range(recipe.movers):
        photo_HW3 = photos[order[(2 + k) % len(order)]]
        if followed is not None and k == 0:
            movers.append(_place(cut_out(photo_HW3, rng), followed, path, recipe))
        else:
            movers.append(_mover(photo_HW3, path, recipe, rng))
    gain_T = 1 + rng.normal(0, 0.004, recipe.frames)  # exposure never stands quite still

    shape = (recipe.frames, recipe.height, recipe.width)
    video_THW3, label_THW = np.empty((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    for t in range(recipe.frames):
        frame_HW3 = background.render(t)
        for layer in layers:
            layer.paint(frame_HW3, t)
        for k, mover in enumerate(movers):
            label_THW[t][mover.paint(frame_HW3, t)] = k + 1
        frame_HW3 *= gain_T[t]
        if recipe.noise:
            frame_HW3 += _noise(recipe, rng)
        video_THW3[t] = np.clip(frame_HW3 + 0.5, 0, 255)
    moving_TK = (
        np.stack([m.moving() for m in movers], 1) if movers else np.zeros((recipe.frames, 0), bool)
    )
    return SyntheticClip(video_THW3, label_THW, moving_TK, recipe)


def _followed(recipe: ClipRecipe, rng: np.random.Generator) -> Trajectory:
    """The way of what the camera follows: 2 to 12 pixels a frame at a short side of 240."""
    frames, s_T = recipe.frames, np.arange(recipe.frames)
    share = np.exp(rng.uniform(*np.log(recipe.area)))
    size = np.sqrt(share * recipe.width * recipe.height) / min(recipe.width, recipe.height)
    speed = np.exp(rng.uniform(np.log(0.008), np.log(0.05)))
    heading_T = rng.uniform(0, 2 * np.pi) + rng.uniform(-0.02, 0.02) * s_T
    phase = s_T / frames * rng.uniform(0.5, 2) + rng.random()
    pace_T1 = speed * (1 + 0.3 * np.sin(2 * np.pi * phase))[:, None]
    position_T2 = np.cumsum(pace_T1 * np.stack([np.cos(heading_T), np.sin(heading_T)], 1), 0)
    position_T2 += wander(frames, 0.01, 5, rng)
    spin, growth = (
        rng.choice([0, rng.uniform(-0.02, 0.02)]),
        rng.choice([0, rng.uniform(-6e-3, 6e-3)]),
    )
    return Trajectory(
        position_T2 - position_T2[frames // 2],
        rng.uniform(0, 2 * np.pi) + spin * s_T,
        size * np.exp(growth * (s_T - frames // 2)),
    )


def _depth_clip(
    photos: list[np.ndarray], recipe: ClipRecipe, rng: np.random.Generator
) -> SyntheticClip:
    size = (recipe.width, recipe.height)
    scene = DepthScene(photos, size, recipe.frames, recipe.movers, recipe.area, rng)
    gain_T = 1 + rng.normal(0, 0.004, recipe.frames)
    frames, labels = [], []
    for t in range(recipe.frames):
        frame_HW3, label_HW = scene.render(t)
        frame_HW3 = frame_HW3 * np.float32(gain_T[t]) + _noise(recipe, rng)
        frames.append(np.clip(frame_HW3 + 0.5, 0, 255).astype(np.uint8))
        labels.append(label_HW)
    moving_TK = np.ones((recipe.frames, recipe.movers), bool)
    return SyntheticClip(np.stack(frames), np.stack(labels), moving_TK, recipe)


def write_clip(clip: SyntheticClip, path: str | Path, *, crf: int = 23) -> Path:
    """Writes the video; the suffix decides the codec (.mp4: H.264, .webm: VP9)."""
    path = Path(path)
    with VideoWriter(path, fps=clip.recipe.fps, crf=crf) as writer:
        for frame_HW3 in clip.video_THW3:
            writer.write(frame_HW3)
    return path


def _noise(recipe: ClipRecipe, rng: np.random.Generator) -> np.ndarray:
    # Grey noise (H, W, 1): most of the sensor's noise is in the luma once it is compressed.
    return recipe.noise * rng.standard_normal((recipe.height, recipe.width, 1), np.float32)


def _screen_matrix(recipe: ClipRecipe) -> np.ndarray:
    """Similarity (3, 3) from screen units (short sides, centred) to pixel centres."""
    short = min(recipe.width, recipe.height)
    return np.array(
        [[short, 0, recipe.width / 2 - 0.5], [0, short, recipe.height / 2 - 0.5], [0, 0, 1.0]]
    )


def _square(matrix_23: np.ndarray) -> np.ndarray:
    return np.vstack([matrix_23, [0, 0, 1]])


@dataclass(frozen=True, eq=False)
class _Background:
    photo_HW3: np.ndarray
    to_screen_T23: np.ndarray
    size: tuple[int, int]

    @classmethod
    def around(
        cls, photo_HW3: np.ndarray, path: CameraPath, recipe: ClipRecipe, rng: np.random.Generator
    ) -> _Background:
        """Lays the photograph so that no frame of the path looks past its borders."""
        short = min(recipe.width, recipe.height)
        world_T23 = path.world_to_screen()
        half_2 = np.array([recipe.width, recipe.height]) / short / 2
        corners_42 = half_2 * [[-1, -1], [1, -1], [1, 1], [-1, 1]]
        # Screen corners seen from the world, for every frame: the ground that is needed.
        seen = []
        for matrix_23 in world_T23:
            inverse_33 = np.linalg.inv(_square(matrix_23))
            seen.append(corners_42 @ inverse_33[:2, :2].T + inverse_33[:2, 2])
        ground_P2 = np.concatenate(seen)
        low_2, high_2 = ground_P2.min(0) - 0.02, ground_P2.max(0) + 0.02
        if rng.random() < 0.5:
            photo_HW3 = photo_HW3[:, ::-1]
        rows, columns = photo_HW3.shape[:2]
        scale = max((high_2 - low_2) * short / [columns, rows])  # screen pixels a photo pixel
        scale = max(scale, min(1.0, scale * 2))
        photo_HW3 = cv2.resize(
            photo_HW3,
            None,
            fx=scale,
            fy=scale,
            interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC,
        )
        room_2 = np.array(photo_HW3.shape[1::-1]) / short - (high_2 - low_2)
        corner_2 = low_2 - rng.random(2) * np.maximum(
            room_2, 0
        )  # world place of the photo's corner
        to_world_33 = np.array(
            [[1 / short, 0, corner_2[0]], [0, 1 / short, corner_2[1]], [0, 0, 1]]
        )
        screen_33 = _screen_matrix(recipe)
        to_screen = [(screen_33 @ _square(m) @ to_world_33)[:2] for m in world_T23]
        return cls(
            np.ascontiguousarray(photo_HW3), np.stack(to_screen), (recipe.width, recipe.height)
        )

    def render(self, t: int) -> np.ndarray:
        frame_HW3 = cv2.warpAffine(
            self.photo_HW3,
            self.to_screen_T23[t],
            self.size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return frame_HW3.astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A cut-out with its way over the screen."""

    cutout: Cutout
    to_screen_T23: np.ndarray  # from cut-out pixels to screen pixels
    way: Trajectory
    path: CameraPath

    def paint(self, frame_HW3: np.ndarray, t: int) -> np.ndarray:
        """Blends the cut-out into the float32 frame; returns its pixels, bool (H, W)."""
        size = frame_HW3.shape[1::-1]
        matrix_23 = self.to_screen_T23[t]
        rgb_HW3 = cv2.warpAffine(
            self.cutout.rgb_HW3,
            matrix_23,
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        alpha_HW1 = cv2.warpAffine(self.cutout.alpha_HW, matrix_23, size)[..., None] / np.float32(
            255
        )
        frame_HW3 += alpha_HW1 * (rgb_HW3 - frame_HW3)
        return alpha_HW1[..., 0] > 0.5

    def moving(self) -> np.ndarray:
        """Bool (T,): faster than ``MOVING_SPEED`` against the background before or after t."""
        points_P2 = np.array([[0, 0], [0.4, 0], [-0.4, 0], [0, 0.4], [0, -0.4]])
        pose_T23 = self.way.to_world()
        place_TP2 = (
            np.einsum("tij,pj->tpi", pose_T23[:, :, :2], points_P2) + pose_T23[:, None, :, 2]
        )
        step_T = np.linalg.norm(np.diff(place_TP2, axis=0), axis=2).mean(1) * self.path.zoom_T[1:]
        fast_T = np.concatenate([[False], step_T >= MOVING_SPEED, [False]])
        return fast_T[:-1] | fast_T[1:]


def _place(
    cutout: Cutout, way: Trajectory, path: CameraPath, recipe: ClipRecipe, depth: float = 0.0
) -> _Layer:
    rows, columns = cutout.alpha_HW.shape
    unit = 1 / cutout.size  # the cut-out's shape gets area 1
    to_unit_33 = np.array(
        [[unit, 0, -unit * (columns - 1) / 2], [0, unit, -unit * (rows - 1) / 2], [0, 0, 1]]
    )
    screen_33 = _screen_matrix(recipe)
    chain = zip(path.world_to_screen(depth), way.to_world(), strict=True)
    to_screen = [(screen_33 @ _square(c) @ _square(w) @ to_unit_33)[:2] for c, w in chain]
    return _Layer(cutout, np.stack(to_screen), way, path)


def _near_layer(
    photo_HW3: np.ndarray, path: CameraPath, recipe: ClipRecipe, rng: np.random.Generator
) -> _Layer:
    """A large still thing in the foreground (a quarter to a third of the frame, at an edge)."""
    half_2 = np.array([recipe.width, recipe.height]) / min(recipe.width, recipe.height) / 2
    side = rng.integers(3)  # left, right or below
    edge_2 = np.array([[-1, 0.3], [1, 0.3], [0, 1]][side]) * half_2
    still = np.ones(recipe.frames)
    size = np.sqrt(rng.uniform(0.45, 0.7) * 4 * half_2.prod())
    way = Trajectory(
        edge_2 + np.zeros((recipe.frames, 2)), rng.uniform(0, 6.3) * still, size * still
    )
    return _place(cut_out(photo_HW3, rng, 256), way, path, recipe, depth=rng.uniform(0.15, 0.5))


def _mover(
    photo_HW3: np.ndarray, path: CameraPath, recipe: ClipRecipe, rng: np.random.Generator
) -> _Layer:
    """A moving cut-out that is well in view for most of the clip."""
    half_2 = np.array([recipe.width, recipe.height]) / min(recipe.width, recipe.height) / 2
    low, high = np.log(recipe.area)
    size = np.sqrt(np.exp(rng.uniform(low, high)) * 4 * half_2.prod())
    cutout = cut_out(photo_HW3, rng)
    best: tuple[float, Trajectory] | None = None
    camera_T23 = path.world_to_screen()
    for _ in range(30):
        start_2 = rng.uniform(-0.8, 0.8, 2) * half_2 + path.centre_T2[recipe.frames // 2]
        way = trajectory(start_2, size, recipe.frames, rng, pauses=recipe.pauses)
        screen_T2 = (
            np.einsum("tij,tj->ti", camera_T23[:, :, :2], way.position_T2) + camera_T23[:, :, 2]
        )
        inside = float((np.abs(screen_T2) < half_2 - 0.25 * min(size, 1)).all(1).mean())
        if best is None or inside > best[0]:
            best = inside, way
        if inside > 0.85:
            break
    assert best is not None
    return _place(cutout, best[1], path, recipe)
