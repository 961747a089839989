"""Motion areas as playing clips: frame with box, motion map, timeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mofo.datasets.video import why_unusable
from mofo.report.overlays import frame_rate
from mofo.report.page.gathered import FoundAreas, Gathered
from mofo.report.page.media import Clip, ClipMaker
from mofo.report.page.moving import area_clip, best_stretch, plain_clip
from mofo.report.page.scales import Chart
from mofo.report.page.sections.section import Section
from mofo.report.page.timeline import timeline
from mofo.report.page.words import percent
from mofo.types import MofoError, MotionArea

_NO_MAP = "imported boxes have no map"


@dataclass(frozen=True)
class ShownArea:
    """One video.

    Attributes:
        name: of the video.
        clip: frame and map beside each other; None: see ``note``.
        chart: its timeline.
        text: what was found, in a line.
        note: what is missing, and why; may be empty.
        has_map: whether the clip's right half is the map.
    """

    name: str
    clip: Clip | None
    chart: Chart
    text: str
    note: str
    has_map: bool


def areas(found: Gathered, maker: ClipMaker, most: int) -> Section | None:
    """The section; None if there is no store."""
    shown: list[ShownArea] = []
    several = [one for one in found.areas if len(one.store)]
    for one in several:
        share = max(1, most // len(several))
        keys = _spread(one, share)
        shown += [_shown(one, key, maker) for key in keys]
    if not shown:
        return None
    total = sum(len(one.store) for one in found.areas)
    more = f" {len(shown)} of {total:,} videos are shown." if len(shown) < total else ""
    return Section(
        "areas",
        "Motion areas",
        "Where the program sees things move: the orange box is the motion area of each frame, thin "
        "blue boxes are single movers, and the picture beside it glows where something moves "
        "otherwise than the camera." + more,
        {"shown": shown},
    )


def _spread(one: FoundAreas, count: int) -> list[str]:
    """Keys of videos spread evenly over the store; those whose file is there go first."""
    rows = one.store.videos().select(["video", "path"]).to_pylist()
    if len(rows) <= 2000:  # asking the disk for many more takes its time
        there = [row for row in rows if why_unusable(row["path"]) is None]
        rows = there or rows
    count = min(count, len(rows))
    return [rows[(2 * k + 1) * len(rows) // (2 * count)]["video"] for k in range(count)]


def _shown(one: FoundAreas, key: str, maker: ClipMaker) -> ShownArea:
    area = one.store[key]
    path = _path(one, key)
    stretch = best_stretch(area)
    clip, has_map, note = None, False, ""
    try:
        clip, has_map = area_clip(path, area, one.store.settings, stretch, maker)
        if clip is not None and not has_map:
            note = _NO_MAP
    except MofoError as error:
        note = f"no clip: {error}"
        clip = _overlay(one.folder, path, area, maker)
        if clip is not None:
            note = "the video itself is not there any more: this is the overlay beside the store"
    seconds = len(area) / frame_rate(area)
    if clip is not None and stretch[1] - stretch[0] < len(area):
        note = f"{note}; " if note else ""
        note += f"the clip shows the shaded {(stretch[1] - stretch[0]) / frame_rate(area):.0f} s"
    return ShownArea(
        name=key,
        clip=clip,
        chart=timeline(_shares(area), area.cuts, stretch, seconds),
        text=_told(area),
        note=note,
        has_map=has_map,
    )


def _path(one: FoundAreas, key: str) -> str:
    videos = one.store.videos()
    return str(videos["path"][videos["video"].to_pylist().index(key)].as_py())


def _overlay(folder: Path, path: str, area: MotionArea, maker: ClipMaker) -> Clip | None:
    """The stretch out of the overlay that `mofo detect --overlay` has made."""
    file = folder / "overlays" / f"{Path(path).stem}.mp4"
    if not file.is_file():
        return None
    try:
        return plain_clip(file, best_stretch(area), frame_rate(area), maker)
    except MofoError:
        return None


def _shares(area: MotionArea) -> np.ndarray:
    size_T2 = area.box_T4[:, 2:] - area.box_T4[:, :2]
    return np.where(area.valid_T, size_T2.prod(1) / (area.width * area.height), 0.0)


def _told(area: MotionArea) -> str:
    if not len(area):
        return "no frames"
    movers = [len(boxes_K4) for boxes_K4 in area.movers if len(boxes_K4)]
    text = f"motion in {percent(float(area.valid_T.mean()), 0)} of {len(area):,} frames"
    if movers:
        text += f", {np.mean(movers):.1f} movers at a time"
    if area.cuts:
        text += f", {len(area.cuts) + 1} shots"
    return text
