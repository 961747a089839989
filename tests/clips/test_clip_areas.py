"""Motion areas travel with their frames."""

from __future__ import annotations

import dataclasses
import gc
import pickle
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from generated.clips import ClipRecipe, make_clip, write_clip
from helpers.clipsets import area_of, settings, store_of, write_painted
from helpers.numbered import write_numbered
from helpers.painted import bright_box, walk
from mofo.clips.batch import ClipSample
from mofo.clips.dataset import ClipDataset, ClipSettings
from mofo.clips.plan import hulls
from mofo.clips.stored_motion import PackedFields
from mofo.clips.transforms import CropSettings
from mofo.datasets.catalog import read_catalog
from mofo.motion.detect import detect_many
from mofo.types import TokenGrid, hull
from mofo.video.reader import VideoReader


@pytest.mark.parametrize(
    ("degrees", "mirrored"), [(0, False), (90, False), (270, True), (180, False)]
)
def test_painted_object_from_file_to_clip(tmp_path, degrees, mirrored):
    """500 clips: the box is where the bright pixels are, to 1 px, whatever was drawn."""
    width, height = 176, 128
    how = {"degrees": degrees, "mirrored": mirrored} if degrees else {}
    path = write_painted(tmp_path / "a.mp4", walk(40, width, height, 3), width, height, **how)
    with VideoReader(path, colour="rgb") as reader:  # turned upright by others
        upright = np.array([bright_box(frame.image) for frame in reader], np.float32)
        size = (reader.info.width, reader.info.height)
    store = store_of(tmp_path / "areas", {"a.mp4": area_of(upright, *size)})
    chosen = settings(
        grid=TokenGrid(4, 64, 64), motion=store, stride=1, crop=CropSettings(flip=True)
    )
    data = ClipDataset(read_catalog([path]).videos, chosen, seed=0)
    seen = 0
    for epoch in range(500 if not degrees else 60):
        sample = data[epoch, 0]
        for image, box_4, valid in zip(
            sample.frames_THWC, sample.box_T4, sample.valid_T, strict=True
        ):
            found = bright_box(image)
            if found is None:
                assert not valid or np.min(box_4[2:] - box_4[:2]) <= 1
            else:
                assert valid
                assert np.abs(found - box_4).max() <= 1, (epoch, found, box_4)
                seen += 1
    assert seen > 100


def test_frames_between_count(tmp_path):
    """A frame's box is the hull from this frame up to the next one of the clip."""
    path = write_numbered(tmp_path / "a.mp4", 30)
    box_T4 = np.array([[4 * t, 0, 4 * t + 2, 96] for t in range(30)], np.float32)
    valid_T = np.array([t % 5 != 0 for t in range(30)])
    store = store_of(tmp_path / "areas", {"a.mp4": area_of(box_T4, 128, 96, valid_T)})
    chosen = ClipSettings(grid=TokenGrid(4, 96, 128), motion=store, stride=5, random=False)
    sample = ClipDataset(read_catalog([path]).videos, chosen, seed=0)[0, 0]
    start = sample.start
    assert start == (30 - 16) // 2
    for t in range(4):
        first = start + 5 * t
        frames = [i for i in range(first, first + (5 if t < 3 else 1)) if i % 5]
        assert sample.valid_T[t] == bool(frames)
        if frames:
            assert sample.box_T4[t].tolist() == [4 * frames[0], 0, 4 * frames[-1] + 2, 96]


def test_hulls():
    box_F4 = np.array([[f, 10 - f, f + 1, 20 + f] for f in range(8)], np.float32)
    valid_F = np.array([1, 1, 0, 0, 0, 1, 1, 1], bool)
    box_T4, valid_T = hulls(box_F4, valid_F, np.array([0, 2, 5, 7, 7]))
    assert valid_T.tolist() == [True, False, True, True, True]
    assert box_T4.tolist() == [
        [0, 9, 2, 21], [0, 0, 0, 0], [5, 4, 7, 26], [7, 3, 8, 27], [7, 3, 8, 27],
    ]  # fmt: skip


def test_what_is_outside_the_crop_does_not_widen_a_box(tmp_path):
    """Boxes are cut one by one before they are joined."""
    path = write_numbered(tmp_path / "a.mp4", 7)
    # The crop of 96x96 is 16..112: the first box lies left of it, the second one inside.
    box_T4 = np.array([[0, 0, 16, 96], [60, 40, 70, 50]] * 3 + [[60, 40, 70, 50]], np.float32)
    store = store_of(tmp_path / "areas", {"a.mp4": area_of(box_T4, 128, 96)})
    chosen = ClipSettings(grid=TokenGrid(4, 96, 96, patch=8), motion=store, stride=2, random=False)
    sample = ClipDataset(read_catalog([path]).videos, chosen, seed=0)[0, 0]
    np.testing.assert_allclose(sample.box_T4, [[44, 40, 54, 50]] * 4)


def test_areas_found_at_another_size_are_scaled(tmp_path):
    """Areas may come from the originals, and training use smaller copies."""
    path = write_numbered(tmp_path / "a.mp4", 8)
    box_T4 = np.tile(np.array([[100, 50, 200, 150]], np.float32), (8, 1))
    store = store_of(tmp_path / "areas", {"a.mp4": area_of(box_T4, 1280, 960)})
    chosen = settings(grid=TokenGrid(4, 96, 128), motion=store, random=False)
    sample = ClipDataset(read_catalog([path]).videos, chosen, seed=0)[0, 0]
    np.testing.assert_allclose(sample.box_T4, [[10, 5, 20, 15]] * 4)


@pytest.fixture(scope="module")
def moving(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A generated clip of 40 frames, 320x240: its file, and the true box of each frame."""
    pytest.importorskip("skimage", reason="photographs: pip install mofo[test]")
    clip = make_clip(ClipRecipe(seed=4, camera="static", movers=1, area=(0.05, 0.1), frames=40))
    folder = tmp_path_factory.mktemp("moving") / "deep"
    folder.mkdir()
    path = write_clip(clip, folder / "a.mp4")
    return path, np.array([hull(box_K4).box_4 for box_K4 in clip.boxes()])


def near(sample: ClipSample, truth_T4: np.ndarray, stride: int) -> float:
    """Mean IoU of a clip's boxes with the truth, over the frames that each of them spans."""
    found = []
    for t in np.flatnonzero(sample.valid_T):
        first = sample.start + stride * t
        last = first + (stride if t < len(sample.valid_T) - 1 else 1)
        box_4, true_4 = sample.box_T4[t], hull(truth_T4[first:last]).box_4
        low, high = np.maximum(box_4[:2], true_4[:2]), np.minimum(box_4[2:], true_4[2:])
        common = np.prod(np.maximum(high - low, 0))
        both = sum(np.prod(b[2:] - b[:2]) for b in (box_4, true_4))
        found.append(common / (both - common))
    return float(np.mean(found)) if found else 0.0


def test_detected_areas(tmp_path, moving):
    """From files to a store to clips, with the keys that the detection gave, and with others."""
    path, truth_T4 = moving
    folder = path.parents[1]
    detect_many(folder, tmp_path / "areas", workers=0, progress=False)
    store = tmp_path / "areas"
    chosen = settings(grid=TokenGrid(8, 240, 320), motion=store, random=False)
    for source in (folder, path.parent, path):
        data = ClipDataset(read_catalog([source]).videos, chosen, seed=0)
        sample = data[0, 0]
        assert sample.valid_T.all()
        assert near(sample, truth_T4, 2) > 0.8


@pytest.mark.parametrize(("areas", "least"), [("codec", 0.4), ("dis", 0.8)])
def test_areas_on_the_fly(moving, areas, least):
    path, truth_T4 = moving
    chosen = settings(grid=TokenGrid(8, 240, 320), motion=areas, random=False, stride=3)
    videos = read_catalog([path]).videos
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample = ClipDataset(videos, chosen, seed=0)[0, 0]
    plain = ClipDataset(videos, dataclasses.replace(chosen, motion="none"), seed=0)[0, 0]
    np.testing.assert_array_equal(sample.frames_THWC, plain.frames_THWC)
    assert sample.valid_T.mean() > 0.7
    assert near(sample, truth_T4, 3) > least


def test_no_vectors_is_said_once(tmp_path):
    for name in "ab":
        write_numbered(
            tmp_path / f"{name}.webm", 20, codec="libvpx-vp9", deadline="realtime", cpu_used="8"
        )
    data = ClipDataset(read_catalog([tmp_path]).videos, settings(motion="codec"), seed=0)
    with pytest.warns(UserWarning, match=r"a\.webm: no motion vectors .*vp9.* by dis"):
        data[0, 0]
    data[0, 1]  # would be an error


def test_packed_fields_are_the_fields_and_leave_nothing(tmp_path, monkeypatch):
    """Any frames of any video, in this process and in one that got a copy; the file goes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rng = np.random.default_rng(3)
    fields = [rng.integers(0, 256, (frames, 3, 5), np.uint8) for frames in (70, 1, 64)]
    still_Tyx = np.zeros((1000, 30, 53), np.uint8)
    packed = PackedFields(4)
    packed.fill(
        (video, field)
        for video, field in [(2, fields[2]), (0, fields[0]), (3, still_Tyx), (1, fields[1])]
    )
    for table in (packed, pickle.loads(pickle.dumps(packed))):
        for video, field_Tyx in enumerate(fields):
            for _ in range(20):
                start, stop = sorted(rng.choice(len(field_Tyx) + 1, 2, replace=False).tolist())
                found = table.frames(video, slice(start, stop), (3, 5))
                np.testing.assert_array_equal(found, field_Tyx[start:stop])
    [file] = tmp_path.iterdir()
    assert file.stat().st_size < still_Tyx.size / 50
    del packed
    gc.collect()
    assert not list(tmp_path.iterdir())
