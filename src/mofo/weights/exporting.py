"""Checkpoints of ours to other programs. ``EXPORTS`` holds the forms; each is one class.

@EXPORTS.register("mine")
class Mine(Export): ...
"""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from mofo.models.classifier import Classifier
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.registry import Registry
from mofo.system.files import first_line
from mofo.training.checkpoint import Checkpoint, open_checkpoint
from mofo.training.saved_models import open_autoencoder, open_classifier
from mofo.types import SettingsError
from mofo.weights.loading import WeightsError
from mofo.weights.rules import encoder_settings

CLOSE = 1e-4  # of outputs: the epsilons of norms may differ from ours


@dataclass(frozen=True, eq=False)
class Exportable:
    """A model and what its checkpoint says about it.

    ``model``: on the CPU, in evaluation mode.
    ``classes``: by head, the names of the classes; empty for a pre-training.
    """

    model: Classifier | MaskedAutoencoder
    classes: Mapping[str, tuple[str, ...]]
    checkpoint: Checkpoint
    licence: str = "unknown"
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> ModelSettings:
        """Settings of the encoder."""
        return encoder_settings(self.model.settings)

    def clips(self, batch: int, seed: int = 0) -> Tensor:
        """Random frames, uint8 (B, T, H, W, C), to compare outputs on."""
        grid = self.sizes.grid
        generator = torch.Generator().manual_seed(seed)
        shape = (batch, grid.frames, grid.height, grid.width, 3)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@dataclass(frozen=True)
class ExportReport:
    """What ``export_weights`` has done.

    Attributes:
        path: the folder or file.
        to: one of ``EXPORTS``.
        difference: largest difference of its outputs from ours on some clips; None where nobody was
            there to compute them.
        notes: what is worth knowing, a line each.
        next: what to do with it.
    """

    path: Path
    to: str
    difference: float | None
    notes: tuple[str, ...] = ()
    next: str = ""


class Export(ABC):
    """A form of weights for other programs.

    Attributes:
        description: what it is, in one line.
        next: what to do with it; ``{path}`` is its place.
    """

    description: ClassVar[str]
    next: ClassVar[str]

    @abstractmethod
    def write(self, exportable: Exportable, out: Path) -> tuple[float | None, tuple[str, ...]]:
        """Writes and checks it; returns the difference of its outputs from ours, and notes.

        Raises:
            SettingsError: the form cannot hold such a model.
            WeightsError: it came out wrong.
            OSError, SafetensorError: it cannot be written; nothing is left behind.
        """


EXPORTS: Registry[type[Export]] = Registry(
    "export", lambda: [importlib.import_module(f"mofo.weights.{n}") for n in ("hf_folder", "graph")]
)


def export_weights(
    checkpoint: str | Path,
    out: str | Path,
    to: str = "hf",
    *,
    licence: str = "unknown",
    metrics: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Writes a checkpoint for other programs, and checks what was written.

    Args:
        checkpoint: its folder, or that of a run: of a fine-tuning then the best one.
        out: for "hf" a folder that is not there yet; else a file.
        to: "hf": a folder for Hugging Face's transformers (of a classifier: fusion "mean", one
            head); "pth": a file with VideoMAE's names; "onnx": a classifier for ONNX programs;
            "torch": a classifier as ``.pt2``, to be opened with ``torch.export.load``. The inputs
            of the last two: ``frames`` uint8 (B, T, H, W, 3) and, where the fusion uses it,
            ``inside`` bool (B, N), the tokens inside the motion area; their outputs: logits.
        licence: of the weights, as Hugging Face spells it; for the model card.
        metrics: name -> number, for the model card.

    Raises:
        WeightsError: one line: what cannot be exported, or came out wrong; nothing is left behind.
        CheckpointError: no checkpoint, or a broken one.
        SettingsError: an unknown form.
    """
    form = EXPORTS[to]()
    if open_checkpoint(checkpoint).metadata.classifier is not None:
        saved = open_classifier(checkpoint)
        model: Classifier | MaskedAutoencoder = saved.model
        classes, opened = saved.classes, saved.checkpoint
    else:
        autoencoder, opened = open_autoencoder(checkpoint)
        model, classes = autoencoder.eval(), {}
    exportable = Exportable(model, classes, opened, licence, metrics or {})
    try:
        difference, notes = form.write(exportable, Path(out))
    except SettingsError as error:
        raise WeightsError(f"{exportable.checkpoint.path}: {error}") from None
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{out}: cannot be written: {first_line(error)}") from None
    return ExportReport(Path(out), to, difference, notes, form.next.format(path=out))


@contextmanager
def silence() -> Iterator[None]:
    """Exporters talk: to both outputs, by logging and by warnings about their own insides."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
