"""The catalog of mofo itself: what a data set holds, in one Parquet file.

One row a video or a segment of one, with the columns

* ``path``: relative to the catalog if it lies below its folder, so that both can be moved, else
  absolute; ``key``: its name in stores of motion areas, null where it is the path; ``name``: what
  the data set calls it;
* ``start``, ``end``: seconds since the first frame, null for the file's own;
* one column for each head (``label``, or ``verb``, ``noun``, ``action``): the class's name; a list
  of names where a video may have several;
* ``split``, ``group``;
* ``width``, ``height``, ``fps``, ``frames``: of the whole file; null where nobody has looked.

The schema's metadata (``mofo.catalog``, JSON) has the heads, the names of the classes in the order
of their numbers, whether mirroring would make labels wrong, and what is evaluated apart.
"""

# os.path is several times faster than Path, which counts with a million files.

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mofo.datasets.formats.format import FORMATS, RowFormat
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing, Problems, Rows
from mofo.datasets.row_table import BATCH, TEXTS, TIMES, RowTable, unpack
from mofo.datasets.video import Video, why_unusable
from mofo.types import MofoError
from mofo.video.storage import joined

META = b"mofo.catalog"
"""The key of the schema's metadata."""
VERSION = 1
"""Of this layout; a newer one is refused."""


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

        def rows(problems: Problems) -> Iterator[Video]:
            return unpack(_open(source.path)[1], metadata["heads"], listing.root)

        return listing, rows

    def columns(self, source: Source) -> tuple[Listing, RowTable]:
        """The rows as columns."""
        import pyarrow as pa

        listing, metadata = _listing(source)
        names = [*TEXTS, *TIMES, *metadata["heads"]]
        batches = list(_open(source.path)[1])
        if not batches:
            return listing, RowTable(pa.table({}), (), listing.root)
        table = pa.Table.from_batches(batches)
        table = table.select([name for name in names if name in table.column_names])
        bad: dict[str, str] = {}
        for path in table["path"].unique().to_pylist():
            full = joined(listing.root, path)
            reason = why_unusable(full)
            if reason is not None:
                bad[path] = reason
                source.problems.append((full, reason))
        if bad:
            table = table.filter(pa.array([p not in bad for p in table["path"].to_pylist()]))
        pa.default_memory_pool().release_unused()  # what reading took for a moment
        return listing, RowTable(table, metadata["heads"], listing.root)


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
        file = pq.ParquetFile(path, page_checksum_verification=True)
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
