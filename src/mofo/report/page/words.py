"""Numbers and names as a reader wants them."""

from __future__ import annotations

import re

MEASURES = {
    "top1": ("accuracy", "share of videos whose likeliest class is the right one (top-1)"),
    "top5": ("in the first five", "share of videos with the right class among the five likeliest "
             "(top-5)"),
    "mean_class_accuracy": (
        "mean class accuracy",
        "accuracy of each class by itself, then their mean: rare classes count as much as others",
    ),
    "mean_average_precision": (
        "mean average precision",
        "how well the videos of a class stand before all others when sorted by its probability; "
        "mean over classes",
    ),
}  # fmt: skip


def measure_name(name: str) -> str:
    """A measure for a reader."""
    return MEASURES.get(name, (name.replace("_", " "), ""))[0]


def measure_meaning(name: str) -> str:
    """One line about a measure; empty if it is unknown."""
    return MEASURES.get(name, ("", ""))[1]


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1, in percent."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def counted(count: int, one: str, several: str = "") -> str:
    """ "1 video", "2 videos"."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def passes(count: float) -> str:
    """A number of passes over the videos: whole, or with one digit after the point."""
    return f"{count:,.1f}".removesuffix(".0")


def views_text(text: str) -> str:
    """How a test looks at a video, from what it says about itself."""
    text = re.sub(r"^(\d+) of time x (\d+) of space", _views, text)
    text = text.replace(", segments", ", one of each equal part of the video")
    text = text.replace(", dense, stride 1", " in a row")
    return re.sub(r", dense, stride (\d+)", r", one of every \1", text)


def _views(found: re.Match[str]) -> str:
    times, places = int(found[1]), int(found[2])
    if times == places == 1:
        return "once"
    return (
        f"{counted(times, 'stretch', 'stretches')} of time x {counted(places, 'place')}, averaged"
    )


def areas_text(text: str) -> str:
    """Where a test's motion areas come from, from what it says about itself."""
    if text.startswith("none: the fusion"):
        return "nowhere: this model does not look at them"
    return re.sub(r"^(\w+: )?store ", r"\1the folder ", text)
