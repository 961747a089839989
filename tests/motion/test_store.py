import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mofo.motion import tables
from mofo.motion.lock import store_lock
from mofo.motion.merge import merge, scan
from mofo.motion.parts import digest, in_shard, part_files, write_part
from mofo.motion.records import AREAS, META_KEY, Meta, from_rows, to_rows, versions, video_row
from mofo.motion.settings import DetectSettings
from mofo.motion.store import AreaStore
from mofo.types import MotionArea, StoreError, hull

DIS = DetectSettings()
CODEC = DetectSettings(flow="codec")


def area(frames=7, seed=0, cuts=(), **more) -> MotionArea:
    rng = np.random.default_rng(seed)
    movers = []
    for _ in range(frames):
        corner_K2 = rng.uniform(0, 100, (int(rng.integers(0, 3)), 2))
        movers.append(np.concatenate([corner_K2, corner_K2 + 11.3], axis=1).astype(np.float32))
    hulls = [hull(boxes_K4) for boxes_K4 in movers]
    fields = {
        "width": 320,
        "height": 240,
        "frame_T": np.arange(frames),
        "time_T": np.cumsum(rng.uniform(0.02, 0.06, frames)),
        "box_T4": np.array([box for box, _ in hulls], np.float32).reshape(-1, 4),
        "valid_T": np.array([valid for _, valid in hulls], bool),
        "movers": tuple(movers),
        "cuts": cuts,
        "flow": "dis",
    }
    return MotionArea(**(fields | more))


def same(one: MotionArea, other: MotionArea) -> None:
    for name in ("frame_T", "time_T", "box_T4", "valid_T"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    assert len(one.movers) == len(other.movers)
    for mine, theirs in zip(one.movers, other.movers, strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_array_equal(mine, theirs)
    for name in ("width", "height", "cuts", "flow", "warnings"):
        assert getattr(one, name) == getattr(other, name), name


def fill(folder: Path, keys, settings=DIS, frames=7) -> None:
    """Parts of some videos; the area depends on the key."""
    folder.mkdir(parents=True, exist_ok=True)
    for key in keys:
        one = area(frames + digest(key) % 5, seed=digest(key) % 1000)
        write_part(folder, key, f"/videos/{key}", 1000, one, settings)


def bring_in(folder: Path, settings=DIS, shard=None) -> None:
    merge(scan(folder, settings), shard, lambda key: False)


def content(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and ".lock" not in file.name)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


KEYS = ["b/x.mp4", "a.mp4", "b/a.mp4", "Ünï code 視頻.webm", "z z.mkv", "c.mp4", "d.mp4"]


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


def test_bytes_do_not_depend_on_order_or_on_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "GROUP_ROWS", 16)
    fill(tmp_path / "once", KEYS)
    bring_in(tmp_path / "once")
    written = pq.ParquetFile(tmp_path / "once/areas.parquet").metadata
    assert written.num_row_groups == -(-written.num_rows // 16)
    for some in (KEYS[::-1], KEYS[3:], KEYS[:5]):
        fill(tmp_path / "steps", some[:4])
        bring_in(tmp_path / "steps")
        fill(tmp_path / "steps", some[4:])
        bring_in(tmp_path / "steps")
    assert content(tmp_path / "once") == content(tmp_path / "steps")
    for at in range(1, 4):
        mine = [key for key in KEYS if in_shard(key, (at, 3))]
        fill(tmp_path / "shards", mine)
        bring_in(tmp_path / "shards", shard=(at, 3))
    names = sorted(content(tmp_path / "shards"))
    assert names[0] == "areas-00001-of-00003.parquet"
    assert len(names) == 6
    assert list(AreaStore.open(tmp_path / "shards")) == sorted(KEYS)
    bring_in(tmp_path / "shards")
    assert content(tmp_path / "once") == content(tmp_path / "shards")


def test_a_second_merge_writes_nothing(tmp_path):
    fill(tmp_path, KEYS)
    bring_in(tmp_path)
    before = (tmp_path / "areas.parquet").stat()
    bring_in(tmp_path)
    after = (tmp_path / "areas.parquet").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


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


def test_a_million_rows_are_merged_in_little_memory(tmp_path):
    big = area(20_000, movers=(np.ones((1, 4), np.float32),) * 20_000)
    tmp_path.mkdir(exist_ok=True)
    for number in range(50):
        write_part(tmp_path, f"{number:02}.mp4", f"/{number}", 1, big, DIS)
    pool = pa.system_memory_pool()
    before, usual = pool.bytes_allocated(), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        bring_in(tmp_path)
    finally:
        pa.set_memory_pool(usual)
    assert pq.read_metadata(tmp_path / "areas.parquet").num_rows == 1_000_000
    # All rows are 65 MB in memory and more while they are being put together.
    assert 1e6 < pool.max_memory() - before < 40e6


class Killed(BaseException):
    pass


def killed_after(monkeypatch, steps: int, work) -> bool:
    """Run ``work``, and stop at the ``steps``-th change of a file, as a SIGKILL would.

    Nothing works any more from then on, so clean-up code does not run either.
    """
    left = [steps]
    real = {name: getattr(Path, name) for name in ("replace", "unlink", "rmdir")}

    def dying(name):
        def operation(self, *args, **more):
            if left[0] <= 0:
                raise Killed
            left[0] -= 1
            return real[name](self, *args, **more)

        return operation

    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(Path, name, dying(name))
        try:
            work()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("kind", ["parts", "more parts", "shards", "new settings"])
def test_a_merge_killed_anywhere_loses_nothing(tmp_path, monkeypatch, kind):
    def prepare(folder):
        if kind == "more parts":
            fill(folder, KEYS[:3])
            bring_in(folder)
        if kind == "new settings":
            fill(folder, KEYS, settings=CODEC)
            bring_in(folder, CODEC)
        if kind == "shards":
            fill(folder, KEYS[:2])
            bring_in(folder)
            for at in (1, 2):
                fill(folder, [key for key in KEYS[2:] if in_shard(key, (at, 2))])
                bring_in(folder, shard=(at, 2))
        else:
            fill(folder, KEYS)

    fill(tmp_path / "good", KEYS)
    bring_in(tmp_path / "good")
    steps, killed = 0, True
    while killed:
        folder = tmp_path / str(steps)
        prepare(folder)
        killed = killed_after(monkeypatch, steps, partial(bring_in, folder))
        here = scan(folder, DIS)
        assert set(here.held) == set(KEYS)
        assert not here.pending(), "every video is still here with the right settings"
        bring_in(folder)
        assert content(folder) == content(tmp_path / "good"), f"killed after {steps} steps"
        steps += 1
    assert steps > 5


def test_a_torn_pair_is_noticed_by_readers(tmp_path, monkeypatch):
    fill(tmp_path, KEYS, settings=CODEC)
    bring_in(tmp_path, CODEC)
    fill(tmp_path, KEYS)
    assert killed_after(monkeypatch, 2, lambda: bring_in(tmp_path))
    with AreaStore.open(tmp_path) as store, pytest.raises(StoreError, match="did not end well"):
        store["a.mp4"]
    # Going back to the first settings must not take the new rows for old ones.
    assert len(scan(tmp_path, CODEC).pending()) == len(KEYS)


def test_a_merge_never_mixes_settings(tmp_path):
    fill(tmp_path, KEYS, settings=CODEC)
    bring_in(tmp_path, CODEC)
    fill(tmp_path, KEYS[:2])
    with pytest.raises(StoreError, match="5 videos are of other settings \\(flow: codec -> dis"):
        bring_in(tmp_path)
    assert len(AreaStore.open(tmp_path)) == 7
    merge(scan(tmp_path, DIS), None, lambda key: True)
    assert list(AreaStore.open(tmp_path)) == sorted(KEYS[:2])


def test_a_torn_part_and_stale_files_are_harmless(tmp_path):
    fill(tmp_path, KEYS)
    torn = next(part_files(tmp_path))
    torn.write_bytes(torn.read_bytes()[:-20])
    (tmp_path / "parts/.x.parquet-1-ab.tmp").write_bytes(b"half")
    (tmp_path / ".areas.parquet-1-ab.tmp").write_bytes(b"half")
    assert len(scan(tmp_path, DIS).held) == 6
    bring_in(tmp_path)
    assert sorted(content(tmp_path)) == ["areas.parquet", "videos.parquet"]
    assert len(AreaStore.open(tmp_path)) == 6


def test_shards_depend_on_the_key_alone():
    keys = [f"{number}.mp4" for number in range(4000)]
    counts = [sum(in_shard(key, (at, 4)) for key in keys) for at in (1, 2, 3, 4)]
    assert sum(counts) == 4000
    assert min(counts) > 900
    assert digest("a.mp4") == 9515143989430994452, "a change would reshuffle running job arrays"


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


def test_two_runs_cannot_write_at_once(tmp_path):
    with store_lock(tmp_path, None), pytest.raises(StoreError, match="another mofo is writing"):
        store_lock(tmp_path, (1, 2)).__enter__()
    with store_lock(tmp_path, (1, 2)), store_lock(tmp_path, (2, 2)):
        for shard in (None, (2, 2)):
            with pytest.raises(StoreError, match="another mofo"):
                store_lock(tmp_path, shard).__enter__()
    with store_lock(tmp_path, None):
        pass
