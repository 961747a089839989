"""Figures of reconstructions: what the encoder sees of a clip, and what the model makes of it.

A model with normalised targets predicts the pattern of a hidden patch, not its mean and contrast.
The usual picture takes these two from the truth, and so looks good whatever was learned. Here they
are guessed from visible patches; the leaking frames are drawn on request only, in a red frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mofo.clips.batch import ClipBatch
from mofo.models.mae import MaskedAutoencoder, with_statistics
from mofo.models.patches import patch_statistics, put_patches, take_patches
from mofo.report.figures.chosen_clips import choose_clips
from mofo.report.figures.films import ClipFrames, Film, Row, grid_text, moments, write_films
from mofo.report.figures.layout import ALARM, framed, picture_kind, scaled
from mofo.report.figures.marks import draw_mask
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.pretrain_task import PretrainStep
from mofo.training.saved_models import open_autoencoder
from mofo.types import SettingsError, TokenGrid

LEAK_LABEL = (
    "uses the true mean and variance of the hidden patches: looks good whatever was learned"
)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Clips and what a model makes of them; all frames are uint8 RGB of the clip's size.

    Attributes:
        inside_Bthw, hidden_Bthw: bool, tokens inside the motion area, and hidden ones.
        honest_BTHWC: hidden tokens as predicted, with nothing taken from them; visible ones as
            they are.
        leaking_BTHWC: the same with the true mean and variance of the hidden tokens; None, if it
            was not asked for.
        normalised: whether the model predicts patterns, without mean and contrast.
        error_B: mean squared error of the hidden tokens, in the units of the loss.
        flat_error_B: what it would be without any pattern predicted: 1 for normalised targets, but
            for flat tokens; otherwise that of the mean guessed from the visible tokens.
    """

    grid: TokenGrid
    clips: tuple[ClipFrames, ...]
    inside_Bthw: np.ndarray
    hidden_Bthw: np.ndarray
    honest_BTHWC: np.ndarray
    leaking_BTHWC: np.ndarray | None
    normalised: bool
    error_B: np.ndarray
    flat_error_B: np.ndarray
    names: tuple[str, ...]


def check_leak(model: MaskedAutoencoder) -> None:
    """Raises a SettingsError if the model has no leaking picture."""
    if not model.settings.normalise_target:
        raise SettingsError(
            "this model predicts pixels themselves: its picture needs no true mean and variance, "
            "so there is nothing to leak"
        )


@torch.no_grad()
def reconstruct(
    model: MaskedAutoencoder,
    batch: ClipBatch,
    one_pass: PretrainStep,
    *,
    leak: bool = False,
    clips: int = 4,
) -> Reconstruction:
    """Returns what a model makes of the hidden tokens; its mode and gradients stay as they are.

    Args:
        model: on any device.
        batch: clips, on any device.
        clips: how many at most, spread evenly over the batch.
    """
    normalised = model.settings.normalise_target
    if leak:
        check_leak(model)
    grid = model.settings.grid
    rows = moments(len(batch), clips)  # neighbours may come from one video
    batch = batch.rows(rows).to(next(model.parameters()).device)
    frames_BTHWC = batch.frames_BTHWC
    inside_Bthw, mask = one_pass.area_and_mask(batch)
    training = model.training
    model.eval()
    try:
        output = model.predict(frames_BTHWC, mask)
    finally:
        model.train(training)

    def put(pixels_BMp: Tensor) -> np.ndarray:
        pixels_BMp = pixels_BMp.nan_to_num(0).clamp(0, 1).mul(255).round().to(torch.uint8)
        return put_patches(frames_BTHWC, grid, mask.target_BM, pixels_BMp).cpu().numpy()

    leaking_BTHWC = None
    if leak:
        answer = patch_statistics(take_patches(frames_BTHWC, grid, mask.target_BM))
        leaking_BTHWC = put(with_statistics(output.prediction_BMp, answer))
    target_BMp = model.target(frames_BTHWC, mask.target_BM)
    flat_BMp = torch.zeros_like(target_BMp)
    if not normalised:
        flat_BMp = with_statistics(flat_BMp, output.statistics)
    return Reconstruction(
        grid=grid,
        clips=tuple(
            ClipFrames.of(batch, clip, grid, one_pass.motion.shape) for clip in range(len(batch))
        ),
        inside_Bthw=inside_Bthw.cpu().numpy(),
        hidden_Bthw=mask.hidden_BN.reshape(inside_Bthw.shape).cpu().numpy(),
        honest_BTHWC=put(output.pixels_BMp),
        leaking_BTHWC=leaking_BTHWC,
        normalised=normalised,
        error_B=model.error(output.prediction_BMp, target_BMp).mean(1).cpu().numpy(),
        flat_error_B=model.error(flat_BMp, target_BMp).mean(1).cpu().numpy(),
        names=tuple(Path(path).name for path in batch.path),
    )


def reconstruction_film(made: Reconstruction, clip: int) -> Film:
    """Returns one clip: frame with its motion, what the encoder sees, the reconstruction."""
    grid, frames = made.grid, made.clips[clip]
    rows = [frames.row, Row("what the encoder sees"), Row("reconstruction")]
    if made.leaking_BTHWC is not None:
        rows.append(Row("with the true mean and variance", colour=ALARM))

    def tiles(t: int, token: int) -> list[np.ndarray]:
        slot = t // grid.tubelet
        size = (grid.w * token, grid.h * token)
        hidden_hw, inside_hw = made.hidden_Bthw[clip, slot], made.inside_Bthw[clip, slot]
        pictures = [
            frames.marked(t, token),
            draw_mask(frames.plain(t, token), hidden_hw, inside_hw),
            scaled(made.honest_BTHWC[clip, t], *size),
        ]
        if made.leaking_BTHWC is not None:
            pictures.append(framed(scaled(made.leaking_BTHWC[clip, t], *size), ALARM))
        return pictures

    moving = "" if made.inside_Bthw[clip].any() else " · no motion found"
    heading = (
        f"{made.names[clip]} · error {made.error_B[clip]:.3f}, "
        f"flat {made.flat_error_B[clip]:.3f}{moving}"
    )
    return Film(grid, tuple(rows), tiles, heading)


def flat(normalised: bool) -> str:
    """Says what ``flat_error_B`` is the error of."""
    return "no pattern predicted" if normalised else "the mean of visible patches nearby"


def captions(normalised: bool) -> tuple[str, ...]:
    """Says what a viewer must know about the honest picture, in short sentences."""
    honest = "Reconstruction: pixels of hidden patches as predicted."
    if normalised:
        honest = (
            "Reconstruction: the pattern of hidden patches is predicted; mean and contrast are "
            "guessed from visible patches, as the model does not predict them."
        )
    return (
        honest,
        "Nothing is taken from the hidden patches. Error: their mean squared error, as in the "
        f"loss; flat: the same with {flat(normalised)}.",
        "Orange: motion of the moment (frame), and the patches that count as moving (what the "
        "encoder sees).",
    )


def write_reconstruction(
    model: MaskedAutoencoder,
    batch: ClipBatch,
    one_pass: PretrainStep,
    path: str | Path,
    *,
    leak: bool = False,
    clips: int = 4,
    title: str = "",
    lines: Sequence[str] = (),
) -> Reconstruction:
    """Draws frame and motion area, what the encoder sees, and the reconstruction.

    Args:
        model, batch, one_pass, leak, clips: see ``reconstruct``.
        path: ``.png``: some moments of each clip; ``.mp4``: all frames.
        title: of the sheet; empty: the file's name.
        lines: more text below it.
    """
    picture_kind(path)
    made = reconstruct(model, batch, one_pass, leak=leak, clips=clips)
    settings, hidden = model.settings, one_pass.num_hidden
    about = (
        f"{grid_text(made.grid)}, {hidden} of {made.grid.tokens} hidden "
        f"({100 * hidden / made.grid.tokens:.0f} %) · encoder {settings.width} wide, "
        f"{settings.depth} blocks; decoder {settings.decoder_width} wide, "
        f"{settings.decoder_depth} blocks"
    )
    write_films(
        [reconstruction_film(made, clip) for clip in range(len(made.names))],
        path,
        title=title or Path(path).stem.replace("_", " "),
        lines=[*lines, about],
        warnings=[f"Red frame: {LEAK_LABEL}"] if leak else [],
        notes=captions(made.normalised),
    )
    return made


@dataclass(frozen=True, eq=False)
class ShownReconstruction:
    """What a checkpoint makes of clips.

    ``notes``: what a viewer has to know, a line each.
    ``name``: of the run, with its step; of imported weights that of their folder.
    """

    made: Reconstruction
    notes: tuple[str, ...]
    name: str
    areas: str


def reconstruct_checkpoint(
    checkpoint: str | Path,
    sources: Sequence[str | Path] = (),
    path: str | Path | None = None,
    *,
    leak: bool = False,
    seed: int = 0,
    clips: int = 4,
) -> ShownReconstruction:
    """Returns what a checkpoint makes of videos; draws it, if ``path`` is given.

    Clips, masks and motion are made as in the checkpoint's training. If its store of motion areas
    is gone or lacks a video, the areas are found now by optical flow, with a note.

    Args:
        checkpoint: its folder, or that of a run: then its newest one.
        sources: videos, folders, patterns or CSV lists; empty: those of the training.
        path: ``.png`` or ``.mp4``, see ``write_reconstruction``.
        leak: make the leaking picture, too.
        seed: decides the masks.
        clips: how many at most.

    Raises:
        CheckpointError: no checkpoint of a pre-training, or a broken one.
        SettingsError: as ``write_reconstruction``.
        VideoError: a video cannot be read.
    """
    if path is not None:
        picture_kind(path)
    model, opened = open_autoencoder(checkpoint)
    model.check_pixels()
    settings = PretrainSettings.from_dict(opened.metadata.settings, str(opened.path))
    data, mask, loss = settings.data, settings.mask, opened.metadata.loss
    if leak:
        check_leak(model)
    chosen = choose_clips(
        sources or data.source,
        settings.grid(),
        stride=data.stride,
        areas=data.areas,
        seconds=data.seconds,
        fit=data.fit,
        seed=seed,
        clips=clips,
        need_areas=False,
    )
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    length = f"{data.seconds:g} s" if data.seconds else f"stride {data.stride}"
    place, step = opened.path.absolute(), PretrainStep(settings)
    name = f"{place.parents[1].name}, step {opened.step:,}"
    if opened.metadata.imported:
        name = f"{place.name}, imported"
    if path is None:
        made = reconstruct(model, chosen.batch, step, leak=leak, clips=clips)
        return ShownReconstruction(made, chosen.notes, name, chosen.areas)
    made = write_reconstruction(
        model,
        chosen.batch,
        step,
        path,
        leak=leak,
        clips=clips,
        title=name + (f", loss in training {loss:.3f}" if isinstance(loss, float) else ""),
        lines=[
            f"{settings.model.size} model · {mask.strategy} masks, ratio {mask.ratio:g} · motion: "
            f"{settings.motion.shape}, {chosen.areas} · {length} · seed {seed}",
            *chosen.notes,
        ],
    )
    return ShownReconstruction(made, chosen.notes, name, chosen.areas)
