"""Pictures of reconstructions: what the encoder sees of a clip, and what the model makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from mofo.clips.batch import ClipBatch
from mofo.models.mae import MaskedAutoencoder
from mofo.report.chosen_clips import choose_clips
from mofo.report.reconstructed import Reconstruction, check_leak, reconstruct
from mofo.report.reconstruction_figure import draw_frame, draw_moments
from mofo.report.sheet import make_folder, picture_kind, save_png
from mofo.training.checkpoint import Checkpoint
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.saved_models import open_autoencoder
from mofo.training.step import PretrainPass
from mofo.video.writer import VideoWriter

_FPS = 8.0  # slower than life, for looking


def write_reconstruction(
    model: MaskedAutoencoder,
    batch: ClipBatch,
    one_pass: PretrainPass,
    path: str | Path,
    *,
    leak: bool = False,
    clips: int = 4,
    title: str = "",
    lines: Sequence[str] = (),
) -> Reconstruction:
    """Draws frame and motion area, what the encoder sees, and the reconstruction.

    Args:
        model: on any device; its mode and gradients stay as they are.
        batch: clips, on any device.
        one_pass: makes the masks.
        path: ``.png``: some moments of each clip; ``.mp4``: all frames.
        leak: draw the leaking picture, too.
        clips: how many at most, spread evenly over the batch.
        title: of the sheet; none: the file's name.
        lines: more text below it.

    Raises:
        SettingsError: another kind of file; ``leak`` for a model that predicts pixels themselves.
        MofoError: the file cannot be written.
    """
    kind = picture_kind(path)
    found = reconstruct(model, batch, one_pass, leak=leak, clips=clips)
    title = title or Path(path).stem.replace("_", " ")
    lines = [*lines, _about(model, one_pass)]
    make_folder(path)
    if kind == "png":
        save_png(draw_moments(found, title, lines), path)
        return found
    with VideoWriter(path, fps=_FPS, crf=16) as writer:
        for t in range(found.grid.frames):
            writer.write(draw_frame(found, t, title, lines))
    return found


class ShownReconstruction(NamedTuple):
    """What ``show_reconstruction`` has drawn.

    Attributes:
        found: the reconstruction.
        notes: what a viewer has to know, a line each.
    """

    found: Reconstruction
    notes: tuple[str, ...]


def show_reconstruction(
    checkpoint: str | Path,
    sources: Sequence[str | Path],
    path: str | Path,
    *,
    leak: bool = False,
    seed: int = 0,
    clips: int = 4,
) -> ShownReconstruction:
    """Draws what a checkpoint makes of videos; what ``mofo show reconstruction`` does.

    Clips, masks and motion areas are made as in the checkpoint's training. If its store of motion
    areas is gone or lacks a video, the areas are found now by optical flow, with a note.

    Args:
        checkpoint: its folder, or that of a run: then its newest one.
        sources: videos, folders, patterns or CSV lists.
        path: ``.png`` or ``.mp4``, see ``write_reconstruction``.
        leak: draw the leaking picture, too.
        seed: decides the masks.
        clips: how many at most.

    Raises:
        CheckpointError: no checkpoint of a pre-training, or a broken one.
        SettingsError: as ``write_reconstruction``.
        VideoError: a video cannot be read.
    """
    picture_kind(path)
    model, opened = open_autoencoder(checkpoint)
    settings = PretrainSettings.from_dict(opened.facts["settings"], str(opened.path))
    data, mask = settings.data, settings.mask
    if leak:
        check_leak(model)
    chosen = choose_clips(
        sources,
        settings.grid(),
        stride=data.stride,
        areas=data.areas,
        seed=seed,
        clips=clips,
        need_areas=False,
    )
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    loss = opened.facts.get("loss")
    found = write_reconstruction(
        model,
        chosen.batch,
        PretrainPass(settings),
        path,
        leak=leak,
        clips=clips,
        title=_name(opened) + (f", loss in training {loss:.3f}" if isinstance(loss, float) else ""),
        lines=[
            f"{settings.model.size} model · {mask.strategy} masks, ratio {mask.ratio:g} · "
            f"motion area: {chosen.areas} · stride {data.stride} · seed {seed}",
            *chosen.notes,
        ],
    )
    return ShownReconstruction(found, chosen.notes)


def _name(opened: Checkpoint) -> str:
    """The run and the step; of imported weights their folder."""
    path = opened.path.absolute()
    if "imported" in opened.facts:
        return f"{path.name}, imported"
    return f"{path.parents[1].name}, step {opened.step:,}"


def _about(model: MaskedAutoencoder, one_pass: PretrainPass) -> str:
    settings = model.settings
    grid = settings.grid
    return (
        f"{grid.frames} frames of {grid.width}x{grid.height}, patches {grid.tubelet}x{grid.patch}x"
        f"{grid.patch}, {one_pass.num_hidden} of {grid.tokens} hidden "
        f"({100 * one_pass.num_hidden / grid.tokens:.0f} %) · encoder {settings.width} wide, "
        f"{settings.depth} blocks; decoder {settings.decoder_width} wide, "
        f"{settings.decoder_depth} blocks"
    )
