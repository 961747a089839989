"""What charts are made of: a scale with ticks at round numbers, and the drawing around them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import LogLocator, MaxNLocator

SERIES = 6  # looks of lines and dots that the style sheet knows


@dataclass(frozen=True, eq=False)
class Chart:
    """A drawn chart.

    Attributes:
        svg: the drawing.
        text: the same in words, for those who do not see it.
        legend: ``(look, name)`` of what is drawn, if it is several.
    """

    svg: Markup
    text: str
    legend: tuple[tuple[int, str], ...] = field(default=())


@dataclass(frozen=True)
class Scale:
    """From values to places in the drawing."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        start: float,
        end: float,
        count: int,
        *,
        log: bool = False,
        percent: bool = False,
        rounded: bool = True,
    ) -> Scale:
        """The scale of all these values.

        Args:
            values: finite, at least one.
            start, end: places of the least and the greatest.
            count: about so many ticks.
            log: logarithmic; all values are above 0.
            percent: ticks are shares, told in percent.
            rounded: begin and end at a tick.
        """
        low, high = float(values.min()), float(values.max())
        if low == high:
            pad = abs(low) * 0.1 or 1.0
            low, high = low - (0 if log else pad), high + pad
        if log:
            places = [v for v in LogLocator(10, (1, 2, 5)).tick_values(low, high) if v > 0]
            inside = [v for v in places if low <= v <= high]
            if len(inside) > count + 1:
                inside = [v for v in inside if math.isclose(math.log10(v) % 1, 0, abs_tol=1e-9)]
        else:
            around = [float(v) for v in MaxNLocator(count).tick_values(low, high)]
            low, high = (around[0], around[-1]) if rounded else (low, high)
            inside = [v for v in around if low <= v <= high]
        step = inside[1] - inside[0] if len(inside) > 1 and not log else 0.0
        return cls(low, high, start, end, tuple((v, _tick(v, step, percent)) for v in inside),
                   log)  # fmt: skip

    def __call__(self, value: float) -> float:
        """The place of a value."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def drawing(
    content: Markup, width: int, height: int, title: str, text: str, kind: str = "chart"
) -> Markup:
    """The SVG around a drawing; title and text are for those who do not see it."""
    return Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        kind, width, height, f"{title}. {text}", content
    )


def _tick(value: float, step: float, percent: bool) -> str:
    if percent:
        value, step = 100 * value, 100 * step
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    if abs(value) < step * 1e-6:
        text = "0"
    elif digits > 6:
        text = f"{value:.1e}"
    elif step > 0:
        # A step such as 2.5 needs one digit more than its size tells.
        exact = round(step * 10**digits, 6)
        text = f"{value:,.{digits + (exact != round(exact))}f}"
    else:
        text = f"{value:,g}"
    return text + (" %" if percent else "")
