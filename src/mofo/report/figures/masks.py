"""Figures of masks on a real clip: what each strategy hides, and where the motion is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import MotionSettings
from mofo.masking import MaskSettings, make_mask, mask_shares
from mofo.report.figures.chosen_clips import choose_clips
from mofo.report.figures.films import ClipFrames, Film, Row, grid_text, write_films
from mofo.report.figures.layout import picture_kind
from mofo.report.figures.marks import draw_mask, draw_tokens
from mofo.types import TokenGrid

_NOTES = {
    "box": "Bright: what the encoder sees; dark: hidden. Orange: motion area, of the moment "
    "(frame) and in patches as each strategy takes it (masks).",
    "field": "Bright: what the encoder sees; dark: hidden. Orange: how much moves, and an outline "
    "around the patches that count as moving, as each strategy takes them.",
}
_SPILL = (
    "Spilled: what is asked for does not fit what moves in this clip; it is missed by as little "
    "as possible."
)


@dataclass(frozen=True, eq=False)
class DrawnMask:
    """A mask of one clip.

    ``hidden_thw``, ``inside_thw``: bool, hidden tokens, and those that count as moving.
    ``motion_thw``: of the tokens: bool of boxes, 0 to 1 of fields.
    """

    settings: MaskSettings
    hidden_thw: np.ndarray
    inside_thw: np.ndarray
    motion_thw: np.ndarray
    text: tuple[str, ...]


def write_masks(
    batch: ClipBatch,
    grid: TokenGrid,
    strategies: Sequence[MaskSettings],
    path: str | Path,
    *,
    shape: str = "box",
    title: str = "",
    lines: Sequence[str] = (),
) -> list[DrawnMask]:
    """Draws the first clip of a batch with its motion, and the masks that it gets.

    Args:
        batch: on the CPU.
        strategies: with their shares.
        path: ``.png``: some moments; ``.mp4``: all frames of the clip.
        shape: of the motion, see ``MotionSettings``.
        title: of the sheet; empty: the name of the video.
        lines: more text below it.
    """
    masks = [_mask(batch, grid, settings, shape) for settings in strategies]
    spilled = any("spilled" in text for mask in masks for text in mask.text)
    hidden = {settings.build(grid).num_hidden for settings in strategies}
    about = f"{grid_text(grid)}: {' or '.join(map(str, sorted(hidden)))} of {grid.tokens} hidden"
    write_films(
        [mask_film(batch, grid, masks, shape)],
        path,
        title=title or Path(batch.path[0]).name,
        lines=[*lines, about],
        notes=[_NOTES[shape], _SPILL if spilled else ""],
    )
    return masks


def mask_film(
    batch: ClipBatch, grid: TokenGrid, masks: Sequence[DrawnMask], shape: str = "box"
) -> Film:
    """Returns the first clip of a batch: frame with motion, a row for each mask; of a field also
    the motion of tokens, as the first mask takes it."""
    frames = ClipFrames.of(batch, 0, grid, shape)
    rows = [frames.row, Row("motion of tokens")] if shape == "field" else [frames.row]

    def tiles(t: int, token: int) -> list[np.ndarray]:
        slot, plain_HW3 = t // grid.tubelet, frames.plain(t, token)
        pictures = [frames.marked(t, token)]
        if shape == "field":
            first = masks[0]
            pictures.append(draw_tokens(plain_HW3, first.motion_thw[slot], first.inside_thw[slot]))
        hidden = [draw_mask(plain_HW3, m.hidden_thw[slot], m.inside_thw[slot]) for m in masks]
        return pictures + hidden

    rows += [Row(mask.settings.strategy, "\n".join(mask.text)) for mask in masks]
    return Film(grid, tuple(rows), tiles)


class ShownMasks(NamedTuple):
    """What ``show_masks`` has drawn.

    ``masks``: in the order of the picture. ``notes``: what a viewer has to know, a line each.
    """

    masks: list[DrawnMask]
    notes: tuple[str, ...]


def show_masks(
    video: str | Path,
    path: str | Path,
    *,
    mask: MaskSettings | None = None,
    strategies: Sequence[str] | None = None,
    shape: str = "box",
    areas: str = "dis",
    seed: int = 0,
    frames: int = 16,
    stride: int = 2,
    size: int = 224,
) -> ShownMasks:
    """Draws masks of the clip in the middle of a video; what ``mofo show mask`` does.

    Args:
        video: the file.
        path: ``.png`` or ``.mp4``, see ``write_masks``.
        mask: strategy and shares; None: the usual ones.
        strategies: names of several to draw with these shares; None: that of ``mask``.
        shape: motion as "box" or "field".
        areas: where motion areas come from, see ``choose_clips``.
        seed: decides the masks.
        frames, stride, size: of the clip.

    Raises:
        SettingsError: an impossible number, or an unknown shape.
        VideoError: the video cannot be read.
        StoreError: the store cannot be read, or lacks the video.
    """
    picture_kind(path)
    MotionSettings(shape=shape)
    grid, mask = TokenGrid(frames, size, size), mask or MaskSettings()
    names = [mask.strategy] if strategies is None else strategies
    masks = [replace(mask, strategy=name) for name in names]
    for settings in masks:
        settings.build(grid)  # wrong numbers are to be found before the video is read
    chosen = choose_clips([video], grid, stride=stride, areas=areas, seed=seed, clips=1)
    about = f"stride {stride} · motion: {shape}, {chosen.areas} · seed {seed}"
    drawn = write_masks(chosen.batch, grid, masks, path, shape=shape, lines=[about, *chosen.notes])
    return ShownMasks(drawn, chosen.notes)


def _mask(batch: ClipBatch, grid: TokenGrid, settings: MaskSettings, shape: str) -> DrawnMask:
    strategy = settings.build(grid)
    motion_Bthw = MotionSettings(shape=shape).tokens(batch, grid, strategy.area_span)[:1]
    inside_Bthw = strategy.inside(motion_Bthw)
    hidden_BN = make_mask(settings, grid, motion_Bthw, batch.noise_BN[:1]).hidden_BN
    _, inside, outside, visible = (float(share) for share in mask_shares(hidden_BN, inside_Bthw))
    text: tuple[str, ...] = ("no motion in this clip",)
    if not math.isnan(inside):
        spilled = " (spilled)" if strategy.spilled(motion_Bthw)[0] else ""
        text = (
            f"hidden inside {100 * inside:.0f} %{spilled}",
            "nothing outside" if math.isnan(outside) else f"hidden outside {100 * outside:.0f} %",
            f"visible from area {100 * visible:.0f} %",
        )
    hidden_Bthw = hidden_BN.reshape(inside_Bthw.shape)
    hidden, inside_thw, motion = (
        tensor[0].numpy() for tensor in (hidden_Bthw, inside_Bthw, motion_Bthw)
    )
    return DrawnMask(settings, hidden, inside_thw, motion, text)
