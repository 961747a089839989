"""Checkpoints of ours to other programs: what ``mofo weights export`` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mofo.models.classifier import Classifier
from mofo.models.mae import MaskedAutoencoder
from mofo.training.checkpoint import Checkpoint, open_checkpoint
from mofo.training.saved_models import open_autoencoder, open_classifier
from mofo.types import SettingsError
from mofo.weights.import_report import WeightsError

FORMATS = ("hf", "onnx", "torch")


@dataclass(frozen=True, eq=False)
class Exportable:
    """A model and what its checkpoint says about it.

    Attributes:
        model: on the CPU, in evaluation mode.
        classes: by head, the names of the classes; empty for a pre-training.
        checkpoint: where it comes from.
    """

    model: Classifier | MaskedAutoencoder
    classes: Mapping[str, tuple[str, ...]]
    checkpoint: Checkpoint

    @property
    def facts(self) -> dict[str, Any]:
        """Content of the checkpoint's JSON."""
        return self.checkpoint.metadata.model_dump(exclude_none=True)


@dataclass(frozen=True)
class ExportReport:
    """What ``export_weights`` has done.

    Attributes:
        path: the folder or file.
        to: one of ``FORMATS``.
        difference: largest difference of its outputs from ours on two clips; None where nobody was
            there to compute them.
        notes: what is worth knowing, a line each.
    """

    path: Path
    to: str
    difference: float | None
    notes: tuple[str, ...] = ()


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
            head); "onnx": a classifier for ONNX programs; "torch": a classifier as ``.pt2``, to be
            opened with ``torch.export.load``. Their inputs: ``frames`` uint8 (B, T, H, W, 3) and
            ``inside`` bool (B, N), the tokens inside the motion area; their outputs: logits.
        licence: of the weights, as Hugging Face spells it; for the model card.
        metrics: name -> number, for the model card.

    Raises:
        WeightsError: one line: what cannot be exported, or came out wrong; nothing is left behind.
        CheckpointError: no checkpoint, or a broken one.
    """
    if to not in FORMATS:
        raise SettingsError(f"{to!r} is no format: choose from {', '.join(FORMATS)}")
    exportable = open_exportable(checkpoint)
    try:
        if to == "hf":
            from mofo.weights.hf_folder import write_hf_folder

            found = write_hf_folder(exportable, Path(out), licence, metrics or {})
        else:
            from mofo.weights.graph import write_graph

            found = write_graph(exportable, Path(out), to)
    except SettingsError as error:
        raise WeightsError(f"{exportable.checkpoint.path}: {error}") from None
    return ExportReport(Path(out), to, *found)


def open_exportable(path: str | Path) -> Exportable:
    """The model of a checkpoint of either kind.

    Raises:
        CheckpointError: no checkpoint, or a broken one.
    """
    if open_checkpoint(path).metadata.classifier is not None:
        saved = open_classifier(path)
        return Exportable(saved.model, saved.classes, saved.checkpoint)
    model, opened = open_autoencoder(path)
    return Exportable(model.eval(), {}, opened)
