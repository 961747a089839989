"""Charts of a recognition test: which classes are taken for which, and how each one fares.

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
from mofo.report.sheet import make_folder
from mofo.system.files import replaced
from mofo.types import MofoError

MOST = 120  # classes that a chart can hold
_TEXT, _PANEL, _BAR, _MARK = "#7d828a", "#f3f4f6", "#4c8fd6", "#e07b00"
# Opaque, on a panel of its own: numbers in cells have a known ground on any page.
_SHADES = LinearSegmentedColormap.from_list("shares", [_PANEL, "#9cc4ec", "#2f6fb7", "#0b2c55"])
_NUMBERS = 25  # classes up to which cells hold numbers
_LETTERS = 44  # of a class's name
_DPI = 130


def write_confusion(
    recognition: Recognition, path: str | Path, *, title: str = "", most: int = MOST
) -> None:
    """Draws the confusion matrix as a PNG: each row shows where the videos of one class went.

    Colours are shares of the row, on a scale that lifts the small ones. Up to 25 classes the cells
    hold the numbers of videos. A class without videos is struck through.

    Args:
        recognition: of one class a video.
        path: of the PNG; its folder is made.
        title: above it.
        most: classes to draw; if there are more, those with the most videos, and the title says so.

    Raises:
        MofoError: it cannot be written, or there is no confusion to draw.
    """
    if not recognition.confusion:
        raise MofoError(f"{path}: these results hold no confusion to draw")
    shown_C, note = _chosen(recognition.classes, most)
    count_CC = recognition.confusion_matrix()[np.ix_(shown_C, shown_C)]
    rows = [recognition.classes[c] for c in shown_C]
    total_C1 = np.array([row.count for row in rows])[:, None]
    share_CC = count_CC / np.maximum(total_C1, 1)

    classes = len(rows)
    cell = 0.5 if classes <= _NUMBERS else 0.17  # inches
    letters = 9 if classes <= _NUMBERS else 7.5
    side = max(cell * classes, 2.5)
    margin = 0.3 + 0.085 * letters / 9 * max(len(_short(row.name)) for row in rows)
    figure = Figure(figsize=(side + margin + 1.6, side + margin + 1.1), dpi=_DPI)
    axes = figure.add_axes(
        (
            (margin + 0.7) / figure.get_figwidth(),
            (margin + 0.3) / figure.get_figheight(),
            side / figure.get_figwidth(),
            side / figure.get_figheight(),
        )
    )
    norm = PowerNorm(0.6, 0, 1)  # single confusions are to be seen beside a full diagonal
    image = axes.imshow(share_CC, cmap=_SHADES, norm=norm, interpolation="nearest")
    axes.set_xticks(np.arange(classes), [_short(row.name) for row in rows], rotation=90)
    axes.set_yticks(np.arange(classes), [_counted(row) for row in rows])
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2 if classes <= _NUMBERS else 0.4)
    for c in np.flatnonzero(total_C1[:, 0] == 0):
        axes.plot([-0.5, classes - 0.5], [c, c], color=_TEXT, linewidth=0.8)
    if classes <= _NUMBERS:
        for label, predicted in zip(*np.nonzero(count_CC), strict=True):
            dark = norm(share_CC[label, predicted]) > 0.5
            axes.text(
                predicted,
                label,
                str(count_CC[label, predicted]),
                ha="center",
                va="center",
                size=9,
                color="white" if dark else "#1c2128",
            )
    axes.set_xlabel("predicted")
    axes.set_ylabel("label (videos)")
    axes.set_title(
        _titled(title or "Confusion", note), size=11, loc="left", color=_TEXT, parse_math=False
    )
    _quiet(axes, letters)
    bar_axes = figure.add_axes(
        (
            (margin + 0.7 + side + 0.15) / figure.get_figwidth(),
            (margin + 0.3) / figure.get_figheight(),
            0.14 / figure.get_figwidth(),
            min(side, 3) / figure.get_figheight(),
        )
    )
    figure.colorbar(image, cax=bar_axes, ticks=[0, 0.1, 0.25, 0.5, 0.75, 1])
    bar_axes.set_ylabel("share of the class")
    _quiet(bar_axes, 8)
    _save(figure, path)


def write_class_chart(
    recognition: Recognition, path: str | Path, *, title: str = "", most: int = MOST
) -> None:
    """Draws a bar for each class as a PNG, best one first.

    Bars are recall (the accuracy of the class) with a mark at the precision; where a video may have
    several classes they are average precision. A line stands at the mean of all classes.

    Args, raises: as ``write_confusion``.
    """
    shown_C, note = _chosen(recognition.classes, most)
    rows = [recognition.classes[c] for c in shown_C]
    several = any(row.average_precision is not None for row in rows)
    value = [row.average_precision if several else row.recall for row in rows]
    order = sorted(range(len(rows)), key=lambda c: -1.0 if value[c] is None else value[c] or 0.0)
    rows, value = [rows[c] for c in order], [value[c] for c in order]
    names = [_counted(row) for row in rows]

    step = 0.3 if len(rows) <= _NUMBERS else 0.17  # inches
    margin = 0.3 + 0.075 * max(len(name) for name in names)
    high = max(step * len(rows), 0.8)
    figure = Figure(figsize=(margin + 5.2, high + 1.5), dpi=_DPI)
    axes = figure.add_axes(
        (
            margin / figure.get_figwidth(),
            0.9 / figure.get_figheight(),
            5 / figure.get_figwidth(),
            high / figure.get_figheight(),
        )
    )
    place = np.arange(len(rows))
    bar = "average precision" if several else "recall"
    axes.barh(place, [each or 0.0 for each in value], height=0.7, color=_BAR, label=bar)
    if not several:
        marked = [y for y, row in enumerate(rows) if row.precision is not None and row.count]
        precision = [rows[y].correct / rows[y].predicted for y in marked]
        axes.plot(precision, marked, "D", color=_MARK, ms=4, label="precision", clip_on=False)
    for y, each in enumerate(value):
        if each is None:
            axes.text(0.01, y, "no videos", size=7, va="center", color=_TEXT)
    every = [row.average_precision if several else row.recall for row in recognition.classes]
    known = [each for each in every if each is not None]
    if known:
        mean = float(np.mean(known))
        axes.axvline(mean, color=_TEXT, linewidth=1, linestyle="--", label=f"mean {mean:.3f}")
    axes.set_yticks(place, names)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(0, 1)
    axes.xaxis.grid(True, color=_TEXT, alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(
        _titled(title or "Classes", note), size=11, loc="left", color=_TEXT, parse_math=False
    )
    figure.legend(
        loc="lower left",
        bbox_to_anchor=(margin / figure.get_figwidth(), 0),
        ncols=3,
        frameon=False,
        labelcolor=_TEXT,
        fontsize=9,
    )
    _quiet(axes, 9 if len(rows) <= _NUMBERS else 7.5)
    _save(figure, path)


def _chosen(classes: Sequence[ClassRow], most: int) -> tuple[list[int], str]:
    """Which classes to draw, in their own order, and what to say about the others."""
    if len(classes) <= most:
        return list(range(len(classes))), ""
    frequent = sorted(range(len(classes)), key=lambda c: -classes[c].count)[:most]
    return sorted(frequent), f"the {most} of {len(classes)} classes with most videos"


def _titled(title: str, note: str) -> str:
    return f"{title}\n{note}" if note else title


def _short(name: str) -> str:
    name = " ".join(name.split())
    half = _LETTERS // 2
    # Templates such as "putting ... behind ..." often differ in their last words only.
    return name if len(name) <= _LETTERS else f"{name[:half].rstrip()}…{name[-half:].lstrip()}"


def _counted(row: ClassRow) -> str:
    return f"{_short(row.name)} ({row.count})"


def _quiet(axes: Axes, letters: float) -> None:
    """Grey text, no frame; names are no formulas."""
    axes.tick_params(which="both", length=0, colors=_TEXT, labelsize=letters)
    for side in axes.spines.values():
        side.set_visible(False)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_TEXT)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)


def _save(figure: Figure, path: str | Path) -> None:
    make_folder(path)
    try:
        with replaced(Path(path)) as part:
            figure.savefig(
                part, format="png", transparent=True, bbox_inches="tight", pad_inches=0.15
            )
    except OSError as error:
        raise MofoError(f"{path}: cannot be written: {error.strerror}") from None
