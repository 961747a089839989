"""Weights of Hugging Face's VideoMAE under our names, and back.

Differences beside names: their queries, keys and values are three matrices, ours one; their
patch embedding is a convolution, (D, c, p0, p1, p2), ours a matrix on flattened pixels,
(D, (p0 p1 p2 c)). Their LayerNorm before the head always has an epsilon of 1e-5, where VideoMAE
and our default have 1e-6: settings made here say so, and give their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mofo.models.model_settings import CHANNELS, ModelSettings
from mofo.types import SettingsError, TokenGrid
from mofo.weights.key_rules import (
    POSITIONS,
    Layout,
    Rule,
    Translation,
    decoder_rules,
    encoder_rules,
    give_back,
    translate,
)

_INNER = "attention.attention"
HF_LAYOUT = Layout(
    kernel="videomae.embeddings.patch_embeddings.projection",
    encoder="videomae.encoder.layer",
    decoder="decoder.decoder_layers",
    inside={
        "attention.norm": "layernorm_before",
        "attention.proj": "attention.output.dense",
        "mlp.norm": "layernorm_after",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    },
    qkv=tuple(f"{_INNER}.{part}.weight" for part in ("query", "key", "value")),
    # Older versions of transformers, and the files on their hub, have parameters beside the layers.
    q_bias=(f"{_INNER}.query.bias", f"{_INNER}.q_bias"),
    v_bias=(f"{_INNER}.value.bias", f"{_INNER}.v_bias"),
    outside={
        "encoder.norm": "videomae.layernorm",
        "decoder.embed": "encoder_to_decoder",
        "decoder.mask_token": "mask_token",
        "decoder.norm": "decoder.norm",
        "decoder.head": "decoder.head",
        "head.norm": "fc_norm",
        "head.linear": "classifier",
    },
)
_HEAD_NORM_EPS = 1e-5  # torch's default: their configuration does not reach it


def settings_from_hf(config: Mapping[str, Any], **options: Any) -> ModelSettings:
    """Sizes from the content of their ``config.json``, with further options on top.

    Raises:
        SettingsError: one line with everything that our model has no counterpart for.
    """

    def value(name: str, default: Any) -> Any:
        return config.get(name, default)

    width, decoder_width = value("hidden_size", 768), value("decoder_hidden_size", 384)
    expected = {
        "num_channels": (value("num_channels", CHANNELS), CHANNELS),
        "qv_bias": (value("qv_bias", True), True),
        "hidden_act": (value("hidden_act", "gelu"), "gelu"),
        "intermediate_size": (value("intermediate_size", 3072), 4 * width),
        "decoder_intermediate_size": (value("decoder_intermediate_size", 1536), 4 * decoder_width),
        # Without a norm behind the encoder (their default, for classifiers).
        "use_mean_pooling": (value("use_mean_pooling", True), False),
        "hidden_dropout_prob": (value("hidden_dropout_prob", 0.0), 0.0),
        "attention_probs_dropout_prob": (value("attention_probs_dropout_prob", 0.0), 0.0),
    }
    problems = [
        f"{name} is {found}, only {wanted} can be used"
        for name, (found, wanted) in expected.items()
        if found != wanted
    ]
    if problems:
        raise SettingsError("Hugging Face configuration: " + "; ".join(problems))
    height, image_width = _pair(value("image_size", 224))
    patch, patch_width = _pair(value("patch_size", 16))
    if patch != patch_width:
        raise SettingsError(f"Hugging Face configuration: patches {patch}x{patch_width} no square")
    grid = TokenGrid(value("num_frames", 16), height, image_width, value("tubelet_size", 2), patch)
    found = {
        "grid": grid,
        "width": width,
        "depth": value("num_hidden_layers", 12),
        "heads": value("num_attention_heads", 12),
        "decoder_width": decoder_width,
        "decoder_depth": value("decoder_num_hidden_layers", 4),
        "decoder_heads": value("decoder_num_attention_heads", 6),
        "normalise_target": value("norm_pix_loss", True),
        "norm_eps": value("layer_norm_eps", 1e-12),
        "head_norm_eps": _HEAD_NORM_EPS,
    }
    return ModelSettings(**(found | options))


def config_to_hf(settings: ModelSettings) -> dict[str, Any]:
    """The options of their ``VideoMAEConfig`` for a model of these settings.

    A ``head_norm_eps`` of other than 1e-5 is lost: it changes predictions by some 1e-5.
    """
    grid = settings.grid
    return {
        "image_size": [grid.height, grid.width] if grid.height != grid.width else grid.height,
        "patch_size": grid.patch,
        "num_channels": CHANNELS,
        "num_frames": grid.frames,
        "tubelet_size": grid.tubelet,
        "hidden_size": settings.width,
        "num_hidden_layers": settings.depth,
        "num_attention_heads": settings.heads,
        "intermediate_size": 4 * settings.width,
        "layer_norm_eps": settings.norm_eps,
        "use_mean_pooling": False,
        "decoder_hidden_size": settings.decoder_width,
        "decoder_num_hidden_layers": settings.decoder_depth,
        "decoder_num_attention_heads": settings.decoder_heads,
        "decoder_intermediate_size": 4 * settings.decoder_width,
        "norm_pix_loss": settings.normalise_target,
    }


def from_hf(state: Mapping[str, Tensor], settings: ModelSettings) -> dict[str, Tensor]:
    """State of their ``VideoMAEForPreTraining`` as one of our ``MaskedAutoencoder``.

    Args:
        state: names and tensors, of this or of older versions of transformers (``q_bias``).
        settings: of the model that the weights belong to (``settings_from_hf``): its grid is the
            one the weights know; another model may load the result.

    Raises:
        SettingsError: tensors are missing, or some have no counterpart.
    """
    found = translate(state, hf_rules(settings))
    raise_unless_whole(found)
    return found.tensors | made_for(settings.grid, POSITIONS)


def to_hf(state: Mapping[str, Tensor], settings: ModelSettings) -> dict[str, Tensor]:
    """State of our ``MaskedAutoencoder`` as one of their ``VideoMAEForPreTraining``.

    Raises:
        SettingsError: the weights were made for another grid than the settings': they compute
            their position table anew and could not know.
    """
    grid = settings.grid
    check_made_for(state, grid)
    return give_back(state, hf_rules(settings))


def hf_rules(settings: ModelSettings) -> list[Rule]:
    """Rules between their ``VideoMAEForPreTraining`` and our ``MaskedAutoencoder``."""
    rules = encoder_rules(HF_LAYOUT, settings, final_norm=True)
    return rules + decoder_rules(HF_LAYOUT, settings)


def made_for(grid: TokenGrid, names: tuple[str, ...]) -> dict[str, Tensor]:
    """What our position tables of these names remember of the grid of the weights."""
    return {name: torch.tensor([grid.t, grid.h, grid.w]) for name in names}


def check_made_for(state: Mapping[str, Tensor], grid: TokenGrid) -> None:
    """Raises a SettingsError if positions were interpolated: nobody else's model could know."""
    for name in POSITIONS:
        if name in state and state[name].tolist() != [grid.t, grid.h, grid.w]:
            raise SettingsError(
                f"weights made for {'x'.join(map(str, state[name].tolist()))} tokens cannot be "
                f"exported for {grid.t}x{grid.h}x{grid.w}: Hugging Face's model has no "
                "interpolated positions"
            )


def raise_unless_whole(found: Translation) -> None:
    """Raises a SettingsError if tensors are missing, too many, or of other shapes."""
    shapes = [f"{name} {shape} instead of {wanted}" for name, shape, wanted in found.misfits]
    missing = [theirs for _, theirs in found.missing]
    for text, names in (("lacks", missing), ("has unknown", found.unexpected), ("has", shapes)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise SettingsError(f"Hugging Face state {text} {', '.join(names[:3])}{more}")


def _pair(size: Any) -> tuple[int, int]:
    """A size that may be one number for both sides."""
    first, second = (size, size) if isinstance(size, int) else size
    return int(first), int(second)
