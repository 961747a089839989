"""Families that see one frame at a time: tokens of a frame become tokens of a time slot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mofo.models.hf.family import FAMILIES, Family, Shape, side

_FRAMES = 8  # of a clip, where nothing says otherwise


class FrameFamily(Family):
    """A model of single pictures.

    ``usual``: pixels a side where the configuration only says what positions were learned for.
    """

    by_frames = True
    keeps = True
    usual: ClassVar[int] = 0

    def shape(self) -> Shape:
        """See ``Family``."""
        size = self.usual or side(self.config["image_size"])
        return Shape(_FRAMES, size, 1, side(self.config["patch_size"]))


@FAMILIES.register("dinov2")
class Dinov2Family(FrameFamily):
    """DINOv2 (Oquab et al., arXiv 2304.07193); positions are interpolated."""

    model = "Dinov2Model"
    licence = "Apache 2.0"
    prefix = 1
    usual = 224


@FAMILIES.register("dinov3_vit")
class Dinov3Family(FrameFamily):
    """DINOv3 (Siméoni et al., arXiv 2508.10104): rotary positions."""

    model = "DINOv3ViTModel"
    licence = "DINOv3 License (Meta's own: read it before use)"
    norm = "norm"

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.prefix = 1 + int(config.get("num_register_tokens", 0))

    def options(self, model: Any, pixels: Tensor, keep: Tensor) -> dict[str, Any]:
        """The angles of the kept tokens, the same for all heads."""
        angles = model.rope_embeddings(pixels)
        return {"position_embeddings": tuple(angle[keep][:, None] for angle in angles)}

    def groups(self, model: Any) -> list[nn.Module]:
        """See ``Family``."""
        return [model.embeddings, *model.model.layer]


@FAMILIES.register("siglip_vision_model")
class SiglipFamily(FrameFamily):
    """SigLIP and SigLIP 2 of one resolution (Tschannen et al., arXiv 2502.14786)."""

    model = "SiglipVisionModel"
    licence = "Apache 2.0"
    norm = "post_layernorm"

    def build(self, config: Any) -> nn.Module:
        """Without the pooling head."""
        config.vision_use_head = False
        return super().build(config)

    def groups(self, model: Any) -> list[nn.Module]:
        """See ``Family``."""
        return [model.embeddings, *model.encoder.layers]

    def embed(self, model: Any, pixels: Tensor) -> Tensor:
        """See ``Family``; positions are interpolated for other sizes than its own."""
        other = pixels.shape[-1] != model.config.image_size
        return model.embeddings(pixels, interpolate_pos_encoding=other)

    def options(self, model: Any, pixels: Tensor, keep: Tensor) -> dict[str, Any]:
        """Nothing: their layers want to be told so."""
        return {"attention_mask": None}

    def tokens(self, model: Any, pixels: Tensor, keep: Tensor | None) -> Tensor:
        """See ``Family`` and ``embed``."""
        if keep is not None:
            return super().tokens(model, pixels, keep)
        other = pixels.shape[-1] != model.config.image_size
        return model(pixels, interpolate_pos_encoding=other).last_hidden_state


@FAMILIES.register("siglip2_vision_model")
class Siglip2Family(SiglipFamily):
    """SigLIP 2 of any resolution (NaFlex): it takes patches of pixels, and how many there are."""

    model = "Siglip2VisionModel"

    def shape(self) -> Shape:
        """The size that positions were learned for."""
        patch = side(self.config["patch_size"])
        return Shape(_FRAMES, patch * math.isqrt(int(self.config["num_patches"])), 1, patch)

    def embed(self, model: Any, pixels: Tensor) -> Tensor:
        """See ``Family``; positions are interpolated."""
        return model.embeddings(*self._patches(pixels))

    def tokens(self, model: Any, pixels: Tensor, keep: Tensor | None) -> Tensor:
        """See ``Family``."""
        if keep is not None:
            return FrameFamily.tokens(self, model, pixels, keep)
        patches, shapes = self._patches(pixels)
        return model(patches, pixel_attention_mask=None, spatial_shapes=shapes).last_hidden_state

    def _patches(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(frames, patches, pixels of a patch with colours last), and rows and columns of them."""
        patch = side(self.config["patch_size"])
        cut = pixels.unfold(2, patch, patch).unfold(3, patch, patch)
        shapes = torch.tensor(cut.shape[2:4]).expand(len(cut), -1)
        return cut.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2), shapes


@FAMILIES.register("hiera")
class HieraFamily(FrameFamily):
    """Hiera (Ryali et al., arXiv 2306.00989); its layers are its stages, only the last one's
    tokens are of the grid's resolution.
    """

    model = "HieraModel"
    licence = "CC-BY-NC 4.0 (not for commercial use)"
    keeps = False
    pyramid = True

    def shape(self) -> Shape:
        """A token of the last stage is larger by the strides of the queries between stages."""
        config = self.config
        stages = len(config["depths"]) - 1
        patch = side(config["patch_stride"]) * side(config["query_stride"]) ** stages
        return Shape(_FRAMES, side(config["image_size"]), 1, patch)

    def width(self) -> int:
        """Of the last stage."""
        stages = len(self.config["depths"]) - 1
        return int(self.config["embed_dim"] * self.config["embed_dim_multiplier"] ** stages)

    def depth(self) -> int:
        """The stages before the last, together, and the last."""
        return 1

    def build(self, config: Any) -> nn.Module:
        """Without the pooling layer."""
        from transformers import HieraModel

        return HieraModel(config, add_pooling_layer=False)

    def groups(self, model: Any) -> list[nn.Module]:
        """The embedding with all but the last stage, and the last stage."""
        return [
            nn.ModuleList([model.embeddings, *model.encoder.stages[:-1]]),
            model.encoder.stages[-1],
        ]
