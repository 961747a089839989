"""Catalogs as files: what ``mofo data convert`` writes, Parquet or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mofo.datasets.catalog import Catalog
from mofo.datasets.formats.parquet import META, VERSION
from mofo.datasets.formats.table import HEADS, SEVERAL
from mofo.datasets.row_table import NUMBERS, TIMES, batches, note_heads, pack, relative
from mofo.datasets.video import LABEL
from mofo.system.files import csv_cell, replaced
from mofo.types import MofoError

if TYPE_CHECKING:
    from mofo.datasets.inspect_file import FileMetadata


def write_catalog(
    path: str | Path, catalog: Catalog, *, metadata: Mapping[str, FileMetadata] | None = None
) -> None:
    """Write a catalog: ``.csv`` as a ``Table`` is read, anything else as Parquet.

    A table has no room for the order of the classes, for names, and for several classes of heads
    other than "label". See ``mofo.datasets.formats.parquet`` for the columns of a catalog.

    Args:
        path: of the file; its folder is made.
        catalog: rows are made into objects a few at a time.
        metadata: by path of a video, what is known about its file.
    """
    target = Path(path).absolute()
    heads: dict[str, bool] = {}
    for video in catalog:
        note_heads(heads, video)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MofoError(f"{target.parent}: cannot be made ({error.strerror})") from None
    write = _write_table if target.suffix.lower() == ".csv" else _write_parquet
    write(target, catalog, heads, metadata or {})


def _write_parquet(
    target: Path, catalog: Catalog, heads: dict[str, bool], metadata: Mapping[str, FileMetadata]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    base = str(target.parent)
    about = {
        "version": VERSION,
        "heads": list(heads),
        "classes": catalog.classes,
        "flip": catalog.flip,
        "apart": catalog.apart,
    }
    schema = pack([], heads, base).schema
    for name, kind in NUMBERS.items():
        schema = schema.append(pa.field(name, getattr(pa, kind)()))
    schema = schema.with_metadata({META: json.dumps(about).encode()})
    with (
        replaced(target, flush=True) as part,
        pq.ParquetWriter(part, schema, write_page_checksum=True) as writer,
    ):
        for batch in batches(catalog):
            rows = pack(batch, heads, base)
            known = [metadata.get(video.path) for video in batch]
            for name in NUMBERS:
                values = [None if file is None else getattr(file, name) for file in known]
                rows = rows.append_column(name, pa.array(values, schema.field(name).type))
            writer.write_table(rows.cast(schema))


def _write_table(
    target: Path, catalog: Catalog, heads: dict[str, bool], metadata: Mapping[str, FileMetadata]
) -> None:
    for head, several in heads.items():
        if head not in HEADS or (several and head != LABEL):
            raise MofoError(f"{target}: labels of {head!r} need a catalog that ends in .parquet")
    columns = ["path", *(SEVERAL if several else head for head, several in heads.items()), *TIMES]
    columns += ["split", "group", *(NUMBERS if metadata else ())]
    with (
        replaced(target, flush=True) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for video in catalog:
            row: dict[str, Any] = {"path": csv_cell(relative(video.path, str(target.parent)))}
            for head, several in heads.items():
                names = [name for kind, name in video.labels if kind == head]
                row[SEVERAL if several else head] = csv_cell(";".join(names))
            row |= {name: getattr(video, name) for name in TIMES}
            row |= {name: csv_cell(getattr(video, name) or "") for name in ("split", "group")}
            if (about := metadata.get(video.path)) is not None:
                row |= {name: getattr(about, name) for name in NUMBERS}
            writer.writerow(row)
