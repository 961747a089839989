"""Clip samples put together: what the loader hands to the training loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from mofo.clips.motion_map import map_shape
from mofo.types import TokenGrid


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


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """Clips of a batch, see ``ClipSample``.

    Attributes:
        frames_BTHWC: uint8 RGB.
        box_BT4: float32, pixels of the clips' frames.
        valid_BT: bool.
        noise_BN: float32 in [0, 1).
        index_B, start_B: int64, row of the catalog and number of the first frame.
        path: the files, B of them.
        failures: ``(path, reason)`` of all videos that had to be replaced.
        motion_Btyx: uint8, how much of each cell moves; None: only boxes are known.
    """

    frames_BTHWC: Tensor
    box_BT4: Tensor
    valid_BT: Tensor
    noise_BN: Tensor
    index_B: Tensor
    start_B: Tensor
    path: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]
    motion_Btyx: Tensor | None = None

    def __len__(self) -> int:
        return len(self.path)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> ClipBatch:
        """The batch with all tensors on ``device``."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> ClipBatch:
        """The batch in page-locked memory; ``DataLoader(pin_memory=True)`` calls it."""
        return self._each(Tensor.pin_memory)

    def rows(self, chosen: Sequence[int]) -> ClipBatch:
        """Some of the clips, without the failures of the batch."""
        paths = tuple(self.path[row] for row in chosen)
        return replace(self._each(lambda tensor: tensor[list(chosen)]), path=paths, failures=())

    def _each(self, change: Any) -> ClipBatch:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        changed = {name: change(value) for name, value in values if isinstance(value, Tensor)}
        return replace(self, **changed)


class Samples(list[ClipSample]):
    """Samples whose frames were drawn into the batch's memory: they need not be put together.

    ``frames_BTHWC``: the frames of all of them, in order.
    """

    def __init__(self, samples: Iterable[ClipSample], frames_BTHWC: Tensor) -> None:
        super().__init__(samples)
        self.frames_BTHWC = frames_BTHWC


def blank_frames(*shape: int) -> Tensor:
    """Memory for a batch's frames, uint8 with any values.

    In a worker of a ``DataLoader`` it is shared: the training gets this memory, not a copy of it.
    """
    frames = torch.empty(0, dtype=torch.uint8)
    if get_worker_info() is None:
        return frames.new_empty(shape)
    # As default_collate does; share_memory_() would make ordinary memory first and copy it.
    storage = frames.untyped_storage()._new_shared(prod(shape))
    return frames.new(storage).view(shape)


def blank_clip(grid: TokenGrid) -> ClipBatch:
    """A batch of one black clip without motion, of row -1."""
    frames_THWC = np.zeros((grid.frames, grid.height, grid.width, 3), np.uint8)
    nothing = np.zeros((grid.frames, 4), np.float32), np.zeros(grid.frames, bool)
    noise_N = np.zeros(grid.tokens, np.float32)
    motion_tyx = np.zeros(map_shape(grid), np.uint8)
    return collate([ClipSample(frames_THWC, *nothing, noise_N, -1, "", 0, (), motion_tyx)])


def collate(samples: Sequence[ClipSample]) -> ClipBatch:
    """Put samples of the same shape together; ``collate_fn`` of a ``DataLoader``."""

    def stack(name: str) -> Tensor:
        # default_collate stacks straight into shared memory when it runs in a worker.
        found: Tensor = default_collate(
            [torch.from_numpy(getattr(sample, name)) for sample in samples]
        )
        return found

    drawn = samples.frames_BTHWC if isinstance(samples, Samples) else None
    return ClipBatch(
        frames_BTHWC=stack("frames_THWC") if drawn is None else drawn,
        box_BT4=stack("box_T4"),
        valid_BT=stack("valid_T"),
        noise_BN=stack("noise_N"),
        index_B=torch.tensor([sample.index for sample in samples]),
        start_B=torch.tensor([sample.start for sample in samples]),
        path=tuple(sample.path for sample in samples),
        failures=tuple(failure for sample in samples for failure in sample.failures),
        motion_Btyx=None if samples[0].motion_tyx is None else stack("motion_tyx"),
    )
