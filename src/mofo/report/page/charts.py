"""Charts as inline SVG, drawn by matplotlib: curves, intervals, histograms, timelines.

Colours are names of the page's style sheet, so that a chart fits a light page, a dark one and
paper. Text stays text, in the page's letters.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

# Colours that stand for the style sheet's until the drawing is done.
_STYLES = {
    f"#0000{number:02x}": f"var(--{name})"
    for number, name in enumerate(
        ("accent", "s1", "s2", "s3", "s4", "s5", "ink", "quiet", "rule"), start=1
    )
}
_COLOURS = {style[6:-1]: colour for colour, style in _STYLES.items()}
SERIES = ("accent", "s1", "s2", "s3", "s4", "s5")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 2)), (0, (9, 3)))
_INK, _QUIET, _RULE = (_COLOURS[name] for name in ("ink", "quiet", "rule"))
# Of matplotlib's SVG: what repeats on a page (ids), and what the style sheet knows better.
_UNWANTED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"<(metadata|defs)>.*?</\1>",
        r"<!--.*?-->",
        r' id="[^"]*"| font-family: [^;]*;| transform="rotate\(-?0 [^"]*"',
        r"<g/>",
        r"(?<=\n)\s+",
    )
)
_WIDTH, _HEIGHT = 440, 230  # of a chart, CSS pixels
_LINE = 15  # height of a name in a legend
_POINTS = 160  # of a curve: more are averaged


@dataclass(frozen=True, eq=False)
class Chart:
    """A drawn chart. ``text``: the same in words, for those who do not see it."""

    svg: Markup
    text: str


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a chart; where ``y_P`` is no number the point is left out."""

    name: str
    x_P: np.ndarray
    y_P: np.ndarray
    dots: bool = False


@dataclass(frozen=True)
class Dot:
    """A value with its interval; all in 0..1."""

    name: str
    value: float
    low: float
    high: float
    chance: float | None = None


def line_chart(
    curves: Sequence[Curve],
    *,
    title: str,
    x_name: str = "step",
    log: bool = False,
    zero: bool = False,
    percent: bool = False,
) -> Chart | None:
    """Draws curves over a common axis; returns None if no curve has a point.

    Args:
        curves: drawn in this order; long ones are averaged over equal segments, with the range of
            each segment as a band behind the line.
        log: logarithmic y axis, if all values are above 0.
        zero: let the y axis begin at 0.
        percent: values are shares, written in percent.
    """
    kept = [(curve, finite) for curve in curves if len((finite := _finite(curve))[0])]
    if not kept:
        return None
    above = _LINE * len(kept) * (len(kept) > 1)  # the legend, which long names leave no room beside
    figure, axes = _figure(_WIDTH, _HEIGHT + above, (52, 36, 8, 10 + above))
    log = log and all(y_P.min() > 0 for _, (_, y_P) in kept)
    for number, (curve, (x_P, y_P)) in enumerate(kept):
        colour, dash = _look(number)
        if len(x_P) > _POINTS:
            edges = np.linspace(0, len(x_P), _POINTS + 1).astype(int)[:-1]
            low_P, high_P = np.minimum.reduceat(y_P, edges), np.maximum.reduceat(y_P, edges)
            counts = np.diff([*edges, len(x_P)])
            x_P, y_P = (np.add.reduceat(value_P, edges) / counts for value_P in (x_P, y_P))
            axes.fill_between(x_P, low_P, high_P, color=colour, alpha=0.16, linewidth=0)
        axes.plot(x_P, y_P, color=colour, linestyle=dash, linewidth=2, label=curve.name)
        if curve.dots or len(x_P) == 1:
            _dots(axes, x_P, y_P, colour)
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    if zero and not log:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(
        PercentFormatter(1, 0, " %") if percent else FuncFormatter(lambda value, _: f"{value:.6g}")
    )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel(x_name, loc="right", color=_QUIET)
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    if above:
        axes.legend(
            frameon=False, fontsize=9, labelcolor=_INK, handlelength=2.4, borderaxespad=0,
            loc="lower left", bbox_to_anchor=(0, 1), labelspacing=_LINE / 9 - 1,
        )  # fmt: skip
    return _chart(figure, title, "; ".join(_in_words(curve, percent) for curve, _ in kept))


def interval_chart(dots: Sequence[Dot], *, title: str) -> Chart | None:
    """Draws values from 0 to 100 %, one below the other, with intervals and a mark for chance."""
    if not dots:
        return None
    figure, axes = _figure(_WIDTH, 44 * len(dots) + 34, (16, 24, 24, 4))
    for number, dot in enumerate(dots):
        y, (colour, _) = -number, _look(number)
        axes.plot([dot.low, dot.high], [y, y], color=colour, linewidth=3, alpha=0.55)
        _dots(axes, np.array([dot.value]), np.array([y]), colour, 9)
        axes.text(0, y + 0.3, dot.name, color=_INK, fontsize=10)
        if dot.chance is not None:
            axes.plot(
                [dot.chance] * 2, [y - 0.2, y + 0.2], color=_INK, linewidth=1.4, ls=(0, (3, 2))
            )
    axes.set_xlim(0, 1)
    axes.set_ylim(-len(dots) + 0.65, 0.65)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0, " %"))
    axes.set_yticks([])
    axes.grid(axis="x", color=_RULE, linewidth=0.8)
    return _chart(figure, title, "; ".join(_dot_in_words(dot) for dot in dots))


def histogram(value_V: np.ndarray, *, title: str, x_name: str, shares: bool = True) -> Chart | None:
    """Draws how many videos have which value; returns None for no values.

    ``shares``: they are 0 to 100 %; otherwise numbers from 0 on, of which the highest 2 % may stand
    beyond the axis.
    """
    value_V = value_V[np.isfinite(value_V)]
    if not len(value_V):
        return None
    top = 1.0 if shares else max(float(np.percentile(value_V, 98)), 0.1)
    figure, axes = _figure(_WIDTH, 150, (40, 36, 26, 10))
    counts, edges = np.histogram(value_V.clip(0, top), bins=20, range=(0, top))
    axes.bar(edges[:-1], counts, 0.046 * top, align="edge", color=_COLOURS["accent"], alpha=0.85)
    axes.set_xlim(0, top)
    if shares:
        axes.xaxis.set_major_formatter(PercentFormatter(1, 0, " %"))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True, prune="lower"))
    axes.set_xlabel(x_name, loc="right", color=_QUIET)
    axes.set_ylabel("videos", loc="top", color=_QUIET)
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    middle = float(np.median(value_V))
    text = f"{len(value_V):,} videos; the middle one: "
    text += f"{100 * middle:.0f} %" if shares else f"{middle:.2g}"
    return _chart(figure, title, text)


def timeline(
    share_T: np.ndarray, cuts: Sequence[int], shown: tuple[int, int], seconds: float
) -> Chart:
    """Draws how much of the frame is motion area over the time of a video.

    Args:
        share_T: 0..1, for each frame.
        cuts: frames that begin a new shot.
        shown: first frame of the clip on the page, and the one after its last.
    """
    figure, axes = _figure(_WIDTH, 54, (0, 18, 0, 2))
    frames = max(len(share_T), 1)
    edges = np.linspace(0, frames, min(frames, 110) + 1).round().astype(int)
    segments = itertools.pairwise(edges)
    mean_S = [float(share_T[a:b].mean()) if len(share_T) else 0.0 for a, b in segments]
    axes.axvspan(*shown, color=_INK, alpha=0.1, linewidth=0)
    axes.fill_between(edges, [*mean_S, mean_S[-1]], step="post", color=_COLOURS["accent"], lw=0)
    for cut in cuts:
        axes.axvline(cut, color=_INK, linewidth=1.2)
    axes.axhline(0, color=_QUIET, linewidth=0.8)
    axes.set_xlim(0, frames)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_xticks([0, frames], ["0 s", f"{seconds:.1f} s"])
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    moving = 100 * float((share_T > 0).mean()) if len(share_T) else 0.0
    mean = 100 * float(share_T[share_T > 0].mean()) if (share_T > 0).any() else 0.0
    text = (
        f"motion in {moving:.0f} % of {len(share_T)} frames, the area takes {mean:.0f} % of the "
        f"frame on average there; {len(cuts)} cut{'' if len(cuts) == 1 else 's'}"
    )
    return _chart(figure, "Timeline", text, "timeline")


def _figure(width: int, height: int, margins: tuple[int, int, int, int]) -> tuple[Figure, Axes]:
    """A drawing of so many pixels with margins left, below, right, above."""
    left, below, right, above = margins
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    axes = figure.add_axes(
        (
            left / width,
            below / height,
            (width - left - right) / width,
            (height - below - above) / height,
        )
    )
    axes.tick_params(length=0, labelcolor=_QUIET, labelsize=10)
    axes.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def _look(number: int) -> tuple[str, object]:
    return _COLOURS[SERIES[number % len(SERIES)]], _DASHES[number % len(SERIES)]


def _dots(axes: Axes, x_P: np.ndarray, y_P: np.ndarray, colour: str, size: float = 6.0) -> None:
    # Lines of no length with round ends: markers would need ids that repeat on the page.
    for x, y in zip(x_P, y_P, strict=True):
        axes.plot([x, x], [y, y], color=colour, linewidth=size, solid_capstyle="round")


def _chart(figure: Figure, title: str, text: str, kind: str = "chart") -> Chart:
    """The SVG without ids and with the style sheet's colours."""
    figure.patch.set_visible(False)
    for artist in figure.findobj(lambda each: each.get_clip_on()):
        artist.set_clip_on(False)
    buffer = io.StringIO()
    for label in figure.findobj(Text):
        label.set_parse_math(False)  # names are no formulas
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    content = buffer.getvalue()
    content = content[content.index("<svg") :].partition(">")[2]
    for unwanted in _UNWANTED:
        content = unwanted.sub("", content)
    content = re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.4g}", content)
    for colour, style in _STYLES.items():
        content = content.replace(colour, style)
    width, height = figure.get_size_inches() * 72
    head = Markup('<svg class="{}" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">').format(
        kind, width, height, f"{title}. {text}"
    )
    return Chart(head + Markup(content), text)


def _finite(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    x_P, y_P = np.asarray(curve.x_P, float), np.asarray(curve.y_P, float)
    kept_P = np.isfinite(x_P) & np.isfinite(y_P)
    return x_P[kept_P], y_P[kept_P]


def _in_words(curve: Curve, percent: bool) -> str:
    _, y_P = _finite(curve)
    first, last = (f"{100 * v:.1f} %" if percent else f"{v:.4g}" for v in (y_P[0], y_P[-1]))
    return f"{curve.name}: from {first} to {last}" if len(y_P) > 1 else f"{curve.name}: {last}"


def _dot_in_words(dot: Dot) -> str:
    chance = "" if dot.chance is None else f", by chance {100 * dot.chance:.1f} %"
    interval = f"between {100 * dot.low:.1f} and {100 * dot.high:.1f} %"
    return f"{dot.name}: {100 * dot.value:.1f} %, {interval}{chance}"
