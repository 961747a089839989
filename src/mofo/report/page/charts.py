"""Charts as inline SVG: curves over steps, and values with their intervals.

Colours come from the page's style sheet, so that a chart fits a light page, a dark one and paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from mofo.report.page.scales import SERIES, Chart, Scale, drawing

_WIDTH, _HEIGHT = 440, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 20, 12, 40
_POINTS = 160  # of a curve: more are averaged


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a chart.

    Attributes:
        name: for the legend.
        x_P, y_P: where y is no number the line is broken.
        dots: mark each point.
        look: colour and dashes, 0 to 5.
    """

    name: str
    x_P: np.ndarray
    y_P: np.ndarray
    dots: bool = False
    look: int = 0


def line_chart(
    curves: Sequence[Curve],
    *,
    title: str,
    y_name: str,
    x_name: str = "step",
    log: bool = False,
    zero: bool = False,
    percent: bool = False,
) -> Chart | None:
    """Curves over a common axis; None if no curve has a point.

    Args:
        curves: drawn in this order; long ones are averaged over equal stretches, with the range of
            each stretch as a band behind the line.
        title: of the drawing, for screen readers.
        y_name, x_name: of the axes.
        log: logarithmic y axis, if all values are above 0.
        zero: let the y axis begin at 0.
        percent: values are shares, to be written in percent.
    """
    thinned = [_Thinned.of(curve) for curve in curves]
    drawn = [(curve, thin) for curve, thin in zip(curves, thinned, strict=True) if len(thin.x_P)]
    if not drawn:
        return None
    x_scale = Scale.of(
        np.concatenate([t.x_P for _, t in drawn]), _LEFT, _WIDTH - _RIGHT, 6, rounded=False
    )
    every = np.concatenate([value for _, t in drawn for value in (t.y_P, t.low_P, t.high_P)])
    every = every[np.isfinite(every)]
    log = log and float(every.min()) > 0
    if zero and not log:
        every = np.append(every, 0.0)
    y_scale = Scale.of(every, _HEIGHT - _BOTTOM, _TOP, 5, log=log, percent=percent)
    parts = [_grid(x_scale, y_scale, x_name, y_name)]
    for curve, thin in drawn:
        parts.append(_band(thin, x_scale, y_scale, curve.look))
        parts.append(_path(thin, x_scale, y_scale, curve.look))
        if curve.dots or len(thin.x_P) == 1:
            parts.append(_dots(thin, x_scale, y_scale, curve.look))
    text = "; ".join(_told(curve, percent) for curve, _ in drawn)
    legend = tuple((curve.look, curve.name) for curve, _ in drawn) if len(drawn) > 1 else ()
    return Chart(drawing(Markup("").join(parts), _WIDTH, _HEIGHT, title, text), text, legend)


@dataclass(frozen=True)
class Dot:
    """A value with its interval; all in 0..1."""

    name: str
    value: float
    low: float
    high: float
    chance: float | None = None
    look: int = 0


def interval_chart(dots: Sequence[Dot], *, title: str) -> Chart | None:
    """Values from 0 to 100 %, one below the other, with intervals and a mark for chance."""
    if not dots:
        return None
    row, left, width = 46, 4, _WIDTH
    height = row * len(dots) + 30
    scale = Scale(0.0, 1.0, left, width - 20, tuple((v / 5, f"{20 * v} %") for v in range(6)))
    parts = []
    for value, label in scale.ticks:
        x = scale(value)
        parts.append(
            Markup('<line class="grid" x1="{0}" x2="{0}" y1="4" y2="{1}"/>').format(x, height - 26)
        )
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                x, height - 8, "start" if value == 0 else "middle", label
            )
        )
    for number, dot in enumerate(dots):
        y = 32 + row * number
        parts.append(
            Markup('<text class="name" x="{}" y="{}">{}</text>').format(left + 4, y - 14, dot.name)
        )
        if dot.chance is not None:
            x = scale(dot.chance)
            parts.append(
                Markup('<line class="chance" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
                    x, y - 9, y + 9
                )
            )
        parts.append(
            Markup('<line class="whisker s{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                dot.look, scale(dot.low), scale(dot.high), y, y
            )
        )
        parts.append(
            Markup('<circle class="dot s{}" cx="{}" cy="{}" r="5.5"/>').format(
                dot.look, scale(dot.value), y
            )
        )
    text = "; ".join(
        f"{dot.name}: {100 * dot.value:.1f} %, between {100 * dot.low:.1f} and "
        f"{100 * dot.high:.1f} %"
        + (f", by chance {100 * dot.chance:.1f} %" if dot.chance is not None else "")
        for dot in dots
    )
    return Chart(drawing(Markup("").join(parts), width, height, title, text), text)


@dataclass(frozen=True, eq=False)
class _Thinned:
    x_P: np.ndarray
    y_P: np.ndarray
    low_P: np.ndarray
    high_P: np.ndarray

    @classmethod
    def of(cls, curve: Curve) -> _Thinned:
        x_P, y_P = np.asarray(curve.x_P, float), np.asarray(curve.y_P, float)
        kept_P = np.isfinite(x_P) & np.isfinite(y_P)
        x_P, y_P = x_P[kept_P], y_P[kept_P]
        if len(x_P) <= _POINTS:
            return cls(x_P, y_P, y_P, y_P)
        edges = np.linspace(0, len(x_P), _POINTS + 1).astype(int)[:-1]
        count_P = np.diff([*edges, len(x_P)])
        return cls(
            np.add.reduceat(x_P, edges) / count_P,
            np.add.reduceat(y_P, edges) / count_P,
            np.minimum.reduceat(y_P, edges),
            np.maximum.reduceat(y_P, edges),
        )


def _grid(x_scale: Scale, y_scale: Scale, x_name: str, y_name: str) -> Markup:
    parts = []
    for value, label in y_scale.ticks:
        y = y_scale(value)
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                _LEFT, _WIDTH - _RIGHT, y, y
            )
        )
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
                _LEFT - 8, y + 4, label
            )
        )
    foot = _HEIGHT - _BOTTOM
    parts += [
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            x_scale(value), foot + 18, label
        )
        for value, label in x_scale.ticks
    ]
    parts.append(
        Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            _LEFT, _WIDTH - _RIGHT, foot, foot
        )
    )
    parts.append(
        Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
            _WIDTH - _RIGHT, _HEIGHT - 4, x_name
        )
    )
    parts.append(
        Markup('<text class="tick" x="{}" y="{}">{}</text>').format(4, _HEIGHT - 4, "↑ " + y_name)
    )
    return Markup("").join(parts)


def _path(thin: _Thinned, x_scale: Scale, y_scale: Scale, look: int) -> Markup:
    points = " ".join(f"{x_scale(x)},{y_scale(y)}" for x, y in zip(thin.x_P, thin.y_P, strict=True))
    return Markup('<polyline class="line s{}" points="{}"/>').format(look % SERIES, points)


def _band(thin: _Thinned, x_scale: Scale, y_scale: Scale, look: int) -> Markup:
    if thin.low_P is thin.y_P:
        return Markup("")
    above = [f"{x_scale(x)},{y_scale(y)}" for x, y in zip(thin.x_P, thin.high_P, strict=True)]
    below = [f"{x_scale(x)},{y_scale(y)}" for x, y in zip(thin.x_P, thin.low_P, strict=True)]
    return Markup('<polygon class="band s{}" points="{}"/>').format(
        look % SERIES, " ".join([*above, *reversed(below)])
    )


def _dots(thin: _Thinned, x_scale: Scale, y_scale: Scale, look: int) -> Markup:
    return Markup("").join(
        Markup('<circle class="dot s{}" cx="{}" cy="{}" r="4"/>').format(
            look % SERIES, x_scale(x), y_scale(y)
        )
        for x, y in zip(thin.x_P, thin.y_P, strict=True)
    )


def _told(curve: Curve, percent: bool) -> str:
    y_P = np.asarray(curve.y_P, float)
    y_P = y_P[np.isfinite(y_P)]
    first, last = (f"{100 * v:.1f} %" if percent else f"{v:.4g}" for v in (y_P[0], y_P[-1]))
    return f"{curve.name}: from {first} to {last}" if len(y_P) > 1 else f"{curve.name}: {last}"
