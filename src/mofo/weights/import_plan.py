"""What a file of weights is: whose names, which model, and the rules that bring it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from mofo.models.classifier import ClassifierSettings
from mofo.models.model_settings import ModelSettings
from mofo.types import SettingsError
from mofo.weights import mofo_release, videomae
from mofo.weights.class_names import names_of_config
from mofo.weights.hf_classifier import classifier_settings_from_hf, hf_classifier_rules
from mofo.weights.hf_names import hf_rules, settings_from_hf
from mofo.weights.import_report import WeightsError
from mofo.weights.key_rules import Rule, decoder_rules, encoder_rules, head_rules
from mofo.weights.tensor_files import Opened

HUGGING_FACE, VIDEOMAE, MOFO = "Hugging Face", "VideoMAE", "MOFO release"
_BARE = ("embeddings.", "encoder.layer.", "layernorm.")


@dataclass(frozen=True)
class Asked:
    """What the user says about a file, where it cannot say it itself.

    Attributes:
        head: our name for a classifier's one head.
        fusion: of a classifier; None: what the file is made for.
        made_for: frames and pixels a side; None: what the file says, or 16 and 224.
        heads, decoder_heads: of the attention; None: see ``videomae.sizes``.
    """

    head: str = "label"
    fusion: str | None = None
    made_for: tuple[int, int] | None = None
    heads: int | None = None
    decoder_heads: int | None = None


@dataclass(frozen=True)
class Plan:
    """How to take a file over.

    Attributes:
        layout: whose names it has.
        model: sizes; the grid is the one the weights were made for.
        classifier: None for a pre-training; its ``model`` is the same.
        rules: one for each of our tensors, but for what positions remember.
        state: the file's tensors, by names without prefixes.
        originals: of these names, those in the file.
        not_needed: names that are left out, and why.
        class_names: None where the file does not say.
        options: that the program which wrote the file kept in it.
    """

    layout: str
    model: ModelSettings
    classifier: ClassifierSettings | None
    rules: tuple[Rule, ...]
    state: dict[str, Tensor]
    originals: dict[str, str]
    not_needed: dict[str, str]
    class_names: list[str] | None
    options: dict[str, Any]


def make_plan(opened: Opened, asked: Asked) -> Plan:
    """Looks at names and shapes.

    Raises:
        WeightsError: unknown names, or a model that ours has no counterpart for.
    """
    if any("patch_embeddings.projection." in name for name in opened.tensors):
        return _hugging_face(opened, asked)
    return _official(opened, asked)


def _hugging_face(opened: Opened, asked: Asked) -> Plan:
    if opened.config is None:
        raise WeightsError(
            "holds Hugging Face's names: give their folder, whose config.json says the sizes"
        )
    config = opened.config
    if config.get("model_type", "videomae") != "videomae":
        raise WeightsError(f"is of a model {config['model_type']!r}, not 'videomae'")
    originals = {
        f"videomae.{name}" if name.startswith(_BARE) else name: name for name in opened.tensors
    }
    state = {name: opened.tensors[original] for name, original in originals.items()}
    try:
        if config.get("num_hidden_layers", 12) > len(state):
            raise WeightsError(f"config.json says {config['num_hidden_layers']} blocks")
        if any(name.startswith(("classifier.", "fc_norm.")) for name in state):
            classifier = classifier_settings_from_hf(config, asked.head)
            if "classifier.weight" in state:  # the configuration says nothing of two classes
                count = videomae.rows(state["classifier.weight"], "classifier.weight")
                classifier = replace(classifier, classes={asked.head: count})
            classifier = _with_fusion(classifier, asked.fusion)
            model, rules = classifier.model, hf_classifier_rules(classifier)
        else:
            classifier, model = None, settings_from_hf(config)
            rules = hf_rules(model)
    except SettingsError as error:
        raise WeightsError(str(error)) from None
    except (TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"config.json cannot be understood: {error}") from None
    names = names_of_config(config) if classifier else None
    return Plan(
        HUGGING_FACE, model, classifier, tuple(rules), state, originals, {}, names, {}
    )  # fmt: skip


def _official(opened: Opened, asked: Asked) -> Plan:
    originals = videomae.without_prefixes(opened.tensors)
    state = {name: opened.tensors[original] for name, original in originals.items()}
    made_for = asked.made_for or _said(opened.args) or (videomae.FRAMES, videomae.SIZE)
    model = videomae.sizes(state, made_for, asked.heads, asked.decoder_heads)
    not_needed = videomae.tables(state, model)
    layout, official = VIDEOMAE, videomae.OFFICIAL_LAYOUT
    classifier = None
    if videomae.is_classifier(state):
        fusion = asked.fusion or "mean"
        release = mofo_release.is_release(state)
        if release:
            layout = MOFO
            fusion = mofo_release.fusion_of(state, opened.args, asked.fusion)
            not_needed |= mofo_release.not_needed(state, fusion)
        head = state.get("head.weight")
        if head is None:
            raise WeightsError("has a classifier's norm (fc_norm), but lacks head.weight")
        count = videomae.rows(head, "head.weight")
        classifier = _built(model, asked.head, count, fusion)
        rules = encoder_rules(official, model, final_norm=False)
        rules += head_rules(official, model.width, asked.head, count)
        if release and fusion == "cross_attention":
            rules += mofo_release.block_rules(model.width)
    else:
        rules = encoder_rules(official, model, final_norm=True) + decoder_rules(official, model)
    return Plan(
        layout, model, classifier, tuple(rules), state, originals, not_needed, None, opened.args
    )  # fmt: skip


def _built(model: ModelSettings, head: str, count: int, fusion: str) -> ClassifierSettings:
    try:
        plain = ClassifierSettings(classes={head: count}, model=model, fusion="mean")
    except SettingsError as error:
        raise WeightsError(str(error)) from None
    return _with_fusion(plain, fusion)


def _with_fusion(classifier: ClassifierSettings, fusion: str | None) -> ClassifierSettings:
    if not fusion or fusion == classifier.fusion:
        return classifier
    heads = mofo_release.HEADS if fusion == "cross_attention" else None
    try:
        return replace(classifier, fusion=fusion, fusion_heads=heads)
    except SettingsError as error:
        raise WeightsError(str(error)) from None


def _said(options: Mapping[str, Any]) -> tuple[int, int] | None:
    """Frames and pixels that the program was told."""
    found = (options.get("num_frames"), options.get("input_size"))
    frames, size = found
    if isinstance(frames, int) and isinstance(size, int) and min(frames, size) > 0:
        return frames, size
    return None
