"""Numbers and names as a reader wants them."""

from __future__ import annotations

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
