"""Lays out reconstructions: frame, what the encoder sees, what the model makes of it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mofo.report.lettering import ALARM, INK, QUIET, text_block
from mofo.report.mask_pictures import draw_mask
from mofo.report.overlays import draw_box
from mofo.report.reconstructed import Reconstruction
from mofo.report.sheet import GAP, INNER, beside, framed, page, stacked
from mofo.types import TokenGrid

LEAK_LABEL = (
    "uses the true mean and variance of the hidden patches: looks good whatever was learned"
)
_MOMENTS = {1: 6, 2: 4}  # frames of each clip in a PNG, by clips beside each other
_LABEL = 132  # pixels for the names of the rows
_BETWEEN = 20  # pixels between clips


def draw_moments(found: Reconstruction, title: str, lines: Sequence[str] = ()) -> np.ndarray:
    """Some moments of each clip from left to right; one or two clips beside each other."""
    grid = found.grid
    across = min(2, len(found.names))
    count = min(_MOMENTS[across], grid.frames)
    moments = [(2 * k + 1) * grid.frames // (2 * count) for k in range(count)]
    room = INNER - _LABEL - GAP - (across - 1) * _BETWEEN
    token = _token_pixels(grid, (room / across - (count - 1) * GAP) / count)
    bands = []
    for first in range(0, len(found.names), across):
        blocks = [
            _film(found, clip, moments, token)
            for clip in range(first, min(first + across, len(found.names)))
        ]
        head = len(blocks[0]) - _rows(found) * (token * grid.h + GAP)
        names = [text_block("", _LABEL, height=head)]
        names += [
            text_block(name, _LABEL, size=15, bold=True, colour=colour, height=token * grid.h)
            for name, colour in _kinds(found)
        ]
        bands.append(beside([stacked(names), beside(blocks, _BETWEEN)]))
    return _page(found, stacked(bands, _BETWEEN), title, lines)


def draw_frame(found: Reconstruction, t: int, title: str, lines: Sequence[str] = ()) -> np.ndarray:
    """One frame of the clips, its pictures side by side; the same size for each."""
    across = min(2, len(found.names))
    room = (INNER - (across - 1) * _BETWEEN) / across
    token = _token_pixels(found.grid, (room - (_rows(found) - 1) * GAP) / _rows(found))
    width = token * found.grid.w
    blocks = []
    for clip in range(len(found.names)):
        tiles = [
            stacked([text_block(name, width, size=15, bold=True, colour=colour), tile_HW3])
            for (name, colour), tile_HW3 in zip(
                _kinds(found), frame_tiles(found, clip, t, token), strict=True
            )
        ]
        row_HW3 = beside(tiles)
        blocks.append(stacked([_clip_line(found, clip, row_HW3.shape[1]), row_HW3]))
    bands = [beside(blocks[k : k + across], _BETWEEN) for k in range(0, len(blocks), across)]
    body_HW3 = stacked(bands, _BETWEEN)
    return _page(found, body_HW3, title, [*lines, f"frame {t + 1} of {found.grid.frames}"])


def captions(normalised: bool) -> tuple[str, ...]:
    """What a viewer must know about the honest picture, in short sentences."""
    if normalised:
        honest = (
            "Reconstruction: the pattern of hidden patches is predicted; mean and contrast are "
            "guessed from visible patches, as the model does not predict them."
        )
    else:
        honest = "Reconstruction: pixels of hidden patches as predicted."
    return (
        honest,
        "Nothing is taken from the hidden patches. Error: their mean squared error, as in the "
        f"loss; flat: the same with {flat(normalised)}.",
        "Orange: motion area, of the moment (frame) and of the clip (what the encoder sees).",
    )


def flat(normalised: bool) -> str:
    """What ``flat_error_B`` is the error of."""
    return "no pattern predicted" if normalised else "the mean of visible patches nearby"


def _page(
    found: Reconstruction, body_HW3: np.ndarray, title: str, lines: Sequence[str]
) -> np.ndarray:
    leak = found.leaking_BTHWC is not None
    return page(
        body_HW3,
        title=title,
        lines=lines,
        warnings=[f"Red frame: {LEAK_LABEL}"] if leak else [],
        notes=captions(found.normalised),
    )


def _rows(found: Reconstruction) -> int:
    return len(_kinds(found))


def _kinds(found: Reconstruction) -> list[tuple[str, tuple[int, int, int]]]:
    """Names and colours of the pictures of a frame."""
    kinds = [("frame, motion area", INK), ("what the encoder sees", INK), ("reconstruction", INK)]
    if found.leaking_BTHWC is not None:
        kinds.append(("with the true mean and variance", ALARM))
    return kinds


def _film(found: Reconstruction, clip: int, moments: list[int], token: int) -> np.ndarray:
    """One clip: a line about it, the numbers of the frames, then a row for each kind of picture."""
    columns = [frame_tiles(found, clip, t, token) for t in moments]
    width = token * found.grid.w
    heads = [
        text_block(f"frame {t + 1} of {found.grid.frames}", width, size=14, colour=QUIET)
        for t in moments
    ]
    rows = [beside([column[row] for column in columns]) for row in range(_rows(found))]
    return stacked([_clip_line(found, clip, rows[0].shape[1]), beside(heads), *rows])


def frame_tiles(found: Reconstruction, clip: int, t: int, token: int) -> list[np.ndarray]:
    """The pictures of a frame beside each other, ``token`` pixels a side of a token."""
    grid = found.grid
    slot = t // grid.tubelet
    frame_HW3 = _enlarged(found.frames_BTHWC[clip, t], grid, token)
    boxed_HW3 = frame_HW3.copy()
    if found.valid_BT[clip, t]:
        scale = frame_HW3.shape[1] / grid.width
        draw_box(boxed_HW3, found.box_BT4[clip, t] * scale, 3)
    seen_HW3 = draw_mask(frame_HW3, found.hidden_Bthw[clip, slot], found.inside_Bthw[clip, slot])
    tiles = [boxed_HW3, seen_HW3, _enlarged(found.honest_BTHWC[clip, t], grid, token)]
    if found.leaking_BTHWC is not None:
        leaking_HW3 = _enlarged(found.leaking_BTHWC[clip, t], grid, token)
        tiles.append(framed(leaking_HW3, ALARM))
    return tiles


def _clip_line(found: Reconstruction, clip: int, width: int) -> np.ndarray:
    moving = "" if found.inside_Bthw[clip].any() else " · no motion found"
    text = (
        f"{found.names[clip]} · error {found.error_B[clip]:.3f}, "
        f"flat {found.flat_error_B[clip]:.3f}{moving}"
    )
    return text_block(text, width, size=16, bold=True)


def _token_pixels(grid: TokenGrid, width: float) -> int:
    """Pixels of a token's side that let a frame fit the width."""
    return max(4, int(width) // grid.w)


def _enlarged(frame_HWC: np.ndarray, grid: TokenGrid, token: int) -> np.ndarray:
    size = (grid.w * token, grid.h * token)
    smaller = size[0] < frame_HWC.shape[1]
    return cv2.resize(frame_HWC, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
