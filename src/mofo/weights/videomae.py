"""VideoMAE's and VideoMAE V2's own files (.pth), and V2 as on its hub.

Names as in the published programs (github.com/MCG-NJU/VideoMAE, modeling_pretrain.py and
modeling_finetune.py; the same in OpenGVLab/VideoMAEv2): ``encoder.*``, ``decoder.*``,
``encoder_to_decoder.weight`` and ``mask_token`` of a pre-training; ``patch_embed``, ``blocks``,
``fc_norm`` and ``head`` of a classifier. Positions are sine-cosine and in no file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mofo.models.classifier import ClassifierSettings
from mofo.models.model_settings import CHANNELS, SIZES, ModelSettings
from mofo.models.positions import sincos_table
from mofo.types import TokenGrid
from mofo.weights.layouts import LAYOUTS, Choices, Layout, Plan, with_fusion
from mofo.weights.loading import WeightsError
from mofo.weights.tensor_files import Opened

_BLOCK = (
    ("{s}.blocks.{n}.attention.norm.{p}", "{s}.blocks.{n}.norm1.{p}"),
    ("{s}.blocks.{n}.attention.qkv.weight", "{s}.blocks.{n}.attn.qkv.weight"),
    ("{s}.blocks.{n}.attention.q_bias", "{s}.blocks.{n}.attn.q_bias"),
    ("{s}.blocks.{n}.attention.v_bias", "{s}.blocks.{n}.attn.v_bias"),
    ("{s}.blocks.{n}.attention.proj.{p}", "{s}.blocks.{n}.attn.proj.{p}"),
    ("{s}.blocks.{n}.mlp.norm.{p}", "{s}.blocks.{n}.norm2.{p}"),
    ("{s}.blocks.{n}.mlp.fc1.{p}", "{s}.blocks.{n}.mlp.fc1.{p}"),
    ("{s}.blocks.{n}.mlp.fc2.{p}", "{s}.blocks.{n}.mlp.fc2.{p}"),
)
RENAMING = (
    ("encoder.embed.proj.{p}", "encoder.patch_embed.proj.{p}"),
    *(
        (a.replace("{s}", s), b.replace("{s}", s))
        for s in ("encoder", "decoder")
        for a, b in _BLOCK
    ),
    ("encoder.norm.{p}", "encoder.norm.{p}"),
    ("decoder.embed.weight", "encoder_to_decoder.weight"),
    ("decoder.mask_token", "mask_token"),
    ("decoder.norm.{p}", "decoder.norm.{p}"),
    ("decoder.head.{p}", "decoder.head.{p}"),
    ("head.norm.{p}", "fc_norm.{p}"),
    ("head.linear.{head}.{p}", "head.{p}"),
)
# What the programs scale a clip to where nothing says otherwise.
_FRAMES, _SIZE = 16, 224
_PREFIXES = ("module.", "model.", "backbone.", "_orig_mod.")
_ENCODER = ("patch_embed", "blocks", "norm")
_TABLES = ("encoder.pos_embed", "pos_embed")
# Width of the encoder -> heads, where a head is not 64 wide; likewise of the decoder.
_HEADS = {1280: 16, 1408: 16}
_DECODER_HEADS = {640: 8}
_SAME = 1e-3  # positions kept in half precision differ by this much
_UNUSUAL = {
    "gamma_1": "a scale of branches (gamma_1)",
    "attn.scale": "attention by cosine (attn.scale)",
    "attn.qkv.bias": "a bias of keys (attn.qkv.bias)",
}


@LAYOUTS.register("VideoMAE")
class VideoMAELayout(Layout):
    """Files of VideoMAE and VideoMAE V2; what nobody knows is tried as one, and refused by it."""

    description = "VideoMAE's and VideoMAE V2's .pth files, V2's folders on its hub"
    name = "VideoMAE"

    def matches(self, names: Sequence[str]) -> bool:
        """See ``Layout``."""
        return not any("patch_embeddings." in name for name in names)

    def plan(self, opened: Opened, choices: Choices) -> Plan:
        """See ``Layout``."""
        originals = without_prefixes(opened.tensors)
        state = {name: opened.tensors[original] for name, original in originals.items()}
        options = opened.args | (opened.config or {}).get("model_config", {})
        model = sizes_of(state, options, choices)
        plan = Plan(
            self.name, model, RENAMING, state, originals, tables(state, model), options=options
        )
        if "head.weight" in state:
            return self.classifier(plan, choices)
        if any(name.startswith("fc_norm.") for name in state):
            # V2 as on its hub: its norm stands behind the mean over tokens, and there is no head.
            unused = dict.fromkeys(
                (name for name in state if name.startswith("fc_norm.")),
                "norm of the mean over tokens: features here are those before it",
            )
            return replace(
                plan,
                settings=replace(model, final_norm=False),
                not_needed=plan.not_needed | unused,
                allow_missing=("decoder.*",),
            )
        return plan

    def classifier(self, plan: Plan, choices: Choices) -> Plan:
        """The plan of a fine-tuned model."""
        count = rows(plan.state["head.weight"], "head.weight")
        settings = ClassifierSettings(
            classes={choices.head: count}, model=plan.model, fusion="mean"
        )
        return replace(plan, settings=with_fusion(settings, choices.fusion))


def without_prefixes(names: Mapping[str, Any]) -> dict[str, str]:
    """Names without what wrappers put before them -> names in the file.

    The encoder's are given as a pre-training has them (``encoder.blocks.0 ...``).
    """
    originals: dict[str, str] = {}
    for original in names:
        name = original
        while name.startswith(_PREFIXES):
            name = name.partition(".")[2]
        if name.partition(".")[0] in _ENCODER:
            name = f"encoder.{name}"
        if name in originals:
            raise WeightsError(
                f"{original} and {originals[name]} are both {name}: two models in one?"
            )
        originals[name] = original
    return originals


def sizes_of(
    state: Mapping[str, Tensor], options: Mapping[str, Any], choices: Choices
) -> ModelSettings:
    """Sizes worked out from shapes; the grid is the one that the weights were made for.

    ``state``: names without prefixes.
    ``options``: that the program kept: frames, pixels and heads, which no shape says.
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
    fc1 = state.get("encoder.blocks.0.mlp.fc1.weight")
    if fc1 is not None and (inner := rows(fc1, "mlp.fc1.weight")) != 4 * width:
        problems.append(f"an MLP of {inner} instead of 4 x {width}")
    problems += [
        text for word, text in _UNUSUAL.items() if any(n.endswith(f".{word}") for n in state)
    ]
    if problems:
        raise WeightsError("no counterpart in our model: " + "; ".join(problems))
    heads = choices.heads or _count(options, "num_heads") or _HEADS.get(width)
    sizes: dict[str, Any] = {
        "width": width,
        "depth": depth,
        "heads": heads or max(1, width // 64),
    }
    embed = state.get("encoder_to_decoder.weight")
    if embed is not None:
        inner = rows(embed, "encoder_to_decoder.weight")
        heads = choices.decoder_heads or _DECODER_HEADS.get(inner) or max(1, inner // 64)
        sizes |= {
            "decoder_width": inner,
            "decoder_depth": _depth(state, "decoder.blocks"),
            "decoder_heads": heads,
        }
    else:
        sizes |= _usual_decoder(width)
    frames, size = choices.made_for or _clip(options)
    return ModelSettings(grid=TokenGrid(frames, size, size, tubelet, patch), **sizes)


def tables(state: Mapping[str, Tensor], model: ModelSettings) -> dict[str, str]:
    """Names of position tables in the file that are the sine-cosine one, and why not needed.

    A file of the programs themselves has none; a copy may. Others, learned ones, are not named and
    so count as unexpected.
    """
    known = {}
    for name in _TABLES:
        table = state.get(name)
        if table is None:
            continue
        tokens, width = table.shape[-2:] if table.ndim > 1 else (0, 0)
        grid = model.grid
        if tokens != grid.tokens:
            raise WeightsError(
                f"{name} is for {tokens} tokens, but {grid.frames} frames of {grid.width} pixels "
                f"have {grid.tokens}: say --made-for FRAMESxPIXELS"
            )
        sincos = sincos_table(tokens, width)
        if torch.allclose(table.reshape(tokens, width).float(), sincos, rtol=0, atol=_SAME):
            known[name] = "sine-cosine table, computed here"
    return known


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


def _usual_decoder(width: int) -> dict[str, Any]:
    """The decoder that goes with an encoder of this width; nothing in particular: ViT-B's."""
    for size in SIZES:
        named = ModelSettings.named(size)
        if named.width == width:
            words = ("decoder_width", "decoder_depth", "decoder_heads")
            return {word: getattr(named, word) for word in words}
    return {}


def _clip(options: Mapping[str, Any]) -> tuple[int, int]:
    """Frames and pixels a side that the program says: 16 frames in 2 segments make 32."""
    frames = _count(options, "num_frames") or _count(options, "all_frames")
    size = _count(options, "input_size") or _count(options, "img_size")
    if not frames or not size:
        return _FRAMES, _SIZE
    return frames * (_count(options, "num_segments") or 1), size


def _count(options: Mapping[str, Any], name: str) -> int | None:
    value = options.get(name)
    return value if isinstance(value, int) and value > 0 else None
