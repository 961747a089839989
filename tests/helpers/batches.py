"""Batches for the tests of augmentation: an object that flickers where the box says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from mofo.clips.batch import ClipBatch
from mofo.clips.motion_map import box_map
from mofo.clips.transforms import Geometry
from mofo.types import TokenGrid

# Patches of one pixel: the tokens inside are the motion area pixel by pixel.
PIXELS = TokenGrid(6, 64, 80, tubelet=2, patch=1)
OFF = {"randaugment": 0, "erasing": 0.0, "mixing": 0.0}


def batch_of(frames_BTHWC, box_BT4, valid_BT, noise_BN) -> ClipBatch:
    count = len(frames_BTHWC)
    return ClipBatch(
        frames_BTHWC=torch.as_tensor(frames_BTHWC),
        box_BT4=torch.as_tensor(box_BT4).float(),
        valid_BT=torch.as_tensor(valid_BT),
        noise_BN=torch.as_tensor(noise_BN).float(),
        index_B=torch.arange(count),
        start_B=torch.zeros(count, dtype=torch.int64),
        path=tuple(f"{clip}.mp4" for clip in range(count)),
        failures=(),
    )


def with_field(batch: ClipBatch, grid: TokenGrid) -> ClipBatch:
    """The same with a motion field that is what the boxes cover."""
    size = (grid.width, grid.height)
    crop = Geometry((0, 0, *size), size)
    maps = [
        box_map(box_T4.numpy(), valid_T.numpy(), crop, np.arange(grid.frames), grid)
        for box_T4, valid_T in zip(batch.box_BT4, batch.valid_BT, strict=True)
    ]
    return replace(batch, motion_Btyx=torch.from_numpy(np.stack(maps)))


def rows(batch: ClipBatch, chosen) -> ClipBatch:
    """Some clips of a batch, in the order given."""
    return batch_of(
        batch.frames_BTHWC[chosen], batch.box_BT4[chosen], batch.valid_BT[chosen],
        batch.noise_BN[chosen],
    )  # fmt: skip


def flickering(grid: TokenGrid, count: int, seed: int) -> ClipBatch:
    """Dark clips that stand still but for a rectangle of noise that changes with every frame.

    The rectangle is where the box says, in whole pixels, off the middle: so a turn the wrong way
    shows. Where it moves is seen by any difference between frames, whatever becomes of colours.
    """
    rng = np.random.default_rng(seed)
    frames = np.full((count, grid.frames, grid.height, grid.width, 3), 60, np.uint8)
    boxes = np.zeros((count, grid.frames, 4), np.float32)
    for clip in range(count):
        width, height = rng.integers(16, 29, 2)
        x = rng.choice([4, grid.width - 4 - width])
        y = rng.choice([4, grid.height - 4 - height])
        boxes[clip] = x, y, x + width, y + height
        shape = (grid.frames, height, width, 3)
        frames[clip, :, y : y + height, x : x + width] = rng.integers(0, 256, shape)
    valid = np.ones((count, grid.frames), bool)
    return batch_of(frames, boxes, valid, rng.random((count, grid.tokens), np.float32))


def textured(grid: TokenGrid, count: int, seed: int) -> ClipBatch:
    """Smooth colours with fine noise, boxes that wander, some of them not valid or outside."""
    rng = np.random.default_rng(seed)
    shape = (count, grid.frames, grid.height, grid.width, 3)
    ramps = np.linspace(0, 1, grid.width)[:, None] * rng.uniform(60, 200, (count, 1, 1, 1, 3))
    frames = (ramps + rng.integers(0, 50, shape)).clip(0, 255).astype(np.uint8)
    first = rng.uniform(-20, 60, (count, grid.frames, 2))
    boxes = np.concatenate([first, first + rng.uniform(-1, 30, first.shape)], 2)
    valid = rng.random((count, grid.frames)) < 0.7
    valid[0] = False
    return batch_of(frames, boxes, valid, rng.random((count, grid.tokens), np.float32))


def one_hot(count: int, classes: int, seed: int = 0) -> torch.Tensor:
    chosen = np.random.default_rng(seed).integers(0, classes, count)
    return F.one_hot(torch.as_tensor(chosen), classes).float()


def grown(mask_BHW: torch.Tensor, pixels: int) -> torch.Tensor:
    """A mask with everything that is at most so many pixels away from it."""
    size = 2 * pixels + 1
    return F.max_pool2d(mask_BHW[:, None].float(), size, 1, pixels)[:, 0] > 0


def moving(frames_BTHWC: torch.Tensor) -> torch.Tensor:
    """(B, H, W): by how many levels the pixels change over time, the most of the three colours."""
    frames = frames_BTHWC.float()
    return (frames.amax(1) - frames.amin(1)).amax(-1)
