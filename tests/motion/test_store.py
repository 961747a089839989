import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.stored import CODEC, DIS, KEYS, area, bring_in, content, fill, same
from mofo.motion import tables
from mofo.motion.merge import merge, scan
from mofo.motion.parts import digest, in_shard
from mofo.motion.records import AREAS, META_KEY, Meta, from_rows, to_rows, versions, video_row
from mofo.motion.store import AreaStore
from mofo.types import StoreError


@pytest.mark.parametrize(
    "one",
    [
        area(0),
        area(1),
        area(9, cuts=(1, 5)),
        area(3, movers=(np.zeros((0, 4), np.float32),) * 3, valid_T=np.zeros(3, bool)),
        area(4, warnings=("truncated after frame 3: end", "zweites Übel"), flow="codec"),
    ],
)
def test_rows_bring_back_the_same_area(one):
    same(from_rows(to_rows("k", one), video_row("k", "/k", 1, one)), one)


@given(st.lists(st.integers(0, 4), max_size=20), st.integers(0, 2**31))
def test_rows_bring_back_any_movers(counts, seed):
    rng = np.random.default_rng(seed)
    movers = tuple(rng.normal(size=(count, 4)).astype(np.float32) for count in counts)
    one = area(len(counts), movers=movers)
    same(from_rows(to_rows("k", one), video_row("k", "/k", 1, one)), one)


def test_the_videos_row_says_what_was_found():
    valid_T = np.array([1, 1, 0, 0, 0], bool)
    one = area(5, cuts=(2,), time_T=np.arange(5) / 10 + 3, valid_T=valid_T, warnings=("w",))
    row = video_row("k", "/there/k", 99, one)
    assert row["duration"] == pytest.approx(0.5)
    assert (row["frames"], row["shots"], row["moving"], row["bytes"]) == (5, 2, 0.4, 99)
    assert row["warnings"] == ["w"]


@pytest.mark.parametrize("rows", [5, 1000])  # in a group: fewer than a video has, or more
def test_all_boxes_at_once(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(tables, "GROUP_ROWS", rows)
    for number in (1, 2):
        fill(tmp_path, [key for key in KEYS if in_shard(key, (number, 2))])
        bring_in(tmp_path, shard=(number, 2))
    old = tmp_path / "old"
    fill(old, KEYS[:2], frames=20)  # an undivided, older store of two of the videos
    bring_in(old)
    for file in old.glob("*.parquet"):
        file.rename(tmp_path / file.name)
    store = AreaStore.open(tmp_path)
    found = {key: (box_T4, valid_T) for key, box_T4, valid_T in store.boxes()}
    assert sorted(found) == sorted(KEYS)
    for key, (box_T4, valid_T) in found.items():
        one = store[key]
        assert (box_T4.dtype, valid_T.dtype) == (np.float32, bool)
        np.testing.assert_array_equal(box_T4, one.box_T4)
        np.testing.assert_array_equal(valid_T, one.valid_T)


def test_a_store_gives_back_every_area(tmp_path):
    fill(tmp_path, KEYS)
    bring_in(tmp_path)
    assert sorted(content(tmp_path)) == ["areas.parquet", "videos.parquet"]
    with AreaStore.open(tmp_path) as store:
        assert list(store) == sorted(KEYS)
        assert len(store) == 7
        assert "a.mp4" in store
        assert "nothing" not in store
        assert store.settings == DIS
        assert store.versions["numpy"] == (np.__version__,)
        assert store.videos()["path"][0].as_py() == "/videos/a.mp4"
        for key in KEYS:
            same(store[key], area(7 + digest(key) % 5, seed=digest(key) % 1000))
        with pytest.raises(KeyError):
            store["nothing"]


def test_the_tables_are_plain_parquet(tmp_path):
    fill(tmp_path, KEYS)
    bring_in(tmp_path)
    table = pq.read_table(tmp_path / "areas.parquet")
    assert table.schema.remove_metadata().equals(AREAS)
    assert table["video"].to_pylist() == sorted(table["video"].to_pylist())
    group = pq.ParquetFile(tmp_path / "areas.parquet").metadata.row_group(0)
    assert "RLE_DICTIONARY" in group.column(0).encodings
    assert group.column(0).statistics.min == "a.mp4"


def test_one_video_is_read_from_its_row_groups_only(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "GROUP_ROWS", 32)
    fill(tmp_path, [f"{number:03}.mp4" for number in range(60)])
    bring_in(tmp_path)
    asked = []
    read = pq.ParquetFile.read_row_groups

    def spy(self, groups, **more):
        asked.append(len(groups))
        return read(self, groups, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", spy)
    with AreaStore.open(tmp_path) as store:
        store["031.mp4"]
    assert len(asked) == 1
    assert asked[0] <= 2


def test_file_names_outside_utf8_can_be_stored(tmp_path):
    key = b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    fill(tmp_path, [key])
    bring_in(tmp_path)
    store = AreaStore.open(tmp_path)
    assert list(store) == ["caf\\udce9.mp4"]
    assert key in store
    assert len(store[key]) >= 7
    assert store.find(f"/elsewhere/{key}") == "caf\\udce9.mp4"


def test_find_takes_the_longest_common_end(tmp_path):
    fill(tmp_path, ["one/a.mp4", "two/a.mp4", "b.mp4"])
    bring_in(tmp_path)
    store = AreaStore.open(tmp_path)
    assert store.find("/new/place/one/a.mp4") == "one/a.mp4"
    assert store.find("two/a.mp4") == "two/a.mp4"
    assert store.find(Path("b.mp4")) == "b.mp4"
    with pytest.raises(StoreError, match=r"could be 'one/a.mp4' or 'two/a.mp4'"):
        store.find("a.mp4")
    with pytest.raises(StoreError, match=r"no video xa.mp4"):
        store.find("xa.mp4")


def test_a_store_travels_to_other_processes(tmp_path):
    fill(tmp_path, KEYS)
    bring_in(tmp_path)
    store = AreaStore.open(tmp_path)
    expected = store["a.mp4"]
    same(pickle.loads(pickle.dumps(store))["a.mp4"], expected)


def test_an_empty_store_is_a_store(tmp_path):
    fill(tmp_path, KEYS)
    bring_in(tmp_path)
    merge(scan(tmp_path, CODEC), None, lambda key: True)
    store = AreaStore.open(tmp_path)
    assert len(store) == 0
    assert store.videos().num_rows == 0


def test_errors_of_open_say_what_to_do(tmp_path):
    with pytest.raises(StoreError, match=r"missing: no such folder"):
        AreaStore.open(tmp_path / "missing")
    with pytest.raises(StoreError, match="not a store of motion areas"):
        AreaStore.open(tmp_path)
    fill(tmp_path, KEYS)
    with pytest.raises(StoreError, match="broken off with 7 videos finished"):
        AreaStore.open(tmp_path)
    bring_in(tmp_path)
    fill(tmp_path, [key for key in KEYS if in_shard(key, (1, 2))], settings=CODEC)
    bring_in(tmp_path, CODEC, shard=(1, 2))
    with pytest.raises(StoreError, match=r"two settings in one store \(flow: dis -> codec"):
        AreaStore.open(tmp_path)


def test_damaged_and_foreign_files_are_named(tmp_path):
    fill(tmp_path, KEYS)
    bring_in(tmp_path)
    videos, areas = tmp_path / "videos.parquet", tmp_path / "areas.parquet"
    good = areas.read_bytes()
    areas.write_bytes(good[: len(good) // 2])
    with AreaStore.open(tmp_path) as store, pytest.raises(StoreError, match=r"areas.parquet: dam"):
        store["a.mp4"]
    areas.unlink()
    with AreaStore.open(tmp_path) as store, pytest.raises(StoreError, match="it is gone"):
        store["a.mp4"]
    videos.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(StoreError, match=r"videos.parquet: damaged"):
        AreaStore.open(tmp_path)
    pq.write_table(pa.table({"a": [1]}), videos)
    with pytest.raises(StoreError, match="not of a mofo store"):
        AreaStore.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"made by a newer mofo \(store format 2\)"),
        ({"settings": {"preset": "default", "zoom": 2}}, "setting 'zoom'"),
        ({"settings": {"preset": "odd"}}, "settings unknown here"),
        ({"versions": None}, "metadata is damaged"),
    ],
)
def test_stores_of_other_versions_are_refused(tmp_path, change, message):
    meta = json.loads(Meta("videos", DIS, versions()).attach(AREAS).metadata[META_KEY])
    schema = pa.schema([("video", pa.string())], {META_KEY: json.dumps(meta | change).encode()})
    pq.write_table(schema.empty_table(), tmp_path / "videos.parquet")
    with pytest.raises(StoreError, match=message):
        AreaStore.open(tmp_path)
