"""Crop, resize and flip: drawn once a clip, applied to its frames and its boxes alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mofo.registry import choice
from mofo.types import SettingsError
from mofo.video.picture import on_frame, resized

FITS = ("crop", "pad", "squeeze")
"""How a frame becomes a clip's shape: a part of it; all of it, with black bars or squeezed."""
_OUTLIERS = 0.05  # share of the frames' boxes at each side of a clip's
CROP_DRAWS = 4
"""Numbers that ``draw_geometry`` takes from its generator."""


@dataclass(frozen=True, kw_only=True)
class CropSettings:
    """How crops are drawn.

    Attributes:
        scales: sides of a multi-scale crop, as shares of the largest one in the picture's shape
            (of the frame's short side, for square pictures).
        distortion: steps in ``scales`` by which width and height may differ.
        flip: mirror half of the clips left to right. Off by default: many labels have a left and
            a right ("pushing something from left to right").
        fit: one of ``FITS``; scales and distortion are those of "crop".

    Raises:
        SettingsError: an impossible scale or distortion, another fit.
    """

    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    distortion: int = 1
    flip: bool = False
    fit: str = "crop"

    def __post_init__(self) -> None:
        choice("fit", self.fit, FITS)
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise SettingsError(f"scales are {self.scales}: expected shares above 0, at most 1")
        if self.distortion < 0:
            raise SettingsError(f"distortion is {self.distortion}: expected 0 or more")


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of a clip come from.

    Attributes:
        crop: ``(x1, y1, x2, y2)``, whole pixels of the upright frame, half-open; what lies outside
            of the frame is black.
        size: ``(width, height)`` of the clip's frames.
    """

    crop: tuple[int, int, int, int]
    size: tuple[int, int]
    flip: bool = False

    def frames(self, frames_THWC: np.ndarray) -> np.ndarray:
        """Crop, resize and flip frames that are decoded already.

        ``frames_THWC``: uint8, upright, full resolution.

        Returns:
            uint8 ``(T, height, width, C)``.
        """
        frame_size = frames_THWC.shape[2], frames_THWC.shape[1]
        (x1, y1, x2, y2), (left, top, right, bottom) = on_frame(self.crop, frame_size, self.size)
        cut_THWC = frames_THWC[:, y1:y2, x1:x2]
        out = np.zeros((len(cut_THWC), self.size[1], self.size[0], 3), np.uint8)
        for picture, cut_HWC in zip(out, cut_THWC, strict=True):
            picture[top:bottom, left:right] = resized(cut_HWC, (right - left, bottom - top))
        return np.ascontiguousarray(out[:, :, ::-1]) if self.flip else out

    def boxes(self, box_T4: np.ndarray, valid_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes of the upright frames, in pixels of the clip's frames.

        Boxes are cut at the edge of the crop; one of which nothing is left is not valid.
        ``box_T4``: float32, pixels of the upright frames. ``valid_T``: bool; other boxes do not
        count.

        Returns:
            float32 ``(T, 4)`` with zeros where not valid, and bool ``(T,)``.
        """
        x1, y1, x2, y2 = self.crop
        width, height = self.size
        scale_2 = np.array([width / (x2 - x1), height / (y2 - y1)])
        moved_T4 = (np.asarray(box_T4, np.float64) - [x1, y1, x1, y1]) * np.tile(scale_2, 2)
        moved_T4 = np.clip(moved_T4, 0, [width, height] * 2)
        if self.flip:
            moved_T4[:, [0, 2]] = width - moved_T4[:, [2, 0]]
        inside_T = (moved_T4[:, 2] > moved_T4[:, 0]) & (moved_T4[:, 3] > moved_T4[:, 1])
        valid_T = np.asarray(valid_T, bool) & inside_T
        return np.where(valid_T[:, None], moved_T4, 0).astype(np.float32), valid_T


def draw_geometry(
    settings: CropSettings,
    frame_size: tuple[int, int],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Geometry:
    """Draw the geometry of one clip.

    Multi-scale crop as in temporal segment networks (arXiv 1608.00859), section 3.1, but at any
    place instead of 13 fixed ones. Crops begin and end on even pixels, so that the colour planes of
    4:2:0 video are cut at the same place as its luma.

    Args:
        frame_size: ``(width, height)`` of the upright frames.
        size: ``(width, height)`` of the clip's frames.
        rng: the sample's own generator; ``CROP_DRAWS`` values are drawn from it.
    """
    if settings.fit != "crop":
        mirrored = settings.flip and rng.random(CROP_DRAWS)[-1] < 0.5
        return whole_geometry(settings.fit, frame_size, size, bool(mirrored))
    steps = len(settings.scales)
    pairs = [
        (i, j) for i in range(steps) for j in range(steps) if abs(i - j) <= settings.distortion
    ]
    pair, x, y, flip = rng.random(CROP_DRAWS)
    scale = min(frame_size[0] / size[0], frame_size[1] / size[1])
    chosen = pairs[int(pair * len(pairs))]
    sides = [
        _even(side * scale * settings.scales[step]) for side, step in zip(size, chosen, strict=True)
    ]
    places = [
        2 * int(place * ((whole - side) // 2 + 1))
        for place, whole, side in zip((x, y), frame_size, sides, strict=True)
    ]
    return Geometry(_box(places, sides), size, bool(settings.flip and flip < 0.5))


def whole_geometry(
    fit: str, frame_size: tuple[int, int], size: tuple[int, int], flip: bool = False
) -> Geometry:
    """The whole frame: squeezed, or in the middle of black bars; see ``FITS``."""
    if fit == "squeeze":
        return Geometry((0, 0, *frame_size), size, flip)
    scale = max(frame_size[0] / size[0], frame_size[1] / size[1])
    sides = [max(whole, round(side * scale)) for side, whole in zip(size, frame_size, strict=True)]
    places = [-((side - whole) // 2) for side, whole in zip(sides, frame_size, strict=True)]
    return Geometry(_box(places, sides), size, flip)


def centre_geometry(
    frame_size: tuple[int, int], size: tuple[int, int], fit: str = "crop"
) -> Geometry:
    """The largest part of the frame in the shape of ``size``, from its middle; or all of it.

    Args:
        frame_size: ``(width, height)`` of the upright frames.
        size: ``(width, height)`` of the clip's frames.
        fit: one of ``FITS``.
    """
    return view_geometries(frame_size, size, 1, fit)[0]


def view_geometries(
    frame_size: tuple[int, int], size: tuple[int, int], several: int, fit: str = "crop"
) -> tuple[Geometry, ...]:
    """The largest part of the frame in the shape of ``size``, at ``several`` places: for testing.

    They are spread evenly along the longer side, from its one end to its other (left to right, or
    top to bottom); one is in the middle. Of a frame in that very shape all are the same.

    Args:
        frame_size: ``(width, height)`` of the upright frames.
        size: ``(width, height)`` of the clip's frames.
        several: how many, 1 or more.
        fit: one of ``FITS``; with the whole frame all are the same.
    """
    if fit != "crop":
        return (whole_geometry(fit, frame_size, size),) * several
    scale = min(frame_size[0] / size[0], frame_size[1] / size[1])
    sides = [_even(min(side * scale, whole)) for side, whole in zip(size, frame_size, strict=True)]
    rooms = [whole - side for whole, side in zip(frame_size, sides, strict=True)]
    shares = [(1, 2)] if several == 1 else [(k, several - 1) for k in range(several)]
    # Even pixels, see ``draw_geometry``.
    return tuple(
        Geometry(_box([room * part // (2 * whole) * 2 for room in rooms], sides), size)
        for part, whole in shares
    )


@dataclass(frozen=True)
class MotionCrop:
    """The part of the frame around what moves in a clip, in the shape of the clip's frames.

    One box for all of the clip: 90 % of the frames' boxes end within it, so that a moment's outlier
    does not count. It gets a margin and the shape of ``size``, and is never smaller than ``size``,
    so that nothing is enlarged; what does not fit into the frame is moved into it. Where nothing
    moves it is the middle of the frame. ``size``: ``(width, height)`` of the clip's frames.
    ``margin``: at each side, a share of the box's side.
    """

    size: tuple[int, int]
    margin: float = 0.15
    flip: bool = False

    def geometry(
        self, box_F4: np.ndarray, valid_F: np.ndarray, frame_size: tuple[int, int]
    ) -> Geometry:
        """Where the pixels come from.

        Args:
            box_F4: float32, pixels of the upright frames, of all frames that the clip spans.
            valid_F: bool; other boxes do not count.
            frame_size: ``(width, height)`` of these frames.
        """
        if not valid_F.any():
            return replace(centre_geometry(frame_size, self.size), flip=self.flip)
        box_K4 = np.asarray(box_F4, np.float64)[np.asarray(valid_F, bool)]
        low_2 = np.quantile(box_K4[:, :2], _OUTLIERS, axis=0)
        high_2 = np.quantile(box_K4[:, 2:], 1 - _OUTLIERS, axis=0)
        centre_2, size_2 = (low_2 + high_2) / 2, np.array(self.size, np.float64)
        largest = min(np.array(frame_size) / size_2)
        scale = ((high_2 - low_2) * (1 + 2 * self.margin) / size_2).max()
        side_2 = size_2 * min(max(scale, 1.0), largest)
        sides = [_even(min(side, whole)) for side, whole in zip(side_2, frame_size, strict=True)]
        places = [
            int(min(max(middle - side / 2, 0), whole - side)) // 2 * 2
            for middle, side, whole in zip(centre_2, sides, frame_size, strict=True)
        ]
        return Geometry(_box(places, sides), self.size, self.flip)


def _even(side: float) -> int:
    """The even number of pixels nearest below, at least 2; a frame of one pixel has no two."""
    return max(2, int(side + 1e-6) // 2 * 2) if side >= 2 else 1


def _box(places: list[int], sides: list[int]) -> tuple[int, int, int, int]:
    return places[0], places[1], places[0] + sides[0], places[1] + sides[1]
