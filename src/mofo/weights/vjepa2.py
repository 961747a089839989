"""V-JEPA 2: its own files (.pth), and whole classifiers as Hugging Face's transformers keep them.

Names as in the published programs: ``module.backbone.blocks.0.attn.qkv.weight`` ... under "encoder"
of a file (github.com/facebookresearch/vjepa2), ``vjepa2.encoder.layer.0 ...``, ``pooler`` and
``classifier`` of a folder of transformers. Both become an encoder of Hugging Face behind our seam,
the pooler becomes the fusion ``vjepa_pooler``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mofo.models.classifier import ClassifierSettings
from mofo.models.hf.family import config_of
from mofo.models.hf.folder import preprocessing_of
from mofo.models.model_settings import ModelSettings
from mofo.types import TokenGrid
from mofo.weights.class_names import names_of_config
from mofo.weights.layouts import LAYOUTS, Choices, Layout, Plan
from mofo.weights.loading import WeightsError
from mofo.weights.tensor_files import Opened
from mofo.weights.videomae import VideoMAELayout, rows, without_prefixes

_ENCODER = "encoder.model"
_LAYER = f"{_ENCODER}.layer.{{n}}"
_OWN = (
    (f"{_ENCODER}.embeddings.patch_embeddings.proj.{{p}}", "encoder.patch_embed.proj.{p}"),
    (f"{_LAYER}.norm1.{{p}}", "encoder.blocks.{n}.norm1.{p}"),
    *(
        (f"{_LAYER}.attention.{name}.{{p}}", f"encoder.blocks.{{n}}.attn.{name}.{{p}}")
        for name in ("query", "key", "value", "proj")
    ),
    (f"{_LAYER}.norm2.{{p}}", "encoder.blocks.{n}.norm2.{p}"),
    (f"{_LAYER}.mlp.fc1.{{p}}", "encoder.blocks.{n}.mlp.fc1.{p}"),
    (f"{_LAYER}.mlp.fc2.{{p}}", "encoder.blocks.{n}.mlp.fc2.{p}"),
    (f"{_ENCODER}.layernorm.{{p}}", "encoder.norm.{p}"),
    ("decoder.{rest}", "decoder.{rest}"),
)


def _pooler(ours: str, theirs: str, attention: str) -> tuple[tuple[str, str], ...]:
    return (
        (f"{ours}.norm1.{{p}}", f"{theirs}.layer_norm1.{{p}}"),
        (f"{ours}.attention.{{rest}}", f"{theirs}.{attention}.{{rest}}"),
        (f"{ours}.norm2.{{p}}", f"{theirs}.layer_norm2.{{p}}"),
        (f"{ours}.fc1.{{p}}", f"{theirs}.mlp.fc1.{{p}}"),
        (f"{ours}.fc2.{{p}}", f"{theirs}.mlp.fc2.{{p}}"),
    )


_CLASSIFIER = (
    (f"{_ENCODER}.{{rest}}", "vjepa2.encoder.{rest}"),
    ("fusion.query_11D", "pooler.query_tokens"),
    *_pooler("fusion.layers.{n}", "pooler.self_attention_layers.{n}", "self_attn"),
    *_pooler("fusion.gather", "pooler.cross_attention_layer", "cross_attn"),
    ("head.linear.{head}.{p}", "classifier.{p}"),
)
_HEADS = {1024: 16, 1280: 16, 1408: 22, 1664: 26}  # width -> heads, where a head is not 64 wide
_FRAMES, _SIZE = 64, 256
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_PREDICTOR = "the predictor: features are the encoder's"


@LAYOUTS.register("V-JEPA 2")
class VJEPA2Layout(VideoMAELayout):
    """Files of V-JEPA 2, whose attention has one matrix with a bias for all three."""

    description = "V-JEPA 2's .pth files (its encoder)"

    def matches(self, names: Sequence[str]) -> bool:
        """See ``Layout``."""
        ends = ("attn.qkv.bias", "attn.q_bias")
        return {end for end in ends if any(name.endswith(end) for name in names)} == set(ends[:1])

    def plan(self, opened: Opened, choices: Choices) -> Plan:
        """See ``Layout``."""
        state, originals = _split(opened.tensors)
        kernel, fc1 = (
            state.get(f"encoder.{name}.weight") for name in ("patch_embed.proj", "blocks.0.mlp.fc1")
        )
        if kernel is None or kernel.ndim != 5 or fc1 is None:
            raise WeightsError("no patch_embed.proj and blocks.0.mlp in it: no V-JEPA 2")
        width, _, tubelet, patch, _ = kernel.shape
        frames, size = choices.made_for or (_FRAMES, _SIZE)
        blocks = {name.split(".")[2] for name in state if name.startswith("encoder.blocks.")}
        config = {
            "model_type": "vjepa2",
            "hidden_size": width,
            "num_hidden_layers": len(blocks),
            "num_attention_heads": choices.heads or _HEADS.get(width) or max(1, width // 64),
            "mlp_ratio": rows(fc1, "mlp.fc1.weight") / width,
            "crop_size": size,
            "frames_per_clip": frames,
            "tubelet_size": tubelet,
            "patch_size": patch,
        }
        settings = _settings(config, preprocessing_of(_IMAGENET))
        return Plan("V-JEPA 2", settings, _OWN, state, originals, allow_missing=("decoder.*",))


@LAYOUTS.register("V-JEPA 2 of Hugging Face")
class VJEPA2Folder(Layout):
    """Folders of transformers with V-JEPA 2's classifier: encoder, attentive pooler and head."""

    description = "folders of Hugging Face's V-JEPA 2 with a classifier"

    def matches(self, names: Sequence[str]) -> bool:
        """See ``Layout``."""
        return "pooler.query_tokens" in names

    def plan(self, opened: Opened, choices: Choices) -> Plan:
        """See ``Layout``."""
        config, state = opened.config, opened.tensors
        if config is None:
            raise WeightsError(
                "holds Hugging Face's names: give their folder, whose config.json says the sizes"
            )
        predictor = [name for name in state if name.startswith("vjepa2.predictor.")]
        model = _settings(config, preprocessing_of(opened.preprocessing))
        settings = ClassifierSettings(
            classes={choices.head: rows(state["classifier.weight"], "classifier.weight")},
            model=model,
            fusion=choices.fusion or "vjepa_pooler",
            fusion_heads=int(model.encoder_config["config"]["num_attention_heads"]),
            fusion_options={"depth": int(model.encoder_config["config"]["num_pooler_layers"])},
        )
        return Plan(
            "V-JEPA 2 of Hugging Face",
            settings,
            _CLASSIFIER,
            dict(state),
            {name: name for name in state},
            dict.fromkeys(predictor, _PREDICTOR),
            class_names=names_of_config(config),
        )


def _settings(config: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> ModelSettings:
    whole = json.loads(config_of(config).to_json_string(use_diff=False))
    size = whole["crop_size"]
    grid = TokenGrid(
        whole["frames_per_clip"], size, size, whole["tubelet_size"], whole["patch_size"]
    )
    return ModelSettings(
        encoder="hf",
        grid=grid,
        width=whole["hidden_size"],
        depth=whole["num_hidden_layers"],
        heads=1,
        norm_eps=whole["layer_norm_eps"],
        encoder_config={**preprocessing, "config": whole},
    )


def _split(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by names without wrappers; queries, keys and values each by itself."""
    state, originals = {}, {}
    for name, original in without_prefixes(tensors).items():
        parts = {name: tensors[original]}
        if match := re.fullmatch(r"(.*\.attn)\.qkv\.(weight|bias)", name):
            names = (f"{match[1]}.{part}.{match[2]}" for part in ("query", "key", "value"))
            parts = dict(zip(names, tensors[original].chunk(3), strict=True))
        state.update(parts)
        originals.update(dict.fromkeys(parts, original))
    return state, originals
