"""Hugging Face's VideoMAE: configuration and weights, both ways.

Their queries, keys and values are three matrices, ours one. Their LayerNorm before a classifier's
head always has an epsilon of 1e-5, where VideoMAE and our default have 1e-6: settings made here say
so, and give their numbers. Without ``use_mean_pooling`` their encoder ends in a LayerNorm, and a
classifier takes the first token; with it (their default) there is no such norm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from mofo.models.classifier import ClassifierSettings
from mofo.models.model_settings import CHANNELS, ModelSettings
from mofo.types import SettingsError, TokenGrid
from mofo.weights.class_names import names_of_config
from mofo.weights.layouts import LAYOUTS, Choices, Layout, Plan, with_fusion
from mofo.weights.loading import WeightsError, load_strictly
from mofo.weights.rules import Settings, check_vit, give_back, made_for, make_rules
from mofo.weights.tensor_files import Opened
from mofo.weights.videomae import rows

_INNER = "attention.attention"
_BLOCK = (
    ("attention.norm.{p}", "layernorm_before.{p}"),
    (
        "attention.qkv.weight",
        f"{_INNER}.query.weight + {_INNER}.key.weight + {_INNER}.value.weight",
    ),
    # Older versions of transformers, and files on their hub, have parameters beside the layers.
    ("attention.q_bias", f"{_INNER}.query.bias | {_INNER}.q_bias"),
    ("attention.v_bias", f"{_INNER}.value.bias | {_INNER}.v_bias"),
    ("attention.proj.{p}", "attention.output.dense.{p}"),
    ("mlp.norm.{p}", "layernorm_after.{p}"),
    ("mlp.fc1.{p}", "intermediate.dense.{p}"),
    ("mlp.fc2.{p}", "output.dense.{p}"),
)


def _stack(ours: str, theirs: str) -> list[tuple[str, str]]:
    def named(text: str) -> str:
        parts = text.split(" + ")
        return " + ".join(
            " | ".join(f"{theirs}.{{n}}.{name}" for name in part.split(" | ")) for part in parts
        )

    return [(f"{ours}.blocks.{{n}}.{a}", named(b)) for a, b in _BLOCK]


_COMMON = (
    ("encoder.embed.proj.{p}", "videomae.embeddings.patch_embeddings.projection.{p}"),
    *_stack("encoder", "videomae.encoder.layer"),
    ("encoder.norm.{p}", "videomae.layernorm.{p}"),
    ("decoder.embed.weight", "encoder_to_decoder.weight"),
    ("decoder.mask_token", "mask_token"),
    *_stack("decoder", "decoder.decoder_layers"),
    ("decoder.norm.{p}", "decoder.norm.{p}"),
    ("decoder.head.{p}", "decoder.head.{p}"),
    ("head.linear.{head}.{p}", "classifier.{p}"),
)
_POOLED = (*_COMMON, ("head.norm.{p}", "fc_norm.{p}"))
_FIRST_TOKEN = (*_COMMON, ("head.norm.{p}", "videomae.layernorm.{p}"))

# Ours: theirs, and their default.
_SIZES: dict[str, tuple[str, Any]] = {
    "width": ("hidden_size", 768),
    "depth": ("num_hidden_layers", 12),
    "heads": ("num_attention_heads", 12),
    "decoder_width": ("decoder_hidden_size", 384),
    "decoder_depth": ("decoder_num_hidden_layers", 4),
    "decoder_heads": ("decoder_num_attention_heads", 6),
    "normalise_target": ("norm_pix_loss", True),
    "norm_eps": ("layer_norm_eps", 1e-12),
}
_BARE = ("embeddings.", "encoder.layer.", "layernorm.")
_HEAD_NORM_EPS = 1e-5  # torch's default: their configuration does not reach it
_MULTI, _SINGLE = "multi_label_classification", "single_label_classification"


@LAYOUTS.register("Hugging Face")
class HuggingFaceLayout(Layout):
    """Folders of transformers' VideoMAE."""

    description = "folders of Hugging Face's VideoMAE"

    def matches(self, names: Sequence[str]) -> bool:
        """See ``Layout``."""
        return any("patch_embeddings.projection." in name for name in names)

    def plan(self, opened: Opened, choices: Choices) -> Plan:
        """See ``Layout``."""
        config = opened.config
        if config is None:
            raise WeightsError(
                "holds Hugging Face's names: give their folder, whose config.json says the sizes"
            )
        if config.get("model_type", "videomae") != "videomae":
            raise WeightsError(
                f"is of a model {config['model_type']!r}, not 'videomae': encoders of other "
                "families are used as they are: hf:PATH"
            )
        originals = {
            f"videomae.{name}" if name.startswith(_BARE) else name: name for name in opened.tensors
        }
        state = {name: opened.tensors[original] for name, original in originals.items()}
        settings: Settings
        try:
            if config.get("num_hidden_layers", 12) > len(state):
                raise WeightsError(f"config.json says {config['num_hidden_layers']} blocks")
            if any(name.startswith(("classifier.", "fc_norm.")) for name in state):
                settings = classifier_settings_from_hf(config, choices.head)
                if "classifier.weight" in state:  # the configuration says nothing of two classes
                    count = rows(state["classifier.weight"], "classifier.weight")
                    settings = replace(settings, classes={choices.head: count})
                settings = with_fusion(settings, choices.fusion)
            else:
                settings = settings_from_hf(config)
        except (TypeError, ValueError, AttributeError) as error:
            raise WeightsError(f"config.json cannot be understood: {error}") from None
        names = names_of_config(config) if isinstance(settings, ClassifierSettings) else None
        renaming = _FIRST_TOKEN if not config.get("use_mean_pooling", True) else _POOLED
        return Plan("Hugging Face", settings, renaming, state, originals, class_names=names)


def settings_from_hf(config: Mapping[str, Any], **options: Any) -> ModelSettings:
    """Sizes from the content of their ``config.json``, with further options on top."""

    def value(name: str, default: Any) -> Any:
        return config.get(name, default)

    sizes = {ours: value(*theirs) for ours, theirs in _SIZES.items()}
    expected = {
        "num_channels": (CHANNELS, CHANNELS),
        "qv_bias": (True, True),
        "hidden_act": ("gelu", "gelu"),
        "intermediate_size": (3072, 4 * sizes["width"]),
        "decoder_intermediate_size": (1536, 4 * sizes["decoder_width"]),
        "hidden_dropout_prob": (0.0, 0.0),
        "attention_probs_dropout_prob": (0.0, 0.0),
    }
    problems = [
        f"{name} is {given}, only {usable} can be used"
        for name, (default, usable) in expected.items()
        if (given := value(name, default)) != usable
    ]
    if problems:
        raise SettingsError("Hugging Face configuration: " + "; ".join(problems))
    height, image_width = _pair(value("image_size", 224))
    patch, patch_width = _pair(value("patch_size", 16))
    if patch != patch_width:
        raise SettingsError(f"Hugging Face configuration: patches {patch}x{patch_width} no square")
    grid = TokenGrid(value("num_frames", 16), height, image_width, value("tubelet_size", 2), patch)
    sizes |= {
        "grid": grid,
        "head_norm_eps": _HEAD_NORM_EPS,
        "final_norm": not value("use_mean_pooling", True),
    }
    return ModelSettings(**(sizes | options))


def classifier_settings_from_hf(
    config: Mapping[str, Any], head: str = "label", **options: Any
) -> ClassifierSettings:
    """Settings of a classifier from the content of their ``config.json``.

    ``config``: must have the classes (``id2label``).
    ``options``: further ones of ``ModelSettings``.
    """
    labels = len(config.get("id2label") or ()) or config.get("num_labels", 2)
    pooled = config.get("use_mean_pooling", True)
    model = settings_from_hf(config, **({"final_norm": True} | options))
    if not pooled:  # their last norm is that of our head
        model = replace(model, head_norm_eps=model.norm_eps)
    return ClassifierSettings(
        classes={head: labels},
        model=model,
        labels="multi" if config.get("problem_type") == _MULTI else "single",
        fusion="mean" if pooled else "first_token",
    )


def config_to_hf(settings: Settings) -> dict[str, Any]:
    """The options of their ``VideoMAEConfig`` for a model of these settings.

    Other epsilons before the head than theirs are lost: outputs change by some 1e-5.
    """
    check_vit(settings)
    classifier: dict[str, Any] = {}
    if isinstance(settings, ClassifierSettings):
        if settings.fusion not in ("mean", "first_token"):
            raise SettingsError(
                f"fusion {settings.fusion!r} has no counterpart in Hugging Face's VideoMAE: only "
                "'mean' can be exported to it; ONNX and torch.export take all"
            )
        if len(settings.classes) != 1:
            heads = ", ".join(settings.classes)
            raise SettingsError(
                f"Hugging Face's VideoMAE has one head, this classifier has {heads}"
            )
        classifier = {
            "use_mean_pooling": settings.fusion == "mean",
            "problem_type": _MULTI if settings.labels == "multi" else _SINGLE,
        }
        settings = settings.model
    grid = settings.grid
    return {
        "image_size": [grid.height, grid.width] if grid.height != grid.width else grid.height,
        "patch_size": grid.patch,
        "num_channels": CHANNELS,
        "num_frames": grid.frames,
        "tubelet_size": grid.tubelet,
        "intermediate_size": 4 * settings.width,
        "use_mean_pooling": not settings.final_norm,
        "decoder_intermediate_size": 4 * settings.decoder_width,
        **{theirs: getattr(settings, ours) for ours, (theirs, _) in _SIZES.items()},
    } | classifier


def from_hf(state: Mapping[str, Tensor], settings: Settings) -> dict[str, Tensor]:
    """State of their pre-training model or classifier as one of ours.

    Args:
        state: names and tensors, of this or of older versions of transformers (``q_bias``).
        settings: of the model that the weights belong to: its grid is the one that they know;
            another model may load the result.
    """
    tensors, report = load_strictly(state, make_rules(_renaming(settings), settings))
    if problems := report.problems():
        raise WeightsError("Hugging Face state: " + "; ".join(problems), report)
    return tensors | made_for(settings)


def to_hf(state: Mapping[str, Tensor], settings: Settings) -> dict[str, Tensor]:
    """State of our model as one of theirs."""
    for name, tensor in made_for(settings).items():
        if name in state and state[name].tolist() != tensor.tolist():
            given, needed = ("x".join(map(str, t.tolist())) for t in (state[name], tensor))
            raise SettingsError(
                f"weights made for {given} tokens cannot be exported for {needed}: Hugging Face's "
                "model has no interpolated positions"
            )
    return give_back(state, make_rules(_renaming(settings), settings))


def _renaming(settings: Settings) -> tuple[tuple[str, str], ...]:
    first = isinstance(settings, ClassifierSettings) and settings.fusion == "first_token"
    return _FIRST_TOKEN if first else _POOLED


def _pair(size: Any) -> tuple[int, int]:
    """A size that may be one number for both sides."""
    first, second = (size, size) if isinstance(size, int) else size
    return int(first), int(second)
