"""Checkpoints: folders of safetensors and JSON that appear whole or not at all.

    run/checkpoints/step_00001000/
        model.safetensors       weights by name
        optimiser.safetensors   moments, as "<moment>/<name of the weight>"
        average.safetensors     running average of the weights, where one is kept
        checkpoint.json         step, settings, versions

Nothing else is needed to go on: order, crops, masks and drop path are functions of the seed and the
step.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mofo.types import MofoError

_NAME = re.compile(r"step_(\d{8,})")
_MODEL, _OPTIMISER, _FACTS = "model.safetensors", "optimiser.safetensors", "checkpoint.json"
_AVERAGE = "average.safetensors"
_BEST = "best.json"


class CheckpointError(MofoError):
    """A checkpoint that cannot be written, read, or used for what was asked."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        path: its folder.
        step: steps done.
        facts: content of its JSON: "settings", "step", "loss", "versions".
    """

    path: Path
    step: int
    facts: dict[str, Any]

    def model(self) -> dict[str, Tensor]:
        """The weights, on the CPU."""
        return _load(self.path / _MODEL)

    def optimiser(self) -> dict[str, Tensor]:
        """The optimiser's moments, on the CPU."""
        return _load(self.path / _OPTIMISER)

    def average(self) -> dict[str, Tensor] | None:
        """The running average of the weights, on the CPU; None if the run kept none."""
        return _load(self.path / _AVERAGE) if (self.path / _AVERAGE).is_file() else None

    def best_weights(self) -> dict[str, Tensor]:
        """The weights to use: the average if there is one."""
        return self.average() or self.model()


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
        path: the folder; made when the first is saved.
        keep: last ones to keep; the best one stays besides.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        self._keep = keep

    def save(
        self,
        step: int,
        model: Mapping[str, Tensor],
        optimiser: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        loss: float,
        *,
        average: Mapping[str, Tensor] | None = None,
        error: float | None = None,
    ) -> Path:
        """Writes a checkpoint, then drops those no longer wanted.

        Args:
            step: steps done.
            model, optimiser: tensors by name.
            facts: what else to remember, as JSON.
            loss: mean over the steps since the last checkpoint.
            average: running average of the weights.
            error: the lowest marks the best checkpoint; by default it is the loss.

        Raises:
            CheckpointError: it cannot be written; earlier ones are as they were.
        """
        place = self.path / f"step_{step:08d}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            parts = [(_MODEL, model), (_OPTIMISER, optimiser)]
            parts += [(_AVERAGE, average)] if average is not None else []
            error = loss if error is None else error
            told = error if math.isfinite(error) else None
            about = {**facts, "step": step, "loss": loss, "error": told}
            _write_folder(place, dict(parts), about)
            self.note_best(step, told)
        except (OSError, SafetensorError) as problem:
            raise CheckpointError(
                f"{place}: the checkpoint cannot be written: {_reason(problem)}; earlier ones are "
                "whole: make room and run the same command again"
            ) from None
        self._prune()
        return place

    def steps(self) -> list[int]:
        """Steps of the checkpoints there are, ascending."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = (_NAME.fullmatch(entry.name) for entry in self.path.iterdir())
            return sorted(int(match[1]) for match in found if match)
        return []

    def last(self) -> Checkpoint | None:
        """The newest checkpoint; None if there is none."""
        steps = self.steps()
        return open_checkpoint(self.path / f"step_{steps[-1]:08d}") if steps else None

    def best(self) -> int | None:
        """Step of the one with the lowest error."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            return int(json.loads((self.path / _BEST).read_text())["step"])
        return None

    def note_best(self, step: int, error: float | None) -> None:
        """Notes a checkpoint as the best one if its error is the lowest; None: it has none."""
        lowest = float("inf")
        with contextlib.suppress(OSError, ValueError, KeyError):
            lowest = float(json.loads((self.path / _BEST).read_text())["error"])
        if error is not None and error < lowest:
            half = self.path / f".{_BEST}.part"
            _write_json(half, {"step": step, "error": error})
            half.replace(self.path / _BEST)

    def _prune(self) -> None:
        best = self.best()
        for step in self.steps()[: -self._keep]:
            if step != best:
                shutil.rmtree(self.path / f"step_{step:08d}", ignore_errors=True)


def open_checkpoint(path: str | Path, *, best: bool = False) -> Checkpoint:
    """A checkpoint's folder, or the folder of a run: then its newest one.

    Args:
        path: folder of a checkpoint or of a run.
        best: of a fine-tuning run take the best checkpoint, by validation, not the newest. (The
            best loss of a pre-training says nothing about what its encoder is good for.)

    Raises:
        CheckpointError: it is none, or a broken one.
    """
    path = Path(path)
    if not (path / _FACTS).is_file():
        for folder in (path / "checkpoints", path):
            there = CheckpointFolder(folder, 1)
            newest = there.last()
            if newest is None:
                continue
            wanted = there.best()
            if not best or newest.facts.get("kind") != "finetune" or wanted not in there.steps():
                return newest
            return open_checkpoint(folder / f"step_{wanted:08d}")
        raise CheckpointError(
            f"{path}: is no checkpoint: it has no {_FACTS}"
            + (" (weights of others: `mofo weights import`)" if path.is_file() else "")
        )
    try:
        facts = json.loads((path / _FACTS).read_text(encoding="utf-8"))
        return Checkpoint(path, int(facts["step"]), facts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: {_FACTS} cannot be read: {_reason(error)}") from None


def write_checkpoint(
    path: str | Path, model: Mapping[str, Tensor], facts: Mapping[str, Any], step: int = 0
) -> Path:
    """Writes one checkpoint of weights alone, whole or not at all.

    Args:
        path: its folder; must not be there, or be empty.
        model: tensors by name.
        facts: what else to remember, as JSON.
        step: steps done.

    Raises:
        CheckpointError: something is there already, or it cannot be written.
    """
    place = Path(path)
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise CheckpointError(f"{place}: is there already: name another, or delete it first")
        place.absolute().parent.mkdir(parents=True, exist_ok=True)
        _write_folder(place, {_MODEL: model}, {**facts, "step": step})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{place}: cannot be written: {_reason(error)}") from None
    return place


def fit_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Loads weights by name; all must be there and fit.

    Raises:
        CheckpointError: missing or unknown names, or other shapes: which, and what to do.
    """
    own = model.state_dict()
    problems = []
    wrong = [
        f"{key} is {tuple(weights[key].shape)}, not {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in weights and weights[key].shape != tensor.shape
    ]
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    for title, names in (("other shapes", wrong), ("missing", missing), ("unknown", unknown)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            problems.append(f"{title}: {names[0]}{more}")
    if problems:
        raise CheckpointError(
            f"{name}: made for another model than model.size and data.size say: "
            + "; ".join(problems)
        )
    model.load_state_dict(dict(weights))


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read: {_reason(error)}") from None


def _write_folder(
    place: Path, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]
) -> None:
    """Tensors by file, and the facts, beside their place and then renamed to it."""
    half = place.absolute().parent / f".{place.absolute().name}.part"
    try:
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir()
        for name, tensors in parts.items():
            save_file({key: t.detach().contiguous() for key, t in tensors.items()}, half / name)
            _settle(half / name)
        _write_json(half / _FACTS, facts)
        _settle(half)
        shutil.rmtree(place, ignore_errors=True)
        half.rename(place)
        _settle(half.parent)
    except (OSError, SafetensorError):
        shutil.rmtree(half, ignore_errors=True)
        raise


def _write_json(path: Path, content: Any) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _settle(path: Path) -> None:
    """Makes sure that a file or folder is on the disk and not only on its way there."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _reason(error: Exception) -> str:
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)
