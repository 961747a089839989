"""What a clip sample is: frames, randomness, batches."""

from __future__ import annotations

import pickle
import random

import av
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from helpers.clipsets import SEES_ALL, SMALL, same, settings
from helpers.numbered import number_of, write_numbered
from mofo.clips.batch import ClipBatch, blank_frames, collate
from mofo.clips.dataset import ClipDataset
from mofo.clips.transforms import CropSettings, centre_geometry
from mofo.datasets.catalog import read_catalog
from mofo.types import MofoError, SettingsError, TokenGrid, VideoError
from mofo.video.reader import VideoReader


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


@pytest.mark.parametrize("seconds", [0.32, 1.28])
def test_clips_by_time(videos, seconds):
    """The file has 25 frames a second."""
    chosen = settings(grid=TokenGrid(4, 96, 128), crop=SEES_ALL, seconds=seconds)
    for epoch in range(4):
        sample = ClipDataset(videos, chosen, seed=1)[epoch, 0]
        numbers = [number_of(image[..., 1]) for image in sample.frames_THWC]
        assert np.diff(numbers).tolist() == [round(seconds * 25 / 4)] * 3


@pytest.mark.parametrize("fit", ["pad", "squeeze"])
def test_the_whole_frame_is_read(videos, fit):
    """As the geometry makes it of decoded frames."""
    chosen = settings(grid=TokenGrid(4, 128, 128), random=False, crop=CropSettings(fit=fit))
    data = ClipDataset(videos, chosen, seed=1)
    sample = data[0, 0]
    with VideoReader(videos[0].path, colour="rgb") as reader:
        frames_THWC = np.stack([frame.image for frame in reader])[sample.start :: 2][:4]
    wanted = centre_geometry((128, 96), (128, 128), fit).frames(frames_THWC)
    assert np.abs(sample.frames_THWC.astype(int) - wanted).mean() < 3


def test_parts_with_motion_are_preferred(folder, videos, tmp_path):
    still, moving = np.zeros(60, bool), np.arange(60) >= 50
    with pytest.raises(SettingsError, match="store"):
        settings(moving=1.0)
    data = ClipDataset(videos, settings(), seed=1)
    data.reader.source.moving = lambda row: moving if row == 0 else still
    object.__setattr__(data.settings, "moving", 1.0)
    starts = [[data[epoch, row].start for epoch in range(12)] for row in (0, 1)]
    assert min(starts[0]) > 43
    assert np.ptp(starts[1]) > 15


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


def test_frames_are_drawn_into_the_batch(videos):
    data = ClipDataset(videos, settings(repeats=2), seed=5)
    samples = data.__getitems__([(0, 0), (1, 2)])
    batch = collate(samples)
    for row, sample in enumerate(samples):
        assert (
            batch.frames_BTHWC[row].data_ptr() == sample.frames_THWC.__array_interface__["data"][0]
        )
    others = collate(list(samples))  # any samples, put together
    assert others.frames_BTHWC.data_ptr() != batch.frames_BTHWC.data_ptr()
    assert torch.equal(others.frames_BTHWC, batch.frames_BTHWC)


def test_memory_of_a_batch_is_shared_in_a_worker(monkeypatch):
    assert not blank_frames(2, 4, 3).is_shared()
    monkeypatch.setattr("mofo.clips.batch.get_worker_info", lambda: "a worker")
    frames = blank_frames(2, 4, 3)
    assert frames.is_shared()
    assert frames.shape == (2, 4, 3)
    frames.numpy()[1, 3, 2] = 7
    assert frames[1, 3, 2] == 7


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
    sources = {index.source for index in data.reader.indexes._known[str(whole)].indexes.values()}
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


def test_crops_around_what_moves_leave_all_else_as_it_is(videos):
    plain = ClipDataset(videos, settings(motion="centre", repeats=2), seed=3)
    crops = {}
    for chance in (0.5, 1.0):
        data = ClipDataset(videos, settings(motion="centre", repeats=2, motion_crop=chance), seed=3)
        moved = []
        for epoch in range(6):
            for one, other in zip(data.clips(epoch, 0), plain.clips(epoch, 0), strict=True):
                assert np.array_equal(one.noise_N, other.noise_N)
                assert one.start == other.start
                moved.append(not np.array_equal(one.frames_THWC, other.frames_THWC))
        crops[chance] = np.mean(moved)
    assert 0.1 < crops[0.5] < 0.9
    assert crops[1.0] == 1
