"""Charts of a recognition test: which classes are taken for which, and how good each one is.

The paper around a chart is see-through and its text of a middling grey, so that it can stand on a
light or a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure

from mofo.evaluation.results import ClassRow, Recognition
from mofo.report.figures.layout import make_folder, writing
from mofo.system.files import replaced
from mofo.types import MofoError

MAX_CLASSES = 120  # that a chart can hold
_TEXT, _PANEL, _BAR, _MARK = "#7d828a", "#f3f4f6", "#4c8fd6", "#e07b00"
# Opaque, on a panel of its own: numbers in cells have a known ground on any page.
_SHADES = LinearSegmentedColormap.from_list("shares", [_PANEL, "#9cc4ec", "#2f6fb7", "#0b2c55"])
_NUMBERS = 25  # classes up to which cells hold numbers
_LETTERS = 44  # of a class's name
_DPI = 130


def write_confusion(
    recognition: Recognition, path: str | Path, *, title: str = "", max_classes: int = MAX_CLASSES
) -> None:
    """Draws the confusion matrix as a PNG: each row shows where the videos of one class went.

    Colours are shares of the row, on a scale that lifts the small ones. Up to 25 classes the cells
    hold the numbers of videos. A class without videos is struck through.

    Args:
        path: of the PNG; its folder is made.
        title: above it.
        max_classes: if there are more, those with the most videos are drawn; the title says so.
    """
    if not recognition.confusion:
        raise MofoError(f"{path}: these results hold no confusion to draw")
    shown_C, note = _chosen(recognition.classes, max_classes)
    count_CC = recognition.confusion_matrix()[np.ix_(shown_C, shown_C)]
    rows = [recognition.classes[c] for c in shown_C]
    total_C1 = np.array([row.count for row in rows])[:, None]
    share_CC = count_CC / np.maximum(total_C1, 1)

    classes, few = len(rows), len(rows) <= _NUMBERS
    side = max((0.5 if few else 0.17) * classes, 2.5)  # inches
    figure, axes = _figure(side, side)
    norm = PowerNorm(0.6, 0, 1)  # single confusions are to be seen beside a full diagonal
    image = axes.imshow(share_CC, cmap=_SHADES, norm=norm, interpolation="nearest", aspect="auto")
    axes.set_xticks(np.arange(classes), [_short(row.name) for row in rows], rotation=90)
    axes.set_yticks(np.arange(classes), [_counted(row) for row in rows])
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2 if few else 0.4)
    for c in np.flatnonzero(total_C1[:, 0] == 0):
        axes.plot([-0.5, classes - 0.5], [c, c], color=_TEXT, linewidth=0.8)
    for label, predicted in zip(*np.nonzero(count_CC), strict=True) if few else ():
        dark = norm(share_CC[label, predicted]) > 0.5
        colour = "white" if dark else "#1c2128"
        text = str(count_CC[label, predicted])
        axes.text(predicted, label, text, ha="center", va="center", size=9, color=colour)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label (videos)")
    _finish(axes, title or "Confusion", note, 9 if few else 7.5)
    bar_axes = figure.add_axes((1 + 0.15 / side, 0, 0.14 / side, min(side, 3) / side))
    figure.colorbar(image, cax=bar_axes, ticks=[0, 0.1, 0.25, 0.5, 0.75, 1])
    bar_axes.set_ylabel("share of the class")
    _finish(bar_axes, "", "", 8)
    _save(figure, path)


def write_class_chart(
    recognition: Recognition, path: str | Path, *, title: str = "", max_classes: int = MAX_CLASSES
) -> None:
    """Draws a bar for each class as a PNG, best one first.

    Bars are recall (the accuracy of the class) with a mark at the precision; where a video may have
    several classes they are average precision. A line stands at the mean of all classes.

    Args, raises: as ``write_confusion``.
    """
    shown_C, note = _chosen(recognition.classes, max_classes)
    several = any(row.average_precision is not None for row in recognition.classes)

    def value(row: ClassRow) -> float | None:
        return row.average_precision if several else row.recall

    rows = [recognition.classes[c] for c in shown_C]
    rows.sort(key=lambda row: -1.0 if value(row) is None else value(row) or 0.0)
    few = len(rows) <= _NUMBERS
    figure, axes = _figure(5, max((0.3 if few else 0.17) * len(rows), 0.8))
    place = np.arange(len(rows))
    label = "average precision" if several else "recall"
    axes.barh(place, [value(row) or 0.0 for row in rows], height=0.7, color=_BAR, label=label)
    if not several:
        marked = [y for y, row in enumerate(rows) if row.precision is not None and row.count]
        precision = [rows[y].correct / rows[y].predicted for y in marked]
        axes.plot(precision, marked, "D", color=_MARK, ms=4, label="precision", clip_on=False)
    for y, row in enumerate(rows):
        if value(row) is None:
            axes.text(0.01, y, "no videos", size=7, va="center", color=_TEXT)
    known = [v for row in recognition.classes if (v := value(row)) is not None]
    if known:
        mean = float(np.mean(known))
        axes.axvline(mean, color=_TEXT, linewidth=1, linestyle="--", label=f"mean {mean:.3f}")
    axes.set_yticks(place, [_counted(row) for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(0, 1)
    axes.xaxis.grid(True, color=_TEXT, alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    _finish(axes, title or "Classes", note, 9 if few else 7.5)
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=2.5, ncols=3, frameon=False,
        labelcolor=_TEXT, fontsize=9,
    )  # fmt: skip
    _save(figure, path)


def _chosen(classes: Sequence[ClassRow], max_classes: int) -> tuple[list[int], str]:
    """Which classes to draw, in their own order, and what to say about the others."""
    if len(classes) <= max_classes:
        return list(range(len(classes))), ""
    frequent = sorted(range(len(classes)), key=lambda c: -classes[c].count)[:max_classes]
    return sorted(frequent), f"the {max_classes} of {len(classes)} classes with most videos"


def _short(name: str) -> str:
    name = " ".join(name.split())
    half = _LETTERS // 2
    # Templates such as "putting ... behind ..." often differ in their last words only.
    return name if len(name) <= _LETTERS else f"{name[:half].rstrip()}…{name[-half:].lstrip()}"


def _counted(row: ClassRow) -> str:
    return f"{_short(row.name)} ({row.count})"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A drawing of so many inches; text lies outside, and is taken in when it is saved."""
    figure = Figure(figsize=(width, height), dpi=_DPI)
    return figure, figure.add_axes((0, 0, 1, 1))


def _finish(axes: Axes, title: str, note: str, letters: float) -> None:
    """Grey text, no frame; names are no formulas."""
    text = f"{title}\n{note}" if note else title
    axes.set_title(text, size=11, loc="left", color=_TEXT, parse_math=False)
    axes.tick_params(which="both", length=0, colors=_TEXT, labelsize=letters)
    for side in axes.spines.values():
        side.set_visible(False)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_TEXT)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)


def _save(figure: Figure, path: str | Path) -> None:
    make_folder(path)
    with writing(path), replaced(Path(path)) as part:
        figure.savefig(part, format="png", transparent=True, bbox_inches="tight", pad_inches=0.15)
