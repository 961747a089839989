"""Shared types: boxes and motion areas, error classes, and the legend of shape letters.

Shape letters used as name suffixes all over the package:
    B batch   T frames   C channels   H, W pixels (rows, columns)
    t h w token grid     N = t*h*w tokens   P = h*w positions   V visible tokens   D width
    K boxes   4 = (x1, y1, x2, y2)

Conventions: pixels, x right, y down, origin at the top-left corner of the top-left pixel. A box is
``(x1, y1, x2, y2)``, half-open, so its width is ``x2 - x1``. All boxes are float32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class MofoError(Exception):
    """A mistake that a user can mend. The message is one line: what, where, what to do."""


class VideoError(MofoError):
    """A video that cannot be used.

    Attributes:
        path: the file, as the user named it.
        reason: why, in one line, without the file's name.
    """

    def __init__(self, path: object, reason: str) -> None:
        self.path = str(path)
        self.reason = " ".join(reason.split())
        super().__init__(f"{self.path}: {self.reason}")

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str]]:
        # Exceptions cross process borders; the default would call VideoError(message).
        return type(self), (self.path, self.reason)


class SettingsError(MofoError, ValueError):
    """An option with an impossible value or an unknown name.

    It is a ``ValueError``, so that pydantic collects it with all other mistakes.
    """


class StoreError(MofoError):
    """A store of motion areas that cannot be read, or that holds something else."""


@dataclass(frozen=True)
class TokenGrid:
    """How a clip is cut into tokens: blocks of ``tubelet`` frames by ``patch`` x ``patch`` pixels.

    Token ``n`` of ``N`` counts with x fastest, then y, then time: ``n = (t * h + y) * w + x``. A
    *position* is one place ``y * w + x`` of the frame, the same through time.

    Attributes:
        frames, height, width: size of the clip in frames and pixels.
        tubelet: frames in a token.
        patch: pixels along each side of a token.

    Raises:
        SettingsError: a size is not a positive whole number, or not a multiple of its token's.
    """

    frames: int
    height: int
    width: int
    tubelet: int = 2
    patch: int = 16

    def __post_init__(self) -> None:
        pairs = (
            ("frames", self.frames, "tubelet", self.tubelet),
            ("height", self.height, "patch", self.patch),
            ("width", self.width, "patch", self.patch),
        )
        numbers = {name: size for pair in pairs for name, size in (pair[:2], pair[2:])}
        problems = [
            f"{name} {size} is not a whole number above 0"
            for name, size in numbers.items()
            if not isinstance(size, int) or isinstance(size, bool) or size < 1
        ] or [
            f"{name} {size} is not a multiple of {unit_name} {unit}"
            for name, size, unit_name, unit in pairs
            if size % unit
        ]
        if problems:
            raise SettingsError("token grid: " + "; ".join(problems))

    @property
    def t(self) -> int:
        """Time slots."""
        return self.frames // self.tubelet

    @property
    def h(self) -> int:
        """Rows of tokens."""
        return self.height // self.patch

    @property
    def w(self) -> int:
        """Columns of tokens."""
        return self.width // self.patch

    @property
    def positions(self) -> int:
        """P, tokens in one time slot."""
        return self.h * self.w

    @property
    def tokens(self) -> int:
        """N, tokens in the clip."""
        return self.t * self.positions


class ClipBox(NamedTuple):
    """One box for a stretch of frames, or none.

    ``box_4`` is float32 ``(x1, y1, x2, y2)`` in pixels; all zeros when ``valid`` is False.
    """

    box_4: np.ndarray
    valid: bool


def hull(boxes_K4: np.ndarray) -> ClipBox:
    """The smallest box around ``boxes_K4`` (pixels); not valid when there are none."""
    boxes_K4 = np.asarray(boxes_K4, np.float32).reshape(-1, 4)
    if len(boxes_K4) == 0:
        return ClipBox(np.zeros(4, np.float32), False)
    box_4 = np.concatenate([boxes_K4[:, :2].min(0), boxes_K4[:, 2:].max(0)])
    return ClipBox(box_4.astype(np.float32), True)


@dataclass(frozen=True, eq=False)
class MotionArea:
    """Where things move in one video: per frame, one box and the single movers inside it.

    "No motion in this frame" is a state of its own (``valid_T[t]`` False, box all zeros), never an
    invented box.

    Attributes:
        width, height: size in pixels of the full-resolution upright frame (rotation metadata
            applied) that the boxes refer to.
        frame_T: int64, index of each frame in the file, counted from 0 in display order.
        time_T: float64, presentation time of each frame in seconds.
        box_T4: float32, box around everything that moves; zeros where not valid.
        valid_T: bool, whether anything moves in the frame.
        movers: one float32 ``(K, 4)`` array per frame: a box for each mover. Their hull is the
            frame's box; K = 0 where not valid.
        cuts: frame positions (indices into the arrays) at which a new shot begins, without 0.
        field_Tyx: uint8, the motion field: how much of each cell of a grid over the frame moves by
            itself, 0 (nothing) to 255 (all of it); None where none was made.
        flow: name of the flow backend that was really used ("dis", "codec" ...).
        warnings: one line each: what was found wrong with the file but did not stop the work.
    """

    width: int
    height: int
    frame_T: np.ndarray
    time_T: np.ndarray
    box_T4: np.ndarray
    valid_T: np.ndarray
    movers: tuple[np.ndarray, ...]
    cuts: tuple[int, ...] = ()
    flow: str = ""
    warnings: tuple[str, ...] = field(default=())
    field_Tyx: np.ndarray | None = None

    def __post_init__(self) -> None:
        frames = len(self.frame_T)
        sizes = (len(self.time_T), len(self.box_T4), len(self.valid_T), len(self.movers))
        if any(size != frames for size in sizes):
            raise ValueError(
                f"MotionArea: {frames} frames, but times, boxes, valid, movers have {sizes}"
            )
        field_Tyx = self.field_Tyx
        if field_Tyx is not None and (
            field_Tyx.dtype != np.uint8 or field_Tyx.ndim != 3 or len(field_Tyx) != frames
        ):
            raise ValueError(
                f"MotionArea: field is {field_Tyx.dtype} {field_Tyx.shape}, expected uint8 "
                f"({frames}, rows, columns)"
            )

    def __len__(self) -> int:
        return len(self.frame_T)

    def union(self, start: int = 0, stop: int | None = None) -> ClipBox:
        """One box around all motion in frames ``start`` (included) to ``stop`` (excluded)."""
        rows = slice(start, stop)
        return hull(self.box_T4[rows][self.valid_T[rows]])

    def tokens(
        self, grid: TokenGrid, frame_T: np.ndarray, crop_4: np.ndarray | None = None
    ) -> np.ndarray:
        """How much of each token of a clip moves by itself: means of the motion field.

        A token's motion is that of its part of the frame in all frames from its first one up to
        the first one of the next tubelet, so that frames left out between them count, too.

        Args:
            grid: tokens of the clip.
            frame_T: positions of the clip's ``grid.frames`` frames in this area, never falling.
            crop_4: ``(x1, y1, x2, y2)`` in pixels, what of the frame the clip shows; all if None.

        Returns:
            float32 ``(t, h, w)``, 0 to 1.

        Raises:
            ValueError: there is no field, or another number of frames.
        """
        if self.field_Tyx is None or len(frame_T) != grid.frames:
            raise ValueError(
                f"MotionArea: {len(frame_T)} frames for a clip of {grid.frames}"
                if self.field_Tyx is not None
                else "MotionArea: it has no motion field"
            )
        frame_T = np.asarray(frame_T, np.int64)
        first, last = int(frame_T[0]), int(frame_T[-1])
        starts_t = frame_T[:: grid.tubelet] - first
        stops_t = np.append(starts_t[1:], last + 1 - first)
        stops_t = np.maximum(stops_t, starts_t + 1)  # a frame that is shown again
        sums_Tyx = np.cumsum(self.field_Tyx[first : last + 1], 0, dtype=np.float64)
        sums_Tyx = np.concatenate([np.zeros_like(sums_Tyx[:1]), sums_Tyx])
        mean_tyx = sums_Tyx[stops_t] - sums_Tyx[starts_t]
        mean_tyx /= (stops_t - starts_t)[:, None, None] * 255.0
        x1, y1, x2, y2 = (0, 0, self.width, self.height) if crop_4 is None else crop_4
        rows, columns = self.field_Tyx.shape[1:]
        down_hy = _shares(np.linspace(y1, y2, grid.h + 1) / self.height * rows, rows)
        across_wx = _shares(np.linspace(x1, x2, grid.w + 1) / self.width * columns, columns)
        return (down_hy @ mean_tyx @ across_wx.T).astype(np.float32)


def _shares(edges: np.ndarray, cells: int) -> np.ndarray:
    """Weight of each of ``cells`` cells in the means between ``edges``, in cells, (N, cells)."""
    inner = np.clip(edges[:, None] - np.arange(cells), 0, 1)
    return np.diff(inner, axis=0) / np.maximum(np.diff(edges), 1e-9)[:, None]


@dataclass(frozen=True, eq=False)
class ClipSample:
    """One clip and its motion area: frames and boxes went through the same crop, resize and flip.

    Attributes:
        frames_THWC: uint8 RGB.
        box_T4: float32, pixels of ``frames_THWC``. Each frame's box is the hull of the motion from
            this frame up to the next one of the clip, so that the frames left out between them
            count, too; zeros where not valid.
        valid_T: bool, whether anything moves there, inside the crop.
        noise_N: float32 in [0, 1), one value a token, from the sample's own generator; it decides
            the mask.
        index: row of the catalog.
        path: the file.
        start: number of the clip's first frame in the file.
        failures: ``(path, reason)`` of each video that was drawn first but could not be used.
        motion_tyx: uint8, how much of each cell of the frames moves, 0 (nothing) to 255 (all of
            it), mean over the frames of each time slot and those left out between them; several
            cells a token, see ``clips.motion_map``. None: only boxes are known.
    """

    frames_THWC: np.ndarray
    box_T4: np.ndarray
    valid_T: np.ndarray
    noise_N: np.ndarray
    index: int
    path: str
    start: int
    failures: tuple[tuple[str, str], ...] = ()
    motion_tyx: np.ndarray | None = None
