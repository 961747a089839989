"""Stores: rows and areas, reading, damage, and merges that may be killed anywhere."""

import json
import pickle
import shutil
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.lanes import slow_but
from helpers.stored import CODEC, DIS, KEYS, area, bring_in, content, fill, rows, same
from mofo.motion import merge as merge_module
from mofo.motion import parts as parts_module
from mofo.motion.merge import merge, scan
from mofo.motion.parts import digest, in_shard, part_of, parts, write_part
from mofo.motion.records import (
    AREAS,
    CRC_KEY,
    META_KEY,
    VIDEOS,
    Meta,
    from_rows,
    to_rows,
    versions,
    video_row,
)
from mofo.motion.store import AreaStore
from mofo.system.files import folder_lock
from mofo.types import MofoError, StoreError


def field(frames, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, (frames, 4, 6)) * (rng.random((frames, 4, 6)) > 0.7)).astype(
        np.uint8
    )


@pytest.mark.parametrize(
    "one",
    [
        area(0),
        area(1),
        area(9, cuts=(1, 5)),
        area(3, movers=(np.zeros((0, 4), np.float32),) * 3, valid_T=np.zeros(3, bool)),
        area(4, warnings=("truncated after frame 3: end", "zweites Übel"), flow="codec"),
        area(5, field_Tyx=field(5)),
        area(0, field_Tyx=field(0)),
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
    for step in (lambda: None, lambda: bring_in(tmp_path)):
        step()  # as single parts, and merged
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
            boxes = {key: (box_T4, valid_T) for key, box_T4, valid_T in store.boxes()}
            assert sorted(boxes) == sorted(KEYS)
            for key, (box_T4, valid_T) in boxes.items():
                np.testing.assert_array_equal(box_T4, store[key].box_T4)
                np.testing.assert_array_equal(valid_T, store[key].valid_T)
            with pytest.raises(KeyError):
                store["nothing"]
    assert len(parts(tmp_path)) == 1


def test_the_field_of_some_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "GROUP_ROWS", 8)
    for number in range(5):
        one = area(20, field_Tyx=field(20, number))
        write_part(tmp_path, f"{number}.mp4", "/x", 1, one, DIS)
    write_part(tmp_path, "none.mp4", "/x", 1, area(20), DIS)
    bring_in(tmp_path)
    with AreaStore.open(tmp_path) as store:
        for number in range(5):
            for span in ((0, None), (3, 9), (19, 20), (15, 40), (7, 7), (30, 40)):
                part = store.field(f"{number}.mp4", *span)
                np.testing.assert_array_equal(part, field(20, number)[slice(*span)])
        assert store.field("none.mp4") is None
        with pytest.raises(KeyError):
            store.field("x.mp4")


def test_any_parquet_reader_takes_a_folder_as_one_table(tmp_path):
    fill(tmp_path, KEYS)
    bring_in(tmp_path)
    (more := [f"{number}.mp4" for number in range(3)]).append("x/9.mp4")
    fill(tmp_path, more)
    frames, videos = (ds.dataset(tmp_path / name).to_table() for name in ("areas", "videos"))
    assert frames.schema.remove_metadata().equals(AREAS)
    assert videos.schema.remove_metadata().equals(VIDEOS)
    assert set(frames["video"].to_pylist()) == {*KEYS, *more}
    assert len(frames) == sum(videos["frames"].to_pylist())
    assert len(rows(tmp_path)) == len(frames) + len(videos)


@pytest.mark.parametrize("group", [5, 32])  # fewer than a video has, and more
def test_videos_are_read_from_their_row_groups_only(tmp_path, monkeypatch, group):
    monkeypatch.setattr(parts_module, "GROUP_ROWS", group)
    keys = [f"{number:03}.mp4" for number in range(60)]
    fill(tmp_path, keys)
    bring_in(tmp_path)
    groups = []
    read = pq.ParquetFile.read_row_groups

    def spy(self, numbers, **more):
        groups.append(len(numbers))
        return read(self, numbers, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", spy)
    with AreaStore.open(tmp_path) as store:
        for key in keys:
            same(store[key], area(7 + digest(key) % 5, seed=digest(key) % 1000))
    assert len(groups) == 60
    assert max(groups) <= (2 if group == 32 else 4)


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


def test_errors_of_open_say_what_to_do(tmp_path):
    with pytest.raises(StoreError, match=r"missing: no such folder"):
        AreaStore.open(tmp_path / "missing")
    with pytest.raises(StoreError, match="not a store of motion areas"):
        AreaStore.open(tmp_path)
    fill(tmp_path, KEYS)
    bring_in(tmp_path)
    halves = [[key for key in KEYS if in_shard(key, (number, 2))] for number in (1, 2)]
    fill(tmp_path, halves[0], settings=CODEC)
    with pytest.raises(StoreError, match=r"two settings in one store \(flow: dis -> codec"):
        AreaStore.open(tmp_path)
    fill(tmp_path, halves[1], settings=CODEC)
    assert AreaStore.open(tmp_path).settings == CODEC


def test_damaged_and_foreign_files_are_named(tmp_path):
    fill(tmp_path, KEYS)
    bring_in(tmp_path)
    [part] = parts(tmp_path)
    good = part.areas.read_bytes()
    part.areas.write_bytes(good[: len(good) // 2])
    for look in (AreaStore.open, partial(scan, settings=DIS)):
        with pytest.raises(StoreError, match=f"{part.areas}: damaged"):
            look(tmp_path)
    part.areas.unlink()
    with pytest.raises(StoreError, match="it is gone"):
        AreaStore.open(tmp_path)
    part.videos.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(StoreError, match=f"{part.videos}: damaged"):
        AreaStore.open(tmp_path)
    pq.write_table(pa.table({"a": [1]}), part.videos)
    with pytest.raises(StoreError, match="not of a mofo store"):
        AreaStore.open(tmp_path)


@pytest.mark.parametrize("every", [31, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["areas", "videos"])
def test_a_flipped_bit_is_an_error_or_changes_nothing(tmp_path, name, every):
    """Bytes of a small store, one after the other, with another bit in each."""
    key, one = "a.mp4", area(12, cuts=(4,), field_Tyx=field(12))
    part = write_part(tmp_path, key, "/a.mp4", 9, one, DIS)
    good = rows(tmp_path)
    file = getattr(part, name)
    data = file.read_bytes()
    wrong = noticed = 0
    for at in range(0, len(data), every):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        file.write_bytes(changed)
        try:
            with AreaStore.open(tmp_path) as store:
                assert store.videos().to_pylist() == good[:1]
                same(store[key], one)
        except (MofoError, KeyError):
            noticed += 1
        except AssertionError:
            wrong += 1
    assert wrong == 0
    assert noticed > len(data) // every * 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 4}, r"made by a newer mofo \(store format 4\)"),
        ({"settings": {"preset": "default", "zoom": 2}}, "setting 'zoom'"),
        ({"settings": {"preset": "odd"}}, "settings unknown here"),
        ({}, "metadata is damaged"),
    ],
)
def test_stores_of_other_versions_are_refused(tmp_path, change, message):
    write_part(tmp_path, "a.mp4", "/a.mp4", 1, area(), DIS)
    file = part_of(tmp_path, "a.mp4").videos
    text = Meta("videos", DIS, versions(), 1).attach(AREAS).metadata[META_KEY]
    changed = json.dumps(json.loads(text) | change).encode()
    crc = zlib.crc32(changed) if change else 1
    metadata = {META_KEY: changed, CRC_KEY: str(crc).encode()}
    pq.write_table(pq.read_table(file).replace_schema_metadata(metadata), file)
    with pytest.raises(StoreError, match=message):
        AreaStore.open(tmp_path)


def test_merges_in_any_order_and_steps_give_equal_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "GROUP_ROWS", 16)
    fill(tmp_path / "once", KEYS)
    bring_in(tmp_path / "once")
    for some in (KEYS[::-1], KEYS[3:], KEYS[:5]):
        fill(tmp_path / "steps", some[:4])
        bring_in(tmp_path / "steps")
        fill(tmp_path / "steps", some[4:])
        bring_in(tmp_path / "steps")
    assert len(parts(tmp_path / "steps")) == 1
    for at in range(1, 4):
        fill(tmp_path / "shards", [key for key in KEYS if in_shard(key, (at, 3))])
        bring_in(tmp_path / "shards", shard=(at, 3))
    assert len(parts(tmp_path / "shards")) == 3
    bring_in(tmp_path / "shards")
    assert len(parts(tmp_path / "shards")) == 1
    prints = set()
    for name in ("once", "steps", "shards"):
        seen = [{k: v for k, v in row.items() if k != "first_row"} for row in rows(tmp_path / name)]
        assert seen == rows(tmp_path / "once")
        prints.add(AreaStore.open(tmp_path / name).fingerprint())
    assert len(prints) == 1


def test_large_parts_are_left_alone_and_a_second_merge_writes_nothing(tmp_path, monkeypatch):
    fill(tmp_path, KEYS[:3])
    bring_in(tmp_path)
    [large] = parts(tmp_path)
    monkeypatch.setattr(merge_module, "SMALL_ROWS", 10)
    fill(tmp_path, KEYS[3:])
    bring_in(tmp_path)
    before = parts(tmp_path)
    assert large in before
    assert len(before) == 2
    bring_in(tmp_path)
    assert parts(tmp_path) == before
    fill(tmp_path, KEYS[:1], frames=20)  # a video of the large part anew: its rows there are stale
    bring_in(tmp_path)
    assert large not in parts(tmp_path)
    assert len(AreaStore.open(tmp_path)[KEYS[0]]) >= 20
    assert len(rows(tmp_path)) > 7
    bring_in(tmp_path, everything=True)
    assert len(parts(tmp_path)) == 1


@pytest.mark.slow
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
    assert AreaStore.open(tmp_path).dataset().count_rows() == 1_000_000
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


@pytest.mark.parametrize(
    "kind", slow_but(("parts",), ["parts", "more parts", "shards", "new settings"])
)
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
    prepare(tmp_path / "before")
    steps, killed = 0, True
    while killed:
        folder = shutil.copytree(tmp_path / "before", tmp_path / str(steps))
        killed = killed_after(monkeypatch, steps, partial(bring_in, folder))
        here = scan(folder, DIS)
        assert set(here.held) == set(KEYS)
        assert not here.pending(), "every video is still here with the right settings"
        assert list(AreaStore.open(folder)) == sorted(KEYS)
        bring_in(folder)
        assert rows(folder) == rows(tmp_path / "good"), f"killed after {steps} steps"
        assert len(content(folder)) == 2, "nothing else is left"
        steps += 1
    assert steps > 5


def test_a_merge_never_mixes_settings(tmp_path):
    fill(tmp_path, KEYS, settings=CODEC)
    bring_in(tmp_path, CODEC)
    fill(tmp_path, KEYS[:2])
    with pytest.raises(StoreError, match="5 videos are of other settings \\(flow: codec -> dis"):
        bring_in(tmp_path)
    merge(scan(tmp_path, DIS), drop=lambda key: True)
    assert list(AreaStore.open(tmp_path)) == sorted(KEYS[:2])


def test_a_torn_part_and_stale_files_are_harmless(tmp_path):
    fill(tmp_path, KEYS)
    one, other, *_ = parts(tmp_path)
    one.areas.write_bytes(one.areas.read_bytes()[:-20])
    other.videos.unlink()  # killed between the two files
    stale = "x.parquet-01234567-1-01234567.tmp"
    (tmp_path / "areas" / f".{stale}").write_bytes(b"half")
    assert len(scan(tmp_path, DIS).held) == 5
    bring_in(tmp_path)
    assert len(content(tmp_path)) == 2
    assert len(AreaStore.open(tmp_path)) == 5


def test_a_part_of_two_detections_is_done_again(tmp_path):
    for settings in (CODEC, DIS):
        part = write_part(tmp_path, "a.mp4", "/a.mp4", 1, area(), settings)
        old = part.videos.read_bytes() if settings == CODEC else old  # noqa: F821
    part.videos.write_bytes(old)  # killed between the two files
    with pytest.raises(StoreError, match="another detection"):
        AreaStore.open(tmp_path)
    assert not scan(tmp_path, CODEC).held


def test_shards_depend_on_the_key_alone():
    keys = [f"{number}.mp4" for number in range(4000)]
    counts = [sum(in_shard(key, (at, 4)) for key in keys) for at in (1, 2, 3, 4)]
    assert sum(counts) == 4000
    assert min(counts) > 900
    assert digest("a.mp4") == 9515143989430994452, "a change would reshuffle running job arrays"


def test_two_runs_cannot_write_at_once(tmp_path):
    with folder_lock(tmp_path), pytest.raises(MofoError, match="another mofo is writing"):
        folder_lock(tmp_path, "1").__enter__()
    with folder_lock(tmp_path, "1"), folder_lock(tmp_path, "2"):
        for part in ("", "2"):
            with pytest.raises(MofoError, match="another mofo"):
                folder_lock(tmp_path, part).__enter__()
    with folder_lock(tmp_path):
        pass
