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

from mofo.models.settings import CHANNELS, ModelSettings
from mofo.types import SettingsError, TokenGrid

# Ours, theirs: inside a block.
_BLOCK = {
    "attention.norm": "layernorm_before",
    "attention.project": "attention.output.dense",
    "mlp.norm": "layernorm_after",
    "mlp.expand": "intermediate.dense",
    "mlp.contract": "output.dense",
}
_OUTSIDE = {
    "encoder.norm": "videomae.layernorm",
    "decoder.embed": "encoder_to_decoder",
    "decoder.norm": "decoder.norm",
    "decoder.head": "decoder.head",
}
_STACKS = {"encoder.blocks": "videomae.encoder.layer", "decoder.blocks": "decoder.decoder_layers"}
_HEAD_NORM_EPS = 1e-5  # torch's default: their configuration does not reach it
_CONVOLUTION = "videomae.embeddings.patch_embeddings.projection"
_QKV = ("query", "key", "value")
_TABLES = ("encoder.positions.made_for", "decoder.positions.made_for")


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
    left = dict(state)
    missing: list[str] = []

    def take(*names: str) -> Tensor:
        for name in names:
            if name in left:
                return left.pop(name)
        missing.append(names[0])
        return torch.empty(0)

    ours: dict[str, Tensor] = {}
    kernel = take(f"{_CONVOLUTION}.weight")
    ours["encoder.embed.weight"] = kernel.movedim(1, -1).flatten(1) if kernel.ndim == 5 else kernel
    ours["encoder.embed.bias"] = take(f"{_CONVOLUTION}.bias")
    ours["decoder.mask_token"] = take("mask_token").flatten()
    for our, their, kinds in _renamed(settings):
        ours.update({f"{our}.{kind}": take(f"{their}.{kind}") for kind in kinds})
    for our, their in _blocks(settings):
        inner = f"{their}.attention.attention"
        matrices = [take(f"{inner}.{part}.weight") for part in _QKV]
        ours[f"{our}.attention.qkv.weight"] = torch.cat(matrices)
        for letter, part in (("q", "query"), ("v", "value")):
            bias = take(f"{inner}.{part}.bias", f"{inner}.{letter}_bias")
            ours[f"{our}.attention.{letter}_bias"] = bias
    grid = settings.grid
    ours |= {name: torch.tensor([grid.t, grid.h, grid.w]) for name in _TABLES}
    for text, names in (("lacks", missing), ("has unknown", sorted(left))):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise SettingsError(f"Hugging Face state {text} {', '.join(names[:3])}{more}")
    return ours


def to_hf(state: Mapping[str, Tensor], settings: ModelSettings) -> dict[str, Tensor]:
    """State of our ``MaskedAutoencoder`` as one of their ``VideoMAEForPreTraining``.

    Raises:
        SettingsError: the weights were made for another grid than the settings': they compute
            their position table anew and could not know.
    """
    grid = settings.grid
    for name in _TABLES:
        if state[name].tolist() != [grid.t, grid.h, grid.w]:
            raise SettingsError(
                f"weights made for {'x'.join(map(str, state[name].tolist()))} tokens cannot be "
                f"exported for {grid.t}x{grid.h}x{grid.w}: Hugging Face's model has no "
                "interpolated positions"
            )
    block = (grid.tubelet, grid.patch, grid.patch, CHANNELS)
    kernel = state["encoder.embed.weight"].unflatten(1, block).movedim(-1, 1)
    theirs = {
        f"{_CONVOLUTION}.weight": kernel.contiguous(),
        f"{_CONVOLUTION}.bias": state["encoder.embed.bias"],
        "mask_token": state["decoder.mask_token"].reshape(1, 1, -1),
    }
    for our, their, kinds in _renamed(settings):
        theirs.update({f"{their}.{kind}": state[f"{our}.{kind}"] for kind in kinds})
    for our, their in _blocks(settings):
        inner = f"{their}.attention.attention"
        matrices = state[f"{our}.attention.qkv.weight"].chunk(3)
        theirs |= {
            f"{inner}.{part}.weight": matrix.clone()
            for part, matrix in zip(_QKV, matrices, strict=True)
        }
        theirs[f"{inner}.query.bias"] = state[f"{our}.attention.q_bias"]
        theirs[f"{inner}.value.bias"] = state[f"{our}.attention.v_bias"]
    return theirs


def _blocks(settings: ModelSettings) -> list[tuple[str, str]]:
    """Our and their name of every block."""
    depths = (settings.depth, settings.decoder_depth)
    return [
        (f"{our}.{number}", f"{their}.{number}")
        for (our, their), depth in zip(_STACKS.items(), depths, strict=True)
        for number in range(depth)
    ]


def _renamed(settings: ModelSettings) -> list[tuple[str, str, tuple[str, ...]]]:
    """Our and their name of all layers that differ in nothing else, and their tensors."""
    inside = [
        (f"{our}.{ours}", f"{their}.{theirs}")
        for our, their in _blocks(settings)
        for ours, theirs in _BLOCK.items()
    ]
    both = ("weight", "bias")
    return [
        (our, their, both[:1] if our == "decoder.embed" else both)
        for our, their in [*_OUTSIDE.items(), *inside]
    ]


def _pair(size: Any) -> tuple[int, int]:
    """A size that may be one number for both sides."""
    first, second = (size, size) if isinstance(size, int) else size
    return int(first), int(second)
