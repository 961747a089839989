"""Search: which videos, and which moments in them, look most like one that is given.

    mofo embed --encoder runs/first videos/ --window 4 --out features.parquet
    matches = mofo.search("clip.mp4", "features.parquet")

Any Parquet file or folder of `mofo embed` can be searched; with windows a match is a moment.
"""

from __future__ import annotations

import contextlib
import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset

from mofo.datasets.video import Video, why_unusable
from mofo.evaluation.embed import CHECKPOINT, META, embed_videos
from mofo.system.files import first_line
from mofo.types import MofoError, SettingsError, VideoError


@dataclass(frozen=True)
class Match:
    """A video, or a moment of it, that looks like the query.

    Attributes:
        similarity: cosine of the features, 1 for the same ones.
        path: the file.
        start, end: of the moment, seconds; None: the file's own beginning and end.
        label: its label, if the features have one.
    """

    similarity: float
    path: str
    start: float | None = None
    end: float | None = None
    label: str | None = None

    def __str__(self) -> str:
        when = "" if self.end is None else f" {self.start or 0:.1f}-{self.end:.1f} s"
        label = f" ({self.label})" if self.label else ""
        return f"{self.similarity:6.3f}  {self.path}{when}{label}"


def search(
    query: str | Path,
    features: str | Path,
    *,
    encoder: str | Path | None = None,
    start: float | None = None,
    end: float | None = None,
    top: int = 10,
    per_video: int = 1,
) -> list[Match]:
    """The nearest videos and moments by the cosine of their features, nearest first.

    What is common to all features (their mean) is taken out before. The query itself is no match.

    Args:
        query: a video.
        features: Parquet file or folder of ``mofo embed``.
        encoder: model of the features; None: where it was when they were made.
        start, end: a segment of the query, seconds; its middle clip is looked for.
        top: matches.
        per_video: moments of one file at most.

    Raises:
        SettingsError: numbers under 1; a file of something else; another model.
        MofoError: the query or the model cannot be read.
    """
    if top < 1 or per_video < 1:
        raise SettingsError(f"top {top}, per_video {per_video}: expected 1 or more")
    reason = why_unusable(str(query))
    if reason is not None:
        raise VideoError(query, reason)
    table, about = _open(Path(features))
    video = Video(str(Path(query).absolute()), Path(query).name, start=start, end=end)
    query_D = _feature(video, encoder or about[CHECKPOINT], about, features)
    kept: dict[str, list[Match]] = {}  # by file, the best moments, ascending
    with _damage_named(features):
        mean_D = _mean(table)
        query_D = query_D - mean_D
        query_D /= max(float(np.linalg.norm(query_D)), 1e-12)
        for rows, feature_RD in _blocks(table):
            centred_RD = feature_RD - mean_D
            length_R = np.maximum(np.linalg.norm(centred_RD, axis=1), 1e-12)
            for row, similarity in zip(
                rows, (centred_RD @ query_D / length_R).tolist(), strict=True
            ):
                if _is_query(row, video):
                    continue
                best = kept.setdefault(row["path"], [])
                best.append(
                    Match(similarity, row["path"], row["start"], row["end"], row.get("label"))
                )
                best.sort(key=lambda match: match.similarity)
                del best[:-per_video]
    every = (match for matches in kept.values() for match in matches)
    return heapq.nlargest(top, every, key=lambda match: match.similarity)


@contextlib.contextmanager
def _damage_named(features: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        text = f"{features}: is damaged ({first_line(error)}): make it again with `mofo embed`"
        raise MofoError(text) from None


def _open(path: Path) -> tuple[pa.dataset.Dataset, dict[str, Any]]:
    if not path.exists():
        raise SettingsError(
            f"{path}: does not exist: `mofo embed --encoder MODEL VIDEOS --out {path}` makes it"
        )
    try:
        checked = pa.dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
        parquet = pa.dataset.ParquetFileFormat(default_fragment_scan_options=checked)
        table = pa.dataset.dataset(str(path), format=parquet)
        about = json.loads((table.schema.metadata or {})[META])
        pooled = len(about["shape"]) == 1
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        raise SettingsError(f"{path}: holds no features of `mofo embed` (.parquet)") from None
    if not pooled:
        raise SettingsError(
            f"{path}: holds tokens, not one feature a video: `mofo embed` with --pool mean"
        )
    return table, about


def _feature(
    video: Video, encoder: str | Path, about: dict[str, Any], features: str | Path
) -> np.ndarray:
    areas = "dis" if about["areas"] == "store" else about["areas"]
    names = ("layer", "pool", "clips", "sampling", "stride", "seconds", "fit")
    settings = {name: about[name] for name in names} | {"areas": areas}
    try:
        found = embed_videos(encoder, [video], **settings)
    except MofoError as error:
        if Path(video.path).name in str(error):
            raise
        raise SettingsError(
            f"{error}; name the model that {features} was made with: --encoder"
        ) from None
    if found.about["weights"] != about["weights"]:
        raise SettingsError(f"{features}: made by another model than {encoder}")
    feature_D: np.ndarray = found.feature[0].astype(np.float64)
    return feature_D


def _blocks(table: pa.dataset.Dataset) -> Iterator[tuple[list[dict[str, Any]], np.ndarray]]:
    names = [name for name in ("path", "start", "end", "label") if name in table.schema.names]
    for batch in table.to_batches(columns=[*names, "feature"]):
        if len(batch):
            rows = batch.select(names).to_pylist()
            flat_N = batch["feature"].flatten().to_numpy(zero_copy_only=False)
            yield rows, flat_N.reshape(len(rows), -1).astype(np.float64)


def _mean(table: pa.dataset.Dataset) -> np.ndarray:
    """Of all features; of a single one nothing is taken out."""
    count, sum_D = 0, np.zeros(1)
    for rows, feature_RD in _blocks(table):
        count, sum_D = count + len(rows), sum_D + feature_RD.sum(0)
    if not count:
        raise SettingsError("there are no features to search in")
    return sum_D / count if count > 1 else np.zeros_like(sum_D)


def _is_query(row: dict[str, Any], video: Video) -> bool:
    """Whether a row shows a part of the query."""
    if row["path"] != video.path:
        return False
    start, end = (row[name] for name in ("start", "end"))
    if video.start is None and video.end is None:
        return True
    before = end is not None and video.start is not None and end <= video.start
    after = start is not None and video.end is not None and start >= video.end
    return not (before or after)
