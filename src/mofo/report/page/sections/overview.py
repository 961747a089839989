"""What was run, and with what: a card for each thing that was found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mofo.evaluation.results import Recognition
from mofo.masking.mask_settings import MaskSettings, hidden_positions
from mofo.models.model_settings import ModelSettings
from mofo.report.page.gathered import (
    FINETUNE,
    PRETRAIN,
    FoundAreas,
    Gathered,
    Test,
    TrainingRun,
    number,
)
from mofo.report.page.sections.accuracy import found_by_chance
from mofo.report.page.sections.section import Section
from mofo.report.page.words import (
    areas_text,
    counted,
    measure_name,
    passes,
    percent,
    views_text,
)
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.pretrain_settings import PretrainSettings
from mofo.types import MofoError, SettingsError, TokenGrid

_KINDS = {
    "areas": ("Motion areas", "Where things move in each frame, found without any labels."),
    PRETRAIN: (
        "Pre-training",
        "Learning from videos without labels: most of a clip is hidden, and the model guesses it.",
    ),
    FINETUNE: (
        "Fine-tuning",
        "Learning the names of actions from labelled videos, beginning with what is known.",
    ),
    "test": ("Test", "Videos that the model has not learned from, compared with their labels."),
}


FUSIONS = {
    "cross_attention": "what moves looks at the rest (motion cross-attention)",
    "attentive": "not at all: a learned query looks at everything",
    "mean": "not at all: the mean of everything",
    "weighted_mean": "what moves counts more in the mean",
}
# What a test says about itself: the name for a reader (empty: told elsewhere), and its values.
_ABOUT: dict[str, tuple[str, dict[str, str]]] = {
    "test": ("kind of test", {}),
    "checkpoint": ("model", {}),
    "encoder": ("frozen model", {}),
    "data": ("videos from", {}),
    "split": ("which of them", {}),
    "views": ("looks at each video", {}),
    "fusion": ("uses the motion area", FUSIONS),
    "areas": ("motion areas from", {}),
    "precision": (
        "numbers computed with",
        {"fp32": "32 bits (fp32)", "bf16": "16 bits (bf16)"},
    ),
    "chance": ("", {}),
}


@dataclass(frozen=True)
class Setting:
    """One row of a recipe."""

    key: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Card:
    """One thing that was run.

    Attributes:
        kind, what: name and plain sentence.
        name: of its folder.
        facts: ``(name, value)``, few.
        settings: everything that was chosen; may be empty.
    """

    kind: str
    what: str
    name: str
    facts: tuple[tuple[str, str], ...]
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True)
class Headline:
    """A number to begin with."""

    value: str
    name: str
    note: str = ""


def overview(found: Gathered) -> Section:
    """The first section."""
    cards = [
        *(_areas(one) for one in found.areas),
        *(_run(one) for one in found.runs if one.kind == PRETRAIN),
        *(_run(one) for one in found.runs if one.kind == FINETUNE),
        *(_test(one) for one in found.tests),
    ]
    return Section(
        "overview",
        "What was run",
        "The steps in their order, each with its most important choices; open “all settings” for "
        "every choice and what it means.",
        {"cards": cards, "sides": _side_by_side(found)},
    )


def headlines(found: Gathered) -> list[Headline]:
    """The numbers that a reader wants first; four at most."""
    numbers: list[Headline] = []
    tests = [(one, head, result) for one in found.tests for head, result in
             one.results.heads.items() if result.measures]  # fmt: skip
    if tests:
        one, _, result = max(tests, key=lambda each: next(iter(each[2].measures.values())).mean)
        name, value = next(iter(result.measures.items()))
        best = "best " if len(tests) > 1 else ""
        numbers.append(
            Headline(
                percent(value.mean),
                f"{best}{measure_name(name)}",
                f"{one.name}: {percent(value.low)} to {percent(value.high)} likely"
                + _by_chance(name, result),
            )
        )
    for kind, text in ((FINETUNE, "fine-tuning loss"), (PRETRAIN, "pre-training loss")):
        runs = [run for run in found.runs if run.kind == kind and run.metrics]
        if runs:
            losses = {run.name: _last_loss(run) for run in runs}
            name = min(losses, key=lambda each: (math.isnan(losses[each]), losses[each]))
            first = number(next(r for r in runs if r.name == name).metrics[0], "loss")
            numbers.append(Headline(f"{losses[name]:.3g}", text, f"{name}: from {first:.3g}"))
    if found.areas:
        videos = sum(len(one.store) for one in found.areas)
        frames = sum(sum(one.store.videos()["frames"].to_pylist()) for one in found.areas)
        numbers.append(Headline(f"{videos:,}", "videos with motion areas", f"{frames:,} frames"))
    return numbers[:4]


def _by_chance(measure: str, found: Recognition) -> str:
    return f", {percent(found_by_chance(found))} by chance" if measure == "top1" else ""


def _areas(one: FoundAreas) -> Card:
    videos = one.store.videos().to_pylist()
    settings = one.store.settings
    seconds = sum(row["duration"] for row in videos)
    frames = sum(row["frames"] for row in videos)
    moving = sum(row["moving"] * row["frames"] for row in videos)
    facts = [
        ("videos", f"{len(videos):,}" + (f", {len(one.failures)} failed" if one.failures else "")),
        ("length", f"{seconds:,.0f} s, {frames:,} frames"),
        ("frames with motion", percent(moving / frames) if frames else "none"),
        ("found by", _detector(settings)),
    ]
    return Card(*_KINDS["areas"], one.name, tuple(facts))


def _detector(settings: Any) -> str:
    if settings is None:
        return "imported boxes"
    ways = {
        "dis": "optical flow (DIS)",
        "tvl1": "optical flow (TV-L1)",
        "farneback": "optical flow (Farnebäck)",
        "codec": "motion vectors of the video file",
    }
    preset = ", the paper's way" if settings.preset == "paper" else ""
    return f"{ways[settings.flow]}, at {settings.short_side} pixels{preset}"


def _run(run: TrainingRun) -> Card:
    facts = [*_data(run), *_model(run)]
    if run.kind == PRETRAIN and "mask" in run.settings:
        text = f"{_hidden(run)} of each clip"
        if run.setting("mask", "strategy") == "motion":
            text += f", and {_share(run, 'mask', 'inside')} of what moves where that fits"
        facts.append(("hidden from the model", text))
    if run.kind == FINETUNE and "model" in run.settings:
        facts.append(("begins with", str(run.setting("model", "init") or "random weights")))
        fusion = str(run.setting("model", "fusion", ""))
        facts.append(("uses the motion area", FUSIONS.get(fusion, fusion)))
    if run.metrics:
        facts.append(("done", _done(run)))
        facts += [("time", hours)] if (hours := _hours(run)) else []
    return Card(*_KINDS[run.kind], run.name, tuple(facts), tuple(_settings(run)))


def _data(run: TrainingRun) -> list[tuple[str, str]]:
    facts = []
    videos = run.checkpoint.get("videos")
    if isinstance(videos, dict) and videos.get("count"):
        facts.append(("videos", f"{videos['count']}"))
    source = run.setting("data", "source")
    if source:
        facts.append(("from", _plain(source)))
    size = run.setting("data", "size")
    if size:
        facts.append(("clips", f"{run.setting('data', 'frames')} frames of {size}x{size} pixels"))
    return facts


def _model(run: TrainingRun) -> list[tuple[str, str]]:
    size = str(run.setting("model", "size") or "")
    if not size:
        return []
    try:
        model = ModelSettings.named(size)
    except SettingsError:
        return [("model", size)]
    return [("model", f"{size} vision transformer, {model.depth} layers of {model.width} numbers")]


def _share(run: TrainingRun, section: str, key: str) -> str:
    value = number(run.settings.get(section, {}), key)
    return percent(value, 0) if math.isfinite(value) else "?"


def _hidden(run: TrainingRun) -> str:
    """The share of a clip that is hidden: of few patches it is less than was asked for."""
    try:
        size, patch = int(run.setting("data", "size")), int(run.setting("model", "patch"))
        grid = TokenGrid(int(run.setting("data", "frames")), size, size, patch=patch)
        masks = MaskSettings(ratio=run.setting("mask", "ratio"))
        return percent(hidden_positions(masks, grid) / grid.positions, 0)
    except (TypeError, ValueError, MofoError):  # not a recipe of ours in every part
        return _share(run, "mask", "ratio")


def _done(run: TrainingRun) -> str:
    step, epoch = number(run.metrics[-1], "step"), number(run.metrics[-1], "epoch")
    text = f"{step + 1:,.0f} steps"
    epochs = number(run.settings.get("optim", {}), "epochs")
    if math.isfinite(epoch) and math.isfinite(epochs):
        part = "" if epoch >= epochs - 0.05 else f"{passes(epoch)} of "
        text += f", {part}{passes(epochs)} passes over the videos"
    return text


def _test(one: Test) -> Card:
    facts = []
    for name, text in one.results.about.items():
        text = {"views": views_text, "areas": areas_text}.get(name, str)(text)
        title, meanings = _ABOUT.get(name, (name, {}))
        if title:
            facts.append((title, meanings.get(text, text)))
    facts += [
        (
            f"measured on, {head}" if len(one.results.heads) > 1 else "measured on",
            f"{counted(found.count, 'video')}, {counted(len(found.classes), 'class', 'classes')}",
        )
        for head, found in one.results.heads.items()
    ]
    return Card(*_KINDS["test"], one.name, tuple(facts))


def _settings(run: TrainingRun) -> list[Setting]:
    meanings = _meanings(run.kind)
    return [
        Setting(f"{section}.{key}", _plain(value), meanings.get(f"{section}.{key}", ""))
        for section, part in run.settings.items()
        for key, value in part.items()
    ]


# Where the settings' own text sends the reader to the code.
_MEANINGS = {
    "mask.strategy": "how the hidden places are chosen: motion (more of what moves), tube (the "
    "same places in all frames), and others",
    "model.drop_path": "chance that the last layer is skipped for a clip in training",
    "data.sampling": "dense: every stride-th frame in a row; segments: one of each equal part",
    "data.stride": "2: every second frame is taken, and so on",
}


def _meanings(kind: str) -> dict[str, str]:
    """What each key means, as the settings say it themselves."""
    settings = FinetuneSettings if kind == FINETUNE else PretrainSettings
    found = {name: key.help.replace("``", "") for name, key in settings.keys().items()}
    return found | _MEANINGS


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in ("", None) else str(value)


def _side_by_side(found: Gathered) -> list[dict[str, Any]]:
    """For each kind with several runs: the settings in which they differ."""
    tables = []
    for kind in (PRETRAIN, FINETUNE):
        runs = [run for run in found.runs if run.kind == kind]
        if len(runs) < 2:
            continue
        meanings = _meanings(kind)
        keys = dict.fromkeys(
            (section, key) for run in runs for section, part in run.settings.items() for key in part
        )
        rows = []
        for section, key in keys:
            values = [_plain(run.setting(section, key)) for run in runs]
            if len(set(values)) > 1 and (section, key) != ("run", "out"):
                name = f"{section}.{key}"
                rows.append({"key": name, "values": values, "meaning": meanings.get(name, "")})
        losses = [f"{_last_loss(run):.4g}" if run.metrics else "-" for run in runs]
        meaning = "mean over the last tenth of the steps; lower is better"
        if any(
            section == "mask" and len({_plain(run.setting(section, key)) for run in runs}) > 1
            for section, key in keys
        ):
            meaning = (
                "mean over the last tenth of the steps; not to be compared: they hide other places"
            )
        rows.append({"key": "loss", "values": losses, "meaning": meaning})
        tables.append({"kind": _KINDS[kind][0], "names": [run.name for run in runs], "rows": rows})
    return tables


def _last_loss(run: TrainingRun) -> float:
    """Mean over the last tenth of the steps."""
    losses = [number(line, "loss") for line in run.metrics[-max(1, len(run.metrics) // 10) :]]
    losses = [loss for loss in losses if math.isfinite(loss)]
    return sum(losses) / len(losses) if losses else math.nan


def _hours(run: TrainingRun) -> str:
    times = [number(line, "data_s") + number(line, "compute_s") for line in run.metrics]
    seconds = sum(time for time in times if math.isfinite(time))
    if not seconds:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
