"""Tables of videos: CSV with a header, one row a video or a segment of one.

Columns, in any order: ``path``, relative to the table; if wanted, a class: ``label`` (or ``verb``,
``noun``, ``action``; or ``labels`` with ";" between several), as text or number; ``start`` and
``end`` in seconds; ``split``: train, validation or test; ``group``: recording or person. Others are
left alone. Cells are separated by ",", or all by ";" or tabs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from mofo.datasets.formats.documents import SPLITS, TOO_MUCH, read_rows, seconds, separator
from mofo.datasets.formats.format import FORMATS, RowFormat
from mofo.datasets.formats.source import Source, first_line
from mofo.datasets.listing import Listing, Problems, Rows, keyed_rows
from mofo.datasets.video import LABEL, Video
from mofo.registry import nearest
from mofo.types import MofoError
from mofo.video.storage import joined

HEADS = (LABEL, "verb", "noun", "action")
"""Columns that hold labels, one class a cell."""
SEVERAL = "labels"
"""A column that holds any number of classes, ";" between them; for head "label"."""
_KNOWN = ("path", *HEADS, SEVERAL, "start", "end", "split", "group")
_SYNONYMS = {
    "begin": "start", "from": "start", "onset": "start", "stop": "end", "to": "end",
    "offset": "end", "class": "label", "category": "label", "target": "label", "subset": "split",
    "partition": "split", "fold": "split", "subject": "group", "person": "group",
    "session": "group", "classes": "labels", "tags": "labels",
}  # fmt: skip
_OTHERS = ("width", "height", "fps", "frames", "name", "key", "reason")  # of other tables of ours
_SHARED = 20_000  # paths that are remembered
Labels = tuple[tuple[str, str], ...]


@FORMATS.register("table")
class Table(RowFormat):
    """A CSV file with a column ``path``."""

    about = "CSV table with a column path"
    rank = 0
    may_be_empty = True

    def recognises(self, source: Source) -> bool:
        """A file that ends in ".csv" and whose first line has "path" in it."""
        if source.path.suffix.lower() != ".csv":
            return False
        header = source.first_line
        cells = header.split(separator(header, "path"))
        return "path" in (cell.strip(' "').lower() for cell in cells)

    def rows(self, source: Source) -> tuple[Listing, Rows]:
        """The rows of the table; see ``RowFormat``."""
        base = str(source.folder if source.videos is None else source.videos)
        return keyed_rows(base, partial(_rows, source.path, base))


def _rows(table: Path, base: str, problems: Problems) -> Iterator[Video]:
    """The rows of a table, one after the other; their keys are still empty."""
    # Rows share what they have in common: there may be millions.
    paths: dict[str, str] = {}
    labels: dict[Labels, Labels] = {}
    is_empty = True
    if unused := _unused(first_line(table)):
        problems.append((str(table), unused))
    for where, row in read_rows(table, ["path"], lower=True, once=_KNOWN):
        is_empty = False
        if len(paths) > _SHARED:
            paths.clear()
        try:
            yield video_of_row(row, base, paths, labels)
        except ValueError as error:
            problems.append((where, str(error)))
    if is_empty:
        raise MofoError(f"{table}: has no rows; add one line for each video")


def _unused(header: str) -> str | None:
    """What to say of columns that are not used, but nearly called like those that are."""
    names = [name.strip(' "').lower() for name in header.split(separator(header, "path"))]
    meant = {}
    for name in names:
        words = re.split(r"[^a-z]+", name)
        known = [_SYNONYMS.get(word, word) for word in words if _SYNONYMS.get(word, word) in _KNOWN]
        column = known[0] if known else nearest(name, _KNOWN, cutoff=0.8)
        if name not in (*_KNOWN, *_OTHERS) and column and column not in names:
            meant[name] = column
    if not meant:
        return None
    several = "columns" if len(meant) > 1 else "column"
    times = ", in seconds" if {"start", "end"} & {*meant.values()} else ""
    return (
        f"{several} {', '.join(meant)} not used: did you mean {', '.join(meant.values())}{times}?"
    )


def video_of_row(
    row: Mapping[str, str],
    base: str,
    paths: dict[str, str] | None = None,
    known_labels: dict[Labels, Labels] | None = None,
) -> Video:
    """A row as a video without key.

    Raises:
        ValueError: what is wrong with it.
    """
    paths = {} if paths is None else paths
    known_labels = {} if known_labels is None else known_labels
    if TOO_MUCH in row:
        raise ValueError(
            "more cells than the first line has: text with a comma in it goes in quotes"
        )
    name = row.get("path")
    if not name:
        raise ValueError("no path in this row")
    try:
        start, end = seconds(row.get("start")), seconds(row.get("end"))
    except ValueError:
        raise ValueError("start and end must be seconds, such as 12.5") from None
    if start is not None and end is not None and end <= start:
        raise ValueError(f"end {end:g} is not after start {start:g}")
    split = row.get("split", "").lower()
    if split and split not in SPLITS:
        raise ValueError(f"split {row['split']!r} is unknown: train, validation or test")
    labels = [(head, row[head]) for head in HEADS if row.get(head)]
    several = (part.strip() for part in row.get(SEVERAL, "").split(";"))
    labels += [(LABEL, part) for part in several if part]
    if name not in paths:
        paths[name] = joined(base, name)
    group = row.get("group")
    distinct = tuple(dict.fromkeys(labels))
    return Video(
        path=paths[name],
        key="",
        labels=known_labels.setdefault(distinct, distinct),
        start=start,
        end=end,
        split=SPLITS.get(split),
        group=sys.intern(group) if group else None,
    )
