"""A folder of videos as Hugging Face's ``datasets`` loads it: with ``metadata.csv``.

::

    my_set/                             my_set/
        metadata.csv  clips/a.mp4           train/  metadata.csv a.mp4
                                            test/   metadata.csv b.mp4

``metadata.csv`` (or ``metadata.jsonl``) has a column ``file_name``, relative to itself; ``label``,
``labels``, ``start``, ``end``, ``split`` and ``group`` are read as in a table. A folder that is
named after a split gives its rows this split.
"""

# os.path is several times faster than Path, which counts with a million files.

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mofo.datasets.formats.documents import SPLITS, each_line, read_rows
from mofo.datasets.formats.format import FORMATS, RowFormat
from mofo.datasets.formats.source import Source
from mofo.datasets.formats.table import video_of_row
from mofo.datasets.listing import Listing, Problems, Rows, keyed_rows
from mofo.datasets.video import Video

_NAMES = ("metadata.csv", "metadata.jsonl")
_COLUMN = "file_name"


@FORMATS.register("hf")
class HuggingFaceFolder(RowFormat):
    """``metadata.csv`` with ``file_name``, beside the videos."""

    about = "folder with metadata.csv and file_name, as Hugging Face's"
    rank = 0

    def recognises(self, source: Source) -> bool:
        """A folder with such a file, or with folders of splits that have one; or the file."""
        if source.is_folder:
            return bool(_files(source))
        return source.path.name.lower() in _NAMES and _COLUMN in source.first_line

    def rows(self, source: Source) -> tuple[Listing, Rows]:
        """The rows of all files; see ``RowFormat``."""
        files = _files(source) if source.is_folder else [source.path]

        def rows(problems: Problems) -> Iterator[Video]:
            for file in files:
                yield from _rows(file, problems)

        return keyed_rows(str(source.folder), rows)


def _files(source: Source) -> list[Path]:
    folders = [source.path, *(source.path / split for split in SPLITS)]
    paths = [folder / name for folder in folders for name in _NAMES]
    return [path for path in paths if path.is_file() and _has_column(path)]


def _has_column(path: Path) -> bool:
    return _COLUMN in next((line for _, line in each_line(path)), "")


def _rows(file: Path, problems: Problems) -> Iterator[Video]:
    base = str(file.absolute().parent)
    split = SPLITS.get(file.parent.name.lower())
    for where, row in _read(file, problems):
        named = {"path": row.get(_COLUMN, ""), **row}
        try:
            video = video_of_row(named, base)
        except ValueError as error:
            problems.append((where, str(error)))
            continue
        yield video if video.split else replace(video, split=split)


def _read(file: Path, problems: Problems) -> Iterator[tuple[str, Mapping[str, str]]]:
    if file.suffix.lower() == ".csv":
        yield from read_rows(file, [_COLUMN])
        return
    for number, line in each_line(file):
        where = f"{file}, line {number}"
        try:
            row = json.loads(line)
            yield (
                where,
                {
                    name: ";".join(map(str, value)) if isinstance(value, list) else str(value)
                    for name, value in row.items()
                    if value is not None
                },
            )
        except (ValueError, AttributeError):
            problems.append((where, "is no JSON object"))
