"""The section on training: curves, what differs between runs, what a pre-trained model sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mofo.report.figures.films import FPS, film_frames
from mofo.report.figures.reconstruction import (
    Reconstruction,
    reconstruct_checkpoint,
    reconstruction_film,
)
from mofo.report.page.charts import Chart, Curve, line_chart
from mofo.report.page.conclusion import Sentence
from mofo.report.page.folders import FINETUNE, PRETRAIN, Contents, Line, TrainingRun, number
from mofo.report.page.media import Clip, ClipMaker
from mofo.report.wording import listed, percent, plain
from mofo.types import MofoError

_TILE = 224  # pixels of a picture in a clip
_MAX_RUNS = 4  # that are looked into
_FLAT = 0.02  # less error than a flat guess: not better
_SHARES = {
    "area": "patches that count as moving",
    "visible_inside_ratio": "of what the encoder sees: moving",
    "spill": "clips whose mask could not be as asked",
}
_FOLDED = ("Learning rate", "Speed")
TITLES = {PRETRAIN: "Pre-training", FINETUNE: "Fine-tuning"}


@dataclass(frozen=True)
class Seen:
    """What one pre-trained model sees of clips, and what it guesses.

    Attributes:
        clips: ``(name, clip, text)``, made now from its checkpoint.
        picture: made while it ran; only where there are no clips.
        note: what a reader has to know; may be empty.
        gain: how much smaller its error is than that of a flat guess, as a share; None: unknown.
    """

    run: str
    name: str
    clips: tuple[tuple[str, Clip, str], ...] = ()
    parts: tuple[str, ...] = ()
    picture: Clip | None = None
    note: str = ""
    gain: float | None = None


def training_section(contents: Contents, maker: ClipMaker, clips: int) -> dict[str, Any] | None:
    """Returns what the template needs; None if there is no run."""
    if not contents.runs:
        return None
    groups = []
    for kind, title in TITLES.items():
        runs = [run for run in contents.of_kind(kind) if run.metrics]
        charts = [each for each in _charts(kind, runs) if each[2] is not None] if runs else []
        if charts:
            main = [each for each in charts if each[0] not in _FOLDED]
            folded = [each for each in charts if each[0] in _FOLDED]
            groups.append({"title": title, "charts": main, "more": folded})
    pretrained = contents.of_kind(PRETRAIN)[:_MAX_RUNS] if clips else []
    count = max(1, clips // (2 * max(1, len(pretrained))))
    seen = [_seen(run, maker, count) for run in pretrained]
    seen = [each for each in seen if each.clips or each.picture is not None]
    notes: dict[str, list[str]] = {}
    for each in seen:
        if each.note:
            notes.setdefault(each.note, []).append(each.run)
    return {
        "groups": groups,
        "seen": seen,
        "notes": list(notes.items()),
        "tables": list(_compared(contents)),
    }


def guess_sentences(seen: Sequence[Seen]) -> Iterator[Sentence]:
    """Says in the conclusion how good the guesses of pre-trained models are."""
    known = [(each.run, each.gain) for each in seen if each.gain is not None]
    poor = [run for run, gain in known if not gain > _FLAT]
    if poor:
        yield Sentence(
            f"{listed(poor)} guess{'es' if len(poor) == 1 else ''} hidden patches no better than a "
            "flat colour would: nothing is learned yet.",
            "warning",
        )
    for run, gain in known:
        if gain > _FLAT:
            yield Sentence(
                f"{run} guesses hidden patches with {percent(gain, 0)} less error than a flat "
                "colour would."
            )


def _charts(kind: str, runs: Sequence[TrainingRun]) -> list[tuple[str, str, Chart | None]]:
    """Titles, meanings and drawings: loss and accuracy first, then what tells less."""
    one = len(runs) == 1
    loss = [
        _curve(run, lambda line: number(line, "loss"), "training" if one else "") for run in runs
    ]
    loss += [
        _validated(run, "loss", "held-out videos" if one else f"{run.name}, held-out videos")
        for run in runs
        if run.validation
    ]
    what = "How wrong the model's guesses of hidden patches are; lower is better."
    if kind == FINETUNE:
        what = "How far the model's answers are from the labels; lower is better."
    elif _masks_differ(runs):
        what += " Curves of different masks cannot be compared: they hide other places."
    return [
        _drawn("Loss", what, loss, log=kind == PRETRAIN),
        _drawn(
            "Accuracy on held-out videos",
            "Share of videos that it does not train on and names rightly, at each checkpoint.",
            [_validated(run, "top1", run.name) for run in runs],
            zero=True, percent=True,
        ),
        _drawn(
            "Learning rate",
            "How large a correction each step may be.",
            [_curve(run, lambda line: number(line, "lr")) for run in runs],
            zero=True,
        ),
        _drawn(
            "Speed",
            f"Clips that are learned from in a second{_waiting(runs)}.",
            [_curve(run, _speed) for run in runs],
            zero=True,
        ),
    ]  # fmt: skip


def _drawn(
    title: str, meaning: str, curves: Sequence[Curve], **options: Any
) -> tuple[str, str, Chart | None]:
    return title, meaning, line_chart(curves, title=title, **options)


def _curve(run: TrainingRun, value: Callable[[Line], float], name: str = "") -> Curve:
    x_P = np.array([number(line, "step") for line in run.metrics])
    return Curve(name or run.name, x_P, np.array([value(line) for line in run.metrics]))


def _validated(run: TrainingRun, key: str, name: str) -> Curve:
    x_P = np.array([number(line, "step") for line in run.validation])
    y_P = np.array([number(line, key) for line in run.validation])
    return Curve(name, x_P, y_P, dots=True)


def _speed(line: Line) -> float:
    seconds = number(line, "data_s") + number(line, "compute_s")
    return number(line, "clips") / seconds if seconds > 0 else math.nan


def _waiting(runs: Sequence[TrainingRun]) -> str:
    """How much of the time went into waiting for clips."""
    shares = []
    for run in runs:
        waited = np.array([number(line, "data_s") for line in run.metrics])
        total = waited + [number(line, "compute_s") for line in run.metrics]
        if np.nansum(total) > 0:
            share = percent(float(np.nansum(waited) / np.nansum(total)), 0)
            shares.append(f"{run.name} {share}" if len(runs) > 1 else share)
    return f"; time spent waiting for videos: {', '.join(shares)}" if shares else ""


def _masks_differ(runs: Sequence[TrainingRun]) -> bool:
    return len({str(sorted(run.settings.get("mask", {}).items())) for run in runs}) > 1


def _compared(contents: Contents) -> Iterator[dict[str, Any]]:
    """Yields a table for each kind of run: settings in which they differ, what was measured."""
    for kind, title in TITLES.items():
        runs = contents.of_kind(kind)
        keys = dict.fromkeys(
            (section, key) for run in runs for section, part in run.settings.items() for key in part
        )
        rows = []
        for section, key in keys:
            values = [plain(run.setting(section, key)) for run in runs]
            if len(set(values)) > 1 and (section, key) != ("run", "out"):
                rows.append((f"{section}.{key}", values))
        mixed = kind == PRETRAIN and _masks_differ(runs)
        shares = {key: [run.mean(key) for run in runs] for key in _SHARES}
        rows += [
            (_SHARES[key], [percent(value) for value in values])
            for key, values in shares.items()
            if np.isfinite(values).any()
        ]
        if len(runs) > 1:
            losses = [f"{run.mean('loss'):.4g}" for run in runs]
            rows.append(("loss (not to be compared: other masks)" if mixed else "loss", losses))
        if rows:
            title += ": what differs, and how it went" if len(runs) > 1 else ": how it went"
            yield {"title": title, "names": [run.name for run in runs], "rows": rows}


def _seen(run: TrainingRun, maker: ClipMaker, clips: int) -> Seen:
    try:
        seen = _made(run, maker, clips)
        if seen.clips:
            return seen
        reason = "no clip could be made"
    except MofoError as error:
        reason = str(error)
    if not run.pictures:
        return Seen(run.name, run.name)
    picture_HW3 = cv2.imread(str(run.pictures[-1]), cv2.IMREAD_COLOR)
    picture = None
    if picture_HW3 is not None:
        picture = maker.picture(cv2.cvtColor(picture_HW3, cv2.COLOR_BGR2RGB))
    name = f"{run.name}, {run.pictures[-1].stem.replace('_', ' ')}"
    return Seen(run.name, name, picture=picture, note=f"a picture made during the run ({reason})")


def _made(run: TrainingRun, maker: ClipMaker, clips: int) -> Seen:
    shown = reconstruct_checkpoint(run.folder, clips=clips)
    made = shown.made
    ratio = float(made.error_B.sum() / max(made.flat_error_B.sum(), 1e-12))
    pictures = 3 if 1 - ratio > _FLAT else 2  # the guess itself only where it is one
    drawn = []
    for k, name in enumerate(made.names):
        film = reconstruction_film(made, k)
        clip = maker.clip(film_frames(film, _TILE, pictures=range(pictures)), FPS)
        if clip is not None:
            drawn.append((name, clip, _clip_text(made, k)))
    notes = [note for note in shown.notes if "areas" in note]
    if pictures == 2:
        notes.append("the guesses are left out: they are no better than a flat colour")
    elif made.normalised:
        notes.append(
            "this model predicts the pattern of hidden patches; their mean and contrast are "
            "guessed from visible ones, nothing is taken from what is hidden"
        )
    parts = ("clip with its motion", "what the model is given", "its guess")[:pictures]
    return Seen(run.name, shown.name, tuple(drawn), parts, None, "; ".join(notes), 1 - ratio)


def _clip_text(made: Reconstruction, clip: int) -> str:
    text = f"{percent(float(made.hidden_Bthw[clip].mean()), 0)} hidden"
    inside_thw = made.inside_Bthw[clip]
    if not inside_thw.any():
        return f"{text}; no motion found"
    hidden = float(made.hidden_Bthw[clip][inside_thw].mean())
    text += f", {percent(hidden, 0)} of the motion area"
    if made.flat_error_B[clip] > 0:
        share = float(made.error_B[clip] / made.flat_error_B[clip])
        text += f"; error {share:.2f} times that of a flat guess"
    return text
