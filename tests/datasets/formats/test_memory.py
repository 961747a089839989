"""Long catalogs: what rows have in common is in memory once."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from mofo.datasets.catalog import read_catalog
from mofo.datasets.catalog_file import write_catalog

ROWS, FILES = 20_000, 20


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rows")
    for number in range(FILES):
        (root / f"{number}.mp4").write_bytes(b"v")
    lines = []
    for row in range(ROWS):
        number, start = row % FILES, row // FILES
        labels = f"verb {row % 10},noun {row % 30}"
        lines.append(f"{number}.mp4,{labels},{start},{start + 1},train")
    (root / "all.csv").write_text("path,verb,noun,start,end,split\n" + "\n".join(lines))
    write_catalog(root / "all.parquet", read_catalog([root / "all.csv"]))
    return root


@pytest.mark.parametrize("name", ["all.csv", "all.parquet"])
def test_bytes_of_a_row(rows, name):
    read_catalog([rows / name])  # imports, once
    tracemalloc.start()
    catalog = read_catalog([rows / name])
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(catalog) == ROWS
    assert held / ROWS < 300
    assert peak / ROWS < 900  # for a moment, and with a batch of the file's rows
