"""Pictures of mask strategies on a real clip: one of them through time, or all side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mofo.clips.batch import ClipBatch
from mofo.clips.token_area import token_area
from mofo.masking import MASKS, MaskSettings, make_mask, mask_shares
from mofo.report.chosen_clips import choose_clips
from mofo.report.lettering import QUIET, text_block
from mofo.report.mask_pictures import draw_mask
from mofo.report.overlays import draw_box
from mofo.report.sheet import (
    GAP,
    INNER,
    beside,
    make_folder,
    page,
    picture_kind,
    save_png,
    stacked,
)
from mofo.types import TokenGrid
from mofo.video.writer import VideoWriter

_FPS = 8.0  # slower than life, for looking
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
    several: Sequence[MaskSettings],
    path: str | Path,
    *,
    title: str = "",
    lines: Sequence[str] = (),
) -> list[DrawnMask]:
    """Draws the first clip of a batch with its motion area, and the masks that it gets.

    Args:
        batch: on the CPU.
        grid: the clip's tokens.
        several: strategies with their shares; one is drawn larger.
        path: ``.png``: some moments; ``.mp4``: all frames of the clip.
        title: of the sheet; none: the name of the video.
        lines: more text below it.

    Raises:
        SettingsError: another kind of file; a mask that is impossible on this grid.
        MofoError: the file cannot be written.
    """
    kind = picture_kind(path)
    masks = [_mask(batch, grid, settings) for settings in several]
    clip = _Clip(batch, grid, masks)
    title = title or Path(batch.path[0]).name
    lines = [*lines, _about(grid, several)]
    notes = [_NOTE, *([_SPILL] if any("asked" in text for m in masks for text in m.text) else [])]
    make_folder(path)
    if kind == "png":
        body_HW3 = clip.film() if len(masks) == 1 else clip.table()
        save_png(page(body_HW3, title=title, lines=lines, notes=notes), path)
        return masks
    with VideoWriter(path, fps=_FPS, crf=16) as writer:
        for t in range(grid.frames):
            told = [*lines, f"frame {t + 1} of {grid.frames}"]
            writer.write(page(clip.moment(t), title=title, lines=told, notes=notes))
    return masks


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
    several = [
        MaskSettings(
            strategy=strategy,
            ratio=ratio,
            inside_ratio=inside_ratio,
            visible_inside_ratio=visible_inside_ratio,
            block=block,
        )
        for strategy in (MASKS if strategies is None else strategies)
    ]
    for settings in several:
        settings.build(grid)  # wrong numbers are to be found before the video is read
    chosen = choose_clips([video], grid, stride=stride, areas=areas, seed=seed, clips=1)
    lines = [f"stride {stride} · motion area: {chosen.areas} · seed {seed}", *chosen.notes]
    masks = write_masks(chosen.batch, grid, several, path, lines=lines)
    return ShownMasks(masks, chosen.notes)


class _Clip:
    """Lays out the pictures of one clip."""

    def __init__(self, batch: ClipBatch, grid: TokenGrid, masks: list[DrawnMask]) -> None:
        self._grid, self._masks = grid, masks
        self._frames_THWC = batch.frames_BTHWC[0].numpy()
        self._box_T4, self._valid_T = batch.box_BT4[0].numpy(), batch.valid_BT[0].numpy()
        self._inside_thw = token_area(batch.box_BT4[:1], batch.valid_BT[:1], grid)[0].numpy()

    def film(self) -> np.ndarray:
        """One mask: moments from left to right, the frame above, the mask below."""
        moments = self._moments(4)
        token = self._token(len(moments))
        columns = [stacked([self._time(t, token), *self._tiles(t, token)], GAP) for t in moments]
        (mask,) = self._masks
        width = len(moments) * token * self._grid.w + (len(moments) - 1) * GAP
        heading = text_block(f"{mask.settings.strategy}: {', '.join(mask.text)}", width, bold=True)
        return stacked([heading, beside(columns)])

    def table(self) -> np.ndarray:
        """Many masks: a column each, moments from top to bottom."""
        moments = self._moments(3)
        token = self._token(1 + len(self._masks))
        rows = [self._headings(token)]
        for t in moments:
            rows += [self._time(t, token), beside(self._tiles(t, token))]
        return stacked(rows)

    def moment(self, t: int) -> np.ndarray:
        """All masks at one moment, four pictures beside each other at most."""
        across = min(4, 1 + len(self._masks))
        token = self._token(across)
        headings = self._heading_texts(token)
        tiles = [
            stacked([heading, tile_HW3])
            for heading, tile_HW3 in zip(headings, self._tiles(t, token), strict=True)
        ]
        return stacked([beside(tiles[k : k + across]) for k in range(0, len(tiles), across)], 16)

    def _moments(self, count: int) -> list[int]:
        frames = self._grid.frames
        count = min(count, frames)
        return [(2 * k + 1) * frames // (2 * count) for k in range(count)]

    def _token(self, across: int) -> int:
        """Pixels of a token's side that let so many pictures fit; two are not made huge."""
        room = (INNER - (across - 1) * GAP) // across
        return max(4, min(room, 560) // self._grid.w)

    def _time(self, t: int, token: int) -> np.ndarray:
        text = f"frame {t + 1} of {self._grid.frames}"
        return text_block(text, token * self._grid.w, size=14, colour=QUIET)

    def _headings(self, token: int) -> np.ndarray:
        return beside(self._heading_texts(token))

    def _heading_texts(self, token: int) -> list[np.ndarray]:
        """Headings of the frame and of all masks, of one height."""
        width = token * self._grid.w
        texts = [("frame, motion area", "")]
        texts += [(mask.settings.strategy, "\n".join(mask.text)) for mask in self._masks]
        blocks = [
            stacked([text_block(name, width, bold=True), text_block(text, width, size=14)], 2)
            for name, text in texts
        ]
        tallest = max(len(block_HW3) for block_HW3 in blocks)
        return [
            np.pad(b_HW3, ((0, tallest - len(b_HW3)), (0, 0), (0, 0)), constant_values=255)
            for b_HW3 in blocks
        ]

    def _tiles(self, t: int, token: int) -> list[np.ndarray]:
        """Frame with motion area, then the masks."""
        grid = self._grid
        slot = t // grid.tubelet
        size = (grid.w * token, grid.h * token)
        how = cv2.INTER_AREA if size[0] < grid.width else cv2.INTER_CUBIC
        frame_HW3 = cv2.resize(self._frames_THWC[t], size, interpolation=how)
        boxed_HW3 = frame_HW3.copy()
        if self._valid_T[t]:
            draw_box(boxed_HW3, self._box_T4[t] * (size[0] / grid.width), 3)
        return [
            boxed_HW3,
            *(
                draw_mask(frame_HW3, mask.hidden_thw[slot], self._inside_thw[slot])
                for mask in self._masks
            ),
        ]


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


def _about(grid: TokenGrid, several: Sequence[MaskSettings]) -> str:
    hidden = sorted({settings.build(grid).num_hidden for settings in several})
    counts = " or ".join(str(count) for count in hidden)
    return (
        f"{grid.frames} frames of {grid.width}x{grid.height}, patches {grid.tubelet}x{grid.patch}x"
        f"{grid.patch}: {counts} of {grid.tokens} hidden"
    )
