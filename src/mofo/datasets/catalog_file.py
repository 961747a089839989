"""Catalogs as files: what ``mofo data convert`` writes, Parquet or CSV."""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mofo.datasets.formats.parquet import BATCH, META, NUMBERS, TEXTS, TIMES, VERSION
from mofo.datasets.formats.table import HEADS, SEVERAL
from mofo.datasets.listing import Apart
from mofo.datasets.video import LABEL, Video
from mofo.system.files import csv_cell, replaced
from mofo.types import MofoError

if TYPE_CHECKING:
    from mofo.datasets.inspect_file import FileMetadata


def write_catalog(
    path: str | Path,
    videos: Iterable[Video],
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    flip: bool | None = None,
    metadata: Mapping[str, FileMetadata] | None = None,
    apart: Apart | None = None,
    distinct: bool = False,
) -> None:
    """Write a catalog as Parquet, see ``mofo.datasets.formats.parquet`` for its columns.

    Args:
        path: of the file; its folder is made.
        videos: rows; gone through twice, and not held.
        classes: by head, names in the order of their numbers.
        flip: False where mirroring would make labels wrong.
        metadata: by path of a video, what is known about its file.
        apart: what is evaluated apart, see ``Catalog``.
        distinct: no two rows say the same about the same file, as in any ``Catalog``.

    Raises:
        MofoError: a head has the name of another column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = _made(path)
    several = _heads(videos, target)
    text = pa.dictionary(pa.int32(), pa.string())
    fields = [pa.field(name, pa.string() if name in ("path", "key") else text) for name in TEXTS]
    fields += [pa.field(name, pa.float64()) for name in TIMES]
    for head, many in several.items():
        fields.append(pa.field(head, pa.list_(pa.string()) if many else text))
    fields += [pa.field(name, getattr(pa, kind)()) for name, kind in NUMBERS.items()]
    catalog = {
        "version": VERSION,
        "heads": list(several),
        "classes": {head: list(names) for head, names in (classes or {}).items()},
        "flip": flip,
        "apart": apart or {},
        "distinct": distinct,
    }
    schema = pa.schema(fields, metadata={META: json.dumps(catalog).encode()})
    with replaced(target, flush=True) as part, pq.ParquetWriter(part, schema) as writer:
        rows = iter(videos)
        for number in itertools.count():
            batch = list(itertools.islice(rows, BATCH))
            if not batch and number:
                break
            columns: dict[str, list[Any]] = {
                "path": [_relative(video.path, target) for video in batch],
                **{name: [getattr(video, name) for video in batch] for name in TEXTS[1:] + TIMES},
            }
            for head, many in several.items():
                named = [[name for h, name in video.labels if h == head] for video in batch]
                columns[head] = named if many else [names[0] if names else None for names in named]
            known = [(metadata or {}).get(video.path) for video in batch]
            for name in NUMBERS:
                columns[name] = [None if file is None else getattr(file, name) for file in known]
            arrays = [pa.array(columns[field.name], field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def write_table(
    path: str | Path, videos: Iterable[Video], *, metadata: Mapping[str, FileMetadata] | None = None
) -> None:
    """Write a catalog as CSV with a header, as a ``Table`` is read.

    It has no room for the order of the classes, for names, and for several classes of heads other
    than "label".

    Args:
        path: of the file; its folder is made.
        videos: rows; gone through twice, and not held.
        metadata: by path of a video, what is known about its file.

    Raises:
        MofoError: labels that a CSV table cannot hold.
    """
    target = _made(path)
    several = _heads(videos, target)
    for head, many in several.items():
        if head not in HEADS or (many and head != LABEL):
            raise MofoError(f"{target}: labels of {head!r} need a catalog that ends in .parquet")
    columns = ["path", *(SEVERAL if many else head for head, many in several.items()), *TIMES]
    columns += ["split", "group", *(NUMBERS if metadata else ())]
    with (
        replaced(target, flush=True) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for video in videos:
            row: dict[str, Any] = {"path": csv_cell(_relative(video.path, target))}
            for head, many in several.items():
                names = [name for h, name in video.labels if h == head]
                row[SEVERAL if many else head] = csv_cell(";".join(names))
            for name in TIMES:
                row[name] = getattr(video, name)
            for name in ("split", "group"):
                row[name] = csv_cell(getattr(video, name) or "")
            file_metadata = (metadata or {}).get(video.path)
            if file_metadata is not None:
                row |= {name: getattr(file_metadata, name) for name in NUMBERS}
            writer.writerow(row)


def _made(path: str | Path) -> Path:
    target = Path(path).absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MofoError(f"{target.parent}: cannot be made ({error.strerror})") from None
    return target


def _heads(videos: Iterable[Video], target: Path) -> dict[str, bool]:
    """The kinds of labels, and whether any video has several classes of it."""
    several: dict[str, bool] = {}
    for video in videos:
        heads = [head for head, _ in video.labels]
        for head in heads:
            several[head] = several.get(head, False) or heads.count(head) > 1
    for head in several:
        if head in {*TEXTS, *TIMES, *NUMBERS}:
            raise MofoError(f"{target}: a kind of labels cannot be called {head!r}")
    return several


def _relative(path: str, target: Path) -> str:
    """Relative to the catalog if the video lies below its folder, so that both can be moved."""
    return path.removeprefix(str(target.parent).rstrip(os.sep) + os.sep)
