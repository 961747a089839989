"""How training went: loss, accuracy on held-out videos, learning rate, speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mofo.report.page.charts import Curve, line_chart
from mofo.report.page.gathered import FINETUNE, PRETRAIN, Gathered, Line, TrainingRun, number
from mofo.report.page.scales import SERIES, Chart
from mofo.report.page.sections.section import Section

_TITLES = {PRETRAIN: "Pre-training", FINETUNE: "Fine-tuning"}


@dataclass(frozen=True)
class Drawn:
    """One chart with its words."""

    title: str
    meaning: str
    chart: Chart


def curves(found: Gathered) -> Section | None:
    """The section; None if no run has logged a step."""
    groups = []
    for kind in (PRETRAIN, FINETUNE):
        runs = [run for run in found.runs if run.kind == kind and run.metrics]
        if runs:
            groups.append({"title": _TITLES[kind], "name": kind, "charts": _charts(kind, runs)})
    if not groups:
        return None
    return Section(
        "training",
        "How training went",
        "Each curve runs from the first step on the left to the last on the right; a step is one "
        "small correction of the model after a batch of clips, and a pale band is the range that "
        "a line is the mean of.",
        {"groups": groups},
    )


def _charts(kind: str, runs: Sequence[TrainingRun]) -> list[Drawn]:
    loss = [_curve(run, k, lambda line: number(line, "loss")) for k, run in enumerate(runs)]
    held_out = [
        _validated(run, k, "loss", f"{run.name}, held-out videos" if len(runs) > 1 else "held-out")
        for k, run in enumerate(runs, len(runs))
        if run.validation
    ]
    if held_out and len(runs) == 1:
        loss = [Curve("training", loss[0].x_P, loss[0].y_P, look=0)]
    what = (
        "How wrong the model's guesses of hidden patches are; lower is better."
        if kind == PRETRAIN
        else "How far the model's answers are from the labels; lower is better."
    )
    found = [
        ("Loss", what, line_chart([*loss, *held_out], title="Loss over steps", y_name="loss",
                                  log=kind == PRETRAIN)),
        (
            "Accuracy on held-out videos",
            "Share of videos the model does not train on that it names rightly, at each "
            "checkpoint.",
            line_chart(
                [_validated(run, k, "top1", run.name) for k, run in enumerate(runs)],
                title="Accuracy on held-out videos", y_name="accuracy", zero=True, percent=True,
            ),
        ),
        (
            "Learning rate",
            "How large a correction each step may be: it rises at first, then falls to let the "
            "model settle.",
            line_chart([_curve(run, k, lambda line: number(line, "lr"))
                        for k, run in enumerate(runs)],
                       title="Learning rate over steps", y_name="rate", zero=True),
        ),
        (
            "Speed",
            f"Clips that are learned from in a second{_waiting(runs)}.",
            line_chart([_curve(run, k, _speed) for k, run in enumerate(runs)],
                       title="Clips a second over steps", y_name="clips/s", zero=True),
        ),
    ]  # fmt: skip
    return [Drawn(title, text, chart) for title, text, chart in found if chart is not None]


def _curve(run: TrainingRun, look: int, value: Callable[[Line], float]) -> Curve:
    x_P = np.array([number(line, "step") for line in run.metrics])
    y_P = np.array([value(line) for line in run.metrics])
    return Curve(run.name, x_P, y_P, look=look % SERIES)


def _validated(run: TrainingRun, look: int, key: str, name: str) -> Curve:
    x_P = np.array([number(line, "step") for line in run.validation])
    y_P = np.array([number(line, key) for line in run.validation])
    return Curve(name, x_P, y_P, dots=True, look=look % SERIES)


def _speed(line: Line) -> float:
    seconds = number(line, "data_s") + number(line, "compute_s")
    return number(line, "clips") / seconds if seconds > 0 else math.nan


def _waiting(runs: Sequence[TrainingRun]) -> str:
    """How much of the time went into waiting for clips."""
    told = []
    for run in runs:
        waited = np.array([number(line, "data_s") for line in run.metrics])
        worked = np.array([number(line, "compute_s") for line in run.metrics])
        known = np.isfinite(waited) & np.isfinite(worked)
        total = float((waited + worked)[known].sum())
        if total > 0:
            share = f"{100 * float(waited[known].sum()) / total:.0f} %"
            told.append(f"{run.name} {share}" if len(runs) > 1 else share)
    return f"; time spent waiting for videos: {', '.join(told)}" if told else ""
