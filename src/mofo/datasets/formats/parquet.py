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
of their numbers, whether mirroring would make labels wrong, and what is evaluated apart.
"""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH118

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mofo.datasets.distinct import Usable
from mofo.datasets.folders import Found, Problems
from mofo.datasets.formats.source import Source
from mofo.datasets.rows import RowTable
from mofo.datasets.video import Video
from mofo.types import MofoError

META = b"mofo.catalog"
"""The key of the schema's metadata."""
VERSION = 1
"""Of this layout; a newer one is refused."""
TEXTS = ("path", "key", "name", "split", "group")
TIMES = ("start", "end")
NUMBERS = {"width": "int32", "height": "int32", "fps": "float64", "frames": "int64"}
BATCH = 10_000
"""Rows that are in memory at once, apart from the videos themselves."""


def recognises(source: Source) -> bool:
    """A file whose name ends in ".parquet"."""
    return not source.is_folder and source.path.suffix.lower() == ".parquet"


def read(source: Source) -> Found:
    """The rows whose files are there.

    Raises:
        MofoError: not a catalog, or damaged.
    """
    found, rows = read_rows(source)
    usable = Usable()
    for video in rows(source.problems):
        reason = usable(video.path)
        if reason is None:
            found.videos.append(video)
        else:
            source.problems.append((video.path, reason))
    return found


def read_rows(source: Source) -> tuple[Found, Callable[[Problems], Iterator[Video]]]:
    """What the catalog says about all of its rows, and something that reads them one by one.

    Raises:
        MofoError: not a catalog, or damaged.
    """
    found, meta = _told(source)

    def rows(problems: Problems) -> Iterator[Video]:
        shared: dict[Any, Any] = {}  # rows share what they have in common: there may be millions
        for batch in _open(source.path)[1]:
            if len(shared) > BATCH:
                shared.clear()
            yield from unpack(batch, shared, heads=tuple(meta["heads"]), base=found.root)

    return found, rows


def read_columns(
    source: Source, keep: Callable[[Video], bool] | None = None
) -> tuple[Found, RowTable]:
    """The rows whose files are there as columns in memory; videos are made when asked for.

    Args:
        source: the catalog.
        keep: which of them are wanted; None: all.

    Returns:
        What the catalog says about all rows (with an empty list of videos), and the rows.

    Raises:
        MofoError: not a catalog, or damaged.
    """
    import pyarrow as pa

    found, meta = _told(source)
    heads = tuple(meta["heads"])
    names = [*TEXTS, *TIMES, *heads]
    usable = Usable()
    kept = []
    for batch in _open(source.path)[1]:
        batch = batch.select([name for name in names if name in batch.schema.names])
        paths = batch.column("path")
        mask = []
        for path in paths.to_pylist():
            full = os.path.normpath(os.path.join(found.root, path))
            reason = usable(full)
            mask.append(reason is None)
            if reason is not None:
                source.problems.append((full, reason))
        if keep is not None:
            rows = zip(mask, unpack(batch, {}, heads=heads, base=found.root), strict=True)
            mask = [is_there and keep(video) for is_there, video in rows]
        if "key" in batch.schema.names and batch.column("key").equals(paths):
            batch = batch.drop_columns(["key"])
        several = paths.dictionary_encode()
        if 2 * len(several.dictionary) < len(paths):  # many stretches of each file
            batch = batch.set_column(batch.schema.get_field_index("path"), "path", several)
        kept.append(batch if all(mask) else batch.filter(pa.array(mask, pa.bool_())))
    pa.default_memory_pool().release_unused()  # what reading took for a moment
    return found, RowTable(kept, partial(unpack, heads=heads, base=found.root))


def is_distinct(path: Path) -> bool:
    """Whether no two rows say the same about the same file, by the word of who wrote them."""
    return bool(_open(path)[0].get("distinct"))


def _told(source: Source) -> tuple[Found, dict[str, Any]]:
    meta = _open(source.path)[0]
    found = Found(str(source.folder if source.videos is None else source.videos))
    found.classes = {head: tuple(names) for head, names in meta["classes"].items()}
    found.flip = meta.get("flip")
    found.apart = {
        what: {of: tuple(names) for of, names in each.items()}
        for what, each in (meta.get("apart") or {}).items()
    }
    return found, meta


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


def unpack(
    batch: Any, shared: dict[Any, Any], *, heads: Sequence[str], base: str
) -> Iterator[Video]:
    """Rows of a batch as videos.

    Args:
        batch: columns as they are written; without ``key`` where keys are the paths.
        shared: keeps what rows have in common.
        heads: names of the columns of classes.
        base: what paths are relative to.
    """
    names = [*TEXTS, *TIMES, *heads]
    columns = {name: batch.column(name).to_pylist() for name in names if name in batch.schema.names}
    nothing = [None] * batch.num_rows
    rows = zip(*(columns.get(name, nothing) for name in names), strict=True)
    for path, key, name, split, group, start, end, *told in rows:
        labels: list[tuple[str, str]] = []
        for head, value in zip(heads, told, strict=True):
            values = value if isinstance(value, list) else [value]
            labels += [(head, label) for label in values if label is not None]
        full, key, split, group, several = (
            shared.setdefault(one, one)
            for one in (
                os.path.normpath(os.path.join(base, path)),
                path if key is None else key,
                split, group, tuple(labels),
            )
        )  # fmt: skip
        yield Video(full, key, several, start, end, split, group, name)
