"""All augmentation of a batch in order: RandAugment, erasing, mixing; frames and areas alike."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import (
    SPANS,
    MotionSettings,
    inside_tokens,
    pooled_motion,
    token_area,
)
from mofo.registry import choice
from mofo.training.augment.erasing import Patch, draw_patch, erase
from mofo.training.augment.mixing import Mix, draw_mix, mix, mix_targets
from mofo.training.augment.randaugment import Operation, draw_operations, randaugment
from mofo.training.finetune_settings import AugmentSettings
from mofo.types import TokenGrid

# Of a sample's values, this many make its seed: 24 random bits each.
_SEEDING = 8
# Each purpose has a stream of its own: to switch one off leaves the others as they are.
_PURPOSES = ("randaugment", "erasing", "mixing")


class SampleNoise:
    """As many random numbers as wanted for each sample of a batch.

    The bits of the first 8 values of its noise (all, on grids of fewer tokens) seed a counter-based
    generator (Philox) for each sample and purpose. So what is drawn for a sample depends neither
    on the batch it is in, nor on the process, nor on any global seed.

    Args:
        noise_BN: float in [0, 1), from each sample's own generator. On a GPU, 32 bytes a sample are
            fetched from there, and that waits for it.
    """

    def __init__(self, noise_BN: Tensor) -> None:
        seeds_BN = noise_BN[:, :_SEEDING].detach().to("cpu", torch.float32).contiguous()
        self._seeds: list[list[int]] = seeds_BN.numpy().view(np.uint32).tolist()

    def __len__(self) -> int:
        return len(self._seeds)

    def generators(self, purpose: str) -> list[np.random.Generator]:
        """B generators, fresh from the seed; ``purpose``: "randaugment", "erasing", "mixing"."""
        key = (_PURPOSES.index(purpose),)
        sequences = (np.random.SeedSequence(seed, spawn_key=key) for seed in self._seeds)
        return [np.random.Generator(np.random.Philox(sequence)) for sequence in sequences]


class Plan(NamedTuple):
    """What is to happen to each of the B clips of a batch; see the functions that draw it."""

    operations: list[tuple[Operation | None, ...]]
    patches: list[Patch | None]
    mixes: list[Mix | None]


class Augmented(NamedTuple):
    """What training gets.

    Attributes:
        frames_BTHWC: uint8 RGB, as ``Classifier`` takes it: everything is rounded to 8 bits, and
            the batch stays a quarter of what it would be in floats.
        inside_BN: bool, tokens inside the motion area.
        targets: float (B, classes) of each head.
        motion_Bthw: float in [0, 1], how much of each token moves; zeros if nobody asks.
    """

    frames_BTHWC: Tensor
    inside_BN: Tensor
    targets: dict[str, Tensor]
    motion_Bthw: Tensor


class Augmentation:
    """Augments a batch on the device that it is on.

    Motion is painted as pixels, goes the same way as the frames, and becomes tokens at the end.
    With boxes a token is inside if any pixel of its patch is, with the field if enough of them are;
    where nothing moves the frames, that is exactly what ``MotionSettings`` says. What is erased
    from the frames stays: the motion goes on behind it, and the model is to learn to do without the
    part that it cannot see.

    Every random number comes from a sample's own noise (``SampleNoise``), so a sample is the same
    in any batch and process; only the partner it is mixed with is a matter of the batch.

    Args:
        settings: what is done, and how much of it.
        grid: the clips' tokens.
        area_span: one area for the "clip", or one for each "tubelet"; see ``MotionSettings``.
        motion: how motion becomes that of tokens.
        motion_threshold: of fields, from which on a token is inside.
        gives_motion: whether the motion of tokens is asked for beside the area.

    Raises:
        SettingsError: ``area_span`` is unknown.
    """

    def __init__(
        self,
        settings: AugmentSettings,
        grid: TokenGrid,
        area_span: str = "clip",
        motion: MotionSettings | None = None,
        motion_threshold: float = 0.5,
        gives_motion: bool = False,
    ) -> None:
        self.gives_motion = gives_motion
        self.settings, self.grid = settings, grid
        self.area_span = choice("area_span", area_span, SPANS)
        self.motion, self.motion_threshold = motion or MotionSettings(), motion_threshold
        self._pixels = replace(grid, patch=1)

    def plan(self, noise_BN: Tensor) -> Plan:
        """Draws what is to happen to each clip, on the CPU.

        Args:
            noise_BN: of the batch. Best before the batch goes to a GPU: there, the call waits for
                the GPU to have done everything it was given so far.
        """
        settings, noise = self.settings, SampleNoise(noise_BN)
        size = self.grid.width, self.grid.height
        mixes = [draw_mix(settings, *size, own) for own in noise.generators("mixing")]
        if len(mixes) % 2:
            mixes[len(mixes) // 2] = None  # its partner would be itself
        return Plan(
            [draw_operations(settings, own) for own in noise.generators("randaugment")],
            [draw_patch(settings, *size, own) for own in noise.generators("erasing")],
            mixes,
        )

    def __call__(
        self, batch: ClipBatch, targets: dict[str, Tensor], plan: Plan | None = None
    ) -> Augmented:
        """The batch as training sees it. The given tensors are not changed.

        Args:
            batch: clips of the grid's size.
            targets: float (B, classes) of each head; rows that sum to 1 still do so afterwards.
            plan: of ``plan``; none: it is drawn now.

        Raises:
            ValueError: frames, areas, noise or targets of another shape or type.
        """
        self._check(batch, targets)
        plan = self.plan(batch.noise_BN) if plan is None else plan
        # In bfloat16, a product of matrices would miss by pixels.
        with torch.no_grad(), torch.autocast(batch.frames_BTHWC.device.type, enabled=False):
            return self._augmented(batch, targets, plan)

    def _augmented(self, batch: ClipBatch, targets: dict[str, Tensor], plan: Plan) -> Augmented:
        grid, is_box = self.grid, self.motion.shape == "box"
        cover_BsHW = self._painted(batch)
        boxes = cover_BsHW.shape[1] if is_box else 0
        if is_box and self.gives_motion:
            cover_BsHW = torch.cat([cover_BsHW, self._field(batch)], 1)
        frames_BTHWC, cover_BsHW = randaugment(batch.frames_BTHWC, cover_BsHW, plan.operations)
        # A pixel is in a box or is not.
        cover_BsHW[:, :boxes] = cover_BsHW[:, :boxes] >= 0.5
        frames_BTHWC = erase(frames_BTHWC, plan.patches)
        if any(how is not None for how in plan.mixes):
            frames_BTHWC, cover_BsHW = mix(frames_BTHWC, cover_BsHW, plan.mixes)
            targets = mix_targets(targets, plan.mixes)
        fields_BtHW = cover_BsHW[:, boxes:]
        blank_Bthw = cover_BsHW.new_zeros(len(cover_BsHW), grid.t, grid.h, grid.w)
        motion_Bthw = pooled_motion(fields_BtHW, grid) if fields_BtHW.shape[1] else blank_Bthw
        if is_box:
            inside_Bshw = F.max_pool2d(cover_BsHW[:, :boxes], grid.patch) > 0
            inside_Bthw = inside_Bshw.expand(-1, grid.t, -1, -1)
        else:
            inside_Bthw = inside_tokens(motion_Bthw, self.motion_threshold, self.area_span)
        return Augmented(frames_BTHWC, inside_Bthw.flatten(1), targets, motion_Bthw)

    def _painted(self, batch: ClipBatch) -> Tensor:
        """How much of each pixel moves, float32 (B, s, H, W); s is 1 with boxes of the clip."""
        if self.motion.shape == "box":
            span = self.area_span
            cover_BtHW = token_area(batch.box_BT4, batch.valid_BT, self._pixels, per=span)
            return (cover_BtHW[:, :1] if span == "clip" else cover_BtHW).float()
        return self._field(batch)

    def _field(self, batch: ClipBatch) -> Tensor:
        """The motion map in pixels, float32 (B, t, H, W)."""
        if batch.motion_Btyx is None:
            raise ValueError("augmentation: these clips have boxes only, no field")
        motion_Btyx, size = batch.motion_Btyx.float() / 255, (self.grid.height, self.grid.width)
        return F.interpolate(motion_Btyx, size, mode="nearest")

    def _check(self, batch: ClipBatch, targets: dict[str, Tensor]) -> None:
        grid, frames = self.grid, batch.frames_BTHWC
        clips = len(frames)
        expected = (clips, grid.frames, grid.height, grid.width, 3)
        if frames.shape != expected or frames.dtype != torch.uint8:
            raise ValueError(
                f"augmentation: frames are {frames.dtype} {tuple(frames.shape)} instead of uint8 "
                f"{expected}"
            )
        if batch.noise_BN.shape != (clips, grid.tokens):
            raise ValueError(
                f"augmentation: noise is {tuple(batch.noise_BN.shape)} instead of "
                f"{(clips, grid.tokens)}"
            )
        for head, target in targets.items():
            if target.ndim != 2 or len(target) != clips or not target.is_floating_point():
                raise ValueError(
                    f"augmentation: targets of head {head!r} are {target.dtype} "
                    f"{tuple(target.shape)} instead of float ({clips}, classes)"
                )
