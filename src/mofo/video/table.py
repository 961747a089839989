"""Tables of videos: CSV with a header, one row a video or a stretch of one."""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH118

from __future__ import annotations

import csv
import os
import sys
from dataclasses import replace
from pathlib import Path

from mofo.types import MofoError
from mofo.video.video import LABEL, Video, why_unusable

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


Labels = tuple[tuple[str, str], ...]


def read_table(
    table: Path, problems: list[tuple[str, str]], folder: Path | None = None
) -> list[Video]:
    """The videos of a CSV table, in its order; their keys are still empty.

    Columns, in any order: ``path``, relative to the table; if wanted, a class: ``label`` (or
    ``verb``, ``noun``, ``action``; or ``labels`` with ";" between several), as text or number;
    ``start`` and ``end`` in seconds; ``split``: train, validation or test; ``group``: recording or
    person. Others are left alone.

    Args:
        table: the file, in UTF-8.
        problems: gets ``(name, reason)`` of each row that cannot be used.
        folder: what paths are relative to, if not the table's.

    Raises:
        MofoError: no such table, or nothing in it.
    """
    root = str((folder or table.parent).absolute())
    videos: list[Video] = []
    before = len(problems)
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = [name.strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            if "path" not in names:
                raise MofoError(
                    f'{table}: has no column "path" in its first line (found: '
                    f"{', '.join(names) or 'nothing'}); add one"
                )
            files: dict[str, tuple[str, str | None]] = {}
            labels: dict[Labels, Labels] = {}
            for row in reader:
                try:
                    video = _video(row, root, files)
                except ValueError as error:
                    problems.append((f"{table}, line {reader.line_num}", str(error)))
                    continue
                reason = files[(row.get("path") or "").strip()][1]
                if reason is None:
                    # Rows share what they have in common: there may be millions.
                    shared = labels.setdefault(video.labels, video.labels)
                    videos.append(replace(video, labels=shared))
                else:
                    problems.append((video.path, reason))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MofoError(f"{table}: cannot be read as a CSV table in UTF-8 ({reason})") from None
    if not videos and len(problems) == before:
        raise MofoError(f"{table}: has no rows; add one line for each video")
    return videos


def _video(
    row: dict[str, str | None], root: str, files: dict[str, tuple[str, str | None]]
) -> Video:
    """A row; ValueError says what is wrong with it.

    ``files`` keeps, by what the table calls it, each file's path and why it cannot be used.
    """

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
    if name not in files:
        path = os.path.normpath(os.path.join(root, name))
        files[name] = path, why_unusable(path)
    group = cell("group")
    return Video(
        path=files[name][0],
        key="",
        labels=tuple(dict.fromkeys(labels)),
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
