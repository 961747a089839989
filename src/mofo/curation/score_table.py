"""The table of scores: a Parquet file, and beside it a journal while it is being made.

Rows are of a video (or a listed segment of one), of its shots and of its windows; ``per`` says of
which. The columns are those of ``Score``, and of the file: ``path``; ``key``, ``labels`` (JSON),
``split``, ``group``, ``name``, ``listed_start`` and ``listed_end`` as in its list; ``size`` in
bytes, ``width`` and ``height`` in pixels, ``flow`` that was used.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mofo.curation.scores import Score, ScoreSettings, VideoScore
from mofo.datasets.video import Video
from mofo.system.files import replaced
from mofo.system.json_lines import JsonLines
from mofo.types import MofoError
from mofo.video.storage import file_system, is_url

Row = dict[str, Any]
IDENTITY = ("path", "size", "listed_start", "listed_end")
"""Columns that say which segment of which file was scored."""

_META = b"mofo.scores"
_BATCH = 10_000  # files whose rows are turned into columns at once
_KINDS = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}
_FILE = {
    "path": "str", "key": "str", "labels": "str", "split": "str", "group": "str", "name": "str",
    "size": "int", "width": "int", "height": "int", "flow": "str", "listed_start": "float",
    "listed_end": "float",
}  # fmt: skip
_COLUMNS = _FILE | {field.name: str(field.type) for field in fields(Score)}
SCHEMA = pa.schema([pa.field(name, _KINDS[kind]) for name, kind in _COLUMNS.items()])


def rows_of(video: Video, size: int, score: VideoScore) -> list[Row]:
    """Rows of a video and its parts."""
    file = {
        "path": video.path,
        "key": video.key,
        "labels": json.dumps(video.labels) if video.labels else None,
        "split": video.split,
        "group": video.group,
        "name": video.name,
        "size": size,
        "width": score.width,
        "height": score.height,
        "flow": score.flow,
        "listed_start": video.start,
        "listed_end": video.end,
    }
    return [file | part.to_dict() for part in (score, *score.shots, *score.windows)]


def video_of(row: Row) -> Video:
    """The video, or the part of one, that a row is about."""
    whole = row["per"] == "video"
    return Video(
        row["path"],
        row["key"],
        labels=tuple(map(tuple, json.loads(row["labels"] or "[]"))),
        start=row["listed_start"] if whole else row["start"],
        end=row["listed_end"] if whole else row["end"],
        split=row["split"],
        group=row["group"],
        name=row["name"],
    )


def read_scores(path: str | Path, settings: ScoreSettings | None = None) -> pa.Table:
    """Reads a table of scores.

    Args:
        path: the Parquet file, or its URL.
        settings: that it has to have been made with, if given.

    Raises:
        MofoError: it is no such table, is damaged, or was made with other settings.
    """
    system, place = file_system(str(path)) if is_url(str(path)) else (None, path)
    try:
        table = pq.read_table(place, filesystem=system, page_checksum_verification=True)
    except FileNotFoundError:
        raise MofoError(f"{path}: does not exist: `mofo score` makes it") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MofoError(f"{path}: cannot be read as Parquet ({str(error)[:100]})") from None
    text = (table.schema.metadata or {}).get(_META)
    if text is None or not table.schema.equals(SCHEMA):
        raise MofoError(f"{path}: is no table of scores: `mofo score SOURCE --out FILE` makes one")
    try:
        made = json.loads(text)
    except ValueError:
        raise MofoError(f"{path}: is damaged: make it again with `mofo score`") from None
    _check(made, settings, path)
    return table


def _check(made: Row, settings: ScoreSettings | None, place: str | Path) -> None:
    wanted = made if settings is None else asdict(settings)
    if made != wanted:
        other = ", ".join(f"{k} {made.get(k)}" for k in wanted if made.get(k) != wanted[k])
        raise MofoError(f"{place}: was scored with {other}: choose another file, or remove it")


class Journal:
    """Rows of finished files, a line each, until all are finished.

    Args:
        file: of the journal; made if it is not there.
        settings: of the scores.

    Raises:
        MofoError: it was begun with other settings.
    """

    def __init__(self, file: Path, settings: ScoreSettings) -> None:
        self._settings = settings
        self._lines = JsonLines(file)
        first = [content for _, content in itertools.islice(self._lines, 2)]
        if len(first) == 2 and isinstance(first[0], dict):
            _check(first[0], settings, file)
        else:  # nothing is finished
            self._lines.clear()
            self._lines.add(asdict(settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.__exit__(*error)

    def __iter__(self) -> Iterator[list[Row]]:
        """The rows of each file."""
        for _, rows in itertools.islice(self._lines, 1, None):
            if isinstance(rows, list):
                yield rows

    def add(self, rows: list[Row]) -> None:
        """Keeps the rows of one more file; see ``JsonLines.add``."""
        self._lines.add(rows)

    def write_table(self, target: Path, parts: Sequence[Path] = ()) -> None:
        """Puts all rows into the table ``target``, beside those that it and ``parts`` have of
        other files.
        """
        tables = [SCHEMA.empty_table()]
        files = iter(self)
        while batch := list(itertools.islice(files, _BATCH)):
            tables.append(pa.Table.from_pylist([row for rows in batch for row in rows], SCHEMA))
        new = pa.concat_tables(tables)
        for path in (*parts, target):
            if path.exists():
                old = read_scores(path, self._settings)
                others = old.filter(~pc.field("path").isin(new["path"].unique()))
                new = pa.concat_tables([others, new])
        table = new.take(pc.sort_indices(new["path"]))  # stable: the rows of a file stay in order
        meta = {_META: json.dumps(asdict(self._settings)).encode()}
        with replaced(target, flush=True) as part:
            table = table.replace_schema_metadata(meta)
            pq.write_table(table, part, write_page_checksum=True)
