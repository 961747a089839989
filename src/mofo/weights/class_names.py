"""Names of classes out of the lists that data sets come with."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mofo.datasets.formats.documents import numbered, read_lines
from mofo.system.files import read_json
from mofo.types import MofoError
from mofo.weights.tensor_files import CONFIG

_NUMBER = ("id", "index", "class", "number")
_NAME = ("name", "key", "label", "class_name")


def read_class_names(path: str | Path) -> list[str]:
    """The names in order of their numbers.

    ``.json``: a list, or an object name -> number or number -> name (Something-Something's and
    Kinetics' files are such); ``.csv``: columns ``id`` and ``name`` (``key``), or one column;
    anything else: a name a line.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        pairs = _of_json(read_json(path), path)
    else:
        lines = [line for _, line in read_lines(path)]
        pairs = _of_csv(lines, path) if path.suffix.lower() == ".csv" else [*enumerate(lines)]
    if not pairs:
        raise MofoError(f"{path}: no names")
    return list(numbered(pairs, path))


def names_of_config(config: Mapping[str, Any]) -> list[str] | None:
    """``id2label`` of a Hugging Face configuration; None if it has none."""
    names = config.get("id2label")
    return list(numbered([*names.items()], Path(CONFIG))) if isinstance(names, dict) else None


def _of_json(content: Any, path: Path) -> list[tuple[Any, Any]]:
    if isinstance(content, list):
        return [*enumerate(content)]
    if not isinstance(content, dict):
        raise MofoError(f"{path}: neither a list nor an object of names and numbers")
    if all(str(key).lstrip("-").isdigit() for key in content):
        return [*content.items()]
    return [(number, name) for name, number in content.items()]


def _of_csv(lines: list[str], path: Path) -> list[tuple[Any, Any]]:
    rows = list(csv.reader(lines))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    number = next((header.index(word) for word in _NUMBER if word in header), None)
    name = next((header.index(word) for word in _NAME if word in header), None)
    if number is not None and name is not None:
        if any(len(row) <= max(number, name) for row in rows):
            raise MofoError(f"{path}: a row with fewer cells than the first")
        return [(row[number], row[name]) for row in rows[1:]]
    if any(len(row) != 1 for row in rows):
        raise MofoError(f"{path}: a CSV list of classes has columns id and name, or one column")
    return [*enumerate(row[0].strip() for row in (rows[1:] if name == 0 else rows))]
