"""Films: clips as rows of pictures, some moments of them in a PNG or all frames in an mp4."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mofo.report.figures.layout import (
    GAP,
    INK,
    INNER,
    QUIET,
    Colour,
    beside,
    in_rows,
    make_folder,
    page,
    picture_kind,
    save_png,
    scaled,
    stacked,
    text_block,
)
from mofo.report.figures.marks import draw_box, draw_field
from mofo.types import TokenGrid
from mofo.video.writer import VideoWriter

if TYPE_CHECKING:  # its torch is not needed to draw
    from mofo.clips.batch import ClipBatch

FPS = 8.0  # slower than life, for looking
_LABEL, _BETWEEN = 150, 20  # pixels: names of the rows, between clips
_MOMENTS = {1: 6, 2: 4}  # frames of each clip in a PNG, by clips beside each other
_MAX_TILE = 560  # pixels: one or two pictures are not made huge
_GREY = (128, 128, 128)


@dataclass(frozen=True, eq=False)
class ClipFrames:
    """Frames of one clip with their motion, to be drawn.

    ``frames_THWC``, ``box_T4``, ``valid_T``, ``motion_tyx``: see ``ClipSample``.
    ``shape``: "box" or "field": what is drawn, see ``MotionSettings``.
    """

    grid: TokenGrid
    frames_THWC: np.ndarray
    box_T4: np.ndarray
    valid_T: np.ndarray
    motion_tyx: np.ndarray | None = None
    shape: str = "box"

    @classmethod
    def of(cls, batch: ClipBatch, clip: int, grid: TokenGrid, shape: str = "box") -> ClipFrames:
        """Returns one clip of a batch, which may be on any device."""
        tensors = (batch.frames_BTHWC, batch.box_BT4, batch.valid_BT)
        frames, boxes, valid = (tensor[clip].cpu().numpy() for tensor in tensors)
        motion = batch.motion_Btyx
        motion_tyx = None if motion is None else motion[clip].cpu().numpy()
        return cls(grid, frames, boxes, valid, motion_tyx, shape)

    @property
    def row(self) -> Row:
        """The label of ``marked``."""
        return Row(f"frame, motion {'field' if self.shape == 'field' else 'area'}")

    def plain(self, t: int, token: int) -> np.ndarray:
        """Returns frame ``t`` with ``token`` pixels along the side of a token."""
        return scaled(self.frames_THWC[t], self.grid.w * token, self.grid.h * token)

    def marked(self, t: int, token: int) -> np.ndarray:
        """Returns the same with its motion: the box of the frame, or the field of its slot."""
        picture_HW3 = self.plain(t, token)
        if self.shape == "field":
            assert self.motion_tyx is not None
            return draw_field(picture_HW3, self.motion_tyx[t // self.grid.tubelet] / 255)
        if self.valid_T[t]:
            scale = picture_HW3.shape[1] / self.grid.width
            draw_box(picture_HW3, self.box_T4[t] * scale, 3)
        return picture_HW3


@dataclass(frozen=True)
class Row:
    """What a row of pictures shows: a name and, below it, a few more words."""

    name: str
    text: str = ""
    colour: Colour = INK


@dataclass(frozen=True, eq=False)
class Film:
    """One clip as pictures.

    Attributes:
        rows: one for every picture of a frame; the same for all films of a sheet.
        tiles: ``tiles(t, token)`` returns the pictures of frame ``t``, uint8 RGB, with ``token``
            pixels along the side of a token.
        heading: a line above; may be empty.
    """

    grid: TokenGrid
    rows: tuple[Row, ...]
    tiles: Callable[[int, int], Sequence[np.ndarray]]
    heading: str = ""


def moments(frames: int, count: int) -> list[int]:
    """Returns the middles of ``count`` equal parts of ``frames``."""
    count = max(1, min(count, frames))
    return [(2 * k + 1) * frames // (2 * count) for k in range(count)]


def grid_text(grid: TokenGrid) -> str:
    """Frames and patches of a clip, for the lines of a sheet."""
    size = f"{grid.frames} frames of {grid.width}x{grid.height}"
    return f"{size}, patches {grid.tubelet}x{grid.patch}x{grid.patch}"


def write_films(
    films: Sequence[Film],
    path: str | Path,
    *,
    title: str,
    lines: Sequence[str] = (),
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Writes films as one sheet.

    Args:
        films: at least one, all of one grid.
        path: ``.png``: some moments from left to right; ``.mp4``: all frames.
        title, lines, warnings, notes: texts of the sheet, see ``page``.
    """
    kind, grid = picture_kind(path), films[0].grid
    make_folder(path)
    if kind == "png":
        body_HW3 = _all_moments(films)
        save_png(page(body_HW3, title=title, lines=lines, warnings=warnings, notes=notes), path)
        return
    with VideoWriter(path, fps=FPS, crf=16) as writer:
        for t in range(grid.frames):
            clock = [*lines, f"frame {t + 1} of {grid.frames}"]
            body_HW3 = _one_moment(films, t)
            writer.write(page(body_HW3, title=title, lines=clock, warnings=warnings, notes=notes))


def film_frames(
    film: Film, width: int, *, pictures: Sequence[int] | None = None, gap: int = 4
) -> Iterator[np.ndarray]:
    """Yields all frames with their pictures side by side, each about ``width`` pixels wide.

    ``pictures`` are the rows that are wanted, in order; None: all.
    """
    rows = range(len(film.rows)) if pictures is None else pictures
    token = max(4, width // film.grid.w)
    for t in range(film.grid.frames):
        tiles = film.tiles(t, token)
        yield beside([tiles[row] for row in rows], gap, _GREY)


def _all_moments(films: Sequence[Film]) -> np.ndarray:
    """Moments from left to right, rows from top to bottom, one or two films beside each other."""
    grid = films[0].grid
    across = min(2, len(films))
    shown = moments(grid.frames, _MOMENTS[across])
    room = (INNER - _LABEL - GAP - (across - 1) * _BETWEEN) / across
    token = _token_pixels(grid, (room - (len(shown) - 1) * GAP) / len(shown))
    size = (token * grid.w, token * grid.h)
    wide = len(shown) * size[0] + (len(shown) - 1) * GAP
    times = [f"frame {t + 1} of {grid.frames}" for t in shown]
    clock_HW3 = beside([text_block(text, size[0], size=14, colour=QUIET) for text in times])
    bands = []
    for first in range(0, len(films), across):
        group = films[first : first + across]
        tiles = [[film.tiles(t, token) for t in shown] for film in group]
        headings = [text_block(film.heading, wide, bold=True) for film in group if film.heading]
        rows = [[*headings], [clock_HW3] * len(group)]
        rows += [
            [beside([pictures[k] for pictures in columns]) for columns in tiles]
            for k in range(len(group[0].rows))
        ]
        blank_HW3 = text_block("", _LABEL)
        labels = [blank_HW3, blank_HW3, *(_label(row, _LABEL, size[1]) for row in group[0].rows)]
        bands.append(
            stacked(
                [
                    beside([label_HW3, beside(row, _BETWEEN)])
                    for label_HW3, row in zip(labels, rows, strict=True)
                    if row
                ]
            )
        )
    return stacked(bands, _BETWEEN)


def _one_moment(films: Sequence[Film], t: int) -> np.ndarray:
    """All films at one moment: pictures of a film side by side, in rows of four."""
    grid = films[0].grid
    across = min(2, len(films)) if len(films[0].rows) <= 4 else 1
    pictures = min(4, len(films[0].rows))
    room = (INNER - (across - 1) * _BETWEEN) / across
    token = _token_pixels(grid, (room - (pictures - 1) * GAP) / pictures)
    blocks = []
    for film in films:
        tallest = max(len(_label(row, token * grid.w, 0)) for row in film.rows)
        tiles = [
            stacked([_label(row, token * grid.w, tallest), tile_HW3], 4)
            for row, tile_HW3 in zip(film.rows, film.tiles(t, token), strict=True)
        ]
        body_HW3 = in_rows(tiles, pictures)
        heading = [text_block(film.heading, body_HW3.shape[1], bold=True)] if film.heading else []
        blocks.append(stacked([*heading, body_HW3]))
    return in_rows(blocks, across, _BETWEEN)


def _label(row: Row, width: int, height: int) -> np.ndarray:
    """Name and text of a row, at least ``height`` pixels high."""
    if not row.text:
        return text_block(row.name, width, size=15, bold=True, colour=row.colour, height=height)
    name_HW3 = text_block(row.name, width, size=15, bold=True, colour=row.colour)
    text_HW3 = text_block(row.text, width, size=13)
    space = height - len(name_HW3) - len(text_HW3)
    space_HW3 = [text_block("", width, height=space)] if space > 20 else []
    return stacked([name_HW3, text_HW3, *space_HW3], 0)


def _token_pixels(grid: TokenGrid, width: float) -> int:
    """Pixels along a token's side that let a frame fit the width."""
    return max(4, min(int(width), _MAX_TILE) // grid.w)
