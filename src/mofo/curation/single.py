"""One video at a time: in memory, and as a step of other people's pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from mofo.curation.scores import Score, ScoreSettings, VideoScore, score_rows
from mofo.datasets.video import Video
from mofo.types import MofoError
from mofo.video.inputs import VideoInput, video_input

_BLANK: dict[str, Any] = {"str": "", "int": 0, "float": float("nan")}
# Every row has every column, so that tables of other libraries keep their types.
_NOTHING = {field.name: _BLANK[str(field.type)] for field in fields(Score)}


def score(
    source: VideoInput,
    *,
    flow: str = "codec",
    window: float = 2.0,
    short_side: int = 240,
    fps: float | None = None,
) -> VideoScore:
    """Scores one video: what moves by itself in it, and how the camera does.

        score = mofo.score("walk.mp4")
        score.moving, score.camera_kind
        score.to_dict()                     # numbers and texts by name
        [w.moving for w in score.windows]   # of every two seconds

    Args:
        source: a path; the bytes or an open binary file of a video; frames in memory, see
            ``video.inputs.Frames``.
        flow: backend of the optical flow. Frames in memory have no motion vectors: ``codec`` falls
            back to ``dis`` there.
        window: seconds of a window; 0: none.
        short_side: frames are scaled down (never up) to it for the analysis, pixels.
        fps: frames a second of frames in memory; None: a decoder's own, or 25.

    Raises:
        VideoError: the video cannot be used.
        SettingsError: an unknown flow, a number out of range, something else than a video.
    """
    settings = ScoreSettings(flow=flow, window=window, short_side=short_side)
    with video_input(source, fps) as video:
        name = str(getattr(video, "name", video))
        return score_rows((Video(name, name),), video, settings)[0]


def score_row(row: Mapping[str, Any], column: str = "path", **options: Any) -> dict[str, Any]:
    """Adds the columns of a ``Score`` to a row, or to a batch of rows.

    For ``ray.data.Dataset.map`` and ``map_batches``, ``map`` of Hugging Face datasets, Spark's
    ``rdd.map`` and whatever else calls a function with a row: it is pickled by its name. A video
    that cannot be used stops nothing: its column ``error`` says why, and its numbers are NaN or 0.

    Args:
        row: columns by name; where ``row[column]`` is a list or an array of objects, it is a batch
            of rows.
        column: what holds the video: whatever ``score`` takes.
        options: of ``score``.
    """
    videos = row[column]
    is_batch = isinstance(videos, list) or (
        isinstance(videos, np.ndarray) and videos.dtype.kind in "OSU"
    )
    results = [_scored(video, options) for video in (videos if is_batch else [videos])]
    if not is_batch:
        return {**row, **results[0]}
    columns = {name: [result[name] for result in results] for name in results[0]} if results else {}
    return {**row, **{name: np.array(values) for name, values in columns.items()}}


def _scored(video: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {**score(video, **options).to_dict(), "error": ""}
    except MofoError as error:
        return {**_NOTHING, "error": str(error)}
