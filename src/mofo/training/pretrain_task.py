"""Pre-training: clips through a motion mask and a masked autoencoder to the loss."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mofo.clips.batch import ClipBatch
from mofo.clips.dataset import ClipDataset, ClipSettings
from mofo.clips.sources import MotionChoice
from mofo.clips.transforms import CropSettings
from mofo.curation.preference import preferred_shares
from mofo.datasets.catalog import read_catalog
from mofo.datasets.row_table import where
from mofo.masking import Mask, decoded_count, make_mask, mask_shares
from mofo.models.mae import MaskedAutoencoder, area_weight
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.tasks import TASKS, ForwardStep, StepOutput, Task
from mofo.types import SettingsError


class PretrainStep:
    """Masks a batch and computes the loss.

    Everything happens on the batch's device, and nothing waits for it.

    Attributes:
        model_settings: what the autoencoder is built from.
        num_hidden: hidden tokens of a clip.
    """

    def __init__(self, settings: PretrainSettings) -> None:
        self._mask, self._loss, self._grid = settings.mask, settings.loss, settings.grid()
        self.motion = settings.motion
        self.model_settings = settings.model_settings()
        # Wrong settings are to be found before any video is read.
        self._strategy = self._mask.build(self._grid)
        self.num_hidden = self._strategy.num_hidden
        decoded_count(self.num_hidden, self._loss.decode)

    def area_and_mask(self, batch: ClipBatch, decode: float = 1.0) -> tuple[Tensor, Mask]:
        """Tokens inside the motion area (B, t, h, w), and the mask."""
        motion_Bthw = self._tokens(batch)
        mask = make_mask(self._mask, self._grid, motion_Bthw, batch.noise_BN, decode)
        return self._strategy.inside(motion_Bthw), mask

    def target(self, batch: ClipBatch, mask: Mask) -> Tensor | None:
        """What is predicted of the mask's targets, (B, M, p); None: their pixels."""
        return None

    def _tokens(self, batch: ClipBatch) -> Tensor:
        return self.motion.tokens(batch, self._grid, self._strategy.area_span)

    def __call__(self, model: nn.Module, batch: ClipBatch) -> StepOutput:
        """Returns the loss of a batch on the model's device.

        Metrics: "area", the share of the tokens inside the motion area, mean over the batch;
        "still", the share of the samples without motion; "hidden_inside_ratio", the share of the
        tokens inside the area that is hidden; "visible_inside_ratio", the share of the visible
        tokens that is inside it; "spill", the share of the samples in which the asked share inside
        was impossible.
        """
        inside_Bthw, mask = self.area_and_mask(batch, self._loss.decode)
        weight_BN = None
        if self._loss.outside != 1:
            weight_BN = area_weight(inside_Bthw.flatten(1), self._loss.outside)
        target_BMp = self.target(batch, mask)
        output = model(batch.frames_BTHWC, mask, weight_BN=weight_BN, target_BMp=target_BMp)
        shares = mask_shares(mask.hidden_BN, inside_Bthw)
        metrics = {
            "area": shares.area,
            "still": (~inside_Bthw.flatten(1).any(1)).float().mean(),
            "hidden_inside_ratio": shares.hidden_inside,
            "visible_inside_ratio": shares.visible_inside,
            "spill": self._strategy.spilled(self._tokens(batch)).float().mean(),
        }
        return StepOutput(output.loss, metrics)


@TASKS.register("pretrain")
class PretrainTask(Task):
    """Masked pre-training on videos without labels."""

    name = "pretrain"
    settings_type: ClassVar[type[PretrainSettings]] = PretrainSettings
    step_type: ClassVar[type[PretrainStep]] = PretrainStep

    def __init__(self, settings: PretrainSettings) -> None:
        super().__init__(settings)
        self.step = self.step_type(settings)  # finds wrong settings before any work is done
        data = settings.data
        catalog = read_catalog(data.source)
        videos = where(catalog.videos, lambda video: not data.split or video.split == data.split)
        if not videos and catalog.videos:
            raise SettingsError(
                f"data.split: none of the {len(catalog)} videos is of {data.split!r}"
            )
        if data.prefer:
            self.share_V = preferred_shares(videos, data.prefer)
        clips = ClipSettings(
            grid=settings.grid(),
            stride=data.stride,
            seconds=data.seconds,
            moving=data.moving,
            crop=CropSettings(flip=data.flip, fit=data.fit),
            motion=data.areas,
            repeats=data.clips_per_video,
        )
        self.dataset = ClipDataset(videos, clips, seed=settings.run.seed)
        self.problems = catalog.problems
        self._flips_sides = data.flip and catalog.flip is False

    def build(self) -> nn.Module:
        """Returns the autoencoder."""
        generator = torch.Generator().manual_seed(self.settings.run.seed)
        return MaskedAutoencoder(self.step.model_settings, generator=generator)

    def forward_step(self, model: nn.Module, batch: ClipBatch) -> StepOutput:
        """See ``PretrainStep``."""
        return self.step(model, batch)

    def metadata(self) -> dict[str, Any]:
        """The sizes of the autoencoder, and how clips were taken."""
        data = self.settings.data
        return {
            "model": asdict(self.step.model_settings),
            "sampling": data.cut() | {"areas": MotionChoice.parse(data.areas).source},
        }

    def notes(self) -> list[str]:
        """How many tokens are hidden, and what is doubtful."""
        lines = [f"{self.step.num_hidden} of {self.settings.grid().tokens} tokens hidden"]
        if self._flips_sides:
            lines.append(
                "labels of data.source know left from right, but clips are mirrored (data.flip): "
                "no harm done before labels come in, but fine-tune without"
            )
        return lines

    @classmethod
    def replayed(
        cls, settings: PretrainSettings, case: dict[str, Any]
    ) -> tuple[nn.Module, ForwardStep]:
        """See ``Task``."""
        step = cls.step_type(settings)
        return MaskedAutoencoder(step.model_settings), step
