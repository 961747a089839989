"""The names and sizes of VideoMAE's and VideoMAE V2's own files (.pth).

Names as in the published programs (github.com/MCG-NJU/VideoMAE, modeling_pretrain.py and
modeling_finetune.py; the same in OpenGVLab/VideoMAEv2): ``encoder.*``, ``decoder.*``,
``encoder_to_decoder.weight`` and ``mask_token`` of a pre-training; ``patch_embed``, ``blocks``,
``fc_norm`` and ``head`` of a classifier. Positions are sine-cosine and in no file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mofo.models.model_settings import CHANNELS, SIZES, ModelSettings
from mofo.models.positions import sincos_table
from mofo.types import SettingsError, TokenGrid
from mofo.weights.import_report import WeightsError
from mofo.weights.key_rules import Layout

OFFICIAL_LAYOUT = Layout(
    kernel="encoder.patch_embed.proj",
    encoder="encoder.blocks",
    decoder="decoder.blocks",
    inside={
        "attention.norm": "norm1",
        "attention.proj": "attn.proj",
        "mlp.norm": "norm2",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    },
    qkv=("attn.qkv.weight",),
    q_bias=("attn.q_bias",),
    v_bias=("attn.v_bias",),
    outside={
        "encoder.norm": "encoder.norm",
        "decoder.embed": "encoder_to_decoder",
        "decoder.mask_token": "mask_token",
        "decoder.norm": "decoder.norm",
        "decoder.head": "decoder.head",
        "head.norm": "fc_norm",
        "head.linear": "head",
    },
)
# What the programs stretch a clip to where nothing says otherwise.
FRAMES, SIZE = 16, 224
_PREFIXES = ("module.", "model.", "backbone.", "_orig_mod.")
_ENCODER = ("patch_embed", "blocks", "norm")
_TABLES = ("encoder.pos_embed", "pos_embed")
# Width and blocks of the encoder -> heads, where a head is not 64 wide; likewise of the decoder.
_HEADS = {1280: 16, 1408: 16}
_DECODER_HEADS = {640: 8}
_SAME = 1e-3  # positions kept in half precision differ by this much


def without_prefixes(names: Mapping[str, Any]) -> dict[str, str]:
    """Names without what wrappers put before them -> names in the file.

    The encoder's are given as a pre-training has them (``encoder.blocks.0 ...``).

    Raises:
        WeightsError: two names become one.
    """
    found: dict[str, str] = {}
    for original in names:
        name = original
        while name.startswith(_PREFIXES):
            name = name.partition(".")[2]
        if name.partition(".")[0] in _ENCODER:
            name = f"encoder.{name}"
        if name in found:
            raise WeightsError(f"{original} and {found[name]} are both {name}: two models in one?")
        found[name] = original
    return found


def is_classifier(names: Mapping[str, Any]) -> bool:
    """Whether these names (without prefixes) are of a fine-tuned model."""
    return any(name.startswith(("head.", "fc_norm.")) for name in names)


def sizes(
    state: Mapping[str, Tensor],
    made_for: tuple[int, int],
    heads: int | None = None,
    decoder_heads: int | None = None,
) -> ModelSettings:
    """Sizes worked out from shapes; the grid is the one that the weights were made for.

    Args:
        state: names without prefixes.
        made_for: frames and pixels a side; no shape says them.
        heads, decoder_heads: no shape says them either. None: a head is 64 wide (80 in ViT-H).

    Raises:
        WeightsError: one line with what is missing or what our model has no counterpart for.
    """
    kernel = state.get("encoder.patch_embed.proj.weight")
    if kernel is None or kernel.ndim != 5:
        raise WeightsError(
            "no patch_embed.proj.weight of five axes in it: no weights of VideoMAE or MOFO"
        )
    width, channels, tubelet, patch, other = kernel.shape
    depth = _depth(state, "encoder.blocks")
    problems = []
    if channels != CHANNELS or patch != other:
        problems.append(f"patches of {patch}x{other} with {channels} colours")
    problems += _unusual(state, width)
    if problems:
        raise WeightsError("no counterpart in our model: " + "; ".join(problems))
    chosen: dict[str, Any] = {
        "width": width,
        "depth": depth,
        "heads": heads or _HEADS.get(width) or max(1, width // 64),
    }
    embed = state.get("encoder_to_decoder.weight")
    if embed is not None:
        inner = rows(embed, "encoder_to_decoder.weight")
        chosen |= {
            "decoder_width": inner,
            "decoder_depth": _depth(state, "decoder.blocks"),
            "decoder_heads": decoder_heads or _DECODER_HEADS.get(inner) or max(1, inner // 64),
        }
    else:
        chosen = _named(chosen) | chosen
    try:
        frames, size = made_for
        return ModelSettings(grid=TokenGrid(frames, size, size, tubelet, patch), **chosen)
    except SettingsError as error:
        raise WeightsError(str(error)) from None


def tables(state: Mapping[str, Tensor], settings: ModelSettings) -> dict[str, str]:
    """Names of position tables in the file that are the sine-cosine one, and why not needed.

    A file of the programs themselves has none; a copy may. Others, learned ones, are not named and
    so count as unexpected.

    Raises:
        WeightsError: a table for another number of tokens.
    """
    found = {}
    for name in _TABLES:
        table = state.get(name)
        if table is None:
            continue
        tokens, width = table.shape[-2:] if table.ndim > 1 else (0, 0)
        if tokens != settings.grid.tokens:
            grid = settings.grid
            raise WeightsError(
                f"{name} is for {tokens} tokens, but {grid.frames} frames of {grid.width} pixels "
                f"have {grid.tokens}: say --made-for FRAMESxPIXELS"
            )
        known = sincos_table(tokens, width)
        if torch.allclose(table.reshape(tokens, width).float(), known, rtol=0, atol=_SAME):
            found[name] = "sine-cosine table, computed here"
    return found


def rows(matrix: Tensor, name: str) -> int:
    """Outputs of a linear layer; raises a WeightsError for what is no matrix."""
    if matrix.ndim != 2:
        raise WeightsError(f"{name} is {tuple(matrix.shape)}, no matrix")
    return len(matrix)


def _depth(state: Mapping[str, Tensor], stack: str) -> int:
    number = re.compile(rf"{re.escape(stack)}\.(\d+)\.")
    numbers = {int(match[1]) for name in state if (match := number.match(name))}
    if not numbers:
        raise WeightsError(f"no {stack}.0 in it: no weights of VideoMAE or MOFO")
    return len(numbers)  # not the largest: a damaged number must not decide over any work


def _unusual(state: Mapping[str, Tensor], width: int) -> list[str]:
    """What some variants have and our blocks do not."""
    problems = []
    expand = state.get("encoder.blocks.0.mlp.fc1.weight")
    if expand is not None and (inner := rows(expand, "mlp.fc1.weight")) != 4 * width:
        problems.append(f"an MLP of {inner} instead of 4 x {width}")
    words = {
        "gamma_1": "a scale of branches (gamma_1)",
        "attn.scale": "attention by cosine (attn.scale)",
        "attn.qkv.bias": "a bias of keys (attn.qkv.bias)",
    }
    return problems + [
        text for word, text in words.items() if any(name.endswith(f".{word}") for name in state)
    ]


def _named(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The decoder that goes with an encoder of this width; nothing in particular: ViT-B's."""
    for size in SIZES:
        named = ModelSettings.named(size)
        if named.width == chosen["width"]:
            words = ("decoder_width", "decoder_depth", "decoder_heads")
            return {word: getattr(named, word) for word in words}
    return {}
