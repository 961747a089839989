from __future__ import annotations

import pickle

import pytest

from mofo.datasets import row_table
from mofo.datasets.catalog import Catalog, read_catalog
from mofo.datasets.catalog_file import write_catalog
from mofo.datasets.row_table import RowTable, where
from mofo.datasets.video import Video

ROWS = 50


def row(folder, number):
    return Video(
        str(folder / "videos" / f"{number % 7}.mp4"),
        f"videos/{number % 7}.mp4",
        (("verb", f"v{number % 3}"),) if number % 5 else (),
        number / 2,
        None,
        ("train", "validation", None)[number % 3],
        f"g{number % 7}",
        f"name {number}",
    )


@pytest.fixture
def long(tmp_path, monkeypatch):
    """Rows, and the same rows read back from a catalog in batches of eight."""
    monkeypatch.setattr(row_table, "BATCH", 8)
    (tmp_path / "videos").mkdir()
    for number in range(7):
        (tmp_path / "videos" / f"{number}.mp4").write_bytes(b"v")
    rows = [row(tmp_path, number) for number in range(ROWS)]
    catalog = Catalog(rows, classes={"verb": ("v0", "v1")})
    write_catalog(tmp_path / "long.parquet", catalog)
    return rows, tmp_path / "long.parquet"


def test_rows_are_those_that_were_written(long):
    rows, path = long
    catalog = read_catalog([path])
    assert isinstance(catalog.videos, RowTable)
    assert (len(catalog), list(catalog), catalog.videos) == (ROWS, rows, rows)
    assert [catalog[i] for i in range(-ROWS, ROWS)] == rows + rows
    assert catalog[3:30:4] == tuple(rows[3:30:4])
    for outside in (ROWS, -ROWS - 1):
        with pytest.raises(IndexError):
            catalog[outside]


def test_chosen_rows(long):
    rows, path = long
    videos = read_catalog([path]).videos
    train = where(videos, lambda video: video.split == "train")
    first = where(train, lambda video: video.start < 10)
    wanted = [video for video in rows if video.split == "train"]
    assert train == wanted
    assert list(first) == [video for video in wanted if video.start < 10]
    assert [train[i] for i in range(len(train))] == wanted
    assert train[-1] == wanted[-1]
    assert where(videos, lambda video: True) is videos
    assert not where(videos, lambda video: False)
    assert where(tuple(rows), lambda video: video.split == "train") == tuple(wanted)


def test_other_processes_get_the_same_rows(long):
    rows, path = long
    train = where(read_catalog([path]).videos, lambda video: video.split == "train")
    sent = pickle.loads(pickle.dumps(train))
    assert list(sent) == [video for video in rows if video.split == "train"]


def test_missing_files_and_quarantine(long, tmp_path):
    rows, path = long
    (tmp_path / "videos" / "2.mp4").unlink()
    (tmp_path / "bad.csv").write_text("path,start,reason\nvideos/3.mp4,1.5,dark\nvideos/4.mp4,,x\n")
    catalog = read_catalog([path, f"exclude:{tmp_path / 'bad.csv'}"])
    out = {"2.mp4", "4.mp4"}
    names = [video for video in rows if video.path.rpartition("/")[2] not in out]
    assert list(catalog) == [video for video in names if video.start != 1.5]
    assert catalog.problems == ((str(tmp_path / "videos" / "2.mp4"), "does not exist"),)
    assert len(catalog.excluded) == 1 + sum(video.path.endswith("4.mp4") for video in rows)


@pytest.mark.parametrize("heads", ["label", "verb,noun"])
def test_a_long_table_stays_columns(tmp_path, monkeypatch, heads):
    monkeypatch.setattr(row_table, "BATCH", 8)
    kinds = heads.split(",")
    rows = [f"{n % 4}.mp4,{','.join(f'{h} {n % 3}' for h in kinds)},{n}" for n in range(30)]
    for number in range(3):
        (tmp_path / f"{number}.mp4").write_bytes(b"v")
    (tmp_path / "t.csv").write_text(f"path,{heads},start\n" + "\n".join(rows + rows))
    few = read_catalog([tmp_path / "t.csv"])
    assert isinstance(few.videos, RowTable)
    assert [video.start for video in few] == [n for n in range(30) if n % 4 < 3]
    assert few[0].labels == tuple((head, f"{head} 0") for head in kinds)
    assert few.problems == ((str(tmp_path / "3.mp4"), "does not exist"),)
    # The same as beside another source, where rows are objects.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.mp4").write_bytes(b"v")
    both = read_catalog([tmp_path / "t.csv", tmp_path / "other"])
    assert list(few) == list(both)[:-1]


def test_catalogs_compare_by_their_videos(long):
    rows, path = long
    assert read_catalog([path]).videos == tuple(rows)
    assert read_catalog([path]).videos != tuple(rows[1:])
    assert isinstance(Catalog().videos, tuple)
