"""The plan of a clip: which frames of a file and which crops of them, made before any is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mofo.clips.motion_map import box_map, field_map
from mofo.clips.transforms import Geometry, MotionCrop
from mofo.datasets.video import Video
from mofo.types import TokenGrid, VideoError
from mofo.video.index import FrameIndex


class FrameMotion(NamedTuple):
    """Motion in all frames that a clip spans.

    Attributes:
        box_F4: float32, pixels of the upright frame: the box around what moves.
        valid_F: bool, whether anything moves in the frame.
        field_Fyx: uint8, how much of each cell of a grid over the upright frame moves, 0 to 255;
            None: what the boxes cover.
    """

    box_F4: np.ndarray
    valid_F: np.ndarray
    field_Fyx: np.ndarray | None = None

    @classmethod
    def nowhere(cls, span: range) -> FrameMotion:
        """No motion in any frame."""
        return cls(np.zeros((len(span), 4), np.float32), np.zeros(len(span), bool))

    @classmethod
    def everywhere(cls, box_4: Sequence[float] | np.ndarray, span: range) -> FrameMotion:
        """The same box in every frame."""
        box_F4 = np.tile(np.asarray(box_4, np.float32), (len(span), 1))
        return cls(box_F4, np.ones(len(span), bool))


class ClipMotion(NamedTuple):
    """Motion in the frames of a clip; see ``ClipSample`` for the names."""

    box_T4: np.ndarray
    valid_T: np.ndarray
    motion_tyx: np.ndarray


@dataclass(frozen=True, eq=False)
class ClipPlan:
    """What is read for one clip, or for several clips of the same frames.

    Attributes:
        frame_T: int64 frame numbers in the file, never falling.
        crops: where the pixels come from, one for each clip; around what moves it is only known
            with the motion (``settled``).
        frame_size: ``(width, height)`` of the upright frames, pixels.
    """

    frame_T: np.ndarray
    crops: tuple[Geometry | MotionCrop, ...]
    grid: TokenGrid
    frame_size: tuple[int, int]

    @property
    def span(self) -> range:
        """Numbers of all frames from the first to the last one, those left out among them."""
        return range(int(self.frame_T[0]), int(self.frame_T[-1]) + 1)

    @property
    def needs_motion(self) -> bool:
        """Whether a crop follows from the motion."""
        return any(isinstance(crop, MotionCrop) for crop in self.crops)

    def settled(self, motion: FrameMotion) -> ClipPlan:
        """The same with all crops known."""
        boxes = motion.box_F4, motion.valid_F, self.frame_size
        crops = (c.geometry(*boxes) if isinstance(c, MotionCrop) else c for c in self.crops)
        return replace(self, crops=tuple(crops))

    @property
    def geometries(self) -> tuple[Geometry, ...]:
        """The crops of a plan that needs no motion, or has it already."""
        return tuple(crop for crop in self.crops if isinstance(crop, Geometry))

    def motion(self, crop: Geometry, motion: FrameMotion) -> ClipMotion:
        """Motion of the whole span as the frames of a clip show it through a crop.

        Each frame has the motion from it up to the next one of the clip, so that the frames left
        out between them count, too.
        """
        start_T = self.frame_T - self.frame_T[0]
        boxes = motion.box_F4, motion.valid_F
        if motion.field_Fyx is not None:
            map_tyx = field_map(motion.field_Fyx, self.frame_size, crop, start_T, self.grid)
        else:
            map_tyx = box_map(*boxes, crop, start_T, self.grid)
        # Cut to the crop first, frame by frame: the hull of what is seen, not what is seen of it.
        return ClipMotion(*hulls(*crop.boxes(*boxes), start_T), map_tyx)


Planner = Callable[[Video, FrameIndex], ClipPlan]
"""Plans a clip of a video from what is known of its file; the same plan for the same arguments."""


def frames_of(video: Video, index: FrameIndex) -> tuple[int, int]:
    """The frames of a video that count, ``(first, stop)``; at least one."""
    start, stop = index.segment(video.start, video.end)
    if start >= stop:
        end = index.seconds_T[-1] - index.seconds_T[0]
        raise VideoError(
            video.path,
            f"no frame from {video.start or 0:g} s to {video.end or end:g} s: its last one is "
            f"at {end:g} s",
        )
    return start, stop


def hulls(
    box_F4: np.ndarray, valid_F: np.ndarray, start_T: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Box around the boxes of each run of frames that begins at ``start_T``.

    Args:
        box_F4: float32, all frames from the first to the last one of a clip.
        valid_F: bool; other boxes do not count.
        start_T: int64, never falling: the run ``t`` goes on up to ``start_T[t + 1]``, the last
            one to the end; it holds its own frame at least.

    Returns:
        float32 ``(T, 4)``, zeros where not valid, and bool ``(T,)``: any box there.
    """
    low_F2 = np.where(valid_F[:, None], box_F4[:, :2], np.inf)
    high_F2 = np.where(valid_F[:, None], box_F4[:, 2:], -np.inf)
    # Where two runs begin at the same frame, reduceat gives that frame alone.
    box_T4 = np.concatenate(
        [np.minimum.reduceat(low_F2, start_T), np.maximum.reduceat(high_F2, start_T)], 1
    )
    valid_T = np.isfinite(box_T4[:, 0])
    return np.where(valid_T[:, None], box_T4, 0).astype(np.float32), valid_T
