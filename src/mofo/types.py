"""Shared types: boxes and motion areas, error classes, and the legend of shape letters.

Shape letters used as name suffixes all over the package:
    B batch   T frames   C channels   H, W pixels (rows, columns)
    t h w token grid     N = t*h*w tokens   P = h*w positions   V visible tokens   D width
    K boxes   4 = (x1, y1, x2, y2)

Conventions: pixels, x right, y down, origin at the top-left corner of the top-left pixel. A box is
``(x1, y1, x2, y2)``, half-open, so its width is ``x2 - x1``. All boxes are float32.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, overload

import numpy as np

# What methods of results leave to rooms on the right, imported when one is called. Nothing else
# imports to the right; tests/test_rooms.py holds both.
LATER = {
    "html": "mofo.report.notebook",
    "plot_area": "mofo.report.notebook",
    "show_area": "mofo.report.notebook",
    "to_coco": "mofo.motion.exports.coco",
    "to_detections": "mofo.motion.exports.detections",
}


def _later(name: str, *given: Any, **options: Any) -> Any:
    return getattr(importlib.import_module(LATER[name]), name)(*given, **options)


class MofoError(Exception):
    """A mistake that a user can mend. The message is one line: what, where, what to do."""


class StoppedError(MofoError):
    """Stopped by SIGTERM or SIGUSR1: what is finished is kept, and the same command goes on."""


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


class Displayed:
    """A result that a notebook shows as a picture."""

    def _repr_html_(self) -> str:
        return str(_later("html", self))


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


class FrameArea(NamedTuple):
    """Where things move in one frame; see ``MotionArea``.

    ``frame`` is its number in the file, ``time`` in seconds, ``field_yx`` None where none was made.
    """

    frame: int
    time: float
    valid: bool
    box_4: np.ndarray
    movers_K4: np.ndarray
    field_yx: np.ndarray | None


@dataclass(frozen=True, eq=False, repr=False)
class MotionArea(Displayed):
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
        spans: only these were looked at, seconds since the first frame; none: all.
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
    spans: tuple[tuple[float, float], ...] = ()

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

    def __repr__(self) -> str:
        name = f"MotionArea: {len(self)} frames of {self.width}x{self.height}"
        if not len(self):
            return name
        field_Tyx = self.field_Tyx
        grid = "" if field_Tyx is None else f", field of {field_Tyx.shape[1]}x{field_Tyx.shape[2]}"
        x1, y1, x2, y2 = self.union().box_4.round().astype(int).tolist()
        return (
            f"{name}, {self.time_T[0]:.2f} to {self.time_T[-1]:.2f} s, flow {self.flow}{grid}\n"
            f"motion in {100 * self.valid_T.mean():.0f} % of the frames, all of it within "
            f"({x1}, {y1}, {x2}, {y2}); {len(self.cuts)} cuts, {len(self.warnings)} warnings"
        )

    @overload
    def __getitem__(self, index: int) -> FrameArea: ...
    @overload
    def __getitem__(self, index: slice) -> MotionArea: ...
    def __getitem__(self, index: int | slice) -> FrameArea | MotionArea:
        """One frame, by its position in the area; or the area of several in a row."""
        field_Tyx = self.field_Tyx
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError("MotionArea: slices have a step of 1")
            return replace(
                self,
                frame_T=self.frame_T[index],
                time_T=self.time_T[index],
                box_T4=self.box_T4[index],
                valid_T=self.valid_T[index],
                movers=self.movers[index],
                cuts=tuple(cut - start for cut in self.cuts if start < cut < stop),
                field_Tyx=None if field_Tyx is None else field_Tyx[index],
            )
        t = range(len(self))[index]  # counts from the end, and raises IndexError
        return FrameArea(
            int(self.frame_T[t]),
            float(self.time_T[t]),
            bool(self.valid_T[t]),
            self.box_T4[t],
            self.movers[t],
            None if field_Tyx is None else field_Tyx[t],
        )

    def __iter__(self) -> Iterator[FrameArea]:
        return (self[t] for t in range(len(self)))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON: size, flow, cuts, and of each frame its box and movers."""
        frames = [
            {
                "frame": one.frame,
                "time": one.time,
                "box": one.box_4.tolist() if one.valid else None,
                "movers": one.movers_K4.tolist(),
            }
            for one in self
        ]
        about = {name: getattr(self, name) for name in ("width", "height", "flow")}
        return {**about, "cuts": [*self.cuts], "warnings": [*self.warnings], "frames": frames}

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a row a frame: frame, time, valid, x1 ... y2, movers, field.

        ``movers`` is how many, ``field`` how much of the frame moves, 0 to 1. A row a mover, with
        its number: ``mofo areas export --form table``.

        Raises:
            MofoError: pandas is not installed.
        """
        field_T = np.full(len(self), np.nan)
        if self.field_Tyx is not None:
            field_T = self.field_Tyx.mean((1, 2)) / 255
        columns = {"frame": self.frame_T, "time": self.time_T, "valid": self.valid_T}
        columns |= dict(zip(("x1", "y1", "x2", "y2"), self.box_T4.T, strict=True))
        columns["movers"] = np.array([len(boxes_K4) for boxes_K4 in self.movers], np.int64)
        return pandas().DataFrame(columns | {"field": field_T})

    def to_coco(self, name: str = "video") -> dict[str, Any]:
        """A COCO data set of one video: frames as images, numbered movers as annotations."""
        return dict(_later("to_coco", self, name))

    def to_supervision(self) -> list[Any]:
        """Of each frame the movers as ``supervision.Detections``, with their numbers.

        Raises:
            MofoError: supervision is not installed.
        """
        return list(_later("to_detections", self))

    def plot(self, axes: Any = None) -> Any:
        """Draws how much of the frame moves over time; returns the axes of matplotlib.

        Args:
            axes: to draw on; None: new ones.
        """
        return _later("plot_area", self, axes)

    def show(self, video: Any = None) -> Any:
        """Shows moments of the area in a window, or in a notebook; returns matplotlib's figure.

        Args:
            video: what ``mofo.detect`` was given, to see its frames.
        """
        return _later("show_area", self, video)

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


def pandas() -> Any:
    """The package pandas."""
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise MofoError("to_pandas needs pandas: pip install pandas") from None


def _shares(edges: np.ndarray, cells: int) -> np.ndarray:
    """Weight of each of ``cells`` cells in the means between ``edges``, in cells, (N, cells)."""
    inner = np.clip(edges[:, None] - np.arange(cells), 0, 1)
    return np.diff(inner, axis=0) / np.maximum(np.diff(edges), 1e-9)[:, None]
