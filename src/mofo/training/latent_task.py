"""Pre-training with latent targets: hidden tokens become features of a frozen encoder.

    mofo pretrain --config small --task latent --target.encoder hf:facebook/vjepa2-vitl-fpc64-256

Masks, data, encoder and decoder are those of pre-training on pixels; only what is predicted
differs. As in masked video distillation (Wang et al., arXiv 2212.04500), the frozen encoder sees
the whole clip, and the loss is the mean squared error at the hidden tokens.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.masking import Mask
from mofo.system.environment import pick_device
from mofo.training.frozen import frozen
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.pretrain_task import PretrainStep, PretrainTask
from mofo.training.recipe import Section
from mofo.training.saved_models import encoder_weights
from mofo.training.tasks import TASKS
from mofo.types import TokenGrid


class TargetSettings(Section):
    """Section ``target``: whose features are predicted."""

    encoder: str = Field(min_length=1)
    """The frozen encoder: a run or checkpoint of mofo, or ``hf:PATH_OR_NAME``."""
    layer: int = -1
    """Layer of its features: 0 is the embedding, -1 the last one."""


class LatentSettings(PretrainSettings):
    """A whole recipe of ``mofo pretrain --task latent``."""

    task: str = "latent"
    target: TargetSettings


class LatentStep(PretrainStep):
    """Masks a batch and compares predictions with the frozen encoder's features.

    That encoder gets the frames in the size in which its tokens lie where the model's do. With
    ``loss.normalise``, mean and deviation are taken out of each token's features.
    """

    def __init__(self, settings: LatentSettings) -> None:
        super().__init__(settings)
        grid, saved = settings.grid(), encoder_weights(settings.target.encoder)
        patch = saved.settings.grid.patch
        self._frame_size = (grid.h * patch, grid.w * patch)
        own_grid = TokenGrid(grid.frames, *self._frame_size, grid.tubelet, patch)
        self.teacher = frozen(saved, own_grid)
        self._layer = self.teacher.layer(settings.target.layer)
        self._normalise = settings.loss.normalise
        self._bf16 = pick_device(None, settings.run.precision)[1] == "bf16"
        self.model_settings = replace(self.model_settings, target_width=saved.settings.width)

    @torch.no_grad()
    def target(self, batch: ClipBatch, mask: Mask) -> Tensor:
        """Features of the mask's targets, float32 (B, M, D)."""
        frames_BTHWC = batch.frames_BTHWC
        device = frames_BTHWC.device
        self.teacher.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
            tokens_BND = self.teacher(resized(frames_BTHWC, self._frame_size), self._layer)
        width = tokens_BND.shape[2]
        index_BMD = mask.target_BM[..., None].expand(-1, -1, width)
        target_BMD = tokens_BND.gather(1, index_BMD).float()
        return F.layer_norm(target_BMD, (width,)) if self._normalise else target_BMD


@TASKS.register("latent")
class LatentTask(PretrainTask):
    """Masked pre-training that predicts features of a frozen encoder."""

    name = "latent"
    settings_type = LatentSettings
    step_type = LatentStep
    step: LatentStep
    draw = None  # features make no picture

    def metadata(self) -> dict[str, Any]:
        """Also a digest of the frozen encoder: a run goes on with the same one only."""
        return {**super().metadata(), "target": self.step.teacher.digest}

    def notes(self) -> list[str]:
        """Also whose features are predicted."""
        return [*super().notes(), f"predicts features of {self.step.teacher.name}"]


def resized(frames_BTHWC: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames, uint8 or float, in another height and width; bilinear, antialiased."""
    if frames_BTHWC.shape[2:4] == size:
        return frames_BTHWC
    frames = frames_BTHWC.flatten(0, 1).movedim(-1, 1)
    frames = F.interpolate(frames, size, mode="bilinear", antialias=True)
    return frames.movedim(1, -1).unflatten(0, frames_BTHWC.shape[:2])
