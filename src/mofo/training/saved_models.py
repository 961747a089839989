"""Models out of checkpoints, ready to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mofo.models.classifier import Classifier, ClassifierSettings, load_encoder
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.models.saved_settings import classifier_settings, model_settings
from mofo.training.checkpoint import Checkpoint, CheckpointError, fit_weights, open_checkpoint
from mofo.training.pretrain_settings import PretrainSettings
from mofo.types import SettingsError

FINETUNE, PRETRAIN = "finetune", "pretrain"


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How clips are taken for a model, so that it sees what it was trained on.

    Attributes:
        sampling: "dense" or "segments", see ``ClipSettings``.
        stride: of "dense".
        areas: "codec", "dis", "none" or "store".
    """

    sampling: str = "dense"
    stride: int = 4
    areas: str = "codec"


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedClassifier:
    """A fine-tuned model.

    Attributes:
        model: on the CPU, in evaluation mode.
        classes: by head, the names of its classes in the order of the logits.
        sampling: of the clips it was trained on.
        checkpoint: where it comes from.
    """

    model: Classifier
    classes: dict[str, tuple[str, ...]]
    sampling: Sampling
    checkpoint: Checkpoint

    @property
    def settings(self) -> ClassifierSettings:
        """Sizes and options of the model."""
        return self.model.settings


def open_classifier(path: str | Path) -> SavedClassifier:
    """The model of a fine-tuning's checkpoint, or of a run's best one.

    Where the training averaged its weights, the average is what is given.

    Raises:
        CheckpointError: no checkpoint, or one of a pre-training, which has no classes yet.
    """
    opened = open_checkpoint(path, best=True)
    kind = opened.facts.get("kind")
    if kind != FINETUNE:
        raise CheckpointError(
            f"{opened.path}: is of a {'pre-training' if kind == PRETRAIN else repr(kind)} and has "
            "no classes: give a checkpoint of `mofo finetune`"
        )
    try:
        settings = classifier_settings(opened.facts["classifier"])
        classes = {head: tuple(names) for head, names in opened.facts["classes"].items()}
        sampling = Sampling(**opened.facts["sampling"])
    except (KeyError, TypeError, AttributeError, SettingsError) as error:
        raise CheckpointError(f"{opened.path}: is not a whole checkpoint: {error}") from None
    model = Classifier(settings)
    fit_weights(model, opened.best_weights(), str(opened.path))
    return SavedClassifier(
        model=model.eval(), classes=classes, sampling=sampling, checkpoint=opened
    )


def open_autoencoder(path: str | Path) -> tuple[MaskedAutoencoder, Checkpoint]:
    """The model of a pre-training's checkpoint, on the CPU, or of a run's newest one.

    Raises:
        CheckpointError: no checkpoint of a pre-training, or a broken one.
    """
    opened = open_checkpoint(path)
    if opened.facts.get("kind") != PRETRAIN or "settings" not in opened.facts:
        raise CheckpointError(f"{opened.path}: is no checkpoint of a pre-training")
    model = MaskedAutoencoder(pretrained_settings(opened))
    fit_weights(model, opened.model(), str(opened.path))
    return model, opened


def pretrained_settings(opened: Checkpoint) -> ModelSettings:
    """Sizes of a pre-training's model.

    Imported weights may have others than a recipe can name: theirs stand beside it, as "model".

    Raises:
        SettingsError: the checkpoint holds something else.
    """
    facts = opened.facts
    if "model" in facts:
        return model_settings(facts["model"])
    return PretrainSettings.from_dict(facts["settings"], str(opened.path)).model_settings()


def encoder_weights(path: str | Path) -> tuple[Checkpoint, ModelSettings, Mapping[str, Tensor]]:
    """Checkpoint, sizes and weights of an encoder, from a pre-training or a fine-tuning.

    Raises:
        CheckpointError: no checkpoint, or none of these.
    """
    opened = open_checkpoint(path, best=True)
    facts: dict[str, Any] = opened.facts
    kind = facts.get("kind")
    try:
        if kind == PRETRAIN:
            return opened, pretrained_settings(opened), opened.model()
        if kind == FINETUNE:
            weights = opened.best_weights()
            encoder = {k: t for k, t in weights.items() if k.startswith("encoder.")}
            return opened, classifier_settings(facts["classifier"]).model, encoder
    except (KeyError, TypeError, SettingsError) as error:
        raise CheckpointError(f"{opened.path}: is not a whole checkpoint: {error}") from None
    raise CheckpointError(f"{opened.path}: holds {kind!r}, which has no encoder")


def start_from(model: Classifier, path: str | Path) -> str:
    """Loads a classifier's encoder from a checkpoint; gives a line that says what was loaded.

    Raises:
        CheckpointError, SettingsError: nothing there, or of another size.
    """
    opened, _, weights = encoder_weights(path)
    return f"{opened.path}: {load_encoder(model, weights, str(opened.path))}"
