"""Families that see a clip as a whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mofo.models.hf.family import FAMILIES, Family, Shape, side
from mofo.models.model_settings import ModelSettings


@FAMILIES.register("videomae")
class VideoMAEFamily(Family):
    """VideoMAE (Tong et al., arXiv 2203.12602). ``mofo weights import`` makes our own ViT of it."""

    model = "VideoMAEModel"
    licence = "CC-BY-NC 4.0 (not for commercial use)"
    fixed = True
    keeps = True

    def shape(self) -> Shape:
        """See ``Family``."""
        config = self.config
        size, patch = side(config["image_size"]), side(config["patch_size"])
        return Shape(config["num_frames"], size, config["tubelet_size"], patch)

    def tokens(self, model: Any, pixels: Tensor, keep: Tensor | None) -> Tensor:
        """See ``Family``; they leave tokens out by themselves."""
        if keep is None:
            return model(pixels).last_hidden_state
        count = model.embeddings.num_patches
        hidden_BN = torch.ones(len(pixels), count, dtype=torch.bool, device=pixels.device)
        return model(pixels, hidden_BN.scatter(1, keep, False)).last_hidden_state


@FAMILIES.register("vjepa2")
class VJEPA2Family(Family):
    """V-JEPA 2 (Assran et al., arXiv 2506.09985): rotary positions, clips of any length."""

    model = "VJEPA2Model"
    licence = "MIT"
    keeps = True
    pixels = "pixel_values_videos"

    def shape(self) -> Shape:
        """See ``Family``."""
        config = self.config
        size, patch = side(config["crop_size"]), side(config["patch_size"])
        return Shape(config["frames_per_clip"], size, config["tubelet_size"], patch)

    def fit(self, config: Any, settings: ModelSettings) -> None:
        """The rows and columns of positions follow from the size in the configuration."""
        config.crop_size = settings.grid.height
        config.frames_per_clip = settings.grid.frames

    def part(self, model: nn.Module) -> nn.Module:
        """Without the predictor."""
        return model.encoder  # type: ignore[return-value]

    def groups(self, model: Any) -> list[nn.Module]:
        """See ``Family``."""
        return [model.embeddings, *model.layer]

    def options(self, model: Any, pixels: Tensor, keep: Tensor) -> dict[str, Any]:
        """Numbers of the tokens, which rotary positions are made of."""
        return {"position_mask": keep}


@FAMILIES.register("timesformer")
class TimesformerFamily(Family):
    """TimeSformer (Bertasius et al., arXiv 2102.05095): attention over time, then over space."""

    model = "TimesformerModel"
    licence = "CC-BY-NC 4.0 (not for commercial use)"
    fixed = True
    prefix = 1

    def shape(self) -> Shape:
        """See ``Family``."""
        config = self.config
        size, patch = side(config["image_size"]), side(config["patch_size"])
        return Shape(config["num_frames"], size, 1, patch)

    def arrange(self, hidden: Tensor, settings: ModelSettings, frames: int) -> Tensor:
        """Theirs count frames first, then columns and rows; ours columns first."""
        tokens = hidden[:, self.prefix :].unflatten(1, (-1, frames))
        return tokens.transpose(1, 2).flatten(1, 2)


@FAMILIES.register("vivit")
class VivitFamily(Family):
    """ViViT (Arnab et al., arXiv 2103.15691), the model with factorised tubelets."""

    model = "VivitModel"
    licence = "MIT"
    fixed = True
    keeps = True
    prefix = 1

    def shape(self) -> Shape:
        """See ``Family``."""
        config = self.config
        tubelet, patch, _ = config["tubelet_size"]
        return Shape(config["num_frames"], side(config["image_size"]), tubelet, patch)

    def build(self, config: Any) -> nn.Module:
        """Without the pooling layer."""
        from transformers import VivitModel

        return VivitModel(config, add_pooling_layer=False)

    def groups(self, model: Any) -> list[nn.Module]:
        """See ``Family``."""
        layers = getattr(model, "layers", None) or model.encoder.layer
        return [model.embeddings, *layers]


@FAMILIES.register("videoprism_vision_model")
class VideoPrismFamily(Family):
    """VideoPrism (Zhao et al., arXiv 2402.13217): attention over space, then over time."""

    model = "VideoPrismVisionModel"
    licence = "Apache 2.0"
    fixed = True
    pyramid = True
    pixels = "pixel_values_videos"

    def shape(self) -> Shape:
        """See ``Family``."""
        config = self.config
        tubelet, patch, _ = config["tubelet_size"]
        return Shape(config["num_frames"], side(config["image_size"]), tubelet, patch)

    def depth(self) -> int:
        """Spatial and temporal layers."""
        return int(self.config["num_spatial_layers"] + self.config["num_temporal_layers"])

    def groups(self, model: Any) -> list[nn.Module]:
        """See ``Family``."""
        return [model.spatial_embeddings, *model.spatial_layers, *model.temporal_layers]
