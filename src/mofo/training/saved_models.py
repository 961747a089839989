"""Models out of checkpoints, ready to use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mofo.clips.sources import MotionChoice
from mofo.clips.token_area import MotionSettings
from mofo.clips.view_clips import ViewSettings
from mofo.masking.kept_tokens import TokenSettings
from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.hf.folder import PREFIX, open_hf_encoder
from mofo.models.lora import merge_lora
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings, misfits
from mofo.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    open_checkpoint,
)
from mofo.training.metadata import Sampling
from mofo.types import SettingsError

FINETUNE, PRETRAIN = "finetune", "pretrain"


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedClassifier:
    """A fine-tuned model.

    ``model``: on the CPU, in evaluation mode.
    ``classes``: by head, the names of its classes in the order of the logits.
    """

    model: Classifier
    classes: dict[str, tuple[str, ...]]
    sampling: Sampling
    checkpoint: Checkpoint

    @property
    def settings(self) -> ClassifierSettings:
        """Sizes and options of the model."""
        return self.model.settings

    def views(self, temporal: int, spatial: int, motion: MotionChoice, **more: Any) -> ViewSettings:
        """Views of videos as it was trained on them; see ``ViewSettings``."""
        return ViewSettings(
            grid=self.settings.model.grid,
            **self.sampling.cut(),
            temporal=temporal,
            spatial=spatial,
            motion=motion,
            **more,
        )


def open_classifier(path: str | Path, **tokens: Any) -> SavedClassifier:
    """Returns the model of a fine-tuning's checkpoint, or of a run's best one.

    Where the training averaged its weights, the average is what is given. ``path``: of the
    checkpoint or run. ``tokens``: fields of ``TokenSettings`` to change; None: as in training.
    """
    if str(path).startswith(PREFIX):
        raise CheckpointError(
            f"{path}: an encoder has no classes: embed, probe and finetune take it; a classifier "
            "comes in by `mofo weights import FOLDER --out DIR`"
        )
    opened = open_checkpoint(path, best=True)
    metadata = opened.metadata
    if metadata.classifier is None:
        raise CheckpointError(
            f"{opened.path}: is of task {metadata.task!r} and has no classes: give a checkpoint of "
            "`mofo finetune`"
        )
    with _whole(opened):
        settings = ClassifierSettings.from_dict(metadata.classifier)
        model = Classifier(settings)
    model.settings = replace(settings, tokens=settings.tokens.changed(**tokens))
    fit_weights(model, merge_lora(opened.best_weights()), str(opened.path))
    return SavedClassifier(
        model=model.eval(),
        classes={head: tuple(names) for head, names in metadata.classes.items()},
        sampling=metadata.sampling,
        checkpoint=opened,
    )


def open_autoencoder(path: str | Path) -> tuple[MaskedAutoencoder, Checkpoint]:
    """Returns the model of a pre-training's checkpoint, on the CPU, or of a run's newest one."""
    opened = open_checkpoint(path)
    model = MaskedAutoencoder(pretrained_settings(opened))
    fit_weights(model, opened.model(), str(opened.path))
    return model, opened


def pretrained_settings(opened: Checkpoint) -> ModelSettings:
    """Returns the sizes of a pre-training's model."""
    if opened.metadata.model is None:
        raise CheckpointError(
            f"{opened.path}: is no checkpoint of a pre-training, but of {opened.metadata.task!r}"
        )
    with _whole(opened):
        return ModelSettings.from_dict(opened.metadata.model)


class SavedEncoder(NamedTuple):
    """An encoder to begin with, or to use as it is.

    Attributes:
        weights: by name ("encoder. ..."); of a pre-training with those of its decoder.
        area_span, motion: motion area of a token, see ``MotionSettings``.
        note: a line about it; empty: there is nothing to say.
    """

    name: str
    settings: ModelSettings
    weights: Mapping[str, Tensor]
    sampling: Sampling
    area_span: str = "clip"
    motion: MotionSettings = MotionSettings()
    tokens: TokenSettings = TokenSettings()
    note: str = ""


def encoder_weights(path: str | Path) -> SavedEncoder:
    """Returns an encoder: of a pre-training, a fine-tuning, or of Hugging Face (``hf:PATH``).

    Raises:
        CheckpointError: no checkpoint, or one without an encoder.
        SettingsError: of Hugging Face: see ``open_hf_encoder``.
    """
    if str(path).startswith(PREFIX):
        found = open_hf_encoder(str(path))
        return SavedEncoder(str(path), found.settings, found.weights, Sampling(), note=found.note)
    opened = open_checkpoint(path, best=True)
    metadata, span = opened.metadata, "clip"
    motion, tokens = MotionSettings(**metadata.settings.get("motion", {})), TokenSettings()
    if metadata.model is not None:
        sizes, weights = pretrained_settings(opened), opened.model()
    elif metadata.classifier is not None:
        with _whole(opened):
            classifier = ClassifierSettings.from_dict(metadata.classifier)
        sizes, span, motion = classifier.model, classifier.area_span, classifier.motion
        tokens = classifier.tokens
        best = merge_lora(opened.best_weights())
        weights = {name: t for name, t in best.items() if name.startswith("encoder.")}
    else:
        raise CheckpointError(f"{opened.path}: is of {metadata.task!r}, which has no encoder")
    return SavedEncoder(str(opened.path), sizes, weights, metadata.sampling, span, motion, tokens)


def fit_weights(
    model: nn.Module, weights: Mapping[str, Tensor], name: str, *, finite: bool = True
) -> None:
    """Loads weights by name; all must be there, fit, and (if ``finite``) be numbers."""
    if problems := misfits(model.state_dict(), weights, _shape):
        raise CheckpointError(
            f"{name}: made for another model than model.size and data.size say: {problems}"
        )
    broken = [key for key, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if broken and finite:
        raise CheckpointError(
            f"{name}: {len(broken)} of {len(weights)} weights hold what is no number, such as "
            f"{broken[0]}: the training has diverged, take an earlier checkpoint"
        )
    model.load_state_dict(dict(weights))


def _shape(tensor: Tensor) -> str:
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{'' if kind == 'float32' else f'{kind} '}{tuple(tensor.shape)}"


@contextlib.contextmanager
def _whole(opened: Checkpoint) -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise CheckpointError(f"{opened.path}: is not a whole checkpoint: {error}") from None
