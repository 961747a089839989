"""What was run, and with what: a card for each thing that was found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mofo.report.page.gathered import (
    FINETUNE,
    PRETRAIN,
    FoundAreas,
    Gathered,
    Test,
    TrainingRun,
    number,
)
from mofo.report.page.sections.section import Section
from mofo.report.page.words import counted, measure_name, percent
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.recipe import explain_keys
from mofo.training.settings import PretrainSettings

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
        one, head, result = max(tests, key=lambda each: next(iter(each[2].measures.values())).mean)
        name, value = next(iter(result.measures.items()))
        best = "best " if len(tests) > 1 else ""
        numbers.append(
            Headline(
                percent(value.mean),
                f"{best}{measure_name(name)}",
                f"{one.name}: {percent(value.low)} to {percent(value.high)}, "
                f"{counted(result.count, 'video')}",
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
    facts = []
    videos = run.checkpoint.get("videos")
    source = run.setting("data", "source", [])
    source = [source] if isinstance(source, str) else list(source or [])
    if isinstance(videos, dict) and videos.get("count"):
        facts.append(("videos", f"{videos['count']:,}"))
    if source:
        facts.append(("from", ", ".join(map(str, source))))
    size = run.setting("data", "size")
    if size:
        facts.append(("clips", f"{run.setting('data', 'frames')} frames of {size}×{size} pixels"))
    if run.setting("model", "size"):
        facts.append(("model", f"{run.setting('model', 'size')}"))
    if run.kind == PRETRAIN and run.settings:
        ratio, inside = run.setting("mask", "ratio", 0.0), run.setting("mask", "inside", 0.0)
        text = f"{percent(ratio, 0)} hidden, {run.setting('mask', 'strategy')} masks"
        if run.setting("mask", "strategy") == "motion":
            text += f" ({percent(inside, 0)} inside the motion area)"
        facts.append(("hidden", text))
    if run.kind == FINETUNE and run.settings:
        facts.append(("begins with", str(run.setting("model", "init") or "random weights")))
        fusion = str(run.setting("model", "fusion", ""))
        facts.append(("uses the area by", _FUSIONS.get(fusion, fusion)))
    if run.metrics:
        last = run.metrics[-1]
        epochs = run.setting("optim", "epochs")
        epoch = number(last, "epoch")
        done = f"{int(last['step']) + 1:,} steps" if isinstance(last["step"], int) else "?"
        if epochs and not math.isnan(epoch):
            done += f", {epoch:.3g} of {float(epochs):g} passes over the videos"
        facts.append(("done", done))
        hours = _hours(run)
        if hours:
            facts.append(("time", hours))
    return Card(*_KINDS[run.kind], run.name, tuple(facts), tuple(_settings(run)))


_FUSIONS = {
    "cross_attention": "motion cross-attention: what moves looks at the rest",
    "attentive": "not at all: a learned query looks at everything",
    "mean": "not at all: the mean of everything",
    "weighted_mean": "a mean in which what moves counts more",
}


def _test(one: Test) -> Card:
    facts = [(name, text) for name, text in one.results.about.items() if name != "chance"]
    facts += [
        (head if len(one.results.heads) > 1 else "measured on",
         f"{counted(found.count, 'video')}, {counted(len(found.classes), 'class', 'classes')}")
        for head, found in one.results.heads.items()
    ]  # fmt: skip
    return Card(*_KINDS["test"], one.name, tuple(facts))


def _settings(run: TrainingRun) -> list[Setting]:
    meanings = _meanings(run.kind)
    return [
        Setting(f"{section}.{key}", _plain(value), meanings.get(f"{section}.{key}", ""))
        for section, part in run.settings.items()
        for key, value in part.items()
    ]


def _meanings(kind: str) -> dict[str, str]:
    """What each key means, as `mofo pretrain --help-keys` tells."""
    found: dict[str, str] = {}
    section = key = ""
    for line in explain_keys(FinetuneSettings if kind == FINETUNE else PretrainSettings).split(
        "\n"
    ):
        if line and not line.startswith(" "):
            section = line.rstrip(":")
        elif line.startswith("      "):
            found[f"{section}.{key}"] = line.strip().replace("``", "")
        elif line.startswith("  "):
            key = line.split()[0]
    return found


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
        losses = [f"{_last_loss(run):.4g}" if run.metrics else "–" for run in runs]
        rows.append({"key": "loss", "values": losses,
                     "meaning": "mean over the last tenth of the steps; lower is better"})  # fmt: skip
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
