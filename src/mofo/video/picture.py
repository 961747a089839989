"""From a decoded frame to a small RGB picture: crop, resize and colours in one go.

The planes are cropped and resized as they are coded, so that colours are converted for the few
pixels that are wanted, and no full-size picture is ever made.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import av
import cv2
import numpy as np

# Planes Y, U, V (and alpha) of 8 bits; colour samples for 1/x columns and 1/y rows.
_PLANAR = {
    "yuv420p": (2, 2), "yuvj420p": (2, 2), "yuv422p": (2, 1), "yuvj422p": (2, 1),
    "yuv444p": (1, 1), "yuvj444p": (1, 1),
    "yuva420p": (2, 2), "yuva422p": (2, 1), "yuva444p": (1, 1),
}  # fmt: skip
# Red's and blue's share of luma, by AVColorSpace; the rest is taken for BT.601 as swscale does.
_LUMA_SHARES = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_BT601 = (0.299, 0.114)
_FULL_RANGE = 2
# Shrinking by more than this, single pixels would be picked (aliasing) instead of averaged.
_AVERAGE_FROM = 1.25

Box = tuple[int, int, int, int]


def crop_picture(
    frame: av.VideoFrame,
    crop: Box,
    size: tuple[int, int],
    *,
    upright: tuple[int, int],
    rotation: int = 0,
    mirrored: bool = False,
    flip: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The RGB picture of a part of a frame.

    Edges are resized as if pixels were little squares: column ``x`` of the crop's left edge becomes
    column 0, that of the right edge the picture's width.

    Args:
        crop: ``(x1, y1, x2, y2)``, whole pixels of the upright frame; even ones cut the colour
            planes of 4:2:0 in the same place. What lies outside of the frame is black.
        size: ``(width, height)`` of the picture.
        upright: ``(width, height)`` that ``crop`` refers to; a frame of another size, in files that
            change it on the way, is cropped in proportion.
        rotation, mirrored: what makes the frame upright, as in ``VideoInfo``.
        out: uint8 ``(height, width, 3)``, contiguous, for the picture.

    Returns:
        ``out``, or a new array like it.

    Raises:
        av.FFmpegError: pixels of a kind that cannot be converted.
    """
    if out is None:
        out = np.empty((size[1], size[0], 3), np.uint8)
    inner, (left, top, right, bottom) = on_frame(crop, upright, size)
    if inner != crop:
        out[:] = 0
        if flip:
            left, right = size[0] - right, size[0] - left
        out[top:bottom, left:right] = crop_picture(
            frame, inner, (right - left, bottom - top),
            upright=upright, rotation=rotation, mirrored=mirrored, flip=flip,
        )  # fmt: skip
        return out
    turned = rotation in (90, 270)
    coded = coded_box(crop, upright, rotation, mirrored)
    own = upright[::-1] if turned else upright
    if (frame.width, frame.height) != own:
        coded = _in_proportion(coded, own, (frame.width, frame.height))
    target = size[::-1] if turned else size
    flip ^= mirrored
    if rotation or flip:
        out[:] = _turned(_converted(frame, coded, target, None), rotation, flip)
        return out
    return _converted(frame, coded, target, out)


def on_frame(crop: Box, frame_size: tuple[int, int], size: tuple[int, int]) -> tuple[Box, Box]:
    """The part of a crop that lies on the frame, and where in the crop's picture it is shown.

    ``crop``: ``(x1, y1, x2, y2)``, pixels of the frame; it has a part of the frame in it.
    ``frame_size``, ``size``: ``(width, height)`` of the frame and of the picture.
    """
    inner, place = [0] * 4, [0] * 4
    for side in (0, 1):
        low, high = crop[side], crop[side + 2]
        for edge in (side, side + 2):
            inner[edge] = min(max(crop[edge], 0), frame_size[side])
            place[edge] = round((inner[edge] - low) * size[side] / (high - low))
        place[side] = min(place[side], place[side + 2] - 1)  # of a line one pixel is left
    return tuple(inner), tuple(place)  # type: ignore[return-value]


def grey_picture(
    frame: av.VideoFrame, size: tuple[int, int], *, rotation: int = 0, mirrored: bool = False
) -> np.ndarray:
    """The whole frame in grey (its luma, as in ``reader.Frame``), uint8 ``(height, width)``.

    ``size``: ``(width, height)`` of the upright picture.
    ``rotation``, ``mirrored``: what makes the frame upright, as in ``VideoInfo``.

    Raises:
        av.FFmpegError: pixels of a kind that cannot be converted.
    """
    frame = opaque(frame)
    planes = _planes(frame)
    luma_HW = cv2.cvtColor(_rgb(frame), cv2.COLOR_RGB2GRAY) if planes is None else planes[0]
    target = size[::-1] if rotation in (90, 270) else size
    return np.array(_turned(resized(luma_HW, target), rotation, mirrored))


def opaque(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame over black, as players show it, if it has transparent pixels.

    What a file holds where nothing is seen may be anything, and would be taken for motion.

    Raises:
        av.FFmpegError: pixels of a kind that cannot be converted.
    """
    name = frame.format.name
    if not _has_alpha(name):
        return frame
    if name not in _PLANAR:
        rgba_HW4 = frame.to_ndarray(format="rgba", threads=1)
        alpha_HW = rgba_HW4[..., 3]
        if alpha_HW.min() == 255:
            return frame
        share_HW1 = alpha_HW[..., None].astype(np.float32) / 255
        rgb_HW3 = np.rint(rgba_HW4[..., :3] * share_HW1).astype(np.uint8)
        return av.VideoFrame.from_ndarray(rgb_HW3, format="rgb24")
    plane: Any = frame.planes[3]
    alpha_HW = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    alpha_HW = alpha_HW[: frame.height, : frame.width]
    if alpha_HW.min() == 255:
        return frame
    # In its own colours, so that its grey levels stay those of frames without transparent pixels.
    plain = frame.reformat(format="yuv444p", threads=1).to_ndarray()
    black_311 = np.array([0 if _is_full_range(frame) else 16, 128, 128])[:, None, None]
    share_HW = alpha_HW.astype(np.float32) / 255
    shown = av.VideoFrame.from_ndarray(
        np.rint(black_311 + (plain - black_311) * share_HW).astype(np.uint8), format="yuv444p"
    )
    shown.color_range, shown.colorspace = frame.color_range, frame.colorspace
    return shown


@cache
def _has_alpha(name: str) -> bool:
    pixel_format = av.VideoFormat(name, 16, 16)
    return pixel_format.has_palette or any(part.is_alpha for part in pixel_format.components)


def _is_full_range(frame: av.VideoFrame) -> bool:
    return frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")


def chroma_picture(
    frame: av.VideoFrame, size: tuple[int, int], *, rotation: int = 0, mirrored: bool = False
) -> np.ndarray:
    """Colour of the whole frame: Cb and Cr as coded (128 is grey), uint8 ``(height, width, 2)``.

    Meant for small sizes: few of the samples are looked at. ``size``: ``(width, height)`` of the
    upright picture. ``rotation``, ``mirrored``: what makes the frame upright, as in ``VideoInfo``.

    Raises:
        av.FFmpegError: pixels of a kind that cannot be converted.
    """
    target = size[::-1] if rotation in (90, 270) else size
    frame = opaque(frame)
    planes = _planes(frame)
    if planes is None:
        planes = _planes(frame.reformat(*target, "yuv444p", threads=1))
    assert planes is not None
    parts = []
    for plane_HW in planes[1:3]:
        step = max(1, round(min(np.array(plane_HW.shape) / target[::-1]) / 2))
        parts.append(resized(plane_HW[::step, ::step], target))
    return np.array(_turned(cv2.merge(parts), rotation, mirrored))


def _turned(image: np.ndarray, rotation: int, flip: bool) -> np.ndarray:
    if rotation:
        turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180}
        image = cv2.rotate(image, turns.get(rotation, cv2.ROTATE_90_COUNTERCLOCKWISE))
    return image[:, ::-1] if flip else image


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image at ``size`` ``(width, height)``: averaged when it shrinks, else bilinear."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    shrinks = max(width / size[0], height / size[1]) > _AVERAGE_FROM
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=kind)


def coded_box(box: Box, upright: tuple[int, int], rotation: int, mirrored: bool) -> Box:
    """A box of the upright frame, in the frame as it is coded."""
    x1, y1, x2, y2 = box
    width, height = upright
    if mirrored:
        x1, x2 = width - x2, width - x1
    if rotation == 90:
        return y1, width - x2, y2, width - x1
    if rotation == 180:
        return width - x2, height - y2, width - x1, height - y1
    if rotation == 270:
        return height - y2, x1, height - y1, x2
    return x1, y1, x2, y2


def _in_proportion(box: Box, size: tuple[int, int], other: tuple[int, int]) -> Box:
    scale = [other[0] / size[0], other[1] / size[1]]
    x1, y1 = (min(int(box[i] * scale[i]), other[i] - 1) for i in (0, 1))
    x2, y2 = (min(max(round(box[i + 2] * scale[i]), (x1, y1)[i] + 1), other[i]) for i in (0, 1))
    return x1, y1, x2, y2


def _converted(
    frame: av.VideoFrame, box: Box, size: tuple[int, int], out: np.ndarray | None
) -> np.ndarray:
    x1, y1, x2, y2 = box
    frame = opaque(frame)
    planes = _planes(frame)
    if planes is None:
        picture = resized(_rgb(frame)[y1:y2, x1:x2], size)
        if out is None:
            return picture
        out[:] = picture
        return out
    sx, sy = _PLANAR[frame.format.name]
    luma_HW = resized(planes[0][y1:y2, x1:x2], size)
    colours = [
        resized(plane[y1 // sy : -(-y2 // sy), x1 // sx : -(-x2 // sx)], size)
        for plane in planes[1:]
    ]
    matrix_34 = _to_rgb(int(frame.colorspace), _is_full_range(frame))
    return cv2.transform(cv2.merge([luma_HW, *colours]), matrix_34, dst=out)


def _planes(frame: av.VideoFrame) -> list[np.ndarray] | None:
    """Views of the planes Y, U, V; None for other formats. They live as long as the frame."""
    if frame.format.name not in _PLANAR:
        return None
    planes = []
    for plane in frame.planes[:3]:
        if plane.line_size < 0:  # bottom-up: rare, and the buffer does not start at the top row
            return None
        lines: Any = plane
        image_HW = np.frombuffer(lines, np.uint8).reshape(-1, plane.line_size)
        planes.append(image_HW[: plane.height, : plane.width])
    return planes


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    """The whole frame by swscale, for the formats that are rare."""
    return frame.to_ndarray(format="rgb24", threads=1)


@cache
def _to_rgb(space: int, full: bool) -> np.ndarray:
    """Float32 ``(3, 4)`` from (Y, U, V, 1) to RGB, both 0-255."""
    red, blue = _LUMA_SHARES.get(space, _BT601)
    green = 1 - red - blue
    matrix_33 = np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
            [1, 2 * (1 - blue), 0],
        ]
    )
    low_3 = np.array([0, 128, 128])
    if not full:
        matrix_33 = matrix_33 * (255 / np.array([219, 224, 224]))
        low_3 = np.array([16, 128, 128])
    return np.concatenate([matrix_33, -(matrix_33 @ low_3)[:, None]], 1).astype(np.float32)
