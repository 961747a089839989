"""Detection of listed segments: of long files only what a list names, and a little around it.

An area still has a row for each frame of its file; where nothing was looked at nothing moves, and
its ``spans`` say what was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from mofo.datasets.video import Video
from mofo.motion.presets import NO_MOVERS, DetectSettings
from mofo.types import MotionArea
from mofo.video.clip import Segment
from mofo.video.index import index_frames

Spans = tuple[tuple[float, float], ...]
"""Segments of a file in seconds since its first frame, apart and ascending; none: all of it."""

MARGIN = 2.0
"""Seconds around a listed segment that are looked at, too."""
_SLACK = 1e-3  # seconds: times are rounded


def wanted_spans(rows: Iterable[Video], margin: float) -> Spans:
    """What rows of one file want to be looked at; one without a begin and an end wants all."""
    spans: list[tuple[float, float]] = []
    for row in rows:
        if row.end is None:
            return ()
        spans.append((max(0.0, (row.start or 0.0) - margin), row.end + margin))
    return joined(spans)


def joined(spans: Iterable[tuple[float, float]]) -> Spans:
    """Spans that touch become one; seconds are rounded to hundredths."""
    merged: list[list[float]] = []
    for start, end in sorted((round(start, 2), round(end, 2)) for start, end in spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return tuple((start, end) for start, end in merged)


def frames_seen(area: MotionArea) -> int:
    """How many frames of an area were looked at."""
    if not area.spans:
        return len(area)
    seconds_T = area.time_T - area.time_T[0] + _SLACK
    seen_T = np.any([(start <= seconds_T) & (seconds_T < end) for start, end in area.spans], 0)
    return int((seen_T | area.valid_T).sum())


def covers(have: Spans, want: Spans) -> bool:
    """Whether everything that is wanted was looked at."""
    if not have or not want:
        return not have
    return all(any(a <= start and end <= b for a, b in have) for start, end in want)


def analyse_listed(
    path: str, settings: DetectSettings, spans: Spans, progress: Callable[[int], None] | None = None
) -> tuple[MotionArea, int]:
    """The motion area of a file of which only some spans are looked at, and how many frames these
    have.

    Raises:
        VideoError: the file cannot be read.
    """
    from mofo.motion.analyse import analyse  # as late as the worker does

    index = index_frames(path)
    parts: list[tuple[int, MotionArea]] = []
    for start, end in spans:
        first, stop = index.segment(start, end)
        if first < stop:
            reader = partial(
                Segment, index=index, start=first, stop=stop, on_frame=lambda number, frame: None
            )
            parts.append((first, analyse(path, settings, progress=progress, reader=reader)))
    seen = sum(len(area) for _, area in parts)
    if not parts or seen >= len(index):
        area = parts[0][1] if len(parts) == 1 else analyse(path, settings, progress=progress)
        return area, len(area)
    return _spread(len(index), index.seconds_T, parts, spans), seen


def _spread(
    frames: int, seconds_T: np.ndarray, parts: list[tuple[int, MotionArea]], spans: Spans
) -> MotionArea:
    one = parts[0][1]
    box_T4, valid_T = np.zeros((frames, 4), np.float32), np.zeros(frames, bool)
    movers: list[np.ndarray] = [np.array(NO_MOVERS, np.float32)] * frames
    fields = [area.field_Tyx for _, area in parts if area.field_Tyx is not None]
    field_Tyx = None
    if len(fields) == len(parts):
        field_Tyx = np.zeros((frames, *fields[0].shape[1:]), np.uint8)
    cuts: set[int] = set()
    for first, area in parts:
        rows = slice(first, first + len(area))
        box_T4[rows], valid_T[rows], movers[rows] = area.box_T4, area.valid_T, area.movers
        if field_Tyx is not None and area.field_Tyx is not None:
            field_Tyx[rows] = area.field_Tyx
        # What comes before and after is of no known shot.
        cuts |= {first, first + len(area), *(first + cut for cut in area.cuts)}
    return MotionArea(
        width=one.width,
        height=one.height,
        frame_T=np.arange(frames),
        time_T=np.asarray(seconds_T, np.float64),
        box_T4=box_T4,
        valid_T=valid_T,
        movers=tuple(movers),
        cuts=tuple(sorted(cuts - {0, frames})),
        flow=one.flow,
        warnings=tuple(dict.fromkeys(text for _, area in parts for text in area.warnings)),
        field_Tyx=field_Tyx,
        spans=spans,
    )
