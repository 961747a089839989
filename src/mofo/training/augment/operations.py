"""The operations of RandAugment, each for many clips at once, in 8 bits from end to end.

The set and the strengths are those of VideoMAE's fine-tuning (``rand-m7-n4-mstd0.5-inc1`` in the
notation of timm; Cubuk et al., arXiv 1909.13719): strength grows with the magnitude. What an
operation looks at to decide (darkest and brightest value, histogram, mean) it takes from the whole
clip: taken frame by frame it would flicker, and flicker looks like motion.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from kornia.color import rgb_to_grayscale
from kornia.enhance import adjust_saturation_with_gray_subtraction, equalize
from kornia.geometry.transform import warp_affine
from torch import Tensor

# What comes into the picture from beyond its edges: middle grey.
FILL = 128


def _sign(strength: float, sign: int) -> float:
    return strength * sign


def _factor(strength: float, sign: int) -> float:
    """1 changes nothing; 0.1 to 1.9."""
    return 1 + 0.9 * strength * sign


# name: (strength in [0, 1], sign) -> the operation's argument.
ARGUMENTS: dict[str, Callable[[float, int], float]] = {
    "autocontrast": _sign,
    "equalize": _sign,
    "invert": _sign,
    "rotate": lambda strength, sign: 30 * strength * sign,  # degrees
    # The bits that are kept, as a number: the highest 4 of 8, down to 1.
    "posterize": lambda strength, sign: 256 - 2 ** (4 + min(int(4 * strength), 3)),
    "solarize": lambda strength, sign: 256 - int(256 * strength),  # from this value on
    "solarize_add": lambda strength, sign: int(110 * strength),  # levels
    "colour": _factor,
    "contrast": _factor,
    "brightness": _factor,
    "sharpness": _factor,
    "shear_x": lambda strength, sign: 0.3 * strength * sign,  # pixels a pixel
    "shear_y": lambda strength, sign: 0.3 * strength * sign,
    "translate_x": lambda strength, sign: 0.45 * strength * sign,  # share of the width
    "translate_y": lambda strength, sign: 0.45 * strength * sign,  # share of the height
}  # fmt: skip
NAMES = tuple(ARGUMENTS)
MOVING = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


def matrix(name: str, argument: float, width: int, height: int) -> list[list[float]]:
    """Where a moving operation takes a point: 2x3, from old pixels to new ones.

    Pixels are counted by their centres, (0, 0) the first. Rotation (clockwise, degrees) and shear
    leave the middle of the frame where it is.
    """
    a, b, c, d, x, y = 1.0, 0.0, 0.0, 1.0, 0.0, 0.0
    if name == "rotate":
        angle = math.radians(argument)
        a = d = math.cos(angle)
        b, c = -math.sin(angle), math.sin(angle)
    elif name == "shear_x":
        b = argument
    elif name == "shear_y":
        c = argument
    elif name == "translate_x":
        x = argument * width
    elif name == "translate_y":
        y = argument * height
    else:
        raise ValueError(f"{name!r} moves nothing: expected one of {', '.join(MOVING)}")
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    return [
        [a, b, middle_x - a * middle_x - b * middle_y + x],
        [c, d, middle_y - c * middle_x - d * middle_y + y],
    ]


def move_frames(clips_GTHWC: Tensor, matrix_G23: Tensor) -> Tensor:
    """Each clip by its matrix, bilinear; ``FILL`` comes in. uint8 to uint8."""
    group, frames, height, width, channels = clips_GTHWC.shape
    picture = clips_GTHWC.permute(0, 1, 4, 2, 3).reshape(group, -1, height, width)
    # Nothing comes in from beyond the edges but zero, so zero has to be the fill.
    moved = _moved(picture.float().sub_(FILL), matrix_G23).add_(FILL)
    moved_GTCHW = _bytes(moved).reshape(group, frames, channels, height, width)
    return moved_GTCHW.permute(0, 1, 3, 4, 2)


def move_area(area_GsHW: Tensor, matrix_G23: Tensor) -> Tensor:
    """Each motion area by its matrix; nothing comes in. Float in [0, 1]: cover of each pixel."""
    return _moved(area_GsHW, matrix_G23)


def _moved(picture_GCHW: Tensor, matrix_G23: Tensor) -> Tensor:
    height, width = picture_GCHW.shape[2:]
    return warp_affine(
        picture_GCHW, matrix_G23, (height, width), "bilinear", "zeros", align_corners=False
    )


def change_colours(name: str, clips_GTHWC: Tensor, argument_G: Tensor) -> Tensor:
    """One of the operations that leave everything in its place, uint8 to uint8.

    ``clips_GTHWC``: uint8 RGB. ``argument_G``: float, see ``ARGUMENTS``.
    """
    argument_G1111 = argument_G.view(-1, 1, 1, 1, 1)
    return _COLOURS[name](clips_GTHWC, argument_G1111)


def _invert(clips: Tensor, _: Tensor) -> Tensor:
    return 255 - clips


def _posterize(clips: Tensor, kept: Tensor) -> Tensor:
    return clips & kept.to(torch.uint8)


def _solarize(clips: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(clips < threshold, clips, 255 - clips)


def _solarize_add(clips: Tensor, added: Tensor) -> Tensor:
    # Only what is under 128 gets something, at most 110: no overflow.
    return torch.where(clips < 128, clips + added.to(torch.uint8), clips)


def _autocontrast(clips: Tensor, _: Tensor) -> Tensor:
    """Stretches each colour of a clip to all 256 levels; one of a single level stays."""
    places = (1, 2, 3)
    low, high = clips.amin(places, keepdim=True), clips.amax(places, keepdim=True)
    span = (high - low).float()
    stretched = _bytes((clips - low) * (255 / span.clamp(min=1)))
    return torch.where(span > 0, stretched, clips)


def _equalize(clips: Tensor, _: Tensor) -> Tensor:
    return _through(equalize, clips)


def _colour(clips: Tensor, factor: Tensor) -> Tensor:
    return _through(adjust_saturation_with_gray_subtraction, clips, factor.flatten())


def _contrast(clips: Tensor, factor: Tensor) -> Tensor:
    """Away from, or towards, the mean grey of the clip."""
    grey = rgb_to_grayscale(clips.movedim(-1, 2).float()).round_()
    # Whole numbers in float64: the same sum in any order, so in any batch. Then PIL's rounding.
    mean = grey.double().mean((1, 2, 3, 4)).round_().float().view(-1, 1, 1, 1, 1)
    return _bytes(clips * factor + mean * (1 - factor))


def _brightness(clips: Tensor, factor: Tensor) -> Tensor:
    return _bytes(clips * factor)


def _sharpness(clips: Tensor, factor: Tensor) -> Tensor:
    """Away from, or towards, a slightly blurred picture; the outermost pixels stay.

    By a mean of 3x3, not kornia's convolution: that is inexact on some GPUs (TF32), and not the
    same for every size of the batch.
    """
    group, frames, height, width, channels = clips.shape
    if min(height, width) < 3:
        return clips
    picture = clips.movedim(-1, 2).reshape(-1, channels, height, width).float()
    inner = picture[..., 1:-1, 1:-1]
    blurred = F.avg_pool2d(picture, 3, stride=1).mul_(9).add_(inner, alpha=4).div_(13).round_()
    weight = factor.expand(group, frames, 1, 1, 1).reshape(-1, 1, 1, 1)
    sharper = clips.clone()
    changed = _bytes(inner * weight + blurred * (1 - weight)).movedim(1, -1)
    sharper[:, :, 1:-1, 1:-1] = changed.reshape(group, frames, height - 2, width - 2, channels)
    return sharper


_COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": _invert,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "colour": _colour,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
}


def _through(operation: Callable[..., Tensor], clips: Tensor, *arguments: Tensor) -> Tensor:
    """A kornia operation on whole clips: their frames below each other are one tall picture."""
    group, frames, height, width, channels = clips.shape
    tall = clips.permute(0, 4, 1, 2, 3).reshape(group, channels, frames * height, width)
    changed = _bytes(operation(tall.float().div_(255), *arguments).mul_(255))
    return changed.reshape(group, channels, frames, height, width).permute(0, 2, 3, 4, 1)


def _bytes(levels: Tensor) -> Tensor:
    """Floats in 0 to 255, and what lies beyond, to uint8."""
    return levels.round_().clamp_(0, 255).to(torch.uint8)
