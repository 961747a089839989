"""Figures of masks on a real clip: what each strategy hides, and where the motion area is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import token_area
from mofo.masking import MASKS, MaskSettings, make_mask, mask_shares
from mofo.report.figures.chosen_clips import choose_clips
from mofo.report.figures.films import ClipFrames, Film, Row, write_films
from mofo.report.figures.layout import picture_kind
from mofo.report.figures.marks import draw_mask
from mofo.types import TokenGrid

_NOTE = (
    "Bright: what the encoder sees; dark: hidden. Orange: motion area, of the moment (frame) and "
    "of the clip in patches (masks)."
)
_SPILL = (
    "Asked: what is set. There is too little outside of the area to hide, so more of the area is "
    "hidden."
)


@dataclass(frozen=True, eq=False)
class DrawnMask:
    """A mask of one clip.

    Attributes:
        settings: what it was made with.
        hidden_thw: bool.
        text: what it achieves, a line for each number.
    """

    settings: MaskSettings
    hidden_thw: np.ndarray
    text: tuple[str, ...]


def write_masks(
    batch: ClipBatch,
    grid: TokenGrid,
    strategies: Sequence[MaskSettings],
    path: str | Path,
    *,
    title: str = "",
    lines: Sequence[str] = (),
) -> list[DrawnMask]:
    """Draws the first clip of a batch with its motion area, and the masks that it gets.

    Args:
        batch: on the CPU.
        grid: the clip's tokens.
        strategies: with their shares.
        path: ``.png``: some moments; ``.mp4``: all frames of the clip.
        title: of the sheet; empty: the name of the video.
        lines: more text below it.

    Raises:
        SettingsError: another kind of file; a mask that is impossible on this grid.
        MofoError: the file cannot be written.
    """
    masks = [_mask(batch, grid, settings) for settings in strategies]
    spilled = any("asked" in text for mask in masks for text in mask.text)
    write_films(
        [mask_film(batch, grid, masks)],
        grid,
        path,
        title=title or Path(batch.path[0]).name,
        lines=[*lines, _about(grid, strategies)],
        notes=[_NOTE, _SPILL if spilled else ""],
    )
    return masks


def mask_film(batch: ClipBatch, grid: TokenGrid, masks: Sequence[DrawnMask]) -> Film:
    """Returns the first clip of a batch: frame with motion area, then a row for each mask."""
    frames = ClipFrames.of(batch, 0, grid)
    inside_thw = token_area(batch.box_BT4[:1], batch.valid_BT[:1], grid)[0].numpy()

    def tiles(t: int, token: int) -> list[np.ndarray]:
        slot = t // grid.tubelet
        plain_HW3 = frames.plain(t, token)
        hidden = [draw_mask(plain_HW3, m.hidden_thw[slot], inside_thw[slot]) for m in masks]
        return [frames.boxed(t, token), *hidden]

    rows = [Row(mask.settings.strategy, "\n".join(mask.text)) for mask in masks]
    return Film((Row("frame, motion area"), *rows), tiles)


class ShownMasks(NamedTuple):
    """What ``show_masks`` has drawn.

    Attributes:
        masks: in the order of the picture.
        notes: what a viewer has to know, a line each.
    """

    masks: list[DrawnMask]
    notes: tuple[str, ...]


def show_masks(
    video: str | Path,
    path: str | Path,
    *,
    strategies: Sequence[str] | None = ("motion",),
    ratio: float = 0.9,
    inside_ratio: float = 0.75,
    visible_inside_ratio: float = 0.5,
    block: int = 4,
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
        strategies: names; None: all of them.
        ratio, inside_ratio, visible_inside_ratio, block: see ``MaskSettings``.
        areas: where motion areas come from, see ``choose_clips``.
        seed: decides the masks.
        frames, stride, size: of the clip.

    Raises:
        SettingsError: an unknown strategy or an impossible number.
        VideoError: the video cannot be read.
        StoreError: the store cannot be read, or lacks the video.
    """
    picture_kind(path)
    grid = TokenGrid(frames, size, size)
    masks = [
        MaskSettings(
            strategy=strategy,
            ratio=ratio,
            inside_ratio=inside_ratio,
            visible_inside_ratio=visible_inside_ratio,
            block=block,
        )
        for strategy in (MASKS if strategies is None else strategies)
    ]
    for settings in masks:
        settings.build(grid)  # wrong numbers are to be found before the video is read
    chosen = choose_clips([video], grid, stride=stride, areas=areas, seed=seed, clips=1)
    lines = [f"stride {stride} · motion area: {chosen.areas} · seed {seed}", *chosen.notes]
    drawn = write_masks(chosen.batch, grid, masks, path, lines=lines)
    return ShownMasks(drawn, chosen.notes)


def _mask(batch: ClipBatch, grid: TokenGrid, settings: MaskSettings) -> DrawnMask:
    inside_Bthw = token_area(batch.box_BT4[:1], batch.valid_BT[:1], grid)
    hidden_BN = make_mask(settings, grid, inside_Bthw, batch.noise_BN[:1]).hidden_BN
    _, inside, outside, visible = (float(share) for share in mask_shares(hidden_BN, inside_Bthw))
    text: tuple[str, ...]
    if math.isnan(inside):
        text = ("no motion in this clip",)
    else:
        places = int(inside_Bthw[0, 0].sum())
        asked = settings.inside_ratio if settings.strategy == "motion" else inside
        # One place more or less is rounding; beyond that, the rest was too small (spill rule).
        spilled = abs(inside - asked) * places > 1
        text = (
            f"hidden inside {100 * inside:.0f} %" + f" (asked {100 * asked:.0f} %)" * spilled,
            "nothing outside" if math.isnan(outside) else f"hidden outside {100 * outside:.0f} %",
            f"visible from area {100 * visible:.0f} %",
        )
    return DrawnMask(settings, hidden_BN.reshape(inside_Bthw.shape)[0].numpy(), text)


def _about(grid: TokenGrid, strategies: Sequence[MaskSettings]) -> str:
    hidden = sorted({settings.build(grid).num_hidden for settings in strategies})
    counts = " or ".join(str(count) for count in hidden)
    return (
        f"{grid.frames} frames of {grid.width}x{grid.height}, patches {grid.tubelet}x{grid.patch}x"
        f"{grid.patch}: {counts} of {grid.tokens} hidden"
    )
