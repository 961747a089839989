"""Mixup and cutmix: clips, their motion areas and their targets, mixed alike.

Mixup: Zhang et al., arXiv 1710.09412. Cutmix: Yun et al., arXiv 1905.04899.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mofo.training.finetune_settings import AugmentSettings

# A clip's motion area counts in a mixup from this weight on, see ``mix``.
LEAST_WEIGHT = 0.2


class Mix(NamedTuple):
    """How a clip is mixed with its partner.

    Attributes:
        weight: of the clip itself, 0 to 1; the partner has the rest. For cutmix, the share of the
            frame that is the clip's own.
        cut: the partner's rectangle ``(x1, y1, x2, y2)`` in pixels; None: mixup.
    """

    weight: float = 1.0
    cut: tuple[int, int, int, int] | None = None


def draw_mix(
    settings: AugmentSettings, width: int, height: int, generator: np.random.Generator
) -> Mix | None:
    """How one clip is mixed, or None: not at all.

    The rectangle of cutmix has the frame's aspect and its middle anywhere in it; what juts out is
    cut off, and the weight is what remains.
    """
    mixed, switch, x, y = generator.random(4)
    if not settings.mixes or mixed >= settings.mixing:
        return None
    # A switch under 1 leaves cutmix its chance only where there is a choice.
    cutting = settings.cutmix > 0 and (settings.mixup == 0 or switch < settings.switch)
    alpha = settings.cutmix if cutting else settings.mixup
    weight = float(generator.beta(alpha, alpha))
    if not cutting:
        return Mix(weight)
    side = math.sqrt(1 - weight)
    x1, x2 = _span(x, side, width)
    y1, y2 = _span(y, side, height)
    return Mix(1 - (x2 - x1) * (y2 - y1) / (width * height), (x1, y1, x2, y2))


def _span(middle: float, side: float, size: int) -> tuple[int, int]:
    """From and to, in whole pixels within ``size``, of a stretch given in shares of it."""
    length = round(side * size)
    start = round(middle * size - length / 2)
    return max(start, 0), max(min(start + length, size), 0)


def mix(
    frames_BTHWC: Tensor, cover_BsHW: Tensor, mixes: Sequence[Mix | None]
) -> tuple[Tensor, Tensor]:
    """Each clip with its partner: the clip as far from the batch's end as it is from its start.

    **Cutmix**: the rectangle's motion is the partner's, the rest its own; pixel for pixel as the
    frames. **Mixup**: the larger of both, for both motions are to be seen; but a clip that weighs
    less than ``LEAST_WEIGHT`` hardly is, nor does the target speak of it much: its motion does not
    count. One of the two always weighs half or more.

    Args:
        frames_BTHWC: uint8 RGB; not changed.
        cover_BsHW: float in [0, 1], how much of each pixel moves; not changed.
        mixes: one for each clip; None: it stays as it is.

    Returns:
        Frames (uint8, rounded) and maps after it.
    """
    blended = [clip for clip, how in enumerate(mixes) if how is not None and how.cut is None]
    mixed_BTHWC, mixed_BsHW = frames_BTHWC.clone(), cover_BsHW.clone()
    last, device = len(mixes) - 1, frames_BTHWC.device
    if blended:
        own_G = torch.tensor(blended).to(device, non_blocking=True)
        weight_G = torch.tensor([how.weight for how in mixes if how and how.cut is None]).float()
        weight_G1111 = weight_G.to(device, non_blocking=True).view(-1, 1, 1, 1, 1)
        other_G = last - own_G
        sum_GTHWC = frames_BTHWC[own_G] * weight_G1111
        sum_GTHWC += frames_BTHWC[other_G] * (1 - weight_G1111)
        mixed_BTHWC[own_G] = sum_GTHWC.round_().to(torch.uint8)
        weight_G111 = weight_G1111[..., 0]
        mixed_BsHW[own_G] = torch.maximum(
            cover_BsHW[own_G] * (weight_G111 >= LEAST_WEIGHT),
            cover_BsHW[other_G] * (1 - weight_G111 >= LEAST_WEIGHT),
        )
    for clip, how in enumerate(mixes):
        if how is not None and how.cut is not None:
            x1, y1, x2, y2 = how.cut
            rows, columns = slice(y1, y2), slice(x1, x2)
            mixed_BTHWC[clip, :, rows, columns] = frames_BTHWC[last - clip, :, rows, columns]
            mixed_BsHW[clip, :, rows, columns] = cover_BsHW[last - clip, :, rows, columns]
    return mixed_BTHWC, mixed_BsHW


def mix_targets(targets: dict[str, Tensor], mixes: Sequence[Mix | None]) -> dict[str, Tensor]:
    """Targets float ``(B, classes)`` of each head, by the same weights as the clips."""
    weights = torch.tensor([1.0 if how is None else how.weight for how in mixes])
    mixed = {}
    for head, target_BC in targets.items():
        weight_B1 = weights.to(target_BC.device, target_BC.dtype, non_blocking=True)[:, None]
        mixed[head] = target_BC * weight_B1 + target_BC.flip(0) * (1 - weight_B1)
    return mixed
