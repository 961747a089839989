"""Text, JSON and CSV files that come with data sets, and one clear line where they are wrong."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mofo.system.files import csv_text
from mofo.types import MofoError

_SEPARATORS = (",", ";", "\t")
SPLITS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Names of splits as they are found, and what they are called here."""
_CELL_LINES = 50  # of a quoted cell at most
TOO_MUCH = "\n"
"""Key of the cells of a row that the header has no name for."""


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MofoError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MofoError(f"{path}: line {line} is not UTF-8: save the file as UTF-8") from None


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Lines that are not empty, without blanks at their ends, and their numbers from 1."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def each_line(path: Path) -> Iterator[tuple[int, str]]:
    """As ``read_lines``, without holding the whole file."""
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                text = line.strip()
                if text:
                    yield number, text
    except OSError as error:
        raise MofoError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        read_text(path)  # names the line
        raise


def read_json(path: Path, kind: type) -> Any:
    """A JSON document whose outermost part is a ``kind``, such as list or dict."""
    try:
        document = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise MofoError(
            f"{path}: is no JSON (line {error.lineno}: {error.msg}): fetch the file again"
        ) from None
    except (ValueError, RecursionError) as error:  # numbers too long, brackets too deep
        raise MofoError(f"{path}: is no JSON ({error}): fetch the file again") from None
    if not isinstance(document, kind):
        names: dict[type, str] = {list: "a list", dict: "an object"}
        found = names.get(type(document), type(document).__name__)
        raise MofoError(f"{path}: holds {found}, expected {names.get(kind, kind.__name__)}")
    return document


def separator(header: str, column: str) -> str:
    """What stands between the cells of a CSV file: a comma, or what makes ``column`` a cell.

    Where the comma is part of numbers, spreadsheets write ";".
    """
    for mark in _SEPARATORS:
        if column in (cell.strip(' "').lower() for cell in header.strip().split(mark)):
            return mark
    return _SEPARATORS[0]


def read_rows(
    path: Path, columns: Sequence[str], *, lower: bool = False, once: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file with a header, and where each is (``"FILE, line 7"``).

    Cells are without blanks at their ends; a cell that the row lacks is not in the dictionary, and
    cells that the header has no name for are in it as ``TOO_MUCH``. ``path``: the file, which may
    be long: it is read row by row. ``columns``: what the header has to have at least.
    """
    line = 1
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            mark = separator(first, columns[0])
            rows = _csv_rows(itertools.chain([first], file), mark)
            _, cells = next(rows, (1, []))
            header = [name.lower() if lower else name for name in cells or []]
            missing = [name for name in columns if name not in header]
            if missing:
                raise MofoError(
                    f"{path}: has no column {' and no '.join(missing)} in its first line (found: "
                    f"{', '.join(header)[:200] or 'nothing'}); add one"
                )
            if repeated := [name for name in once if header.count(name) > 1]:
                raise MofoError(f'{path}: has the column "{repeated[0]}" twice; take one out')
            for line, cells in rows:
                if cells is None:
                    raise MofoError(f"{path}, line {line}: has a quote that does not end: close it")
                named: dict[str, str] = dict(zip(header, cells, strict=False))
                if any(cells[len(header) :]):
                    named[TOO_MUCH] = ",".join(cells[len(header) :])
                yield f"{path}, line {line}", named
    except OSError as error:
        raise MofoError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        read_text(path)  # names the line
        raise
    except csv.Error as error:
        raise MofoError(f"{path}, line {line}: is no CSV ({error})") from None


def _csv_rows(lines: Iterable[str], mark: str) -> Iterator[tuple[int, list[str] | None]]:
    """The number of the first line of each row, and its cells; None where a quote does not end.

    A quoted cell may go over a few lines. One that does not end would swallow all rows below.
    """
    opened: list[str] = []  # lines of a row with an open quote
    first = columns = 0
    for number, line in enumerate(lines, 1):
        if not opened and '"' not in line:
            row_line, cells = number, line.split(mark)
        else:
            first = first if opened else number
            opened.append(line)
            try:
                (cells,) = csv.reader(opened, delimiter=mark, strict=True)
            except csv.Error:
                if len(opened) == 1 and line.count('"') % 2 == 0:
                    (cells,) = csv.reader(opened, delimiter=mark)  # as in: "open" door
                elif len(opened) < _CELL_LINES:
                    continue
                else:
                    yield first, None
                    return
            if len(opened) > 1 and len(cells) != columns:
                yield first, None
                return
            row_line, opened = first, []
        cells = [csv_text(cell.strip()) if "'" in cell else cell.strip() for cell in cells]
        columns = columns or len(cells)
        if len(cells) > 1 or cells[0]:
            yield row_line, cells
    if opened:
        yield first, None


def numbered(pairs: Sequence[tuple[object, object]], path: Path) -> tuple[str, ...]:
    """Names in the order of their numbers.

    ``pairs``: ``(number, name)``, numbers (as text, if need be) from 0 without a gap.
    """
    try:
        by_number = {int(str(number)): str(name) for number, name in pairs}
    except ValueError:
        raise MofoError(f"{path}: a class without a number: fetch the file again") from None
    if sorted(by_number) != list(range(len(pairs))):
        raise MofoError(
            f"{path}: its {len(pairs)} classes are not numbered from 0 to {len(pairs) - 1}"
        )
    names = tuple(by_number[number] for number in range(len(pairs)))
    if len(set(names)) < len(names):
        raise MofoError(f"{path}: names a class twice")
    return names


def seconds(text: str | None) -> float | None:
    """A time in seconds; None for an empty text, ValueError if it is none."""
    if text is None or not text.strip():
        return None
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def split_of(path: Path) -> str | None:
    """The split that the name of a list tells, such as "validation" for ``k400_val_list.txt``."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def describe_text(path: Path) -> str:
    """What a text file looks like, in a few words."""
    if path.suffix.lower() == ".json":
        document = read_json(path, object)
        sample = document[0] if isinstance(document, list) and document else document
        nested = next((v for v in sample.values() if v), None) if isinstance(sample, dict) else None
        nested = nested[0] if isinstance(nested, list) else nested
        parts = ["a list of" if isinstance(document, list) else "", _keys_of(sample)]
        parts += [f"(of {_keys_of(nested)})"] if isinstance(nested, dict) else []
        return f"is JSON, {' '.join(part for part in parts if part)}"
    lines = list(itertools.islice((line for _, line in each_line(path)), 2))
    mark = max(_SEPARATORS, key=lines[0].count)
    cells = [cell.strip(' "') for cell in lines[0].split(mark)]
    if len(cells) > 1 and all(re.fullmatch(r"[A-Za-z_][\w ]*", cell) for cell in cells):
        return f"is a table with the columns {', '.join(cells)[:200]} and without path"
    first = re.split(r"[\s,;]+", lines[0].strip('"'), maxsplit=1)[0]
    if os.path.isdir(path.parent / first[:255]):  # noqa: PTH112 (never raises)
        return f"is a list of folders ({first}), perhaps of pictures: mofo reads videos"
    return f"is text that begins with {lines[0][:60]!r}"


def _keys_of(value: object) -> str:
    if isinstance(value, dict):
        return f"objects with {', '.join(map(repr, list(value)[:5]))}"
    return type(value).__name__
