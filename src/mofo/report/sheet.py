"""Sheets: pictures and text in rows and columns with even margins, for PNG and for videos."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from mofo.report.lettering import ALARM, INK, PAPER, QUIET, text_block
from mofo.system.files import replaced
from mofo.types import MofoError, SettingsError

WIDTH = 1400  # pixels of a sheet
MARGIN, GAP = 24, 8
INNER = WIDTH - 2 * MARGIN
_LEAST_INNER = 800  # for the text, however narrow the pictures are
_ALARM_PAPER = (255, 233, 230)
_PAD = 10  # pixels around a warning


def beside(parts: Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Pictures (uint8 RGB) from left to right, aligned at the top."""
    height = max(len(part_HW3) for part_HW3 in parts)
    padded = [_grown(part_HW3, height - len(part_HW3), 0) for part_HW3 in parts]
    spaced = [_grown(part_HW3, 0, gap) for part_HW3 in padded[:-1]]
    return np.hstack([*spaced, padded[-1]])


def stacked(parts: Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Pictures (uint8 RGB) from top to bottom, aligned at the left."""
    width = max(part_HW3.shape[1] for part_HW3 in parts)
    padded = [_grown(part_HW3, 0, width - part_HW3.shape[1]) for part_HW3 in parts]
    spaced = [_grown(part_HW3, gap, 0) for part_HW3 in padded[:-1]]
    return np.vstack([*spaced, padded[-1]])


def page(
    body_HW3: np.ndarray,
    *,
    title: str,
    lines: Sequence[str] = (),
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> np.ndarray:
    """A whole sheet, as wide as its body: title, lines, warnings in a red field, body, notes.

    Args:
        body_HW3: uint8 RGB; at most ``INNER`` wide, if the sheet is to be at most ``WIDTH`` wide.
        title, lines, warnings, notes: texts; empty ones are left out.

    Returns:
        uint8 RGB with even sides, as videos need them.
    """
    inner = max(_LEAST_INNER, body_HW3.shape[1])
    parts = [text_block(title, inner, size=24, bold=True)]
    parts += [text_block(line, inner, size=16, colour=QUIET) for line in lines if line]
    parts += [_warning(text, inner) for text in warnings]
    parts += [_grown(body_HW3, 0, inner - body_HW3.shape[1])]
    parts += [text_block(note, inner, size=15, colour=INK) for note in notes if note]
    sheet_HW3 = stacked(parts)
    sides = ((MARGIN, MARGIN + sheet_HW3.shape[0] % 2), (MARGIN, MARGIN + sheet_HW3.shape[1] % 2))
    return _padded(sheet_HW3, *sides)


def framed(picture_HW3: np.ndarray, colour: tuple[int, int, int], thick: int = 3) -> np.ndarray:
    """A copy of the picture with a frame drawn on its inside."""
    drawn_HW3 = picture_HW3.copy()
    height, width = drawn_HW3.shape[:2]
    for inset in range(thick):
        corner = (width - 1 - inset, height - 1 - inset)
        cv2.rectangle(drawn_HW3, (inset, inset), corner, colour, 1)
    return drawn_HW3


def picture_kind(path: str | Path) -> str:
    """ "png" or "mp4", by the name of a picture that is to be written.

    Raises:
        SettingsError: any other name.
    """
    kind = Path(path).suffix.lower()[1:]
    if kind not in ("png", "mp4"):
        raise SettingsError(f"{path}: the name must end in .png (picture) or .mp4 (video)")
    return kind


def make_folder(path: str | Path) -> None:
    """Makes the folder of a file that is to be written.

    Raises:
        MofoError: it cannot be made.
        OSError: the disk is full.
    """
    folder = Path(path).parent
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)


def save_png(picture_HW3: np.ndarray, path: str | Path) -> None:
    """Writes a picture (uint8 RGB); its folder is made.

    Raises:
        MofoError: it cannot be written.
        OSError: the disk is full.
    """
    make_folder(path)
    done, data = cv2.imencode(".png", cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2BGR))
    assert done
    with _told(path), replaced(Path(path)) as part:
        part.write_bytes(data.tobytes())


@contextlib.contextmanager
def _told(path: str | Path) -> Iterator[None]:
    """Says in one line why a path cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # ends more than this picture: callers have their own words for it
        reason = "is a file" if error.errno == errno.EEXIST else error.strerror
        raise MofoError(f"{path}: cannot be written: {reason}") from None


def _warning(text: str, width: int) -> np.ndarray:
    block_HW3 = text_block(
        text, width - 2 * _PAD, size=18, bold=True, colour=ALARM, paper=_ALARM_PAPER
    )
    return _padded(block_HW3, (_PAD, _PAD), (_PAD, _PAD), _ALARM_PAPER)


def _grown(picture_HW3: np.ndarray, below: int, right: int) -> np.ndarray:
    return _padded(picture_HW3, (0, below), (0, right))


def _padded(
    picture_HW3: np.ndarray,
    rows: tuple[int, int],
    columns: tuple[int, int],
    colour: tuple[int, int, int] = PAPER,
) -> np.ndarray:
    height, width = picture_HW3.shape[:2]
    out_HW3 = np.empty((height + sum(rows), width + sum(columns), 3), np.uint8)
    out_HW3[:] = colour
    out_HW3[rows[0] : rows[0] + height, columns[0] : columns[0] + width] = picture_HW3
    return out_HW3
