"""The catalog of mofo itself: what a data set holds, in one Parquet file.

One row a video or a segment of one, with the columns

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

from mofo.datasets.formats.format import FORMATS, RowFormat
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing, Problems, Rows
from mofo.datasets.video import RowTable, Usable, Video
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


@FORMATS.register("parquet")
class CatalogFile(RowFormat):
    """The catalog of mofo itself."""

    about = "catalog made by `mofo data convert`"

    def recognises(self, source: Source) -> bool:
        """A file whose name ends in ".parquet"."""
        return not source.is_folder and source.path.suffix.lower() == ".parquet"

    def rows(self, source: Source) -> tuple[Listing, Rows]:
        """The rows of the catalog; see ``RowFormat``."""
        listing, metadata = _listing(source)
        heads = tuple(metadata["heads"])

        def rows(problems: Problems) -> Iterator[Video]:
            shared: dict[Any, Any] = {}  # what rows have in common: there may be millions
            for batch in _open(source.path)[1]:
                if len(shared) > BATCH:
                    shared.clear()
                yield from unpack(batch, shared, heads=heads, base=listing.root)

        return listing, rows

    def columns(
        self, source: Source, keep: Callable[[Video], bool] | None = None
    ) -> tuple[Listing, RowTable] | None:
        """The rows as columns, if the writer says that no two of them are the same."""
        import pyarrow as pa

        listing, metadata = _listing(source)
        if not metadata.get("distinct"):
            return None
        heads = tuple(metadata["heads"])
        names = [*TEXTS, *TIMES, *heads]
        usable = Usable()
        kept = []
        for batch in _open(source.path)[1]:
            batch = batch.select([name for name in names if name in batch.schema.names])
            paths = batch.column("path")
            mask = []
            for path in paths.to_pylist():
                full = os.path.normpath(os.path.join(listing.root, path))
                reason = usable(full)
                mask.append(reason is None)
                if reason is not None:
                    source.problems.append((full, reason))
            if keep is not None:
                rows = zip(mask, unpack(batch, {}, heads=heads, base=listing.root), strict=True)
                mask = [is_there and keep(video) for is_there, video in rows]
            if "key" in batch.schema.names and batch.column("key").equals(paths):
                batch = batch.drop_columns(["key"])
            encoded = paths.dictionary_encode()
            if 2 * len(encoded.dictionary) < len(paths):  # many segments of each file
                batch = batch.set_column(batch.schema.get_field_index("path"), "path", encoded)
            kept.append(batch if all(mask) else batch.filter(pa.array(mask, pa.bool_())))
        pa.default_memory_pool().release_unused()  # what reading took for a moment
        return listing, RowTable(kept, partial(unpack, heads=heads, base=listing.root))


def _listing(source: Source) -> tuple[Listing, dict[str, Any]]:
    """What the catalog says about all of its rows."""
    metadata = _open(source.path)[0]
    listing = Listing(str(source.folder if source.videos is None else source.videos))
    listing.classes = {head: tuple(names) for head, names in metadata["classes"].items()}
    listing.flip = metadata.get("flip")
    listing.apart = {
        what: {of: tuple(names) for of, names in each.items()}
        for what, each in (metadata.get("apart") or {}).items()
    }
    return listing, metadata


def _open(path: Path) -> tuple[dict[str, Any], Iterator[Any]]:
    import pyarrow.parquet as pq

    with _damage_named(path):
        file = pq.ParquetFile(path)
        text = (file.schema_arrow.metadata or {}).get(META)
        metadata = json.loads(text) if text else {}
    if not {"path", "heads", "classes"} <= {*file.schema_arrow.names, *metadata}:
        raise MofoError(f"{path}: is no catalog: `mofo data convert SOURCE --to {path}` makes one")
    if metadata.get("version", 0) > VERSION:
        raise MofoError(f"{path}: was made by a newer mofo: update mofo")
    return metadata, _batches(path, file)


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
    for path, key, name, split, group, start, end, *named in rows:
        labels: list[tuple[str, str]] = []
        for head, value in zip(heads, named, strict=True):
            values = value if isinstance(value, list) else [value]
            labels += [(head, label) for label in values if label is not None]
        full, key, split, group, several = (
            shared.setdefault(value, value)
            for value in (
                os.path.normpath(os.path.join(base, path)),
                path if key is None else key,
                split, group, tuple(labels),
            )
        )  # fmt: skip
        yield Video(full, key, several, start, end, split, group, name)
