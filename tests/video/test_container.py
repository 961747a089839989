from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.drawn import moving
from mofo.types import VideoError
from mofo.video import container
from mofo.video.container import referred_by_length, referred_by_start_code
from mofo.video.reader import Frame, VideoReader
from mofo.video.writer import VideoWriter

PYRAMID = {"bf": "3", "x264-params": "b-adapt=0:b-pyramid=normal:scenecut=0"}


def frames_of(path: Path) -> list[Frame]:
    with VideoReader(path, colour=None, motion_vectors=True) as reader:
        return list(reader)


def unit(header: int, size: int, body: int = 5) -> bytes:
    return (1 + body).to_bytes(size, "big") + bytes([header]) + bytes(range(3, 3 + body))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([0x65], True),  # IDR
        ([0x41], True),
        ([0x21], True),
        ([0x01], False),
        ([0x09, 0x06, 0x01], False),  # delimiter and message, which are never referred to
        ([0x67, 0x68, 0x06, 0x41, 0x01], True),  # the first slice counts
        ([0x09, 0x06], None),
        ([], None),
    ],
)
def test_first_slice(size: int, headers: list[int], expected: bool | None) -> None:
    assert referred_by_length(b"".join(unit(h, size) for h in headers), size) is expected
    start_codes = b"".join(b"\0\0\0\1" + unit(h, size)[size:] for h in headers)
    assert referred_by_start_code(start_codes) is expected


@pytest.mark.parametrize("size", [1, 2, 4])
def test_junk_ends(size: int) -> None:
    rng = np.random.default_rng(size)
    for length in (*range(12), 1000, 100_000):
        data = rng.integers(0, 256, length, np.uint8)
        data[rng.random(length) < 0.9] = 0
        for junk in (data.tobytes(), bytes(length), b"\xff" * length):
            assert referred_by_length(junk, size) in (True, False, None)
            assert referred_by_start_code(junk) in (True, False, None)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".h264"])
def test_order_and_use_of_frames(tmp_path: Path, encode, suffix: str) -> None:
    frames = frames_of(encode(tmp_path / f"a{suffix}", moving(18, 64, 48), options=PYRAMID))
    assert "".join(frame.kind for frame in frames) == "IBBBPBBBPBBBPBBBPP"
    assert [f.order for f in frames[:9]] == [0, 3, 2, 4, 1, 7, 6, 8, 5]
    assert sorted(f.order for f in frames) == list(range(18))
    assert [f.referred for f in frames[:9]] == [True, False, True, False] * 2 + [True]


def test_only_with_vectors(clip: Path) -> None:
    with VideoReader(clip) as reader:
        assert {(frame.order, frame.referred) for frame in reader} == {(None, None)}


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "mpeg4"), (".mpg", "mpeg2video")])
def test_other_codecs_have_an_order(tmp_path: Path, encode, suffix: str, codec: str) -> None:
    path = encode(tmp_path / f"a{suffix}", moving(9, 64, 48), codec=codec, options={"bf": "2"})
    frames = frames_of(path)
    assert len(frames) == 9
    orders = {frame.kind: [] for frame in frames}
    for frame in frames:
        assert frame.referred is None
        orders[frame.kind].append(frame.order)
    for of_kind in orders.values():
        assert of_kind == sorted(of_kind)
    assert len({frame.order for frame in frames}) == 9
    if "B" in orders:  # coded after the P that is shown later
        first = [frame.kind for frame in frames].index("B")
        later = next(frame for frame in frames[first:] if frame.kind != "B")
        assert later.order < frames[first].order


def test_damage_and_loss(tmp_path: Path, encode) -> None:
    path = encode(tmp_path / "a.ts", moving(40, 64, 48), options=PYRAMID | {"g": "8"})
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(8):
        data = bytearray(path.read_bytes())
        for at in rng.integers(2000, len(data), 6):
            data[at] ^= 0xFF
        (tmp_path / "b.ts").write_bytes(data)
        try:
            frames = frames_of(tmp_path / "b.ts")
        except VideoError:
            continue
        orders = [frame.order for frame in frames if frame.order is not None]
        assert len(set(orders)) == len(orders)
        assert all(frame.referred for frame in frames if frame.key)
        seen += len(orders)
    assert seen > 100


def test_frames_that_would_fill_memory_are_refused(tmp_path: Path, monkeypatch) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for image in moving(2, 64, 48):
            writer.write(image)
    monkeypatch.setattr(container, "MAX_PIXELS", 64 * 48)
    assert len(frames_of(tmp_path / "a.mp4")) == 2
    monkeypatch.setattr(container, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(VideoError, match="64 x 48 pixels"):
        frames_of(tmp_path / "a.mp4")
