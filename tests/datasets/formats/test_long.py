"""Lists of any length become a catalog without ever being in memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mofo.cli import main
from mofo.datasets.catalog import read_catalog

# Prints the largest memory in KiB before and after, beside what the conversion prints.
RUN = """
import resource, sys
import numpy, pyarrow.parquet
import mofo.datasets.catalog_file
from mofo.cli import main
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
code = main(["data", "convert", *sys.argv[1:], "--quiet"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
sys.exit(code)
"""


def table(folder, rows, name="all.csv"):
    """Rows of as many files, all of them links to one; two rows a file."""
    (folder / "videos").mkdir(exist_ok=True)
    (folder / "videos" / "one.mp4").write_bytes(b"v")
    with (folder / name).open("w") as file:
        file.write("path,label,start,end,split\n")
        for row in range(rows):
            split = ("train", "test")[row % 2]
            file.write(f"videos/one.mp4,class {row % 100},{row},{row + 2},{split}\n")
    return folder / name


def memory(*words):
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, words)], check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1]) * 1024


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["table", "list", "parquet"])
def test_memory_hardly_grows_with_the_rows(tmp_path, kind):
    peaks = []
    for rows in (10_000, 70_000):
        source = table(tmp_path, rows)
        if kind == "list":
            lines = (f"videos/{'../videos/' * 3}one.mp4 {row}\n" for row in range(rows))
            source = tmp_path / "all.list"
            source.write_text("".join(lines))
        if kind == "parquet":
            main(["data", "convert", str(source), "--to", str(tmp_path / "in.parquet"), "--quiet"])
            source = tmp_path / "in.parquet"
        peaks.append(memory(source, "--to", tmp_path / "out.parquet"))
    assert peaks[1] - peaks[0] < 100 * 60_000  # bytes; a video as an object takes 300


def test_a_stream_says_what_a_whole_says(tmp_path, capsys):
    source = table(tmp_path, 60)
    with source.open("a") as file:
        file.write("videos/one.mp4,class 7,7,9,test\n")  # said before
        file.write("videos/no.mp4,class 7,7,9,test\n,,,,\nvideos/one.mp4,x,5,1,\n")
        file.write("videos/one.mp4,class 8,7,9,test\n")
    (tmp_path / "bad.csv").write_text("path,start,end\nvideos/one.mp4,3,5\n")
    exclude = f"exclude:{tmp_path / 'bad.csv'}"
    whole = read_catalog([source, exclude])
    out = tmp_path / "out.parquet"
    assert main(["data", "convert", str(source), exclude, "--to", str(out), "--quiet"]) == 1
    told = capsys.readouterr()
    assert list(read_catalog([out])) == list(whole)
    assert "60 rows of 1 files; 30 train, 30 test; label: 59 classes; 1 in quarantine" in told.out
    assert "cannot be used (3)" in told.err
    for _, reason in whole.problems:
        assert reason in told.err


def test_files_outside_the_list_s_folder(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "videos").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "videos" / name).write_bytes(b"v")
    for name, text in (("t.csv", "path\n../videos/a.mp4\n../videos/b.mp4\n"),
                       ("t.txt", "../videos/a.mp4 0\n../videos/b.mp4 1\n")):  # fmt: skip
        source = tmp_path / "lists" / name
        source.write_text(text)
        out = tmp_path / "out.parquet"
        assert main(["data", "convert", str(source), "--to", str(out), "--quiet"]) == 0
        catalog = read_catalog([out])
        assert [video.key for video in catalog] == ["a.mp4", "b.mp4"]
        assert list(catalog) == list(read_catalog([source]))


def test_nothing_is_left(tmp_path, capsys):
    source = tmp_path / "all.csv"
    source.write_text("path\nno.mp4\n")
    assert main(["data", "convert", str(source), "--to", str(tmp_path / "out.parquet")]) == 1
    assert f"no video is left: {tmp_path / 'no.mp4'}: does not exist" in capsys.readouterr().err
    assert not (tmp_path / "out.parquet").exists()
    source.write_text("path\n")
    assert main(["data", "convert", str(source), "--to", str(tmp_path / "out.parquet")]) == 1
    assert "has no rows" in capsys.readouterr().err
