"""Views: which frames, which crop, whose motion area."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.clipsets import SMALL, area_of, store_of, write_painted
from helpers.numbered import number_of, write_numbered
from helpers.painted import bright_box, walk
from mofo.clips.loader import batches
from mofo.clips.sources import MotionChoice
from mofo.clips.transforms import centre_geometry, view_geometries
from mofo.clips.view_clips import (
    ViewDataset,
    ViewSettings,
    collate_views,
)
from mofo.datasets.catalog import Video, read_catalog
from mofo.types import SettingsError, TokenGrid


def settings(**changes):
    return ViewSettings(**({"grid": SMALL, "stride": 2, "motion": "none"} | changes))


def starts(data, row):
    views = data.settings.views
    return [view.clip.start for view in data.__getitems__([(row, k) for k in range(views)])]


def test_dense_views_reach_from_the_first_frame_to_the_last(videos):
    data = ViewDataset(videos, settings(temporal=3, spatial=2))
    # 60 frames; 4 frames at stride 2 span 7.
    assert starts(data, 0) == [0, 0, 26, 26, 53, 53]
    assert starts(data, 2) == [0] * 6  # 5 frames only: the last one is repeated
    single = ViewDataset(videos, settings(temporal=1, spatial=1))
    assert starts(single, 0) == [26]


def test_frames_are_those_of_the_view(videos):
    whole = TokenGrid(4, 96, 128)
    data = ViewDataset(videos, settings(grid=whole, spatial=1, sampling="segments"))
    shown = [[number_of(frame[..., 1]) for frame in data[0, k].clip.frames_THWC] for k in (0, 1)]
    # Segments of 15 frames; a quarter and three quarters into each.
    assert shown == [[3, 18, 33, 48], [11, 26, 41, 56]]


def test_crops_along_the_longer_side():
    wide = view_geometries((320, 240), (64, 64), 3)
    assert [geometry.crop for geometry in wide] == [
        (0, 0, 240, 240), (40, 0, 280, 240), (80, 0, 320, 240),
    ]  # fmt: skip
    high = view_geometries((90, 160), (64, 64), 3)
    assert [geometry.crop[1] for geometry in high] == [0, 34, 70]
    square = view_geometries((100, 100), (64, 64), 3)
    assert len(set(square)) == 1
    for size in ((320, 240), (91, 163), (640, 272)):
        assert view_geometries(size, (64, 64), 1) == (centre_geometry(size, (64, 64)),)


@pytest.fixture
def painted(tmp_path):
    """Three videos with an object each that walks its own way, and a store of where it is."""
    areas = {}
    for k in range(3):
        box_T4 = walk(20, 96, 64, seed=k)
        write_painted(tmp_path / f"{k}.mp4", box_T4, 96, 64)
        areas[f"{k}.mp4"] = area_of(box_T4, 96, 64)
    return read_catalog([tmp_path]).videos, store_of(tmp_path / "areas", areas)


def keys_of(data):
    return [(row, k) for row in range(len(data.videos)) for k in range(data.settings.views)]


def test_whose_area(painted):
    videos, store = painted
    given: dict[str, np.ndarray] = {}
    shown: dict[str, np.ndarray] = {}
    for name in ("store", "truth", "shuffled", "centre", "none"):
        of = "store" if name == "shuffled" else None
        folder = str(store) if name in ("store", "truth", "shuffled") else None
        data = ViewDataset(videos, settings(motion=MotionChoice(name, store=folder, of=of)))
        found = data.__getitems__(keys_of(data))
        given[name] = np.stack([view.clip.box_T4 for view in found])
        pictures = np.stack([view.clip.frames_THWC for view in found])
        np.testing.assert_array_equal(pictures, shown.setdefault("pictures", pictures))
    np.testing.assert_array_equal(given["truth"], given["store"])
    assert not given["none"].any()
    # Of 96x64 the middle half is (24, 16) to (72, 48); crops of 64x64 are shown at half size.
    wanted = [(12, 8, 32, 24), (4, 8, 28, 24), (0, 8, 20, 24)]
    np.testing.assert_allclose(given["centre"].reshape(3, 2, 3, 4, 4)[1, 1, :, 2], wanted)
    # Each gets that of exactly one other, in the same view.
    by_video = given["store"].reshape(3, -1)
    lenders = [
        int(np.flatnonzero((by_video == row).all(1))[0]) for row in given["shuffled"].reshape(3, -1)
    ]
    assert sorted(lenders) == [0, 1, 2]
    assert all(lender != row for row, lender in enumerate(lenders))


def test_an_area_of_a_video_that_cannot_be_read_is_not_lent(painted, tmp_path):
    videos, _ = painted
    (tmp_path / "bad.mp4").touch()
    several = [videos[0], Video(str(tmp_path / "bad.mp4"), "bad.mp4"), videos[1]]
    for seed in range(4):
        data = ViewDataset(several, settings(motion=MotionChoice("shuffled", seed=seed)))
        found = data.__getitems__([(0, 0), (1, 0), (2, 0)])
        assert [view.clip is None for view in found] == [False, True, False]
        assert found[1].reason
    with pytest.raises(SettingsError, match="2 or more videos"):
        ViewDataset(several[:1], settings(motion="shuffled"))


def test_bad_videos_are_told_and_left_out(tmp_path):
    write_numbered(tmp_path / "a.mp4", 20)
    (tmp_path / "b.mp4").write_bytes(b"no video at all" * 99)
    data = ViewDataset(read_catalog([tmp_path]).videos, settings(spatial=1))
    order = [[(0, 0), (1, 0)], [(1, 1)], [(0, 1)]]
    for workers in (0, 1):
        found = list(batches(data, order, collate_views, workers=workers, pin=False))
        assert [len(batch.view_B) for batch in found] == [1, 0, 1]
        assert found[0].clips.index_B.tolist() == [0]
        assert found[1].clips is None
        assert [row for row, _ in (*found[0].failures, *found[1].failures)] == [1, 1]
        assert "not a video" in found[1].failures[0][1]


def test_views_do_not_depend_on_their_company(videos):
    data = ViewDataset(videos, settings(motion="dis"))
    together = data.__getitems__(keys_of(data))
    fresh = ViewDataset(videos, settings(motion="dis"))
    for key, view in zip(reversed(keys_of(data)), reversed(together), strict=True):
        alone = fresh[key]
        assert (alone.row, alone.view) == key == (view.row, view.view)
        np.testing.assert_array_equal(alone.clip.frames_THWC, view.clip.frames_THWC)
        np.testing.assert_array_equal(alone.clip.box_T4, view.clip.box_T4)


def test_impossible_settings(videos):
    for change, text in (
        ({"sampling": "sparse"}, "sampling 'sparse' is unknown"),
        ({"temporal": 0}, "temporal is 0"),
    ):
        with pytest.raises(SettingsError, match=text):
            replace(settings(), **change)
    with pytest.raises(IndexError):
        ViewDataset(videos, settings())[0, 6]


@pytest.mark.parametrize("spatial", [0, 2])
def test_one_more_view_around_what_moves(painted, spatial):
    videos, store = painted
    small = TokenGrid(4, 16, 16)  # so that there is something to cut
    data = ViewDataset(
        videos, settings(grid=small, spatial=spatial, motion_crop=True, motion=str(store))
    )
    assert data.settings.views == 2 * (spatial + 1)
    plain = ViewDataset(videos, settings(grid=small, spatial=2, motion=str(store)))
    for row, view in keys_of(data):
        time, place = divmod(view, spatial + 1)
        clip = data[row, view].clip
        if place < spatial:
            wanted = plain[row, 2 * time + place].clip
            np.testing.assert_array_equal(clip.frames_THWC, wanted.frames_THWC)
            np.testing.assert_array_equal(clip.box_T4, wanted.box_T4)
            continue
        assert clip.valid_T.any()
        assert clip.motion_tyx.max() > 100
        for frame, box_4, valid in zip(clip.frames_THWC, clip.box_T4, clip.valid_T, strict=True):
            found = bright_box(frame)
            if valid and found is not None:  # motion of two frames, the picture of the first
                assert (found[:2] >= box_4[:2] - 1.5).all()
                assert (found[2:] <= box_4[2:] + 1.5).all()
        assert np.mean([bright_box(frame) is not None for frame in clip.frames_THWC]) > 0.5


def test_a_motion_crop_goes_by_the_clips_own_motion(painted):
    videos, _ = painted
    # Motion is found first, the pictures are read afterwards: they are the same as at once.
    found = ViewDataset(videos, settings(motion="dis", spatial=1, motion_crop=True))
    plain = ViewDataset(videos, settings(motion="dis", spatial=1))[0, 1].clip
    two = found.__getitems__([(0, 2), (0, 3)])[0].clip
    np.testing.assert_array_equal(two.frames_THWC, plain.frames_THWC)
    np.testing.assert_array_equal(two.motion_tyx, plain.motion_tyx)
    shuffled = settings(motion=MotionChoice("shuffled"), motion_crop=True)
    with pytest.raises(SettingsError, match="not a shuffled one"):
        ViewDataset(videos, shuffled)[0, 3]
    with pytest.raises(SettingsError, match="spatial is 0"):
        settings(spatial=0)
