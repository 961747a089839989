"""Tables of videos: CSV with a header, one row a video or a stretch of one."""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH118

from __future__ import annotations

import csv
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mofo.datasets.distinct import Usable
from mofo.datasets.formats.documents import separator
from mofo.datasets.video import LABEL, Video
from mofo.types import MofoError

HEADS = (LABEL, "verb", "noun", "action")
"""Columns that hold labels, one class a cell."""
SEVERAL = "labels"
"""A column that holds any number of classes, ";" between them; for head "label"."""
SPLITS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Names of splits as they are found, and what they are called here."""
_KNOWN = ("path", *HEADS, SEVERAL, "start", "end", "split", "group")
_SHARED = 20_000  # paths that are remembered
Labels = tuple[tuple[str, str], ...]


def table_rows(
    table: Path, problems: list[tuple[str, str]], folder: Path | None = None
) -> Iterator[Video]:
    """The rows of a CSV table, one after the other; their keys are still empty.

    Whether the files are there is not looked at.

    Columns, in any order: ``path``, relative to the table; if wanted, a class: ``label`` (or
    ``verb``, ``noun``, ``action``; or ``labels`` with ";" between several), as text or number;
    ``start`` and ``end`` in seconds; ``split``: train, validation or test; ``group``: recording or
    person. Others are left alone.

    Args:
        table: the file, in UTF-8; cells are separated by ",", or all by ";" or tabs.
        problems: gets ``(name, reason)`` of each row that cannot be used.
        folder: what paths are relative to, if not the table's.

    Raises:
        MofoError: no such table, no column ``path``, or a column twice.
    """
    root = str((folder or table.parent).absolute())
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            mark = separator(header, "path")
            reader = csv.DictReader(itertools.chain([header], file), delimiter=mark)
            names = [name.strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            if "path" not in names:
                raise MofoError(
                    f'{table}: has no column "path" in its first line (found: '
                    f"{', '.join(names) or 'nothing'}); add one"
                )
            if twice := [name for name in _KNOWN if names.count(name) > 1]:
                raise MofoError(f'{table}: has the column "{twice[0]}" twice; take one out')
            # Rows share what they have in common: there may be millions.
            paths: dict[str, str] = {}
            labels: dict[Labels, Labels] = {}
            for row in reader:
                if len(paths) > _SHARED:
                    paths.clear()
                try:
                    yield _video(row, root, paths, labels)
                except ValueError as error:
                    problems.append((f"{table}, line {reader.line_num}", str(error)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = ": save it as CSV UTF-8" if isinstance(error, UnicodeDecodeError) else ""
        raise MofoError(
            f"{table}: cannot be read as a CSV table in UTF-8 ({reason}){hint}"
        ) from None


def read_table(
    table: Path, problems: list[tuple[str, str]], folder: Path | None = None
) -> list[Video]:
    """The rows of ``table_rows`` whose files can be used; ``problems`` gets the others.

    Raises:
        MofoError: see there; or nothing is in the table.
    """
    videos: list[Video] = []
    usable = Usable()
    before = len(problems)
    for video in table_rows(table, problems, folder):
        reason = usable(video.path)
        if reason is None:
            videos.append(video)
        else:
            problems.append((video.path, reason))
    if not videos and len(problems) == before:
        raise MofoError(f"{table}: has no rows; add one line for each video")
    return videos


def _video(
    row: dict[str, str | None], root: str, paths: dict[str, str], labels_: dict[Labels, Labels]
) -> Video:
    """A row; ValueError says what is wrong with it.

    ``paths`` and ``labels_`` keep what earlier rows had.
    """
    more: Any = row.get(None)  # type: ignore[call-overload]  # where csv puts what is too much
    if more and any(more):
        raise ValueError(
            "more cells than the first line has: text with a comma in it goes in quotes"
        )

    def cell(name: str) -> str | None:
        return (row.get(name) or "").strip() or None

    name = cell("path")
    if name is None:
        raise ValueError("no path in this row")
    try:
        start, end = seconds(cell("start")), seconds(cell("end"))
    except ValueError:
        raise ValueError("start and end must be seconds, such as 12.5") from None
    if start is not None and end is not None and end <= start:
        raise ValueError(f"end {end:g} is not after start {start:g}")
    split = cell("split")
    if split is not None and split.lower() not in SPLITS:
        raise ValueError(f"split {split!r} is unknown: train, validation or test")
    labels = [(head, value) for head in HEADS if (value := cell(head))]
    several = (part.strip() for part in (cell(SEVERAL) or "").split(";"))
    labels += [(LABEL, part) for part in several if part]
    if name not in paths:
        paths[name] = os.path.normpath(os.path.join(root, name))
    group = cell("group")
    told = tuple(dict.fromkeys(labels))
    return Video(
        path=paths[name],
        key="",
        labels=labels_.setdefault(told, told),
        start=start,
        end=end,
        split=SPLITS[split.lower()] if split else None,
        group=sys.intern(group) if group else None,
    )


def seconds(text: str | None) -> float | None:
    """A time in seconds; None for an empty text, ValueError if it is none."""
    if text is None or not text.strip():
        return None
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value
