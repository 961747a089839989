"""Objects of this package in a notebook: a picture instead of a line of text.

    %load_ext mofo                        # areas, stores, results, predictions show themselves
    mofo.show(area, "clip.mp4")           # the same at once, with frames of the video

The objects themselves know nothing of pictures: IPython asks this module for them by type.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import cv2

from mofo.evaluation.predict import Prediction
from mofo.evaluation.results import Results
from mofo.motion.store import AreaStore
from mofo.report.figures.overlays import area_share, contact_sheet, frame_rate
from mofo.report.page.charts import Dot, histogram, interval_chart, timeline
from mofo.report.page.wording import counted, measure_name, percent
from mofo.types import MofoError, MotionArea

# Charts name their colours as the report page does; a notebook may be light or dark.
_STYLE = (
    "--accent:#c8670f;--ink:currentColor;--quiet:#8a8f96;--rule:#8a8f9655;--s1:#4c8fc4;"
    "--s2:#80868d;max-width:40rem"
)
_TYPES = {
    "mofo.types": "MotionArea",
    "mofo.motion.store": "AreaStore",
    "mofo.evaluation.results": "Results",
    "mofo.evaluation.predict": "Prediction",
}


class Shown:
    """HTML that a notebook displays.

    Attributes:
        html: a fragment that needs nothing else.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<shown in a notebook: {len(self.html):,} letters of HTML>"


def show(thing: Any, video: str | Path | None = None) -> Shown:
    """Returns a picture of an area, a store, results or a prediction, for a notebook.

    Args:
        thing: what ``mofo.detect``, ``mofo.AreaStore.open``, ``mofo.evaluate`` or ``predict`` gave.
        video: the file of a motion area, to show frames of it.

    Raises:
        MofoError: anything else.
        VideoError: the video cannot be read.
    """
    if isinstance(thing, MotionArea):
        return Shown(_framed(_area(thing, video)))
    for kind, html in _HTML.items():
        if isinstance(thing, kind):
            return Shown(_framed(html(thing)))
    known = ", ".join(_TYPES.values())
    raise MofoError(f"show: a {type(thing).__name__} has no picture; these have: {known}")


def load_ipython_extension(ipython: Any) -> None:
    """Lets IPython show objects of this package as pictures; what ``%load_ext mofo`` does."""
    formatter = ipython.display_formatter.formatters["text/html"]
    for module, name in _TYPES.items():
        formatter.for_type_by_name(module, name, lambda thing: show(thing).html)


def _framed(content: str) -> str:
    return f'<div style="{_STYLE}">{content}</div>'


def _area(area: MotionArea, video: str | Path | None) -> str:
    share_T = area_share(area)
    chart = timeline(share_T, area.cuts, (0, 0), len(area) / frame_rate(area))
    text = f"{area.width}x{area.height}, optical flow {area.flow or 'unknown'}: {chart.text}"
    picture = ""
    if video is not None:
        sheet_HW3 = contact_sheet(video, area)
        bgr_HW3 = cv2.cvtColor(sheet_HW3, cv2.COLOR_RGB2BGR)
        data = base64.b64encode(cv2.imencode(".png", bgr_HW3)[1].tobytes()).decode()
        picture = f'<img style="max-width:100%" alt="" src="data:image/png;base64,{data}">'
    return f"{picture}{chart.svg}<p>{escape(text)}</p>"


def _store(store: AreaStore) -> str:
    videos = store.videos()
    chart = histogram(
        videos["moving"].to_numpy().astype(float),
        title="Frames with motion, by video",
        x_name="frames with motion",
    )
    text = f"{counted(len(videos), 'video')}, {sum(videos['frames'].to_pylist()):,} frames"
    return f"<p><b>{escape(str(store.folder))}</b>: {text}</p>{chart.svg if chart else ''}"


def _results(results: Results) -> str:
    parts = []
    for head, result in results.heads.items():
        dots = [Dot(measure_name(name), *value) for name, value in result.measures.items()]
        chart = interval_chart(dots, title=head)
        text = f"{counted(result.count, 'video')}, {len(result.classes):,} classes"
        parts.append(f"<p><b>{escape(head)}</b>: {text}</p>{chart.svg if chart else ''}")
        parts += [f"<p>{escape(chart.text)}</p>"] if chart else []
    return "".join(parts)


def _prediction(prediction: Prediction) -> str:
    rows = "".join(
        f"<tr><td>{escape(head)}</td><td>{escape(score.name)}</td>"
        f"<td>{percent(score.probability)}</td></tr>"
        for head, scores in prediction.heads.items()
        for score in scores
    )
    name = escape(Path(prediction.path).name)
    return f"<p><b>{name}</b></p><table>{rows}</table>"


_HTML: dict[type, Callable[[Any], str]] = {
    AreaStore: _store,
    Results: _results,
    Prediction: _prediction,
}
