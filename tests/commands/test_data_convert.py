"""``mofo data convert``: from published layouts to one file, and back to the same videos."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers import trees
from mofo.cli import main
from mofo.datasets.catalog import read_catalog
from mofo.types import MofoError


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return trees.maker(tmp_path_factory.mktemp("tiny"))


def convert(*words: object) -> int:
    return main(["data", "convert", *map(str, words), "--quiet"])


@pytest.mark.parametrize("name", trees.TREES)
def test_the_catalog_holds_what_the_data_set_does(tmp_path, tiny, name, capsys):
    root = trees.TREES[name](tmp_path / "data", tiny)
    target = tmp_path / "catalog.parquet"
    assert convert(root, "--to", target) == 0
    direct, written = read_catalog([root]), read_catalog([target])
    assert written.videos == direct.videos
    assert written.classes == direct.classes
    assert written.flip == direct.flip
    out = capsys.readouterr().out
    assert f"{len(direct)} rows of" in out
    assert f"next: mofo data check {target}" in out
    assert ("keep data.flip off" in out) == (direct.flip is False)


def test_no_cell_of_a_table_is_a_formula(tmp_path, tiny):
    rows = ["=cmd.mp4,=1+1,-g", "+b.mp4,@sum,'q", "-c.mp4,-1,x", "d.mp4,'tis,x"]
    for row in rows:
        tiny(tmp_path / row.partition(",")[0])
    table = trees.write(tmp_path / "in.csv", "\n".join(["path,label,group", *rows, ""]))
    assert convert(table, "--to", tmp_path / "out.csv") == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert {cell for cell in cells if cell[:1] in ("=", "+", "-", "@")} == {"-1"}, (
        "a number is none"
    )
    assert read_catalog([tmp_path / "out.csv"]).videos == read_catalog([table]).videos


@pytest.mark.parametrize("name", trees.TREES)
def test_as_a_table(tmp_path, tiny, name):
    root = trees.TREES[name](tmp_path / "data", tiny)
    target = tmp_path / "data" / "all.csv"
    assert convert(root, "--to", target) == 0
    direct, written = read_catalog([root]), read_catalog([target])
    assert [(v.path, v.labels, v.start, v.end, v.split, v.group) for v in written] == [
        (v.path, v.labels, v.start, v.end, v.split, v.group) for v in direct
    ]


def test_catalog_and_videos_can_be_moved_together(tmp_path, tiny):
    root = trees.epic(tmp_path / "EPIC-KITCHENS", tiny)
    assert convert(root, "--to", root / "epic.parquet") == 0
    before = read_catalog([root / "epic.parquet"])
    moved = root.rename(tmp_path / "moved")
    after = read_catalog([moved / "epic.parquet"])
    assert after.problems == ()
    assert [v.key for v in after] == [v.key for v in before]
    assert all(v.path.startswith(str(moved)) for v in after)


def test_probe(tmp_path, tiny):
    root = trees.classes(tmp_path / "data", tiny)
    (root / "jump" / "bad.mp4").write_bytes(b"no video")
    for target in (tmp_path / "c.parquet", tmp_path / "c.csv"):
        assert convert(root, "--to", target, "--probe") == 1
    table = pq.read_table(tmp_path / "c.parquet").to_pylist()
    rows = {Path(row["path"]).name: row for row in table}
    good = rows["jump0.mp4"]
    assert [good[name] for name in ("width", "height", "fps", "frames")] == [64, 48, 25.0, 12]
    assert rows["bad.mp4"]["frames"] is None
    with (tmp_path / "c.csv").open() as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert rows["jump0.mp4"]["frames"] == "12"
    assert rows["bad.mp4"]["frames"] == ""


def test_several_classes_of_a_video(tmp_path, tiny):
    for name in "ab":
        tiny(tmp_path / f"{name}.mp4")
    source = trees.write(tmp_path / "in.csv", "path,labels\na.mp4,red;round\nb.mp4,red\n")
    for target in (tmp_path / "out.parquet", tmp_path / "out.csv"):
        assert convert(source, "--to", target) == 0
        assert read_catalog([target]).videos == read_catalog([source]).videos


def test_options(tmp_path, tiny, capsys):
    root = trees.ucf101(tmp_path / "ucf101", tiny)
    moved = tmp_path / "disk"
    (root / "UCF-101").rename(moved)
    target = tmp_path / "two.parquet"
    assert convert(root, "--to", target, "--split-number", 2, "--videos", moved) == 0
    tested = {v.name for v in read_catalog([target]) if v.split == "test"}
    assert tested == {"v_ApplyEyeMakeup_g02_c01", "v_HandStandPushups_g02_c01"}
    assert convert(root, "--to", target, "--format", "ssv2") == 1
    assert "something-something-v2-labels.json is missing" in capsys.readouterr().err


def test_missing_videos_are_told_and_counted(tmp_path, tiny, capsys):
    root = trees.ssv2(tmp_path / "ssv2", tiny)
    (root / "20bn-something-something-v2" / "42326.webm").unlink()
    assert convert(root, "--to", tmp_path / "c.parquet") == 1
    said = capsys.readouterr()
    assert "cannot be used (1):" in said.err
    assert "no video called 42326" in said.err
    assert len(read_catalog([tmp_path / "c.parquet"])) == 8


def test_many_missing_videos_are_one_line(tmp_path, tiny, capsys):
    root = trees.ssv2(tmp_path / "ssv2", tiny)
    videos = sorted((root / "20bn-something-something-v2").iterdir())
    for path in videos[:7]:
        path.unlink()
    assert convert(root, "--to", tmp_path / "c.parquet") == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if " below " in line]
    assert len(lines) <= 3  # one for each list
    assert any(" videos not below " in line for line in lines)
    table = trees.write(tmp_path / "t.csv", "path\n" + "".join(f"v/{n}.mp4\n" for n in range(99)))
    tiny(tmp_path / "v" / "5.mp4")
    assert main(["data", "check", str(table), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/v: 98 videos do not exist: 0.mp4, 1.mp4, 2.mp4 and 95 more" in said


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["{root}", "--to", "c.txt"], 2, "must end in .parquet or .csv"),
        (["{root}"], 2, "--to"),
        (["{root}", "--to", "c.csv", "--split-number", "0"], 2, "1 is the first"),
        (["{root}/none", "--to", "c.csv"], 1, "does not exist"),
        (["{root}", "--to", "c.csv", "--format", "ufc"], 2, "'ufc' is unknown"),
    ],
)
def test_wrong_usage(tmp_path, tiny, monkeypatch, capsys, words, code, expected):
    monkeypatch.chdir(tmp_path)
    root = trees.classes(tmp_path / "data", tiny)
    assert convert(*(word.format(root=root) for word in words)) == code
    said = capsys.readouterr()
    assert expected in said.err
    assert "Traceback" not in said.err
    assert not list(tmp_path.glob("c.*"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"PAR1 no, it is not PAR1", "is no Parquet file, or damaged"), (b"", "is no Parquet file")],
)
def test_damaged_catalog(tmp_path, content, expected, capsys):
    (tmp_path / "c.parquet").write_bytes(content)
    assert convert(tmp_path / "c.parquet", "--to", tmp_path / "d.csv") == 1
    assert expected in capsys.readouterr().err


def test_other_parquet_files_are_no_catalogs(tmp_path, capsys):
    import pyarrow as pa

    pq.write_table(pa.table({"path": ["a.mp4"]}), tmp_path / "c.parquet")
    assert convert(tmp_path / "c.parquet", "--to", tmp_path / "d.csv") == 1
    assert "is no catalog" in capsys.readouterr().err


def test_bytes_that_changed_in_a_catalog_give_one_line(tmp_path, tiny):
    root = trees.epic(tmp_path / "EPIC-KITCHENS", tiny)
    assert convert(root, "--to", tmp_path / "c.parquet") == 0
    data = (tmp_path / "c.parquet").read_bytes()
    rng = np.random.default_rng(0)
    refused: list[str] = []
    for _ in range(100):
        wrong = bytearray(data)
        wrong[rng.integers(len(data))] ^= int(rng.integers(1, 256))
        (tmp_path / "c.parquet").write_bytes(wrong)
        try:
            read_catalog([tmp_path / "c.parquet"])
        except MofoError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert not any("\n" in text for text in refused)
