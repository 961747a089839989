from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from helpers.drawn import moving, texture
from mofo.types import SettingsError, VideoError
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter


def write(path: Path, images, times=None, **options) -> Path:
    with VideoWriter(path, **options) as writer:
        for i, image in enumerate(images):
            writer.write(image, None if times is None else times[i])
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".MP4"])
@pytest.mark.parametrize("grey", [False, True])
def test_frames_come_back(tmp_path: Path, suffix: str, grey: bool) -> None:
    images = [im[..., 0] if grey else im for im in moving(12, 64, 48)]
    path = write(tmp_path / f"a{suffix}", images)
    with VideoReader(path, colour="rgb") as reader:
        frames = list(reader)
    assert len(frames) == 12
    assert reader.warnings == []
    assert reader.info.fps == 25
    for frame, image in zip(frames, images, strict=True):
        sent = np.stack([image] * 3, -1) if grey else image
        assert np.abs(frame.image.astype(int) - sent).mean() < 8


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv444p"])
@pytest.mark.parametrize(("width", "height"), [(7, 5), (33, 17), (64, 48)])
def test_lossless_at_any_size(tmp_path: Path, pix_fmt: str, width: int, height: int) -> None:
    images = [im if pix_fmt == "yuv444p" else im[..., 0] for im in moving(5, width, height)]
    path = write(tmp_path / "a.mp4", images, crf=0, pix_fmt=pix_fmt)
    with VideoReader(path, colour="gray" if pix_fmt == "gray" else "rgb") as reader:
        assert reader.size == (width, height)
        for frame, image in zip(reader, images, strict=True):
            assert np.abs(frame.image.astype(int) - image).max() <= (0 if pix_fmt == "gray" else 4)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_odd_sizes_repeat_their_edge(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", list(moving(3, 33, 17)), crf=1)
    with VideoReader(path) as reader:
        assert reader.size == (34, 18)
        image = next(iter(reader)).image.astype(int)
    assert np.abs(image[:, 33] - image[:, 32]).mean() < 3
    assert np.abs(image[17] - image[16]).mean() < 3


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_times_are_kept(tmp_path: Path, suffix: str) -> None:
    times = [0.0, 0.04, 0.1, 0.5, 0.51, 1.7]
    path = write(tmp_path / f"a{suffix}", moving(6, 64, 48), times)
    with VideoReader(path, colour=None) as reader:
        assert [frame.time for frame in reader] == pytest.approx(times, abs=0.0005)


def test_gop_and_bframes(tmp_path: Path) -> None:
    def kinds(**options: int) -> str:
        path = write(tmp_path / "a.mp4", moving(20, 64, 48), **options)
        with VideoReader(path, colour=None) as reader:
            return "".join(frame.kind for frame in reader)

    assert kinds(gop=5, bframes=0) == "IPPPP" * 4
    assert kinds(gop=1) == "I" * 20
    assert "B" in kinds(bframes=3)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_same_frames_same_bytes(tmp_path: Path, suffix: str) -> None:
    one = write(tmp_path / f"one{suffix}", moving(10, 64, 48)).read_bytes()
    two = write(tmp_path / f"two{suffix}", moving(10, 64, 48)).read_bytes()
    assert one == two


def test_index_is_in_front(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mp4", moving(5, 64, 48)).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    def images():
        yield from [texture(48, 64)] * 100  # more than the encoder holds back
        assert len(list(tmp_path.iterdir())) == 2
        raise KeyError

    with pytest.raises(KeyError):
        write(path, images())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write(path, moving(2, 64, 48))
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() != b"old"


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no frame was written"), VideoWriter(tmp_path / "a.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"crf": 64}, "expected 0 to 51"),
        ({"fps": 0}, "fps is 0"),
        ({"gop": 0}, "gop is 0"),
        ({"bframes": 17}, "bframes is 17"),
        ({"pix_fmt": "yuv421p"}, "yuv421p"),
    ],
)
def test_impossible_options(tmp_path: Path, options: dict, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        VideoWriter(tmp_path / "a.mp4", **options)


def test_impossible_targets(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"use \.mp4 or \.webm"):
        VideoWriter(tmp_path / "a.avi")
    with pytest.raises(VideoError, match=r"a\.mp4: cannot be written.*No such file"):
        write(tmp_path / "none" / "a.mp4", moving(1, 64, 48))
    with pytest.raises(VideoError, match="cannot be written as gray"):
        write(tmp_path / "a.webm", moving(1, 64, 48), pix_fmt="gray")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(VideoError, match="cannot be written"):
        write(tmp_path / "folder.mp4", moving(1, 64, 48))
    assert os.listdir(tmp_path) == ["folder.mp4"]  # noqa: PTH208


def test_impossible_frames(tmp_path: Path) -> None:
    grey = texture(48, 64)
    for bad in (grey.astype(np.float32), grey[None, None], np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(SettingsError, match="expected uint8"):
            write(tmp_path / "a.mp4", [bad])
    with pytest.raises(SettingsError, match="62x48, the first one was 64x48"):
        write(tmp_path / "a.mp4", [grey, grey[:, 2:]])
    with pytest.raises(SettingsError, match="not after"):
        write(tmp_path / "a.mp4", [grey, grey], [1.0, 1.0])
    with pytest.raises(SettingsError, match="for all frames or for none"):
        write(tmp_path / "a.mp4", [grey, grey], [1.0, None])
    assert list(tmp_path.iterdir()) == []
