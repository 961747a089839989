"""Weights of Hugging Face's VideoMAE classifiers under our names; beside ``hf_names``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mofo.models.classifier import ClassifierSettings
from mofo.types import SettingsError
from mofo.weights.hf_names import (
    HF_LAYOUT,
    check_made_for,
    config_to_hf,
    made_for,
    raise_unless_whole,
    settings_from_hf,
)
from mofo.weights.key_rules import (
    POSITIONS,
    Rule,
    encoder_rules,
    give_back,
    head_rules,
    translate,
)

_MULTI = "multi_label_classification"


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
    kind = "multi" if config.get("problem_type") == _MULTI else "single"
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
    found = translate(state, hf_classifier_rules(settings))
    raise_unless_whole(found)
    return found.tensors | made_for(settings.model.grid, POSITIONS[:1])


def classifier_to_hf(
    state: Mapping[str, Tensor], settings: ClassifierSettings
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Our ``Classifier`` as one of theirs: options of ``VideoMAEConfig``, and the state.

    A ``head_norm_eps`` of other than 1e-5 is lost: it changes logits by some 1e-6.

    Raises:
        SettingsError: another fusion than ``mean``, several heads, or weights made for another
            grid.
    """
    if settings.fusion != "mean":
        raise SettingsError(
            f"fusion {settings.fusion!r} has no counterpart in Hugging Face's VideoMAE: only "
            "'mean' can be exported to it; ONNX and torch.export take all"
        )
    if len(settings.classes) != 1:
        heads = ", ".join(settings.classes)
        raise SettingsError(f"Hugging Face's VideoMAE has one head, this classifier has {heads}")
    check_made_for(state, settings.model.grid)
    kind = _MULTI if settings.labels == "multi" else "single_label_classification"
    config = config_to_hf(settings.model) | {"use_mean_pooling": True, "problem_type": kind}
    return config, give_back(state, hf_classifier_rules(settings))


def hf_classifier_rules(settings: ClassifierSettings) -> list[Rule]:
    """Rules between their ``VideoMAEForVideoClassification`` and our ``Classifier``."""
    ((head, classes),) = settings.classes.items()
    rules = encoder_rules(HF_LAYOUT, settings.model, final_norm=False)
    return rules + head_rules(HF_LAYOUT, settings.model.width, head, classes)
