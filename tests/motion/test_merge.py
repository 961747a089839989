from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.stored import CODEC, DIS, KEYS, area, bring_in, content, fill
from mofo.motion import tables
from mofo.motion.merge import merge, scan
from mofo.motion.parts import digest, in_shard, part_files, write_part
from mofo.motion.store import AreaStore
from mofo.system.files import folder_lock
from mofo.types import MofoError, StoreError


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


def test_two_runs_cannot_write_at_once(tmp_path):
    with folder_lock(tmp_path), pytest.raises(MofoError, match="another mofo is writing"):
        folder_lock(tmp_path, "1").__enter__()
    with folder_lock(tmp_path, "1"), folder_lock(tmp_path, "2"):
        for part in ("", "2"):
            with pytest.raises(MofoError, match="another mofo"):
                folder_lock(tmp_path, part).__enter__()
    with folder_lock(tmp_path):
        pass
