"""Whatever ends a run, whole lines stay and nothing is torn."""

import resource
import sys

import pytest

from helpers.forked import forked
from mofo.system.json_lines import JsonLines

ROWS = [{"a": 1}, ["b"], "\u00fc" * 40_000]


def contents(path):
    with JsonLines(path) as lines:
        found = list(lines)
        assert [lines.read(place) for place, _ in found] == [content for _, content in found]
    return [content for _, content in found]


def test_what_was_added_comes_back(tmp_path):
    for row in ROWS:
        with JsonLines(tmp_path / "a.jsonl") as lines:
            lines.add(row)
    assert contents(tmp_path / "a.jsonl") == ROWS
    with JsonLines(tmp_path / "a.jsonl") as lines:
        lines.clear()
        lines.add(1)
    assert contents(tmp_path / "a.jsonl") == [1]


@pytest.mark.parametrize("torn", ['{"a', "x" * 200_000])
@pytest.mark.parametrize("whole", [[], ["first"], ROWS])
def test_a_torn_line_is_taken_away(tmp_path, whole, torn):
    file = tmp_path / "a.jsonl"
    with JsonLines(file) as lines:
        for row in whole:
            lines.add(row)
    size = file.stat().st_size
    with file.open("a") as more:
        more.write(torn)
    assert contents(file) == whole
    assert file.stat().st_size == size


def test_lines_that_are_no_json_are_passed_over(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'1\n{"a\n\xff\n' + b"[" * 90_000 + b"\n2\n")
    assert contents(tmp_path / "a.jsonl") == [1, None, None, None, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
def test_a_full_disk_is_named_and_tears_nothing(tmp_path):
    file = tmp_path / "a.jsonl"

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        with JsonLines(file) as lines:
            try:
                for _ in range(9):
                    lines.add("x" * 27)
            except OSError as error:
                return error.filename

    assert forked(fill).value == str(file)
    assert contents(file) == ["x" * 27] * 3
