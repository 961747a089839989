"""Masks and honest reconstructions: what a pre-trained model sees of clips, and what it guesses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from mofo.report.chosen_clips import choose_clips
from mofo.report.page.gathered import PRETRAIN, Gathered, TrainingRun
from mofo.report.page.media import Clip, ClipMaker
from mofo.report.page.sections.section import Section
from mofo.report.page.words import percent
from mofo.report.reconstructed import Reconstruction, reconstruct
from mofo.report.reconstruction_figure import frame_tiles
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.saved_models import open_autoencoder
from mofo.training.step import PretrainPass
from mofo.types import MofoError

_FPS = 8.0  # slower than life, for looking
_TILE, _GAP, _PAPER = 208, 4, 128  # pixels, and the grey between pictures
_RUNS = 4  # that are looked into


@dataclass(frozen=True)
class Guess:
    """One clip: frame, what the model sees, what it makes of it."""

    name: str
    clip: Clip
    text: str


@dataclass(frozen=True)
class Guesses:
    """One run.

    Attributes:
        name: of the run, with the step.
        guesses: made now, from its checkpoint.
        picture: made while it ran; only where there are no guesses.
        note: what a reader has to know; may be empty.
    """

    name: str
    guesses: tuple[Guess, ...]
    picture: Clip | None
    note: str


def guesses(found: Gathered, maker: ClipMaker, most: int) -> Section | None:
    """The section; None if there is no pre-training with anything to show."""
    runs = [run for run in found.runs if run.kind == PRETRAIN][:_RUNS]
    shown = [_of_run(run, maker, max(2, most // (2 * len(runs)))) for run in runs]
    shown = [one for one in shown if one.guesses or one.picture is not None]
    if not shown:
        return None
    return Section(
        "guesses",
        "What the model sees, and what it guesses",
        "Left the clip with its motion area, in the middle what the model is given (dark patches "
        "are hidden from it), right its guess of all that is hidden.",
        {"runs": shown},
    )


def _of_run(run: TrainingRun, maker: ClipMaker, most: int) -> Guesses:
    try:
        made, note, step = _made(run, maker, most)
        if made:
            return Guesses(f"{run.name}, step {step:,}", made, None, note)
        reason = "no clip could be made"
    except MofoError as error:
        reason = str(error)
    picture = None
    if run.pictures:
        picture = _from_run(run.pictures[-1], maker)
    step_name = run.pictures[-1].stem.replace("_", " ") if run.pictures else ""
    return Guesses(
        f"{run.name}, {step_name}", (), picture, f"a picture made during the run ({reason})"
    )


def _made(run: TrainingRun, maker: ClipMaker, most: int) -> tuple[tuple[Guess, ...], str, int]:
    model, opened = open_autoencoder(run.folder)
    settings = PretrainSettings.from_dict(opened.facts["settings"], str(opened.path))
    chosen = choose_clips(
        settings.data.source,
        settings.grid(),
        stride=settings.data.stride,
        areas=settings.data.areas,
        clips=most,
        need_areas=False,
    )
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    made = reconstruct(model, chosen.batch, PretrainPass(settings), clips=most)
    several = []
    for k, name in enumerate(made.names):
        clip = maker.clip(_frames(made, k), _FPS)
        if clip is not None:
            several.append(Guess(name, clip, _told(made, k)))
    notes = [note for note in chosen.notes if "areas" in note]
    if made.normalised:
        notes.append(
            "this model predicts the pattern of hidden patches; their mean and contrast are "
            "guessed from visible patches, nothing is taken from what is hidden"
        )
    return tuple(several), "; ".join(notes), opened.step


def _frames(found: Reconstruction, clip: int) -> Iterator[np.ndarray]:
    token = max(4, _TILE // found.grid.w)
    for t in range(found.grid.frames):
        tiles = frame_tiles(found, clip, t, token)
        gap_HW3 = np.full((len(tiles[0]), _GAP, 3), _PAPER, np.uint8)
        yield np.hstack([part for tile in tiles for part in (tile, gap_HW3)][:-1])


def _told(found: Reconstruction, clip: int) -> str:
    hidden = percent(float(found.hidden_Bthw[clip].mean()), 0)
    text = f"{hidden} hidden; error {found.error_B[clip]:.3f}"
    if found.flat_error_B[clip] > 0:
        share = float(found.error_B[clip] / found.flat_error_B[clip])
        text += f", {share:.2f} times that of a flat guess"
    return text if found.inside_Bthw[clip].any() else f"{text}; no motion found"


def _from_run(path: Path, maker: ClipMaker) -> Clip | None:
    picture_HW3 = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture_HW3 is None:
        return None
    return maker.picture(cv2.cvtColor(picture_HW3, cv2.COLOR_BGR2RGB))
