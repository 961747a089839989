"""The section on motion: playing clips with their motion areas, and all videos as histograms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mofo.datasets.video import why_unusable
from mofo.report.figures.films import moments
from mofo.report.figures.layout import beside
from mofo.report.figures.marks import draw_area, draw_heat
from mofo.report.figures.overlays import area_share, fit_size, frame_rate, video_frames
from mofo.report.page.charts import Chart, histogram, timeline
from mofo.report.page.folders import AreaFolder, Contents
from mofo.report.page.media import Clip, ClipMaker
from mofo.report.wording import percent
from mofo.types import MofoError, MotionArea, StoreError
from mofo.video.inputs import VideoPath
from mofo.video.reader import VideoReader

_SECONDS, _SEARCHED = 6.0, 40.0  # of a clip; of a video that is searched for the best segment
_HEIGHT, _PORTRAIT, _GAP = 240, 320, 4  # pixels: landscape, portrait, between pictures
_MAX_FPS = 16.0  # on the page
_GREY = (128, 128, 128)
_MAX_READ = 1000  # videos whose areas are read for a histogram
_PARTS = ("frame and motion area", "motion field")


@dataclass(frozen=True)
class ShownArea:
    """One video.

    Attributes:
        clip: frame with motion area, and the motion field beside it; None: see ``note``.
        parts: what the clip shows from left to right, where that is several pictures.
        note: what is missing, and why; may be empty.
    """

    name: str
    clip: Clip | None
    parts: tuple[str, ...]
    chart: Chart
    text: str
    note: str


def motion_section(contents: Contents, maker: ClipMaker, clips: int) -> dict[str, Any] | None:
    """Returns what the template needs; None if there is no store with videos."""
    stores = [each for each in contents.areas if len(each.store)]
    if not stores:
        return None
    shown, charts = [], []
    for each in stores:
        try:
            keys = _spread(each, max(1, clips // len(stores))) if clips else []
            shown += [_shown(each, key, maker) for key in keys]
        except StoreError as error:
            contents.problems.append(str(error))
    try:
        charts = _histograms(stores)
    except StoreError as error:
        contents.problems.append(str(error))
    total = sum(len(each.store) for each in stores)
    return {"shown": shown, "charts": charts, "total": total}


def _histograms(stores: list[AreaFolder]) -> list[tuple[str, Chart]]:
    """Of all videos, or of many spread evenly: frames with motion, and size of the area."""
    moving, sizes = [], []
    for each in stores:
        moving += each.store.videos()["moving"].to_pylist()
        keys = each.store.videos()["video"].to_pylist()
        for row in moments(len(keys), _MAX_READ // len(stores)):
            share_T = area_share(each.store[keys[row]])
            if share_T.any():
                sizes.append(float(share_T[share_T > 0].mean()))
    charts = [
        ("How much of the time something moves", histogram(
            np.array(moving, float), title="Frames with motion, by video",
            x_name="frames with motion")),
        ("How much of the frame the motion area takes", histogram(
            np.array(sizes, float), title="Size of the motion area, by video",
            x_name="of the frame, where something moves")),
    ]  # fmt: skip
    return [(title, chart) for title, chart in charts if chart is not None]


def _spread(each: AreaFolder, count: int) -> list[str]:
    """Keys of videos spread evenly over the store; those whose file is there go first."""
    rows = each.store.videos().select(["video", "path"]).to_pylist()
    if len(rows) <= 2000:  # asking the disk for many more takes its time
        rows = [row for row in rows if why_unusable(row["path"]) is None] or rows
    return [rows[k]["video"] for k in moments(len(rows), count)]


def _shown(each: AreaFolder, key: str, maker: ClipMaker) -> ShownArea:
    area = each.store[key]
    videos = each.store.videos()
    path = str(videos["path"][videos["video"].to_pylist().index(key)].as_py())
    segment = best_segment(area)
    clip: Clip | None = None
    parts: tuple[str, ...] = ()
    note = ""
    try:
        clip, parts = area_clip(path, area, segment, maker)
    except MofoError as error:
        note = f"no clip: {error}"
        clip = _overlay(each.folder, path, area, maker)
        if clip is not None:
            note = "the video itself is not there any more: this is the overlay beside the store"
    rate = frame_rate(area)
    if clip is not None and segment[1] - segment[0] < len(area):
        note += "; " if note else ""
        note += f"the clip shows the shaded {(segment[1] - segment[0]) / rate:.0f} s"
    chart = timeline(area_share(area), area.cuts, segment, len(area) / rate)
    return ShownArea(key, clip, parts, chart, _in_words(area), note)


def _in_words(area: MotionArea) -> str:
    if not len(area):
        return "no frames"
    share_T = area_share(area)
    text = f"motion in {percent(float(area.valid_T.mean()), 0)} of {len(area):,} frames"
    if area.valid_T.any():
        text += f", there {percent(float(share_T[area.valid_T].mean()), 0)} of the frame"
        movers = [len(boxes_K4) for boxes_K4 in area.movers if len(boxes_K4)]
        text += f", {np.mean(movers):.1f} movers at a time"
    return text + (f", {len(area.cuts) + 1} shots" if area.cuts else "")


def best_segment(area: MotionArea) -> tuple[int, int]:
    """First frame, and the one after the last, of the seconds with most motion near the start."""
    rate = frame_rate(area)
    length = max(1, round(_SECONDS * rate))
    searched = min(len(area), round(_SEARCHED * rate))
    if searched <= length:
        return 0, searched
    sums_T = np.cumsum([0, *area.valid_T[:searched]])
    first = int((sums_T[length:] - sums_T[:-length]).argmax())
    return first, first + length


def area_clip(
    path: VideoPath, area: MotionArea, segment: tuple[int, int], maker: ClipMaker
) -> tuple[Clip | None, tuple[str, ...]]:
    """Makes a clip of a segment of a video with its motion area and, beside it, its motion field.

    Returns:
        The clip, and what it shows from left to right where it is several pictures.
    """
    rate = frame_rate(area)
    every = max(1, round(rate / _MAX_FPS))
    share_T = area_share(area)[slice(*segment)]
    # A frame with as much motion as most stands for the clip while it does not play.
    usual = float(np.median(share_T[share_T > 0])) if share_T.any() else 0.0
    poster_at = int(np.abs(share_T - usual).argmin()) / max(len(share_T), 1)
    size = fit_size(area, _PORTRAIT if area.height > area.width else _HEIGHT)
    frames = (
        beside(_pictures(frame_HW3, area, t), _GAP, _GREY)
        for t, frame_HW3 in video_frames(path, size, range(*segment, every))
    )
    return maker.clip(frames, rate / every, poster_at), () if area.field_Tyx is None else _PARTS


def _pictures(frame_HW3: np.ndarray, area: MotionArea, t: int) -> list[np.ndarray]:
    """The frame with boxes and, beside it, the field."""
    boxes_HW3 = draw_area(frame_HW3, replace(area, field_Tyx=None), t)
    if area.field_Tyx is None:
        return [boxes_HW3]
    return [boxes_HW3, draw_heat(frame_HW3, area.field_Tyx[t] / 255)]


def _overlay(folder: Path, path: str, area: MotionArea, maker: ClipMaker) -> Clip | None:
    """The segment out of the overlay that `mofo detect --overlay` has made."""
    file = folder / "overlays" / f"{Path(path).stem}.mp4"
    rate = frame_rate(area)
    every = max(1, round(rate / _MAX_FPS))
    try:
        with VideoReader(file, colour=None) as probe:
            scale = min(1.0, _PORTRAIT / probe.info.height)
            width, height = (max(2, 2 * round(side * scale / 2)) for side in probe.size)
        segment = range(*best_segment(area), every)
        frames = (picture_HW3 for _, picture_HW3 in video_frames(file, (width, height), segment))
        return maker.clip(frames, rate / every)
    except MofoError:
        return None
