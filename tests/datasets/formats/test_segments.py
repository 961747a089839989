"""Segments of long videos are read where they lie: exactly, and at the cost of their own length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from helpers import trees
from helpers.numbered import number_of, write_numbered
from mofo.datasets.catalog import read_catalog
from mofo.video import clip
from mofo.video import index as indexes
from mofo.video.clip import read_frames
from mofo.video.index import IndexCache

FRAMES, GOP = 1000, 25


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One video of 40 s, B-frames and all, with segments of 1 s all over it."""
    root = tmp_path_factory.mktemp("EPIC-KITCHENS")
    video = root / "P01" / "videos" / "P01_01.MP4"
    video.parent.mkdir(parents=True)
    made = write_numbered(video.with_suffix(".mp4"), FRAMES, g=str(GOP), preset="veryfast")
    made.rename(video)
    rows = []
    for number, start in enumerate((0.0, 0.52, 1.0, 9.96, 17.3, 20.0, 33.33, 38.96)):
        stop = start + 1
        rows.append(
            f"P01_01_{number},P01,P01_01,0,00:00:{start:05.2f},00:00:{stop:05.2f},0,0,"
            "take tap,take,0,tap,0,\"['tap']\",[0]"
        )
    lists = root / "annotations"
    trees.write(lists / "EPIC_100_train.csv", "\n".join([trees.EPIC_HEADER, *rows]))
    trees.write(lists / "EPIC_100_verb_classes.csv", trees.EPIC_VERBS)
    trees.write(lists / "EPIC_100_noun_classes.csv", trees.EPIC_NOUNS)
    return root


def luma(frame: av.VideoFrame) -> np.ndarray:
    plane: Any = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : frame.width].copy()


class Counted:
    """A container that counts the packets it hands out."""

    def __init__(self, container: Any, count: list[int]) -> None:
        self._container, self._count = container, count

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()

    def seek(self, *args: Any, **more: Any) -> None:
        self._container.seek(*args, **more)

    def demux(self, stream: Any) -> Iterator[Any]:
        for packet in self._container.demux(stream):
            self._count[0] += packet.size > 0
            yield packet


def test_frames_of_segments_equal_those_of_the_whole(kitchen):
    catalog = read_catalog([kitchen])
    assert len(catalog) == 8
    path = catalog[0].path
    with av.open(path) as container:
        whole = [luma(frame) for frame in container.decode(video=0)]
    assert len(whole) == FRAMES
    cache = IndexCache()
    for video in catalog:
        index = cache.get(video.path)
        first, stop = index.segment(video.start, video.end)
        # The frames that are shown while the action goes on, at 25 a second.
        assert first == int(np.ceil(round(25 * video.start, 6)))
        assert stop == int(np.ceil(round(25 * video.end, 6)))
        wanted = range(first, stop)
        found = {number: luma(frame) for number, frame in read_frames(path, index, wanted)}
        assert sorted(found) == list(wanted)
        for number, image in found.items():
            assert number_of(image) == number
            np.testing.assert_array_equal(image, whole[number])


def test_cost_does_not_grow_with_the_position(kitchen, monkeypatch):
    count = [0]
    plain = clip.open_video

    def counting(path: str, options: dict[str, str], **others: Any) -> tuple[Any, Any]:
        container, stream = plain(path, options, **others)
        return Counted(container, count), stream

    monkeypatch.setattr(clip, "open_video", counting)
    cache = IndexCache()
    costs = []
    for video in read_catalog([kitchen]):
        index = cache.get(video.path)
        first, stop = index.segment(video.start, video.end)
        count[0] = 0
        assert sum(1 for _ in read_frames(video.path, index, range(first, stop))) == stop - first
        costs.append(count[0])
    # At most from the key frame before the segment to the packet after it (frames are reordered).
    assert min(costs) >= 25
    assert max(costs) <= 25 + 2 * GOP


def test_ten_thousand_segments_over_a_hundred_videos(tmp_path, tiny, monkeypatch):
    root = tmp_path / "EPIC-KITCHENS"
    names = [f"P{person:02d}_{100 + video}" for person in range(1, 11) for video in range(10)]
    for name in names:
        tiny(root / name[:3] / "videos" / f"{name}.MP4")
    rows = [
        f"{name}_{number},{name[:3]},{name},0,00:00:00.{number % 40:02d},00:00:00.44,0,0,"
        f"take tap,take,{number % 3},tap,{number % 2},\"['tap']\",[0]"
        for name in names
        for number in range(100)
    ]
    lists = root / "annotations"
    trees.write(lists / "EPIC_100_train.csv", "\n".join([trees.EPIC_HEADER, *rows]))
    trees.write(lists / "EPIC_100_verb_classes.csv", trees.EPIC_VERBS)
    trees.write(lists / "EPIC_100_noun_classes.csv", trees.EPIC_NOUNS)
    opened = []
    plain = indexes.index_frames
    monkeypatch.setattr(
        indexes, "index_frames", lambda path, *args: (opened.append(path), plain(path, *args))[1]
    )
    catalog = read_catalog([root])
    assert len(catalog) == 10_000
    cache = IndexCache()
    for video in catalog:
        first, stop = cache.get(video.path).segment(video.start, video.end)
        assert 0 <= first < stop <= 12
    # Each file is opened once, however many segments it has.
    assert len(opened) == len(set(opened)) == 100
