"""RandAugment: operations drawn for each clip, applied to all its frames and its motion area.

Cubuk et al., arXiv 1909.13719.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mofo.training.augment.operations import (
    ARGUMENTS,
    MOVING,
    NAMES,
    change_colours,
    matrix,
    move_area,
    move_frames,
)
from mofo.training.finetune_settings import AugmentSettings

# Every drawn operation acts with this chance, as in the reference.
_CHANCE = 0.5


class Operation(NamedTuple):
    """One operation and how far it goes; what ``argument`` means: see ``ARGUMENTS``."""

    name: str
    argument: float


def draw_operations(
    settings: AugmentSettings, generator: np.random.Generator
) -> tuple[Operation | None, ...]:
    """``settings.randaugment`` operations of one clip, in order; None: this one does not act."""
    drawn = []
    for _ in range(settings.randaugment):
        # All four are drawn whatever is made of them: what comes next does not depend on it.
        name = NAMES[int(generator.integers(len(NAMES)))]
        acts = generator.random() < _CHANCE
        magnitude = generator.normal(settings.magnitude, settings.magnitude_std)
        sign = 1 if generator.random() < 0.5 else -1
        strength = float(np.clip(magnitude, 0, 10)) / 10
        drawn.append(Operation(name, ARGUMENTS[name](strength, sign)) if acts else None)
    return tuple(drawn)


def randaugment(
    frames_BTHWC: Tensor, cover_BsHW: Tensor, operations: Sequence[Sequence[Operation | None]]
) -> tuple[Tensor, Tensor]:
    """Each clip by its operations, one after the other; clips of the same one go together.

    Args:
        frames_BTHWC: uint8 RGB; not changed.
        cover_BsHW: float in [0, 1], how much of each pixel moves, one map for the clip (s = 1) or
            more; not changed.

    Returns:
        Frames and maps after it.
    """
    if not any(operation for clip in operations for operation in clip):
        return frames_BTHWC, cover_BsHW
    height, width = frames_BTHWC.shape[2:4]
    frames_BTHWC = frames_BTHWC.clone()
    cover_BsHW = cover_BsHW.clone()
    for layer in zip(*operations, strict=True):
        groups: dict[str, list[int]] = {}
        for clip, operation in enumerate(layer):
            if operation is not None:
                name = "move" if operation.name in MOVING else operation.name
                groups.setdefault(name, []).append(clip)
        for name, clips in groups.items():
            index_G = _on(torch.tensor(clips), frames_BTHWC)
            chosen = [operation for clip in clips if (operation := layer[clip]) is not None]
            if name == "move":
                rows = [
                    matrix(operation.name, operation.argument, width, height)
                    for operation in chosen
                ]
                matrix_G23 = _on(torch.tensor(rows), frames_BTHWC)
                changed = move_frames(frames_BTHWC[index_G], matrix_G23)
                cover_BsHW[index_G] = move_area(cover_BsHW[index_G], matrix_G23)
            else:
                argument_G = torch.tensor([operation.argument for operation in chosen]).float()
                argument_G = _on(argument_G, frames_BTHWC)
                changed = change_colours(name, frames_BTHWC[index_G], argument_G)
            frames_BTHWC[index_G] = changed
    return frames_BTHWC, cover_BsHW


def _on(small: Tensor, like: Tensor) -> Tensor:
    """A few numbers on another tensor's device, without waiting for it."""
    return small.to(like.device, non_blocking=True)
