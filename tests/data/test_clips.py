from __future__ import annotations

import dataclasses
import pickle
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from numbered import number_of, write_numbered
from painted import bright_box, paint, walk
from torch.utils.data import DataLoader

from mofo.data import clips as clips_module
from mofo.data.batch import ClipBatch, collate
from mofo.data.clips import ClipDataset, ClipSettings, hulls
from mofo.data.synthetic import ClipRecipe, make_clip, write_clip
from mofo.data.transforms import CropSettings
from mofo.motion.detect import detect_many
from mofo.motion.merge import merge, scan
from mofo.motion.parts import write_part
from mofo.motion.plan import write_failures
from mofo.motion.settings import DetectSettings
from mofo.motion.store import AreaStore
from mofo.types import (
    ClipSample,
    MofoError,
    MotionArea,
    SettingsError,
    StoreError,
    TokenGrid,
    VideoError,
    hull,
)
from mofo.video.catalog import Video, read_catalog
from mofo.video.clip import IndexMismatchError
from mofo.video.index import Source
from mofo.video.reader import VideoReader

SMALL = TokenGrid(4, 32, 32)
SEES_ALL = CropSettings(scales=(1.0,))


def settings(**changes: Any) -> ClipSettings:
    return ClipSettings(**({"grid": SMALL, "areas": "none", "stride": 2} | changes))


def same(one: ClipSample, other: ClipSample) -> bool:
    return all(np.array_equal(value, other.__dict__[name]) for name, value in vars(one).items())


def area_of(box_T4: np.ndarray, width: int, height: int, valid_T: Any = None) -> MotionArea:
    valid_T = np.ones(len(box_T4), bool) if valid_T is None else np.asarray(valid_T)
    box_T4 = np.where(valid_T[:, None], box_T4, 0).astype(np.float32)
    movers = tuple(
        box_4[None] if valid else np.zeros((0, 4), np.float32)
        for box_4, valid in zip(box_T4, valid_T, strict=True)
    )
    times = np.arange(len(box_T4))
    return MotionArea(width, height, times, times / 25, box_T4, valid_T, movers, flow="dis")


def store_of(folder: Path, areas: dict[str, MotionArea]) -> AreaStore:
    folder.mkdir(exist_ok=True)
    for key, area in areas.items():
        write_part(folder, key, f"/somewhere/{key}", 1, area, DetectSettings())
    merge(scan(folder, DetectSettings()), None, lambda key: False)
    return AreaStore.open(folder)


def write_painted(path: Path, box_T4: np.ndarray, width: int, height: int, **how: Any) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "4", "g": "9"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        if how:
            stream.set_display_rotation(how["degrees"], hflip=how["mirrored"])
        for image in paint(box_T4, width, height):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Videos of 60, 60 and 5 frames."""
    made = tmp_path_factory.mktemp("videos")
    write_numbered(made / "a.mp4", 60, bf="3", g="12")
    write_numbered(made / "b.mp4", 60, bf="0", g="60")
    write_numbered(made / "c.mp4", 5)
    return made


@pytest.fixture
def videos(folder) -> Sequence[Video]:
    return read_catalog([folder]).videos


# What a sample is


def test_frames_that_were_asked_for(videos):
    """The numbers painted in the frames are those of a clip of the stride, from its start on."""
    whole = settings(grid=TokenGrid(4, 96, 128), random=False)
    numbers = settings(grid=TokenGrid(4, 96, 128), crop=SEES_ALL)
    for chosen in (whole, numbers):
        data = ClipDataset(videos, chosen, seed=1)
        for epoch in range(8):
            sample = data[epoch, 0]
            found = [number_of(image[..., 1]) for image in sample.frames_THWC]
            assert found == [sample.start + 2 * t for t in range(4)]
            assert sample.path.endswith("a.mp4")
            assert sample.index == 0
            assert sample.failures == ()
            if chosen is whole:
                assert sample.start == (60 - 7) // 2


def test_what_a_sample_holds(videos):
    sample = ClipDataset(videos, settings(), seed=1)[0, 0]
    assert (sample.frames_THWC.shape, sample.frames_THWC.dtype) == ((4, 32, 32, 3), np.uint8)
    assert (sample.box_T4.shape, sample.box_T4.dtype) == ((4, 4), np.float32)
    assert (sample.valid_T.shape, sample.valid_T.dtype) == ((4,), bool)
    assert (sample.noise_N.shape, sample.noise_N.dtype) == ((SMALL.tokens,), np.float32)
    assert 0 <= sample.noise_N.min() < sample.noise_N.max() < 1
    assert not sample.valid_T.any()


def test_short_videos_repeat_their_last_frame(videos):
    chosen = settings(grid=TokenGrid(8, 96, 128), random=False, stride=1)
    sample = ClipDataset(videos, chosen, seed=1)[0, 2]
    assert [number_of(image[..., 1]) for image in sample.frames_THWC] == [0, 1, 2, 3, 4, 4, 4, 4]


def test_segments(videos):
    chosen = settings(grid=TokenGrid(4, 96, 128), crop=SEES_ALL, sampling="segments")
    for epoch in range(5):
        sample = ClipDataset(videos, chosen, seed=1)[epoch, 1]
        numbers = [number_of(image[..., 1]) for image in sample.frames_THWC]
        assert [number // 15 for number in numbers] == [0, 1, 2, 3]


def test_stretches_of_a_file(folder, tmp_path):
    table = folder.parent / "list.csv"
    path = (folder / "a.mp4").relative_to(table.parent)
    table.write_text(f"path,start,end\n{path},0.4,0.8\n{path},2,\n{path},3,4\n")
    chosen = settings(grid=TokenGrid(4, 96, 128), crop=SEES_ALL)
    data = ClipDataset(read_catalog([table]).videos, chosen, seed=1)
    for epoch in range(5):
        for row, stretch in enumerate((range(10, 20), range(50, 60))):
            numbers = [number_of(image[..., 1]) for image in data[epoch, row].frames_THWC]
            assert set(numbers) <= set(stretch)
    reason = "no frame from 3 s to 4 s: its last one is at 2.36 s"
    assert data[0, 2].failures[0] == (str(folder / "a.mp4"), reason)


# Randomness


def test_a_sample_depends_on_seed_epoch_and_row_only(videos):
    data = ClipDataset(videos, settings(), seed=5)
    expected = {(e, r): data[e, r] for e in range(3) for r in range(3)}
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    other = ClipDataset(videos, settings(), seed=5)
    for key in reversed(expected):
        np.random.seed(7)  # noqa: NPY002
        assert same(other[key], expected[key])
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
    data[7, 0]
    after = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


def test_samples_differ(videos):
    """One mask and one start for the whole training is what a seed reset in a transform does."""
    noise, starts = {}, {}
    for seed in (0, 1):
        data = ClipDataset(videos, settings(), seed=seed)
        for epoch in range(6):
            for row in range(2):
                sample = data[epoch, row]
                noise[seed, epoch, row] = sample.noise_N.tobytes()
                starts[seed, epoch, row] = sample.start
    assert len(set(noise.values())) == len(noise)
    assert len(set(starts.values())) > len(starts) / 2
    flat = np.concatenate([np.frombuffer(value, np.float32) for value in noise.values()])
    assert abs(flat.mean() - 0.5) < 0.05


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(videos, workers):
    data = ClipDataset(videos, settings(repeats=2), seed=5)
    keys = [[(e, r) for r in range(3)] for e in range(3)]
    loader = DataLoader(data, batch_sampler=keys, num_workers=workers, collate_fn=collate)
    batches = list(loader)
    for batch, wanted in zip(batches, keys, strict=True):
        expected = collate([sample for key in wanted for sample in data.clips(*key)])
        assert len(batch) == 6
        for name, value in expected.__dict__.items():
            found = getattr(batch, name)
            assert torch.equal(found, value) if isinstance(value, torch.Tensor) else found == value


def test_what_was_read_before_changes_nothing(videos, tmp_path):
    """Also where the index of a damaged file turns out to be wrong in some samples only."""
    whole = write_numbered(tmp_path / "whole.mp4", 60, bf="3", g="12")
    content = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    for packet in packets[20:23]:
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    whole.write_bytes(content)
    rows = read_catalog([whole]).videos
    alone = [ClipDataset(rows, settings(), seed=2)[epoch, 0] for epoch in range(12)]
    data = ClipDataset(rows, settings(), seed=2)
    for epoch in (*range(12), *range(11, -1, -1)):
        assert same(data[epoch, 0], alone[epoch])
    sources = {index.source for index in data._indexes._known[str(whole)].indexes.values()}
    assert len(sources) > 1  # some did, some did not


def test_a_data_set_crosses_processes(videos):
    data = ClipDataset(videos, settings(), seed=5)
    expected = data[1, 1]
    assert same(pickle.loads(pickle.dumps(data))[1, 1], expected)


def test_repeats(videos):
    """Several clips of one stretch: the same frames of the file, other crops and noise."""
    chosen = settings(repeats=3, grid=TokenGrid(4, 96, 128), crop=CropSettings(flip=True))
    data = ClipDataset(videos, chosen, seed=5)
    several = data.clips(4, 1)
    assert len(several) == 3
    assert len({sample.start for sample in several}) == 1
    assert len({sample.noise_N.tobytes() for sample in several}) == 3
    assert len({sample.frames_THWC.tobytes() for sample in several}) == 3
    assert same(data[4, 1], several[0])
    # The first is what it would be alone.
    assert same(ClipDataset(videos, settings(grid=chosen.grid, crop=chosen.crop), seed=5)[4, 1],
                several[0])  # fmt: skip


# Motion areas


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
        grid=TokenGrid(4, 64, 64), areas="store", stride=1, crop=CropSettings(flip=True)
    )
    data = ClipDataset(read_catalog([path]).videos, chosen, seed=0, store=store)
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
    chosen = ClipSettings(grid=TokenGrid(4, 96, 128), areas="store", stride=5, random=False)
    sample = ClipDataset(read_catalog([path]).videos, chosen, seed=0, store=store)[0, 0]
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
    chosen = ClipSettings(grid=TokenGrid(4, 96, 96, patch=8), areas="store", stride=2, random=False)
    sample = ClipDataset(read_catalog([path]).videos, chosen, seed=0, store=store)[0, 0]
    np.testing.assert_allclose(sample.box_T4, [[44, 40, 54, 50]] * 4)


def test_areas_found_at_another_size_are_scaled(tmp_path):
    """Areas may come from the originals, and training use smaller copies."""
    path = write_numbered(tmp_path / "a.mp4", 8)
    box_T4 = np.tile(np.array([[100, 50, 200, 150]], np.float32), (8, 1))
    store = store_of(tmp_path / "areas", {"a.mp4": area_of(box_T4, 1280, 960)})
    chosen = settings(grid=TokenGrid(4, 96, 128), areas="store", random=False)
    sample = ClipDataset(read_catalog([path]).videos, chosen, seed=0, store=store)[0, 0]
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
    chosen = settings(grid=TokenGrid(8, 240, 320), areas="store", random=False)
    store = AreaStore.open(tmp_path / "areas")
    for source in (folder, path.parent, path):
        data = ClipDataset(read_catalog([source]).videos, chosen, seed=0, store=store)
        sample = data[0, 0]
        assert sample.valid_T.all()
        assert near(sample, truth_T4, 2) > 0.8


@pytest.mark.parametrize(("areas", "least"), [("codec", 0.4), ("dis", 0.8)])
def test_areas_on_the_fly(moving, areas, least):
    path, truth_T4 = moving
    chosen = settings(grid=TokenGrid(8, 240, 320), areas=areas, random=False, stride=3)
    videos = read_catalog([path]).videos
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample = ClipDataset(videos, chosen, seed=0)[0, 0]
    plain = ClipDataset(videos, dataclasses.replace(chosen, areas="none"), seed=0)[0, 0]
    np.testing.assert_array_equal(sample.frames_THWC, plain.frames_THWC)
    assert sample.valid_T.mean() > 0.7
    assert near(sample, truth_T4, 3) > least


def test_no_vectors_is_said_once(tmp_path):
    for name in "ab":
        write_numbered(
            tmp_path / f"{name}.webm", 20, codec="libvpx-vp9", deadline="realtime", cpu_used="8"
        )
    data = ClipDataset(read_catalog([tmp_path]).videos, settings(areas="codec"), seed=0)
    with pytest.warns(UserWarning, match=r"a\.webm: no motion vectors .*vp9.* by dis"):
        data[0, 0]
    data[0, 1]  # would be an error


# What goes wrong


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
    real = clips_module.read_frames

    def read(path, index, wanted):
        asked.append(index.source)
        if index.source is not Source.FRAMES:
            raise IndexMismatchError("wrong")
        return real(path, index, wanted)

    monkeypatch.setattr(clips_module, "read_frames", read)
    data = ClipDataset(videos, settings(), seed=0)
    found = data[0, 0]
    assert asked == list(Source)
    monkeypatch.undo()
    assert same(found, ClipDataset(videos, settings(), seed=0)[0, 0])


def test_videos_that_the_store_lacks(tmp_path, videos):
    area = area_of(walk(60, 128, 96, 0), 128, 96)
    store = store_of(tmp_path / "areas", {"a.mp4": area})
    with pytest.raises(StoreError) as caught:
        ClipDataset(videos, settings(areas="store"), seed=0, store=store)
    assert "b.mp4 and 1 more of 3: run `mofo detect` with the same sources and --out" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_videos_that_the_detection_could_not_read(tmp_path, videos):
    """They are known to be bad: no reason to refuse the others."""
    area = area_of(walk(60, 128, 96, 0), 128, 96)
    store = store_of(tmp_path / "areas", {"a.mp4": area, "b.mp4": area})
    write_failures(tmp_path / "areas" / "failures.csv", [("c.mp4", "took too long")])
    data = ClipDataset(videos, settings(areas="store"), seed=0, store=store)
    sample = data[0, 2]
    assert sample.failures[0] == (videos[2].path, "took too long")
    assert sample.index in (0, 1)


def test_a_file_that_changed_since_the_detection(tmp_path, videos):
    area = area_of(walk(60, 128, 96, 0), 128, 96)
    short = area_of(walk(50, 128, 96, 0), 128, 96)
    store = store_of(tmp_path / "areas", {"a.mp4": area, "b.mp4": short, "c.mp4": short})
    data = ClipDataset(videos, settings(areas="store", tries=50), seed=0, store=store)
    sample = data[0, 1]
    assert sample.index == 0
    path, reason = sample.failures[0]
    assert path == videos[1].path
    assert reason == (
        "has 60 frames, but the store of motion areas has 50: run `mofo detect` again"
    )


@pytest.mark.parametrize(("wrong", "words"), [
    ({"sampling": "segment"}, "did you mean 'segments'"), ({"areas": "stor"}, "'store'"),
    ({"stride": 0}, "stride is 0"), ({"repeats": 0}, "repeats"), ({"tries": 0}, "tries"),
])  # fmt: skip
def test_impossible_settings(wrong, words):
    with pytest.raises(SettingsError, match=words):
        ClipSettings(**wrong)


def test_impossible_data_sets(tmp_path, videos):
    store = store_of(tmp_path / "areas", {"a.mp4": area_of(walk(9, 128, 96, 0), 128, 96)})
    for call in (
        lambda: ClipDataset([], settings(), seed=0),
        lambda: ClipDataset(videos, settings(areas="store"), seed=0),
        lambda: ClipDataset(videos, settings(), seed=0, store=store),
        lambda: ClipDataset(videos, settings(), seed=-1),
    ):
        with pytest.raises(SettingsError):
            call()
    data = ClipDataset(videos, settings(), seed=0)
    assert len(data) == 3
    for row in (-1, 3):
        with pytest.raises(IndexError):
            data[0, row]


# Batches


def test_batch(videos):
    data = ClipDataset(videos, settings(), seed=0)
    samples = [data[0, row] for row in range(3)]
    batch = collate(samples)
    assert isinstance(batch, ClipBatch)
    assert len(batch) == 3
    kinds = {
        "frames_BTHWC": torch.uint8, "box_BT4": torch.float32, "valid_BT": torch.bool,
        "noise_BN": torch.float32, "index_B": torch.int64, "start_B": torch.int64,
    }  # fmt: skip
    for name, dtype in kinds.items():
        assert getattr(batch, name).dtype == dtype
        assert getattr(batch, name).shape[0] == 3
    np.testing.assert_array_equal(batch.frames_BTHWC[1], samples[1].frames_THWC)
    assert batch.path == tuple(video.path for video in videos)
    assert batch.index_B.tolist() == [0, 1, 2]
    moved = batch.to("meta")
    assert moved.frames_BTHWC.device.type == "meta"
    assert moved.path == batch.path


def test_errors_cross_processes(tmp_path):
    (tmp_path / "a.mp4").touch()
    data = ClipDataset(read_catalog([tmp_path]).videos, settings(tries=2), seed=0)
    loader = DataLoader(data, batch_sampler=[[(0, 0)]], num_workers=1, collate_fn=collate)
    with pytest.raises(MofoError, match="is empty"):
        list(loader)
    assert issubclass(VideoError, MofoError)
