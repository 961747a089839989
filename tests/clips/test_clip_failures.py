"""What goes wrong with the videos or the store, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.clipsets import SEES_ALL, area_of, same, settings, store_of
from helpers.numbered import number_of, write_numbered
from helpers.painted import walk
from mofo.clips import reading
from mofo.clips.batch import collate
from mofo.clips.dataset import ClipDataset, ClipSettings
from mofo.clips.sources import MotionChoice
from mofo.datasets.catalog import Video, read_catalog
from mofo.motion.detect_plan import write_failures
from mofo.types import MofoError, SettingsError, StoreError, TokenGrid
from mofo.video.clip import IndexMismatchError
from mofo.video.index import Source
from mofo.video.reader import VideoReader


def broken(tmp_path: Path, good: Path) -> Path:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "good.mp4").symlink_to(good / "a.mp4")
    (folder / "broken.mp4").write_bytes(b"no video at all" * 99)
    (folder / "none.mp4").touch()
    return folder


def test_unreadable_videos_are_replaced_and_named(tmp_path, folder):
    rows = read_catalog([broken(tmp_path, folder)]).videos
    assert [Path(video.path).name for video in rows] == ["broken.mp4", "good.mp4", "none.mp4"]
    data = ClipDataset(rows, settings(tries=40), seed=0)
    starts = set()
    for epoch in range(20):
        sample = data[epoch, 0]
        assert sample.index == 1  # the row that was really read: labels are those of this video
        assert sample.path.endswith("good.mp4")
        names = [Path(path).name for path, _ in sample.failures]
        assert names[0] == "broken.mp4"
        assert set(names) <= {"broken.mp4", "none.mp4"}
        reasons = dict(sample.failures)
        assert "not a video" in reasons[rows[0].path]
        assert same(data[epoch, 0], sample)
        starts.add(sample.start)
    assert len(starts) > 5
    assert data[0, 1].failures == ()


def test_each_sample_draws_its_own_replacement(tmp_path, folder):
    """Not always the same video stands in, which would bias the data."""
    for i in range(5):
        (tmp_path / f"{i}.mp4").symlink_to(folder / "b.mp4")
    (tmp_path / "bad.mp4").touch()
    rows = [Video(str(tmp_path / f"{name}.mp4"), name) for name in ("bad", *"01234")]
    data = ClipDataset(rows, settings(tries=30), seed=0)
    assert {data[epoch, 0].index for epoch in range(40)} == {1, 2, 3, 4, 5}


def test_failures_are_told_once_a_stretch(tmp_path, folder):
    rows = read_catalog([broken(tmp_path, folder)]).videos
    data = ClipDataset(rows, settings(repeats=3, tries=40), seed=0)
    first, *rest = data.clips(0, 0)
    assert first.failures
    assert all(sample.failures == () for sample in rest)
    assert collate([first, *rest]).failures == first.failures


def test_nothing_but_unreadable_videos(tmp_path):
    (tmp_path / "a.mp4").touch()
    data = ClipDataset(read_catalog([tmp_path]).videos, settings(tries=3), seed=0)
    with pytest.raises(MofoError, match=r"a\.mp4: is empty \(0 bytes\); all 3 videos") as caught:
        data[0, 0]
    assert "\n" not in str(caught.value)


def test_a_truncated_video_is_used_as_far_as_it_goes(tmp_path):
    whole = write_numbered(tmp_path / "a.mp4", 60, g="12", muxer={"movflags": "faststart"})
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) * 2 // 3])
    with VideoReader(whole) as reader:
        frames = len(list(reader))
    assert 20 < frames < 60
    chosen = settings(grid=TokenGrid(4, 96, 128), crop=SEES_ALL)
    data = ClipDataset(read_catalog([whole]).videos, chosen, seed=0)
    for epoch in range(10):
        sample = data[epoch, 0]
        assert sample.failures == ()
        numbers = [number_of(image[..., 1]) for image in sample.frames_THWC]
        assert numbers == [sample.start + 2 * t for t in range(4)]
        assert numbers[-1] < frames


def test_a_wrong_index_is_replaced_by_a_better_one(videos, monkeypatch):
    asked: list[Source] = []
    real = reading.read_frames

    def read(path, index, wanted):
        asked.append(index.source)
        if index.source is not Source.FRAMES:
            raise IndexMismatchError("wrong")
        return real(path, index, wanted)

    monkeypatch.setattr(reading, "read_frames", read)
    data = ClipDataset(videos, settings(), seed=0)
    found = data[0, 0]
    assert asked == list(Source)
    monkeypatch.undo()
    assert same(found, ClipDataset(videos, settings(), seed=0)[0, 0])


def test_videos_that_the_store_lacks(tmp_path, videos):
    area = area_of(walk(60, 128, 96, 0), 128, 96)
    store = store_of(tmp_path / "areas", {"a.mp4": area})
    with pytest.raises(StoreError) as caught:
        ClipDataset(videos, settings(motion=store), seed=0)
    assert "b.mp4 and 1 more of 3: run `mofo detect` with the same sources and --out" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_videos_that_the_detection_could_not_read(tmp_path, videos):
    """They are known to be bad: no reason to refuse the others."""
    area = area_of(walk(60, 128, 96, 0), 128, 96)
    store = store_of(tmp_path / "areas", {"a.mp4": area, "b.mp4": area})
    write_failures(tmp_path / "areas" / "failures.csv", [("c.mp4", "took too long")])
    data = ClipDataset(videos, settings(motion=store), seed=0)
    sample = data[0, 2]
    assert sample.failures[0] == (videos[2].path, "took too long")
    assert sample.index in (0, 1)


def test_a_file_that_changed_since_the_detection(tmp_path, videos):
    area = area_of(walk(60, 128, 96, 0), 128, 96)
    short = area_of(walk(50, 128, 96, 0), 128, 96)
    store = store_of(tmp_path / "areas", {"a.mp4": area, "b.mp4": short, "c.mp4": short})
    data = ClipDataset(videos, settings(motion=store, tries=50), seed=0)
    sample = data[0, 1]
    assert sample.index == 0
    path, reason = sample.failures[0]
    assert path == videos[1].path
    assert reason == (
        "has 60 frames, but the store of motion areas has 50: run `mofo detect` again"
    )


@pytest.mark.parametrize(("wrong", "words"), [
    ({"sampling": "segment"}, "did you mean 'segments'"), ({"motion": "store"}, "name its folder"),
    ({"stride": 0}, "stride is 0"), ({"repeats": 0}, "repeats"), ({"tries": 0}, "tries"),
])  # fmt: skip
def test_impossible_settings(wrong, words):
    with pytest.raises(SettingsError, match=words):
        ClipSettings(**wrong)


def test_impossible_data_sets(tmp_path, videos):
    for call in (
        lambda: ClipDataset([], settings(), seed=0),
        lambda: MotionChoice("dis", store=str(tmp_path)),
        lambda: MotionChoice("shuffled", of="store"),
        lambda: MotionChoice("fow"),
        lambda: ClipDataset(videos, settings(), seed=-1),
    ):
        with pytest.raises(SettingsError):
            call()
    with pytest.raises(StoreError, match="did you mean 'codec'"):
        settings(motion="codek")
    data = ClipDataset(videos, settings(), seed=0)
    assert len(data) == 3
    for row in (-1, 3):
        with pytest.raises(IndexError):
            data[0, row]
