"""Weights of other programs into checkpoints of ours, and what is in a file of weights."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mofo.masking import MaskSettings
from mofo.models.classifier import ClassifierSettings
from mofo.models.model_settings import SIZES, ModelSettings
from mofo.system.environment import versions
from mofo.training.checkpoint import CheckpointError, open_checkpoint, write_checkpoint
from mofo.training.pretrain_settings import (
    DataSettings,
    LossSettings,
    ModelChoice,
    PretrainSettings,
)
from mofo.training.pretrain_settings import RunSettings as Run
from mofo.training.saved_models import FINETUNE, PRETRAIN, pretrained_settings
from mofo.types import MofoError, SettingsError, TokenGrid
from mofo.weights.class_names import read_class_names
from mofo.weights.layouts import Choices, Plan, make_plan
from mofo.weights.loading import MATCHED, MISSING, RESHAPED, KeyReport, WeightsError
from mofo.weights.rules import made_for as positions_made_for
from mofo.weights.rules import new_model
from mofo.weights.tensor_files import CONFIG, is_weights_folder, open_weights

_SEGMENTS = ("ssv2", "something")
OWN = "mofo"


@dataclass(frozen=True, eq=False)
class ImportReport:
    """What ``import_weights`` has done.

    Attributes:
        path: the checkpoint's folder.
        kind: "pretrain" or "finetune".
        layout: whose names the file had.
        model: sizes and grid; of a classifier, of its encoder.
        classes: by head, the names of the classes; empty for a pre-training.
        keys: what became of every tensor.
        notes: what is worth knowing, a line each.
    """

    path: Path
    kind: str
    layout: str
    model: ModelSettings
    classes: dict[str, list[str]]
    keys: KeyReport
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WeightsContent:
    """What is in a file or folder of weights.

    Attributes:
        layout: whose names it has; "mofo" for a checkpoint of ours.
        model: sizes; the grid as far as the file says it.
        fusion: of a classifier; None for a pre-training.
        classes: by head, how many, and their names where they are known.
        problems: phrases about tensors that are missing, unexpected or of another shape.
    """

    kind: str
    layout: str
    model: ModelSettings
    fusion: str | None = None
    classes: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For people."""
        model, grid = self.model, self.model.grid
        text = [
            f"{'classifier' if self.fusion else 'pre-training'} ({self.layout})",
            f"size: {size_name(model) or 'its own'}: encoder {model.width} wide, "
            f"{model.depth} blocks, {model.heads} heads",
            f"grid: {grid.frames} frames of {grid.width}x{grid.height}, tokens of {grid.tubelet}x"
            f"{grid.patch}x{grid.patch}: {grid.t}x{grid.h}x{grid.w} of them",
        ]
        if self.fusion:
            text.append(f"fusion: {self.fusion}")
        else:
            text.append(
                f"decoder: {model.decoder_width} wide, {model.decoder_depth} blocks, "
                f"{model.decoder_heads} heads"
            )
        for head, (count, names) in self.classes.items():
            first = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
            text.append(f"classes of {head!r}: {count}" + (f": {first}" if names else ""))
        return text + [f"problem: {problem}" for problem in self.problems]


def import_weights(
    source: str | Path,
    out: str | Path,
    *,
    size: int | None = None,
    frames: int | None = None,
    tubelet: int | None = None,
    patch: int | None = None,
    model_size: str | None = None,
    made_for: tuple[int, int] | None = None,
    heads: int | None = None,
    decoder_heads: int | None = None,
    classes: str | Path | None = None,
    head: str = "label",
    fusion: str | None = None,
    sampling: str | None = None,
    stride: int | None = None,
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
) -> ImportReport:
    """Makes a checkpoint of ours out of a file or folder of another program.

    All tensors must be there, be known and fit, but for those allowed by name. A tensor that may be
    missing begins as in a fresh model of ours (seed 0).

    Args:
        source: ``.pth`` of VideoMAE, VideoMAE V2 or the MOFO release, or a folder of Hugging Face.
        out: folder of the checkpoint; must not be there yet.
        size: pixels a side of the clips that the model takes, if not as trained. The positions are
            interpolated then.
        frames: of the clips that the model takes, if not as trained.
        tubelet: frames of a token that the weights must be of; None: whatever they are.
        patch: pixels a side of a token that the weights must be of; None: whatever they are.
        model_size: what the weights must be of: small, base ...; None: whatever they are.
        made_for: frames x pixels a side of the training, if not 16x224 and the file says nothing.
        heads: of the attention, if not one for each 64 channels (ViT-H: as published) and the file
            says nothing.
        decoder_heads: the same of the decoder.
        classes: names of classes: JSON, CSV, or lines; see ``read_class_names``.
        head: name of the classifier's question.
        fusion: of a classifier, if not as trained.
        sampling: dense or segments: how clips are taken; None: what the file says, or dense.
        stride: of dense clips; None: what the file says, or 4 (a pre-training: 2).
        allow_missing: tensors that may be missing; patterns such as 'decoder.*'.
        allow_unexpected: tensors that may be left over; patterns.

    Raises:
        WeightsError: one line; it carries the report where the names were compared.
        CheckpointError: it cannot be written; nothing is left behind.
    """
    source = Path(source)
    choices = Choices(head, fusion, made_for, heads, decoder_heads)
    plan = _plan(source, choices)
    try:
        _check(plan.model, model_size, tubelet=tubelet, patch=patch)
        grid = plan.model.grid
        height, width = size or grid.height, size or grid.width
        grid = replace(grid, frames=frames or grid.frames, height=height, width=width)
        model = replace(plan.model, grid=grid)
        tensors, keys = plan.load(allow_missing, allow_unexpected)
    except SettingsError as error:
        raise WeightsError(f"{source}: {error}") from None
    if problems := keys.problems():
        raise WeightsError(f"{source}: taken for {plan.layout}'s: " + "; ".join(problems), keys)
    classifier = None if plan.classifier is None else replace(plan.classifier, model=model)
    names = {} if classifier is None else {head: _class_names(plan, classes)}
    tensors |= positions_made_for(plan.settings)
    notes = []
    missing = [row.ours for row in keys.rows if row.status.startswith(MISSING)]
    if missing:
        state = new_model(classifier or model).state_dict()
        tensors |= {name: state[name] for name in missing}
        notes.append(f"{len(missing)} tensors were missing and begin at random: {missing[0]} ...")
    if model.grid != plan.model.grid:
        notes.append(f"positions interpolated: {_clip(plan.model.grid)} to {_clip(model.grid)}")
    about = {
        "source": source.name,
        "layout": plan.layout,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "made_for": [plan.model.grid.frames, plan.model.grid.height, plan.model.grid.width],
        "keys": keys.summary(),
        "others": [list(row[:3]) for row in keys.rows if row.status not in (MATCHED, RESHAPED)],
    }
    metadata: dict[str, Any] = {"imported": about, "versions": versions()}
    if classifier is None:
        settings = _recipe(model, source, out, stride or _stride(plan) or 2)
        metadata |= {
            "task": PRETRAIN,
            "settings": settings.to_dict(),
            "model": model.to_dict(),
            "sampling": {"stride": settings.data.stride, "areas": settings.data.areas},
        }
    else:
        metadata |= {
            "task": FINETUNE,
            "classifier": classifier.to_dict(),
            "classes": names,
            "sampling": {
                "sampling": sampling or _sampling(plan),
                "stride": stride or _stride(plan) or 4,
            },
        }
    path = write_checkpoint(out, tensors, metadata)
    return ImportReport(path, metadata["task"], plan.layout, model, names, keys, tuple(notes))


def inspect_weights(source: str | Path) -> WeightsContent:
    """What is in a checkpoint or run of ours, a ``.pth`` file or a folder of Hugging Face.

    Raises:
        WeightsError, CheckpointError: nothing of the kind, or damaged.
    """
    path = Path(source)
    if path.is_dir() and not is_weights_folder(path):
        return _inspect_own(path)
    plan = _plan(path, Choices())
    problems = tuple(plan.load()[1].problems())
    if plan.classifier is None:
        return WeightsContent(PRETRAIN, plan.layout, plan.model, problems=problems)
    names = tuple(plan.class_names or ())
    classes = {head: (count, names) for head, count in plan.classifier.classes.items()}
    return WeightsContent(
        FINETUNE, plan.layout, plan.model, plan.classifier.fusion, classes, problems
    )


def _inspect_own(path: Path) -> WeightsContent:
    opened = open_checkpoint(path, best=True)
    if opened.metadata.classifier is None:
        return WeightsContent(PRETRAIN, OWN, pretrained_settings(opened))
    try:
        settings = ClassifierSettings.from_dict(opened.metadata.classifier)
    except SettingsError as error:
        raise CheckpointError(f"{opened.path}: is not a whole checkpoint: {error}") from None
    names = opened.metadata.classes
    classes = {
        head: (count, tuple(names.get(head, ()))) for head, count in settings.classes.items()
    }
    return WeightsContent(FINETUNE, OWN, settings.model, settings.fusion, classes)


def size_name(model: ModelSettings) -> str:
    """The name of the size with this encoder; empty if it has none."""
    for name in SIZES:
        named = ModelSettings.named(name)
        if (named.width, named.depth, named.heads) == (model.width, model.depth, model.heads):
            return name
    return ""


def _plan(source: Path, choices: Choices) -> Plan:
    opened = open_weights(source)
    try:
        return make_plan(opened, choices)
    except MofoError as error:
        raise WeightsError(f"{source}: {error}") from None


def _check(model: ModelSettings, model_size: str | None, **expected: int | None) -> None:
    """What the user expects of the weights, against what they are."""
    problems = [
        f"{name} is {getattr(model.grid, name)}, not {value}"
        for name, value in expected.items()
        if value is not None and getattr(model.grid, name) != value
    ]
    if model_size is not None:
        named = ModelSettings.named(model_size)
        problems += [
            f"{name} is {getattr(model, name)}, not {getattr(named, name)} as in {model_size!r}"
            for name in ("width", "depth")
            if getattr(model, name) != getattr(named, name)
        ]
    if problems:
        raise SettingsError("; ".join(problems) + ": only a model of the same can take the weights")


def _class_names(plan: Plan, path: str | Path | None) -> list[str]:
    assert plan.classifier is not None
    ((_, count),) = plan.classifier.classes.items()
    names = plan.class_names if path is None else read_class_names(path)
    if names is None:
        return [str(number) for number in range(count)]
    if len(names) != count:
        where = CONFIG if path is None else path
        raise WeightsError(f"{where}: names {len(names)} classes, but the weights have {count}")
    return names


def _recipe(model: ModelSettings, source: Path, out: str | Path, stride: int) -> PretrainSettings:
    """The nearest recipe: VideoMAE's masks, and what is known of the data."""
    grid = model.grid
    if grid.height != grid.width:
        raise WeightsError(
            f"{source}: frames of {grid.width}x{grid.height} pixels: a pre-training takes squares, "
            "say --size"
        )
    return PretrainSettings(
        data=DataSettings(
            source=(source.name,), areas="dis", frames=grid.frames, size=grid.height, stride=stride
        ),
        run=Run(out=str(out)),
        # Sizes without a name stand beside the recipe; see ``pretrained_settings``.
        model=ModelChoice(size=size_name(model) or "base", tubelet=grid.tubelet, patch=grid.patch),
        mask=MaskSettings(strategy="tube"),
        loss=LossSettings(normalise=model.normalise_target),
    )


def _stride(plan: Plan) -> int | None:
    rate = plan.options.get("sampling_rate")
    return rate if isinstance(rate, int) and rate > 0 else None


def _sampling(plan: Plan) -> str:
    data = str(plan.options.get("data_set", "")).lower()
    return "segments" if data.startswith(_SEGMENTS) else "dense"


def _clip(grid: TokenGrid) -> str:
    return f"{grid.frames}x{grid.height}x{grid.width}"
