"""Small models of transformers with random weights, as they write them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from torch import nn

from mofo.models.hf.family import FAMILIES

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
SMALL = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
         "intermediate_size": 48, "layer_norm_eps": 1e-6}  # fmt: skip
# model_type -> configuration, arguments of its preprocessing
MODELS = {
    "videomae": {**SMALL, "image_size": 32, "num_frames": 4, "use_mean_pooling": False},
    "vjepa2": {
        "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "crop_size": 32,
        "frames_per_clip": 4, "pred_hidden_size": 24, "pred_num_hidden_layers": 1,
        "pred_num_attention_heads": 2, "num_pooler_layers": 1,
    },
    "timesformer": {**SMALL, "image_size": 32, "num_frames": 4, "patch_size": 16},
    "vivit": {**SMALL, "image_size": 32, "num_frames": 4, "tubelet_size": [2, 16, 16]},
    "videoprism_vision_model": {
        "hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 48, "image_size": 36,
        "num_frames": 4, "num_spatial_layers": 2, "num_temporal_layers": 1,
    },
    "dinov2": {**SMALL, "image_size": 42, "patch_size": 14},
    "dinov3_vit": {**SMALL, "image_size": 32, "patch_size": 16, "num_register_tokens": 2},
    "siglip_vision_model": {**SMALL, "image_size": 32, "patch_size": 16},
    "siglip2_vision_model": {**SMALL, "num_patches": 9, "patch_size": 16},
    "hiera": {"embed_dim": 12, "image_size": [64, 64], "depths": [1, 1], "num_heads": [1, 2],
              "embed_dim_multiplier": 2.0, "num_query_pool": 1, "masked_unit_size": [8, 8],
              "mlp_ratio": 2.0, "patch_padding": [3, 3]},
}  # fmt: skip


def save(folder: Path, model_type: str, **processor: object) -> nn.Module:
    """A small model of random weights as transformers write it, with its preprocessing."""
    config = transformers.AutoConfig.for_model(model_type, **MODELS[model_type])
    torch.manual_seed(0)
    model = getattr(transformers, FAMILIES[model_type].model)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model.save_pretrained(folder)
    content = {"image_mean": MEAN, "image_std": STD, "do_rescale": True} | processor
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return model
