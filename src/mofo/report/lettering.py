"""Text in pictures: blocks of lines that are broken to fit a width, so that nothing is cut off."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, QUIET, ALARM, PAPER = (25, 25, 25), (110, 110, 110), (190, 20, 20), (255, 255, 255)
Colour = tuple[int, int, int]


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
    """Text on paper, as many lines as it takes.

    Args:
        text: any letters; a line break begins a new line.
        width: of the block, pixels. Lines are broken between words, and inside those that are
            wider than the block.
        size: of the letters, pixels.
        bold: thick letters.
        colour, paper: of letters and background, RGB.
        height: of the block, pixels, with the lines in its middle; as little as the lines take, if
            they take more.

    Returns:
        uint8 ``(height, width, 3)``, not to be written to.
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
    block_HW3.setflags(write=False)  # shared by all who ask for the same
    return block_HW3


def _broken(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """The lines of a text without line breaks; at least one, be it empty."""
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
