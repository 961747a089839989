"""Which videos to see more often: as their scores say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mofo.curation.score_table import read_scores
from mofo.datasets.video import Video
from mofo.registry import unknown
from mofo.types import SettingsError

_LEAST = 0.05  # of the largest value: nothing is never seen


def preferred_shares(videos: Sequence[Video], prefer: str) -> np.ndarray:
    """How often each video should be seen, float64 (V,), with sum 1: in proportion to a column.

    Args:
        videos: in the order of the data set; a segment has the value of its own row, else that of
            the whole video.
        prefer: ``FILE:COLUMN`` of a table of scores; ``FILE`` alone: ``moving``. Videos that are
            not in it count as the middle one.

    Raises:
        SettingsError: there is no such column of numbers, or the table has none of the videos.
        MofoError: the table cannot be read.
    """
    path, _, column = prefer.partition(".parquet")
    table = read_scores(f"{path}.parquet").filter(pc.field("per") == "video")
    name = column.removeprefix(":") or "moving"
    numbers = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    if name not in numbers:
        raise SettingsError(f"data.prefer: {unknown('column of numbers', name, numbers)}")
    columns = (table[key].to_pylist() for key in ("path", "listed_start", "listed_end", name))
    values = {(path, start, end): value for path, start, end, value in zip(*columns, strict=True)}
    found = [
        values.get((v.path, v.start, v.end), values.get((v.path, None, None), np.nan))
        for v in videos
    ]
    value_V = np.array(found, float)
    if np.isnan(value_V).all():
        raise SettingsError(f"data.prefer: {path}.parquet has none of these videos: score them")
    value_V[np.isnan(value_V)] = np.nanmedian(value_V)
    value_V = np.maximum(value_V, max(_LEAST * value_V.max(), 1e-6))
    share_V: np.ndarray = value_V / value_V.sum()
    return share_V
