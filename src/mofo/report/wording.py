"""Numbers, names and paths as a reader wants them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isnan
from pathlib import Path
from typing import Any

MEASURES = {
    "top1": ("top-1 accuracy", "share of videos whose likeliest class is the right one"),
    "top5": ("top-5 accuracy", "share of videos with the right class among the five likeliest"),
    "mean_class_accuracy": (
        "mean class accuracy",
        "accuracy of each class by itself, then their mean: rare classes count as much as others",
    ),
    "mean_average_precision": (
        "mean average precision",
        "how well the videos of a class stand before all others when sorted by its probability; "
        "mean over classes",
    ),
}
_PATH = re.compile(r"""(?<![^\s'"(=])/(?:[^\s/'"]+/)*([^\s/'"]+/[^\s/'"]+)""")


def measure_name(name: str) -> str:
    """Returns a measure's name for a reader."""
    return MEASURES.get(name, (name.replace("_", " "), ""))[0]


def percent(share: float | None, digits: int = 1) -> str:
    """Writes a share of 1 in percent."""
    return "-" if share is None or isnan(share) else f"{100 * share:.{digits}f} %"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Writes "1 video", "2 videos"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(names: Iterable[str]) -> str:
    """Writes "a", "a and b", "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def hours(seconds: float) -> str:
    """Writes a duration with one unit."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plain(value: Any) -> str:
    """Writes a setting's value."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in ("", None) else str(value)


class Paths:
    """Shortens absolute paths: a page that is sent tells nobody how a disk is arranged.

    Args:
        folders: that were given; what lies in them, in their parents, below the working directory
            and at home is named from there; of others the last two parts stay.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        roots = {str(folder.resolve().parent) for folder in folders} | {str(Path.cwd())}
        roots.add(str(Path.home()))
        # The longest first: what is within another root is named from the nearer one.
        self._roots = sorted((root + "/" for root in roots if root != "/"), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Returns a text with its paths shortened."""
        for root in self._roots:
            text = text.replace(root, "")
        return _PATH.sub(r"\1", text)


def printable(text: str) -> str:
    """Returns a text without letters that a terminal obeys, such as escape sequences."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
