"""Embedding: features of videos as tables for other programs."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mofo.datasets.catalog import read_catalog
from mofo.datasets.video import Video
from mofo.evaluation.feature_settings import FeatureSettings, Work
from mofo.evaluation.features import Features, extract
from mofo.evaluation.measures import EvaluationError
from mofo.evaluation.predict import duration_of, window_spans
from mofo.evaluation.videos import read_split
from mofo.models.inference import Engine
from mofo.system.files import replaced, replaced_folder, temporary_folder
from mofo.training.frozen import open_encoder
from mofo.types import SettingsError, VideoError
from mofo.video.index import index_frames

_ABOUT = "_about.json"  # by the underscore readers of Parquet folders pass over it
META = b"mofo"
CHECKPOINT = "checkpoint"
"""Key in the metadata: where the model was."""
_OWN = ("path", "key", "start", "end", "split", "group", "feature", "inside")


@dataclass(frozen=True, eq=False)
class Embedding:
    """Features in memory.

    Attributes:
        videos: V of them, in the order of the catalog.
        feature: float32 (V, D), or float16 (V, N, D) of tokens.
        inside_VN: bool, tokens inside the motion area; no columns where features are pooled.
        failures: ``(path, reason)`` of the videos that cannot be read.
        about: everything that the features depend on.
    """

    videos: tuple[Video, ...]
    feature: np.ndarray
    inside_VN: np.ndarray
    failures: tuple[tuple[str, str], ...]
    about: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class EmbedReport:
    """What was written.

    Attributes:
        main: whether this is the process that speaks.
        path: file or folder.
        videos: rows in it.
        shape: of one feature.
        failures: ``(path, reason)`` of the videos that are left out.
    """

    main: bool
    path: Path
    videos: int
    shape: tuple[int, ...]
    failures: tuple[tuple[str, str], ...]


def embed(
    checkpoint: str | Path,
    sources: str | Path | Sequence[str | Path],
    *,
    split: str | None = None,
    window: float | None = None,
    hop: float | None = None,
    cache: str | Path | None = None,
    batch: int = 16,
    workers: int = 4,
    precision: str = "auto",
    progress: bool = False,
    **settings: Any,
) -> Embedding:
    """Features of videos, in memory.

    Args:
        checkpoint: of a pre-training or a fine-tuning, or a run.
        sources: videos, see ``read_catalog``.
        split: only videos of this split.
        window: a feature for each window of so many seconds, see ``windowed``; None: one a video.
        hop: seconds from one window to the next; None: half a window.
        cache: folder that keeps features for the next time.
        batch: clips at once.
        workers: processes that read videos; at most one a processor.
        precision: "fp32", "bf16", or "auto": bf16 on a GPU.
        progress: show a bar.
        settings: ``layer``, ``pool``, ``clips``, ``sampling``, ``stride``, ``areas``, see
            ``FeatureSettings``.

    Raises:
        CheckpointError, SettingsError, StoreError, MofoError: what is wrong, in one line.
        EvaluationError: no video of the split, or none that can be read.
    """
    work = Work(batch=batch, workers=workers, precision=precision, progress=progress)
    videos, problems = _listed(sources, split, window, hop)
    with _extracted(checkpoint, videos, cache, work, settings) as features:
        return _in_memory(features, problems)


def embed_videos(checkpoint: str | Path, videos: Sequence[Video], **settings: Any) -> Embedding:
    """As ``embed``, for rows of a catalog."""
    with _extracted(checkpoint, videos, None, Work(workers=0), settings) as features:
        return _in_memory(features, ())


def _in_memory(features: Features, problems: tuple[tuple[str, str], ...]) -> Embedding:
    blocks = list(features.blocks())
    return Embedding(
        features.videos,
        np.concatenate([feature for _, feature, _ in blocks]),
        np.concatenate([inside_RN for _, _, inside_RN in blocks]),
        (*problems, *features.failures),
        features.about,
    )


def write_embedding(
    checkpoint: str | Path,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    split: str | None = None,
    window: float | None = None,
    hop: float | None = None,
    cache: str | Path | None = None,
    batch: int = 16,
    workers: int = 4,
    precision: str = "auto",
    progress: bool = False,
    **settings: Any,
) -> EmbedReport:
    """Features of videos, as a file.

    Columns: path, key, start, end (seconds, of the stretch), split, group, one for each kind of
    label, feature; with tokens also inside. Broken off, the same call goes on.

    Args:
        out: ``.parquet``: one file, tokens flattened (their shape is in the metadata); ``.npz``:
            NumPy's, all in memory at once; anything else: a folder of Parquet files.
        checkpoint, sources, split, window, hop, settings: see ``embed``.
        cache, batch, workers, precision, progress: see ``embed``; without a cache, finished parts
            wait beside ``out`` until it is complete.

    Raises:
        SettingsError: ``out`` exists and is something else; the others as ``embed``.
    """
    out = Path(out)
    writer = _writer(out)
    _check_free(out)
    beside = out.with_name(f".{out.name}.parts")
    work = Work(batch=batch, workers=workers, precision=precision, progress=progress)
    engine = Engine.shared(precision)
    videos, problems = _listed(sources, split, window, hop)
    with _extracted(checkpoint, videos, cache or beside, work, settings) as features:
        features.about[CHECKPOINT] = _place(checkpoint)
        if engine.is_main:
            try:
                out.parent.mkdir(parents=True, exist_ok=True)
                writer(features, out)
            except OSError as error:
                raise SettingsError(f"{out}: cannot be written: {error.strerror}") from None
            if cache is None:
                shutil.rmtree(beside, ignore_errors=True)
        engine.wait()
        return EmbedReport(
            main=engine.is_main,
            path=out,
            videos=len(features),
            shape=features.shape,
            failures=(*problems, *features.failures),
        )


def windowed(
    videos: Sequence[Video], window: float, hop: float | None = None
) -> tuple[list[Video], list[tuple[str, str]]]:
    """A row for each window of each video; and ``(path, reason)`` of those that cannot be read.

    ``window``: length of a window, seconds; see ``window_spans``.
    ``hop``: from one beginning to the next; None: half a window.
    """
    rows, failures = [], []
    step = hop or window / 2
    window_spans(1.0, window, step)  # wrong numbers are told before any file is opened
    for video in videos:
        try:
            duration = duration_of(index_frames(video.path))
        except VideoError as error:
            failures.append((video.path, error.reason))
            continue
        begin = video.start or 0.0
        length = min(duration, video.end or duration) - begin
        if length > 0:
            for start, end in window_spans(length, window, step):
                rows.append(replace(video, start=begin + start, end=begin + end))
    return rows, failures


def _place(checkpoint: str | Path) -> str:
    path = Path(checkpoint)
    return str(path.absolute()) if path.exists() else str(checkpoint)


@contextlib.contextmanager
def cache_folder(cache: str | Path | None) -> Iterator[Path]:
    """The folder of a cache; without one a temporary one, the same in all processes."""
    if cache is not None:
        yield Path(cache)
        return
    engine = Engine.shared()
    with contextlib.ExitStack() as stack:
        place = str(stack.enter_context(temporary_folder())) if engine.is_main else ""
        yield Path(engine.broadcast(place))


@contextlib.contextmanager
def _extracted(
    checkpoint: str | Path,
    videos: Sequence[Video],
    cache: str | Path | None,
    work: Work,
    settings: dict[str, Any],
) -> Iterator[Features]:
    wanted = feature_settings(settings)
    encoder = open_encoder(checkpoint)
    with cache_folder(cache) as folder:
        yield extract(encoder, tuple(videos), wanted, cache=folder, work=work)
        Engine.shared().wait()  # before the folder goes


def _listed(
    sources: str | Path | Sequence[str | Path],
    split: str | None,
    window: float | None,
    hop: float | None,
) -> tuple[Sequence[Video], tuple[tuple[str, str], ...]]:
    """Videos to make features of, and what cannot be listed."""
    catalog = read_catalog(sources)
    videos = read_split(catalog, split)
    if window is None:
        if hop is not None:
            raise SettingsError("hop is from one window to the next: give a window, too")
        return videos, catalog.problems
    rows, failures = windowed(videos, window, hop)
    if not rows:
        path, reason = failures[0] if failures else (videos[0].path, "has no frames there")
        raise EvaluationError(f"{path}: {reason}; no other video can be read")
    return rows, (*catalog.problems, *failures)


def feature_settings(options: dict[str, Any]) -> FeatureSettings:
    """Settings from options by name."""
    try:
        return FeatureSettings(**options)
    except TypeError as error:
        raise SettingsError(f"features: {error}") from None


def _writer(out: Path) -> Callable[[Features, Path], None]:
    by_ending = {".parquet": _write_parquet, ".npz": _write_npz, "": _write_folder}
    if out.suffix.lower() not in by_ending:
        raise SettingsError(f"{out}: give FILE.parquet, FILE.npz, or a folder's name without a dot")
    return by_ending[out.suffix.lower()]


def _check_free(out: Path) -> None:
    if out.is_dir() and out.suffix:
        raise SettingsError(f"{out}: is a folder")
    if out.is_file() and not out.suffix:
        raise SettingsError(f"{out}: is a file, not a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / _ABOUT).is_file():
        raise SettingsError(f"{out}: is a folder with other things in it: name an empty one")


def _write_parquet(features: Features, out: Path) -> None:
    with (
        replaced(out, flush=True) as half,
        pq.ParquetWriter(
            half, _schema(features), compression="zstd", write_page_checksum=True
        ) as file,
    ):
        for table in _tables(features):
            file.write_table(table)


def _write_folder(features: Features, out: Path) -> None:
    with replaced_folder(out) as half:  # only ever an earlier one of ours is replaced
        for number, table in enumerate(_tables(features)):
            file = half / f"part-{number:05d}.parquet"
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        (half / _ABOUT).write_text(json.dumps(features.about, indent=1), encoding="utf-8")


def _write_npz(features: Features, out: Path) -> None:
    blocks = list(features.blocks())
    columns = _columns(features.videos, _heads(features.videos))
    arrays: dict[str, Any] = {
        name: np.array([np.nan if v is None else v for v in values], np.float64)
        if name in ("start", "end")
        else np.array([";".join(v) if isinstance(v, list) else v or "" for v in values], np.str_)
        for name, values in columns.items()
    }
    arrays["feature"] = np.concatenate([feature for _, feature, _ in blocks])
    if len(features.shape) == 2:
        arrays["inside"] = np.concatenate([inside_RN for _, _, inside_RN in blocks])
    arrays["about"] = np.array(json.dumps(features.about))
    with replaced(out, flush=True) as half, half.open("wb") as file:
        np.savez(file, **arrays)


def _tables(features: Features) -> Iterator[pa.Table]:
    schema, heads = _schema(features), _heads(features.videos)
    for videos, feature, inside_RN in features.blocks():
        arrays: dict[str, Any] = dict(_columns(videos, heads))
        kind = schema.field("feature").type
        arrays["feature"] = pa.FixedSizeListArray.from_arrays(pa.array(feature.ravel()), type=kind)
        if "inside" in schema.names:
            kind = schema.field("inside").type
            flat = pa.array(inside_RN.ravel())
            arrays["inside"] = pa.FixedSizeListArray.from_arrays(flat, type=kind)
        yield pa.table([pa.array(arrays[f.name], f.type) for f in schema], schema=schema)


def _schema(features: Features) -> pa.Schema:
    text, seconds = pa.string(), pa.float64()
    heads = _heads(features.videos)
    whole = len(features.shape) == 2
    number = pa.float16() if whole else pa.float32()
    fields = [
        ("path", text), ("key", text), ("start", seconds), ("end", seconds), ("split", text),
        ("group", text),
        *((column, pa.list_(text) if several else text) for column, several in heads.values()),
        ("feature", pa.list_(number, int(np.prod(features.shape)))),
        *([("inside", pa.list_(pa.bool_(), features.shape[0]))] if whole else []),
    ]  # fmt: skip
    about = {**features.about, "shape": list(features.shape)}
    return pa.schema(fields, metadata={META: json.dumps(about)})


def _heads(videos: Sequence[Video]) -> dict[str, tuple[str, bool]]:
    """Kinds of labels: name of the column, and whether any video has several of that kind."""
    found: dict[str, bool] = {}
    for video in videos:
        names = [head for head, _ in video.labels]
        for head in names:
            found[head] = found.get(head, False) or names.count(head) > 1
    return {
        head: (f"label_{head}" if head in _OWN else head, several)
        for head, several in found.items()
    }


def _columns(videos: Sequence[Video], heads: dict[str, tuple[str, bool]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: [getattr(video, name) for video in videos]
        for name in ("path", "key", "start", "end", "split", "group")
    }
    for head, (column, several) in heads.items():
        rows = [[name for each, name in video.labels if each == head] for video in videos]
        columns[column] = rows if several else [row[0] if row else None for row in rows]
    return columns
