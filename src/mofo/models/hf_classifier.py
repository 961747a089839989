"""Weights of Hugging Face's VideoMAE classifiers under our names; beside ``hf_names``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mofo.models.classifier import ClassifierSettings
from mofo.models.hf_names import from_hf, settings_from_hf, to_hf
from mofo.models.mae import MaskedAutoencoder
from mofo.models.settings import ModelSettings
from mofo.types import SettingsError, TokenGrid

_ONLY_THEIRS = {"fc_norm": "head.norm", "classifier": "head.linear.{head}"}
_ONLY_PRETRAINING = ("decoder.", "encoder_to_decoder.", "mask_token", "videomae.layernorm.")


def classifier_settings_from_hf(
    config: Mapping[str, Any], head: str = "label", **options: Any
) -> ClassifierSettings:
    """Settings from the content of their ``config.json``, with fusion ``mean``.

    Args:
        config: must have ``use_mean_pooling`` (their default) and the classes (``id2label``).
        head: our name for their one head.
        options: further ones of ``ModelSettings``.

    Raises:
        SettingsError: one line with everything that our model has no counterpart for.
    """
    if not config.get("use_mean_pooling", True):
        raise SettingsError("Hugging Face configuration: a classifier without use_mean_pooling")
    labels = len(config.get("id2label") or ()) or config.get("num_labels", 2)
    model = settings_from_hf({**config, "use_mean_pooling": False}, **options)
    kind = "multi" if config.get("problem_type") == "multi_label_classification" else "single"
    return ClassifierSettings(classes={head: labels}, model=model, labels=kind, fusion="mean")


def classifier_from_hf(
    state: Mapping[str, Tensor], settings: ClassifierSettings
) -> dict[str, Tensor]:
    """State of their ``VideoMAEForVideoClassification`` as one of our ``Classifier``.

    Args:
        state: names and tensors.
        settings: of ``classifier_settings_from_hf``.

    Raises:
        SettingsError: tensors are missing, or some have no counterpart.
    """
    left, ours = dict(state), {}
    (head,) = settings.classes
    for theirs, name in _ONLY_THEIRS.items():
        for kind in ("weight", "bias"):
            if f"{theirs}.{kind}" not in left:
                raise SettingsError(f"Hugging Face state lacks {theirs}.{kind}: no classifier")
            ours[f"{name.format(head=head)}.{kind}"] = left.pop(f"{theirs}.{kind}")
    # What only their pre-training has is put in place, translated along and thrown away.
    depth = settings.model.depth
    sizes: dict[str, Any] = {"width": 2, "heads": 1, "decoder_width": 2, "decoder_heads": 1}
    sizes["decoder_depth"] = 1
    small = ModelSettings(grid=TokenGrid(1, 1, 1, 1, 1), depth=depth, **sizes)
    stand_in = to_hf(MaskedAutoencoder(small).state_dict(), small)
    left |= {name: t for name, t in stand_in.items() if name.startswith(_ONLY_PRETRAINING)}
    grid = settings.model.grid
    translated = from_hf(left, ModelSettings(grid=grid, depth=depth, **sizes))
    not_ours = ("decoder.", "encoder.norm.")
    return ours | {name: t for name, t in translated.items() if not name.startswith(not_ours)}
