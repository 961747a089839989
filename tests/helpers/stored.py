"""Motion areas of videos that need not exist, and stores of them."""

from pathlib import Path

import numpy as np

from mofo.motion.merge import merge, scan
from mofo.motion.parts import digest, write_part
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.types import MotionArea, hull

DIS = DetectSettings()
CODEC = DetectSettings(flow="codec")
KEYS = ["b/x.mp4", "a.mp4", "b/a.mp4", "Ünï code 視頻.webm", "z z.mkv", "c.mp4", "d.mp4"]


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
    assert (one.field_Tyx is None) == (other.field_Tyx is None)
    if one.field_Tyx is not None:
        assert one.field_Tyx.dtype == other.field_Tyx.dtype
        np.testing.assert_array_equal(one.field_Tyx, other.field_Tyx)


def fill(folder: Path, keys, settings=DIS, frames=7) -> None:
    """Parts of some videos; the area depends on the key."""
    folder.mkdir(parents=True, exist_ok=True)
    for key in keys:
        one = area(frames + digest(key) % 5, seed=digest(key) % 1000)
        write_part(folder, key, f"/videos/{key}", 1000, one, settings)


def bring_in(folder: Path, settings=DIS, shard=(1, 1), **more) -> None:
    merge(scan(folder, settings), shard, **more)


def rows(folder: Path) -> list[dict]:
    """All that readers see of a store: both tables, sorted, and nothing twice."""
    with AreaStore.open(folder) as store:
        videos = store.videos().to_pylist()
        for key in store:
            store[key]  # verifies its rows
        frames = store.dataset().to_table().to_pylist()
    assert len(frames) == sum(video["frames"] for video in videos)
    return videos + sorted(frames, key=lambda row: (row["video"], row["frame"]))


def content(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and ".lock" not in file.name)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def store_of(folder, **areas) -> AreaStore:
    folder.mkdir()
    for key, one in areas.items():
        write_part(folder, f"{key}.mp4", f"/v/{key}.mp4", 1, one, DetectSettings())
    merge(scan(folder, DetectSettings()))
    return AreaStore.open(folder)
