"""Random erasing: a rectangle of noise in place of the picture, the same in all frames.

Zhong et al., arXiv 1708.04896.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mofo.training.finetune_settings import AugmentSettings

# Share of the frame, and height over width.
_SHARES = (0.02, 1 / 3)
_ASPECTS = (0.3, 1 / 0.3)
# Of ImageNet, in levels: noise that is standard normal for the model.
_MEAN = np.array([0.485, 0.456, 0.406]) * 255
_DEVIATION = np.array([0.229, 0.224, 0.225]) * 255


class Patch(NamedTuple):
    """What covers a rectangle: its top-left pixel, and uint8 ``(height, width, 3)``."""

    x: int
    y: int
    picture_HWC: np.ndarray


def draw_patch(
    settings: AugmentSettings, width: int, height: int, generator: np.random.Generator
) -> Patch | None:
    """The rectangle of one clip, or None: nothing is erased.

    Its share of the frame is uniform in 2 % to a third, its aspect log-uniform in 0.3 to 3.3; a
    side longer than the frame is cut to it.
    """
    if generator.random() >= settings.erasing:
        return None
    area = generator.uniform(*_SHARES) * width * height
    aspect = math.exp(generator.uniform(*np.log(_ASPECTS)))
    rows = min(max(round(math.sqrt(area * aspect)), 1), height)
    columns = min(max(round(math.sqrt(area / aspect)), 1), width)
    y = int(generator.integers(height - rows + 1))
    x = int(generator.integers(width - columns + 1))
    noise_HWC = generator.standard_normal((rows, columns, 3), np.float32)
    levels_HWC = np.rint(noise_HWC * _DEVIATION + _MEAN).clip(0, 255)
    return Patch(x, y, levels_HWC.astype(np.uint8))


def erase(frames_BTHWC: Tensor, patches: Sequence[Patch | None]) -> Tensor:
    """Frames with each clip's rectangle covered in all of them; the given ones stay as they are."""
    if all(patch is None for patch in patches):
        return frames_BTHWC
    frames_BTHWC = frames_BTHWC.clone()
    for frames_THWC, patch in zip(frames_BTHWC, patches, strict=True):
        if patch is not None:
            picture_HWC = torch.from_numpy(patch.picture_HWC)
            rows, columns = picture_HWC.shape[:2]
            frames_THWC[:, patch.y : patch.y + rows, patch.x : patch.x + columns] = picture_HWC.to(
                frames_THWC.device, non_blocking=True
            )
    return frames_BTHWC
