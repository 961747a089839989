"""Results as pictures: in a notebook by themselves, and areas in a window, too.

mofo.show("clip.mp4")                 # detects, and shows moments of it
area.show("clip.mp4")                 # the same in a window
area.plot()                           # axes of matplotlib
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mofo.evaluation.predict import Prediction
from mofo.evaluation.results import Results
from mofo.motion.detect import detect
from mofo.motion.store import AreaStore
from mofo.report.figures.marks import draw_area
from mofo.report.figures.overlays import area_share, contact_sheet, fit_size, frame_rate
from mofo.report.page.charts import Dot, histogram, interval_chart, timeline
from mofo.report.wording import counted, measure_name, percent
from mofo.types import Displayed, MotionArea
from mofo.video.inputs import VideoInput, file_input

# Charts name their colours as the report page does; a notebook may be light or dark.
_STYLE = (
    "--accent:#c8670f;--ink:currentColor;--quiet:#8a8f96;--rule:#8a8f9655;--s1:#4c8fc4;"
    "--s2:#80868d;max-width:40rem"
)
_MOMENTS = 6  # fields that are shown where there is no video


class Shown:
    """HTML that a notebook displays."""

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<shown in a notebook: {len(self.html):,} letters of HTML>"


def show(
    thing: VideoInput | MotionArea | Displayed,
    video: VideoInput | None = None,
    *,
    fps: float | None = None,
) -> Shown:
    """Returns a picture of a video, its area, a store, results or a prediction, for a notebook.

    Args:
        thing: a video, as ``mofo.detect`` takes it: it is detected first; or what ``mofo.detect``,
            ``mofo.AreaStore.open``, ``mofo.evaluate`` or ``predict`` gave.
        video: that of a motion area, to show frames of it.
        fps: frames a second of frames in memory; None: a decoder's own, or 25.

    Raises:
        SettingsError: anything else.
        VideoError: the video cannot be read.
    """
    if isinstance(thing, Displayed):
        return Shown(html(thing, video, fps))
    with file_input(thing, fps) as path:
        return Shown(html(detect(path), path))


def html(thing: Displayed, video: VideoInput | None = None, fps: float | None = None) -> str:
    """What a notebook shows of a result; see ``show``."""
    content = (
        _area(thing, video, fps) if isinstance(thing, MotionArea) else _HTML[type(thing)](thing)
    )
    return f'<div style="{_STYLE}">{content}</div>'


def plot_area(area: MotionArea, axes: Any = None) -> Any:
    """See ``MotionArea.plot``."""
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(figsize=(8, 2), layout="constrained")[1]
    axes.fill_between(area.time_T, 100 * area_share(area), step="mid", alpha=0.4, label="box")
    if area.field_Tyx is not None:
        share_T = 100 * area.field_Tyx.mean((1, 2)) / 255
        axes.plot(area.time_T, share_T, label="motion field")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    for cut in area.cuts:
        axes.axvline(area.time_T[cut], color="grey", linestyle=":")
    axes.set(xlabel="seconds", ylabel="% of the frame", ylim=(0, None))
    axes.set_title("What moves", loc="left")
    return axes


def show_area(area: MotionArea, video: VideoInput | None = None) -> Any:
    """See ``MotionArea.show``."""
    from matplotlib import pyplot

    picture_HW3 = _moments(area, video, None)
    tall = 2 + (0 if picture_HW3 is None else 8 * picture_HW3.shape[0] / picture_HW3.shape[1])
    figure, axes_R = pyplot.subplots(
        2, 1, figsize=(8, tall), layout="constrained", height_ratios=[max(tall - 2, 0.01), 2]
    )
    axes_R[0].axis("off")
    if picture_HW3 is not None:
        axes_R[0].imshow(picture_HW3)
    plot_area(area, axes_R[1])
    pyplot.show()
    return figure


def _moments(area: MotionArea, video: VideoInput | None, fps: float | None) -> np.ndarray | None:
    """Moments of the video, or of the field alone, as one RGB picture; None if there are none."""
    if video is not None:
        with file_input(video, fps) as path:
            return contact_sheet(path, area)
    if area.field_Tyx is None or not len(area):
        return None
    row_M = np.unique(np.linspace(0, len(area) - 1, _MOMENTS).astype(int))
    size = fit_size(area, 110)
    dark_HW3 = np.full((size[1], size[0], 3), 40, np.uint8)
    tiles = [draw_area(dark_HW3, area, t) for t in row_M.tolist()]
    between_HW3 = np.full((size[1], 4, 3), 255, np.uint8)
    return np.hstack([part for tile in tiles for part in (tile, between_HW3)][:-1])


def _area(area: MotionArea, video: VideoInput | None, fps: float | None) -> str:
    if not len(area):
        return f"<p>{escape(repr(area))}</p>"
    share_T = area_share(area)
    chart = timeline(share_T, area.cuts, (0, 0), len(area) / frame_rate(area))
    text = f"{area.width}x{area.height}, optical flow {area.flow or 'unknown'}: {chart.text}"
    picture = ""
    picture_HW3 = _moments(area, video, fps)
    if picture_HW3 is not None:
        bgr_HW3 = cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2BGR)
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


_HTML: dict[type[Displayed], Callable[[Any], str]] = {
    AreaStore: _store,
    Results: _results,
    Prediction: _prediction,
}
