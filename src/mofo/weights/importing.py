"""Weights of other programs into checkpoints of ours: what ``mofo weights import`` does."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mofo.masking import MaskSettings
from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import SIZES, ModelSettings
from mofo.models.saved_settings import plain_classifier, plain_model
from mofo.system.environment import versions
from mofo.training.checkpoint import write_checkpoint
from mofo.training.pretrain_settings import (
    DataSettings,
    LossSettings,
    ModelChoice,
    PretrainSettings,
)
from mofo.training.pretrain_settings import RunSettings as Run
from mofo.types import SettingsError, TokenGrid
from mofo.weights.class_names import read_class_names
from mofo.weights.import_plan import Asked, Plan, make_plan
from mofo.weights.import_report import MATCHED, RESHAPED, KeyReport, WeightsError, key_report
from mofo.weights.key_rules import POSITIONS, translate
from mofo.weights.tensor_files import open_weights

_CUSTOM = "imported"  # in place of a size's name: the sizes stand beside it
_SEGMENTS = ("ssv2", "something")


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
        size, frames: of the clips the model is to take; None: those it was made for. For others the
            positions are interpolated.
        tubelet, patch, model_size: what the weights must be of ("base"); None: whatever they are.
        made_for: frames and pixels a side the weights were trained on, where the file does not say
            it; None: 16 and 224.
        heads, decoder_heads: of the attention: no file says them; None: one for each 64 channels,
            and the published numbers for ViT-H.
        classes: list of class names, see ``read_class_names``.
        head: name for the classifier's question.
        fusion: of a classifier; None: "mean", or what a file of the MOFO release was trained with.
        sampling, stride: how clips are taken for it: "dense" with a stride or "segments"; None:
            what the file says, or dense with stride 4 (a pre-training: 2).
        allow_missing, allow_unexpected: patterns of names: ``decoder.*``.

    Raises:
        WeightsError: one line; it carries the report where the names were compared.
        CheckpointError: it cannot be written; nothing is left behind.
    """
    source = Path(source)
    opened = open_weights(source)
    try:
        plan = make_plan(opened, Asked(head, fusion, made_for, heads, decoder_heads))
        _check(plan.model, model_size, tubelet=tubelet, patch=patch)
        model = _for_clips(plan.model, frames, size)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from None
    found = translate(plan.state, plan.rules)
    keys = key_report(found, plan.originals, plan.not_needed, allow_missing, allow_unexpected)
    if problems := keys.problems():
        raise WeightsError(f"{source}: taken for {plan.layout}'s: " + "; ".join(problems), keys)
    classifier = None if plan.classifier is None else replace(plan.classifier, model=model)
    names = {} if classifier is None else {head: _class_names(plan, classes)}
    tensors = _with_positions(found.tensors, plan.model.grid, classifier is None)
    notes = []
    if fresh := [ours for ours, _ in found.missing]:
        tensors |= _fresh(classifier or model, fresh)
        notes.append(f"{len(fresh)} tensors were missing and begin at random: {fresh[0]} ...")
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
    facts: dict[str, Any] = {"imported": about, "versions": versions()}
    if classifier is None:
        settings = _recipe(model, source, out, stride or _stride(plan) or 2)
        facts |= {
            "task": "pretrain",
            "settings": settings.to_dict(),
            "model": plain_model(model),
            "sampling": {"stride": settings.data.stride, "areas": settings.data.areas},
        }
    else:
        chosen = sampling or _sampling(plan)
        facts |= {
            "task": "finetune",
            "classifier": plain_classifier(classifier),
            "classes": names,
            "sampling": {"sampling": chosen, "stride": stride or _stride(plan) or 4},
        }
    path = write_checkpoint(out, tensors, facts)
    return ImportReport(path, facts["task"], plan.layout, model, names, keys, tuple(notes))


def _check(model: ModelSettings, model_size: str | None, **asked: int | None) -> None:
    """What the user expects of the weights, against what they are."""
    problems = [
        f"{name} is {getattr(model.grid, name)}, not {wanted}"
        for name, wanted in asked.items()
        if wanted is not None and getattr(model.grid, name) != wanted
    ]
    if model_size is not None:
        try:
            wanted_size = ModelSettings.named(model_size)
        except SettingsError as error:
            raise WeightsError(str(error)) from None
        for name in ("width", "depth"):
            found, wanted = getattr(model, name), getattr(wanted_size, name)
            if found != wanted:
                problems.append(f"{name} is {found}, not {wanted} as in {model_size!r}")
    if problems:
        raise WeightsError("; ".join(problems) + ": only a model of the same can take the weights")


def _for_clips(model: ModelSettings, frames: int | None, size: int | None) -> ModelSettings:
    """The same model for clips of another size."""
    grid = model.grid
    try:
        wanted = TokenGrid(
            frames or grid.frames, size or grid.height, size or grid.width, grid.tubelet, grid.patch
        )
    except SettingsError as error:
        raise WeightsError(str(error)) from None
    return replace(model, grid=wanted)


def _class_names(plan: Plan, path: str | Path | None) -> list[str]:
    assert plan.classifier is not None
    ((_, count),) = plan.classifier.classes.items()
    names = plan.class_names if path is None else read_class_names(path)
    if names is None:
        return [str(number) for number in range(count)]
    if len(names) != count:
        where = "config.json" if path is None else path
        raise WeightsError(f"{where}: names {len(names)} classes, but the weights have {count}")
    return names


def _with_positions(
    tensors: Mapping[str, Tensor], grid: TokenGrid, pretraining: bool
) -> dict[str, Tensor]:
    made_for = [grid.t, grid.h, grid.w]
    names = POSITIONS if pretraining else POSITIONS[:1]
    return dict(tensors) | {name: torch.tensor(made_for) for name in names}


def _fresh(settings: ModelSettings | ClassifierSettings, names: list[str]) -> dict[str, Tensor]:
    """Tensors of these names as a new model has them."""
    classifier = isinstance(settings, ClassifierSettings)
    built = Classifier(settings) if classifier else MaskedAutoencoder(settings)  # type: ignore[arg-type]
    state = built.state_dict()
    return {name: state[name] for name in names}


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
        model=ModelChoice(size=size_name(model), tubelet=grid.tubelet, patch=grid.patch),
        mask=MaskSettings(strategy="tube"),
        loss=LossSettings(normalise=model.normalise_target),
    )


def size_name(model: ModelSettings) -> str:
    """The name of the size with this encoder; "imported" for others."""
    for name in SIZES:
        named = ModelSettings.named(name)
        if (named.width, named.depth, named.heads) == (model.width, model.depth, model.heads):
            return name
    return _CUSTOM


def _stride(plan: Plan) -> int | None:
    found = plan.options.get("sampling_rate")
    return found if isinstance(found, int) and found > 0 else None


def _sampling(plan: Plan) -> str:
    data = str(plan.options.get("data_set", "")).lower()
    return "segments" if data.startswith(_SEGMENTS) else "dense"


def _clip(grid: TokenGrid) -> str:
    return f"{grid.frames}x{grid.height}x{grid.width}"
