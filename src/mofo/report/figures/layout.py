"""Layout of figures: text and pictures in rows and columns, and the sheet around them.

Pictures are uint8 RGB ``(height, width, 3)``. Text is broken to fit its width, never cut off.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mofo.system.files import replaced
from mofo.types import MofoError, SettingsError

Colour = tuple[int, int, int]
INK, QUIET, ALARM, PAPER = (25, 25, 25), (110, 110, 110), (190, 20, 20), (255, 255, 255)
WIDTH = 1400  # pixels of a sheet
MARGIN, GAP = 24, 8
INNER = WIDTH - 2 * MARGIN
_MIN_INNER = 800  # for the text, however narrow the pictures are
_ALARM_PAPER = (255, 233, 230)
_PAD = 10  # pixels around a warning


@lru_cache(maxsize=512)
def text_block(
    text: str,
    width: int,
    *,
    size: int = 16,
    bold: bool = False,
    colour: Colour = INK,
    paper: Colour = PAPER,
    height: int = 0,
) -> np.ndarray:
    """Returns text on paper as a read-only picture, in as many lines as it takes.

    Args:
        text: any letters; a line break begins a new line.
        width: of the block, pixels. Lines are broken between words, and inside words that are
            wider than the block.
        size: of the letters, pixels.
        colour, paper: of letters and background, RGB.
        height: minimum height of the block, pixels; the lines are in its middle.
    """
    font = _font(size, bold)
    # File names may hold bytes that are no letters.
    clean = text.encode("utf-8", "backslashreplace").decode()
    lines = [line for part in clean.split("\n") for line in _broken(part, width, font)]
    step = round(1.3 * size)
    height = max(height, step * len(lines))
    picture = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(picture)
    top = (height - step * len(lines)) // 2
    for number, line in enumerate(lines):
        # Anchored at the base line, which does not depend on the letters.
        draw.text((0, top + number * step + size), line, font=font, fill=colour, anchor="ls")
    block_HW3 = np.asarray(picture).copy()
    block_HW3.setflags(write=False)  # the cache hands out the same array again
    return block_HW3


def _broken(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


@lru_cache(maxsize=32)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    # matplotlib brings this font along everywhere; it knows far more letters than OpenCV's.
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


def beside(pictures: Sequence[np.ndarray], gap: int = GAP, colour: Colour = PAPER) -> np.ndarray:
    """Puts pictures from left to right, aligned at the top."""
    height = max(len(picture_HW3) for picture_HW3 in pictures)
    padded = [
        _padded(p_HW3, (0, height - len(p_HW3)), (0, gap if k < len(pictures) - 1 else 0), colour)
        for k, p_HW3 in enumerate(pictures)
    ]
    return np.hstack(padded)


def stacked(pictures: Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Puts pictures from top to bottom, aligned at the left."""
    turned = [picture_HW3.transpose(1, 0, 2) for picture_HW3 in pictures]
    return np.ascontiguousarray(beside(turned, gap).transpose(1, 0, 2))


def in_rows(pictures: Sequence[np.ndarray], across: int, gap: int = GAP) -> np.ndarray:
    """Puts pictures in rows of ``across``."""
    starts = range(0, len(pictures), across)
    return stacked([beside(pictures[k : k + across], gap) for k in starts], gap)


def scaled(picture_HW3: np.ndarray, width: int, height: int) -> np.ndarray:
    """Returns a copy of another size."""
    how = cv2.INTER_AREA if width < picture_HW3.shape[1] else cv2.INTER_CUBIC
    return cv2.resize(picture_HW3, (width, height), interpolation=how).copy()


def framed(picture_HW3: np.ndarray, colour: Colour, thick: int = 3) -> np.ndarray:
    """Returns a copy with a frame drawn on its inside."""
    drawn_HW3 = np.empty_like(picture_HW3)
    drawn_HW3[:] = colour
    inner = slice(thick, -thick)
    drawn_HW3[inner, inner] = picture_HW3[inner, inner]
    return drawn_HW3


def page(
    body_HW3: np.ndarray,
    *,
    title: str,
    lines: Sequence[str] = (),
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> np.ndarray:
    """Lays out a whole sheet: title, lines, warnings in a red field, body, notes.

    ``body_HW3``: at most ``INNER`` wide, if the sheet is to be at most ``WIDTH`` wide.
    ``title``, ``lines``, ``warnings``, ``notes``: texts; empty ones are left out.

    Returns:
        A picture with even sides, as videos need them.
    """
    inner = max(_MIN_INNER, body_HW3.shape[1])
    parts = [text_block(title, inner, size=24, bold=True)]
    parts += [text_block(line, inner, colour=QUIET) for line in lines if line]
    parts += [_warning(text, inner) for text in warnings if text]
    parts += [body_HW3]
    parts += [text_block(note, inner, size=15) for note in notes if note]
    sheet_HW3 = stacked(parts)
    sides = ((MARGIN, MARGIN + sheet_HW3.shape[0] % 2), (MARGIN, MARGIN + sheet_HW3.shape[1] % 2))
    return _padded(sheet_HW3, *sides)


def _warning(text: str, width: int) -> np.ndarray:
    block_HW3 = text_block(
        text, width - 2 * _PAD, size=18, bold=True, colour=ALARM, paper=_ALARM_PAPER
    )
    return _padded(block_HW3, (_PAD, _PAD), (_PAD, _PAD), _ALARM_PAPER)


def _padded(
    picture_HW3: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], colour: Colour = PAPER
) -> np.ndarray:
    height, width = picture_HW3.shape[:2]
    out_HW3 = np.empty((height + sum(rows), width + sum(columns), 3), np.uint8)
    out_HW3[:] = colour
    out_HW3[rows[0] : rows[0] + height, columns[0] : columns[0] + width] = picture_HW3
    return out_HW3


def picture_kind(path: str | Path) -> str:
    """Returns "png" or "mp4", by the name of a picture that is to be written."""
    kind = Path(path).suffix.lower()[1:]
    if kind not in ("png", "mp4"):
        raise SettingsError(f"{path}: the name must end in .png (picture) or .mp4 (video)")
    return kind


def make_folder(path: str | Path) -> None:
    """Makes the folder of a file that is to be written.

    Raises:
        OSError: the disk is full.
    """
    folder = Path(path).parent
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def save_png(picture_HW3: np.ndarray, path: str | Path) -> None:
    """Writes a picture, whole or not at all; its folder is made.

    Raises:
        OSError: the disk is full.
    """
    make_folder(path)
    done, data = cv2.imencode(".png", cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2BGR))
    assert done
    with writing(path), replaced(Path(path)) as part:
        part.write_bytes(data.tobytes())


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turns an ``OSError`` in its block into one line about the path; a full disk passes."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # ends more than this picture: callers have their own words for it
        reason = {errno.EEXIST: "is a file", errno.EISDIR: "is a folder"}.get(
            error.errno or 0, error.strerror
        )
        raise MofoError(f"{path}: cannot be written: {reason}") from None
