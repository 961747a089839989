"""Checkpoints: folders of safetensors and JSON that appear whole or not at all.

    run/checkpoints/step_00001000/
        model.safetensors       weights by name
        optimiser.safetensors   moments, as "<moment>/<name of the weight>"
        average.safetensors     running average of the weights, where one is kept
        checkpoint.json         step, settings, versions, digests of the other files

Nothing else is needed to continue: order, crops, masks and drop path are functions of the seed and
the step.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mofo.system.files import first_line, replaced, replaced_folder
from mofo.training.metadata import Metadata
from mofo.types import MofoError

_NAME = re.compile(r"step_(\d{8,})")
_MODEL, _OPTIMISER, _METADATA = "model.safetensors", "optimiser.safetensors", "checkpoint.json"
_AVERAGE = "average.safetensors"
_BEST = "best.json"


class CheckpointError(MofoError):
    """A checkpoint that cannot be written, read, or used for this purpose."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    path: Path
    metadata: Metadata
    _whole: set[str] = field(default_factory=set, repr=False, compare=False)  # need no second look

    @property
    def step(self) -> int:
        """Steps done."""
        return self.metadata.step

    def model(self) -> dict[str, Tensor]:
        """Returns the weights, on the CPU."""
        return self._load(_MODEL)

    def optimiser(self) -> dict[str, Tensor]:
        """Returns the optimiser's moments, on the CPU."""
        return self._load(_OPTIMISER)

    def average(self) -> dict[str, Tensor] | None:
        """Returns the running average of the weights, on the CPU; None if the run kept none."""
        return self._load(_AVERAGE) if _AVERAGE in self.metadata.digests else None

    def best_weights(self) -> dict[str, Tensor]:
        """Returns the weights to use: the average if there is one."""
        return self.average() or self.model()

    def check(self, *, weights: bool = False) -> None:
        """Raises a CheckpointError if a file is missing or not as it was written.

        Args:
            weights: look only at these, not at the optimiser's moments.
        """
        for name in self.metadata.digests:
            if name != _METADATA and not (weights and name == _OPTIMISER):
                self._check(name)

    def _check(self, name: str) -> None:
        if name in self._whole:
            return
        path, wanted = self.path / name, self.metadata.digests.get(name)
        try:
            if wanted != _digest(path):
                raise CheckpointError(f"{path}: is damaged: not what was written (SHA-256)")
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {first_line(error)}") from None
        self._whole.add(name)

    def _load(self, name: str) -> dict[str, Tensor]:
        self._check(name)
        try:
            return load_file(self.path / name)
        except (OSError, SafetensorError, RuntimeError) as error:  # the last of torch
            raise CheckpointError(
                f"{self.path / name}: cannot be read: {first_line(error)}"
            ) from None


class CheckpointFolder:
    """The checkpoints of one run.

    ``path``: the folder; made when the first is saved.
    ``keep``: last ones to keep; the best one stays besides.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        self._keep = keep

    def place(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.path / f"step_{step:08d}"

    def save(
        self,
        step: int,
        model: Mapping[str, Tensor],
        optimiser: Mapping[str, Tensor],
        metadata: Mapping[str, Any],
        *,
        average: Mapping[str, Tensor] | None = None,
    ) -> Path:
        """Writes a checkpoint, then drops those no longer wanted.

        Args:
            metadata: see ``Metadata``. Of all checkpoints that with the lowest "error" is the
                best; where there is no error, it is no candidate.
        """
        place = self.place(step)
        parts = {_MODEL: model, _OPTIMISER: optimiser}
        if average is not None:
            parts[_AVERAGE] = average
        error = metadata.get("error")
        if error is not None and not math.isfinite(error):
            metadata = {**metadata, "error": None}
        try:
            _write_folder(place, parts, Metadata(**{**metadata, "step": step}))
            self._note_best(step, metadata.get("error"))
        except (OSError, SafetensorError) as problem:
            raise CheckpointError(
                f"{place}: cannot be written: {first_line(problem)}: make room or name another "
                "run.out; earlier checkpoints are as they were"
            ) from None
        best = self.best()
        for old in self.steps()[: -self._keep]:
            if old != best:
                shutil.rmtree(self.place(old), ignore_errors=True)
        return place

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are there, ascending."""
        with contextlib.suppress(OSError):  # what is wrong with the folder shows when it is made
            matches = (_NAME.fullmatch(entry.name) for entry in self.path.iterdir())
            return sorted(int(match[1]) for match in matches if match)
        return []

    def last_whole(self, *, weights: bool = False) -> tuple[Checkpoint | None, list[str]]:
        """Returns the newest checkpoint that is not damaged, and a line about each newer one."""
        problems: list[str] = []
        for step in reversed(self.steps()):
            try:
                checkpoint = _open(self.place(step))
                checkpoint.check(weights=weights)
            except CheckpointError as error:
                problems.append(str(error))
                continue
            lines = [f"{text}; taking the checkpoint of step {step:,} instead" for text in problems]
            return checkpoint, lines
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise CheckpointError(
                f"{problems[0]}{more}: no checkpoint of this run is whole: delete {self.path} to "
                "begin anew"
            )
        return None, []

    def tidy(self, step: int) -> None:
        """Makes the folder as it was after ``step``.

        Newer checkpoints, which are damaged, are set aside as ``NAME.damaged``, so that they push
        out none that is whole; and a kill may have come between a checkpoint and the note of the
        best.
        """
        for newer in self.steps():
            if newer > step:
                aside = self.path / f"step_{newer:08d}.damaged"
                shutil.rmtree(aside, ignore_errors=True)
                self.place(newer).replace(aside)
        if step in self.steps():
            self._note_best(step, _open(self.place(step)).metadata.error)

    def best(self) -> int | None:
        """Step of the one with the lowest error."""
        return self._best()[0]

    def _best(self) -> tuple[int | None, float]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads((self.path / _BEST).read_text())
            if self.place(step := int(note["step"])).is_dir():
                return step, float(note["error"])
        return None, math.inf

    def _note_best(self, step: int, error: float | None) -> None:
        if error is not None and error < self._best()[1]:
            with replaced(self.path / _BEST, flush=True) as half:
                half.write_text(json.dumps({"step": step, "error": error}), encoding="utf-8")


def open_checkpoint(path: str | Path, *, best: bool = False) -> Checkpoint:
    """Returns a checkpoint: of its own folder, or of the folder of a run: then its newest one.

    Of a run a damaged checkpoint is passed over, with a line on stderr.

    Args:
        path: folder of a checkpoint or of a run.
        best: of a run that validates take the best checkpoint, not the newest. (The best loss of a
            pre-training says nothing about what its encoder is good for.)

    Raises:
        CheckpointError: it is none, or a damaged one.
    """
    path = Path(path)
    if (path / _METADATA).is_file():
        return _open(path)
    for folder in (path / "checkpoints", path):
        there = CheckpointFolder(folder, 1)
        checkpoint, problems = there.last_whole(weights=True)
        if checkpoint is None:
            continue
        wanted = there.best()
        if best and wanted is not None and checkpoint.metadata.history.best is not None:
            try:
                chosen = _open(there.place(wanted))
                chosen.check(weights=True)
                return chosen
            except CheckpointError as error:
                problems = [f"{error}; taking the newest checkpoint instead of the best"]
        for line in problems:
            print(line, file=sys.stderr)
        return checkpoint
    others = "weights of other programs: `mofo weights import FILE_OR_FOLDER --out DIR`"
    if path.exists():
        raise CheckpointError(f"{path}: is no checkpoint: it has no {_METADATA} ({others})")
    raise CheckpointError(
        f"{path}: is no checkpoint: there is no such folder; {others}; an encoder of Hugging "
        f"Face's hub in embed, probe and finetune: hf:{path}"
    )


def write_checkpoint(
    path: str | Path, model: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> Path:
    """Writes one checkpoint of weights alone, whole or not at all."""
    place = Path(path)
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise CheckpointError(f"{place}: is there already: name another, or delete it first")
        _write_folder(place, {_MODEL: model}, Metadata(**metadata))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{place}: cannot be written: {first_line(error)}") from None
    return place


def _open(path: Path) -> Checkpoint:
    """The checkpoint in a folder; its metadata are checked, its tensors when they are loaded."""
    file = path / _METADATA
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no object")
        metadata = Metadata.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{file}: is damaged: {key}: {first['msg']}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: cannot be read: {first_line(error)}") from None
    digests = content.get("digests", {})
    if digests.get(_METADATA) != _digest_of(content):
        raise CheckpointError(f"{file}: is damaged: not what was written (SHA-256)")
    match = _NAME.fullmatch(path.name)
    if match and int(match[1]) != metadata.step:
        raise CheckpointError(f"{path}: holds step {metadata.step}, not what its name says")
    return Checkpoint(path, metadata)


def _write_folder(
    place: Path, parts: Mapping[str, Mapping[str, Tensor]], metadata: Metadata
) -> None:
    """Tensors by file, and the metadata, beside their place and then renamed to it."""
    with replaced_folder(place) as half:
        digests = {}
        for name, tensors in parts.items():
            save_file({key: t.detach().contiguous() for key, t in tensors.items()}, half / name)
            digests[name] = _digest(half / name)
        content = metadata.model_dump(mode="json") | {"digests": digests}
        digests[_METADATA] = _digest_of(content)
        (half / _METADATA).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(content: Mapping[str, Any]) -> str:
    """Of metadata, but for their own digest."""
    digests = {k: v for k, v in content.get("digests", {}).items() if k != _METADATA}
    text = json.dumps({**content, "digests": digests}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
