"""The catalog of mofo itself: what a data set holds, in one Parquet file.

One row a video or a stretch of one, with the columns

* ``path``: relative to the catalog if it lies below its folder, so that both can be moved, else
  absolute; ``key``: its name in stores of motion areas; ``name``: what the data set calls it;
* ``start``, ``end``: seconds since the first frame, null for the file's own;
* one column for each head (``label``, or ``verb``, ``noun``, ``action``): the class's name; a list
  of names where a video may have several;
* ``split``, ``group``;
* ``width``, ``height``, ``fps``, ``frames``: of the whole file; null where nobody has looked.

The schema's metadata (``mofo.catalog``, JSON) has the heads, the names of the classes in the order
of their numbers, and whether mirroring would make labels wrong.
"""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH118

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mofo.types import MofoError
from mofo.video.files import Found
from mofo.video.formats.source import Source
from mofo.video.video import Video, why_unusable

META = b"mofo.catalog"
"""The key of the schema's metadata."""
VERSION = 1
"""Of this layout; a newer one is refused."""
TEXTS = ("path", "key", "name", "split", "group")
TIMES = ("start", "end")
NUMBERS = {"width": "int32", "height": "int32", "fps": "float64", "frames": "int64"}
BATCH = 50_000
"""Rows that are in memory at once, apart from the videos themselves."""


def recognises(source: Source) -> bool:
    """A file whose name ends in ".parquet"."""
    return not source.is_folder and source.path.suffix.lower() == ".parquet"


def read(source: Source) -> Found:
    """The rows whose files are there.

    Raises:
        MofoError: not a catalog, or damaged.
    """
    base = str(source.folder if source.videos is None else source.videos)
    meta, batches = _open(source.path)
    found = Found(base)
    files: dict[str, tuple[str, str | None]] = {}
    shared: dict[Any, Any] = {}  # rows share what they have in common: there may be millions
    for batch in batches:
        for path, video in _videos(batch, meta["heads"], shared):
            if path not in files:
                full = os.path.normpath(os.path.join(base, path))
                files[path] = full, why_unusable(full)
            full, reason = files[path]
            if reason is None:
                found.videos.append(replace(video, path=full))
            else:
                source.problems.append((full, reason))
    found.classes = {head: tuple(names) for head, names in meta["classes"].items()}
    found.flip = meta.get("flip")
    return found


def _open(path: Path) -> tuple[dict[str, Any], Iterator[Any]]:
    import pyarrow.parquet as pq

    with _damage_named(path):
        file = pq.ParquetFile(path)
        said = (file.schema_arrow.metadata or {}).get(META)
        meta = json.loads(said) if said else None
    if meta is None or not {"path", "heads", "classes"} <= {*file.schema_arrow.names, *meta}:
        raise MofoError(f"{path}: is no catalog: `mofo data convert SOURCE --to {path}` makes one")
    if meta.get("version", 0) > VERSION:
        raise MofoError(f"{path}: was made by a newer mofo: update mofo")
    return meta, _batches(path, file)


def _batches(path: Path, file: Any) -> Iterator[Any]:
    batches = file.iter_batches(BATCH)
    while True:
        with _damage_named(path):
            batch = next(batches, None)
            if batch is not None:
                batch.validate(full=True)  # texts that are no UTF-8, numbers out of range
        if batch is None:
            return
        yield batch


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        text = " ".join(str(error).split())[:120]
        raise MofoError(f"{path}: is no Parquet file, or damaged ({text})") from None


def _videos(
    batch: Any, heads: Sequence[str], shared: dict[Any, Any]
) -> Iterator[tuple[str, Video]]:
    """Rows of a batch: path as it is written, and the rest."""
    names = [*TEXTS, *TIMES, *heads]
    columns = {name: batch.column(name).to_pylist() for name in names if name in batch.schema.names}
    nothing = [None] * batch.num_rows
    rows = zip(*(columns.get(name, nothing) for name in names), strict=True)
    for path, key, name, split, group, start, end, *told in rows:
        labels: list[tuple[str, str]] = []
        for head, value in zip(heads, told, strict=True):
            values = value if isinstance(value, list) else [value]
            labels += [(head, label) for label in values if label is not None]
        key, split, group, several = (
            shared.setdefault(one, one) for one in (key or "", split, group, tuple(labels))
        )
        yield path, Video("", key, several, start, end, split, group, name)
