"""Names of classes out of the lists that data sets come with."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mofo.weights.loading import WeightsError
from mofo.weights.tensor_files import CONFIG, read_json

_NUMBER = ("id", "index", "class", "number")
_NAME = ("name", "key", "label", "class_name")


def read_class_names(path: str | Path) -> list[str]:
    """The names in order of their numbers.

    ``.json``: a list, or an object name -> number or number -> name (Something-Something's and
    Kinetics' files are such); ``.csv``: columns ``id`` and ``name`` (``key``), or one column;
    anything else: a name a line.

    Raises:
        WeightsError: the file cannot be read, numbers are missing, or a name stands there twice.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        names = _from_json(read_json(path), path)
    else:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise WeightsError(f"{path}: cannot be read: {error}") from None
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        names = _from_csv(lines, path) if path.suffix.lower() == ".csv" else lines
    return checked_names(names, str(path))


def names_of_config(config: Mapping[str, Any]) -> list[str] | None:
    """``id2label`` of a Hugging Face configuration; None if it has none."""
    found = config.get("id2label")
    return checked_names(_in_order(found, CONFIG), CONFIG) if isinstance(found, dict) else None


def checked_names(names: list[str], source: str) -> list[str]:
    """The same names; raises a WeightsError if there are none or one stands there twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise WeightsError(f"{source}: " + (f"{twice[0]!r} stands twice" if names else "no names"))
    return names


def _from_json(content: Any, path: Path) -> list[str]:
    if isinstance(content, list):
        return [str(name) for name in content]
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: neither a list nor an object of names and numbers")
    if all(str(key).lstrip("-").isdigit() for key in content):
        return _in_order(content, str(path))
    return _in_order({number: name for name, number in content.items()}, str(path))


def _from_csv(lines: list[str], path: Path) -> list[str]:
    rows = list(csv.reader(lines))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    number = next((header.index(word) for word in _NUMBER if word in header), None)
    name = next((header.index(word) for word in _NAME if word in header), None)
    if number is not None and name is not None:
        width = max(number, name)
        if any(len(row) <= width for row in rows):
            raise WeightsError(f"{path}: a row with fewer cells than the first")
        return _in_order({row[number]: row[name] for row in rows[1:]}, str(path))
    if any(len(row) != 1 for row in rows):
        raise WeightsError(f"{path}: a CSV list of classes has columns id and name, or one column")
    names = [row[0].strip() for row in rows]
    return names[1:] if name == 0 else names


def _in_order(names: Mapping[Any, Any], source: str) -> list[str]:
    try:
        by_number = {int(number): str(name) for number, name in names.items()}
    except (TypeError, ValueError):
        raise WeightsError(f"{source}: a class has no whole number") from None
    if sorted(by_number) != list(range(len(by_number))) or len(by_number) != len(names):
        raise WeightsError(f"{source}: classes are not numbered 0, 1, 2 ...")
    return [by_number[number] for number in range(len(by_number))]
