from __future__ import annotations

import itertools
import os
import pickle
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from helpers.numbered import number_of, write_numbered
from mofo.types import VideoError
from mofo.video import index as index_module
from mofo.video.clip import read_frames
from mofo.video.index import FrameIndex, IndexCache, Source, index_frames
from mofo.video.reader import VideoReader

TICKS = np.cumsum([20 + 30 * (i % 3) for i in range(40)]).tolist()


def index(stamps: range | np.ndarray, keys=(0,), source=Source.PACKETS) -> FrameIndex:
    return FrameIndex(
        source, 64, 48, 0, False, "h264", stamps, Fraction(1, 100), np.array(keys, np.int32)
    )


@pytest.mark.parametrize("kind", ["regular", "irregular"])
def test_positions(kind):
    stamps = range(-8, 392, 4) if kind == "regular" else np.cumsum(np.arange(100) % 7 + 1)
    found = index(stamps)
    assert len(found) == 100
    for number, stamp in enumerate(stamps):
        assert found.position(int(stamp)) == number
    known = {int(stamp) for stamp in stamps}
    for stamp in {*range(-30, 420)} - known:
        assert found.position(stamp) is None
    assert found.position(None) is None
    np.testing.assert_allclose(found.seconds_T, np.asarray(stamps) / 100)


def test_key_before():
    found = index(range(100), (0, 12, 30))
    before = {-1: 0, 0: 0, 11: 0, 12: 12, 29: 12, 30: 30, 99: 30}
    assert {frame: found.key_before(frame) for frame in before} == before
    assert index(range(5), ()).key_before(4) == 0


@pytest.mark.parametrize(("start", "end", "expected"), [
    (None, None, (0, 50)), (0, 2, (0, 50)), (0.0, 0.04, (0, 1)), (0.04, 0.08, (1, 2)),
    (0.05, 0.13, (2, 4)), (1.0, None, (25, 50)), (None, 1.0, (0, 25)),
    # A picture is on the screen until the next one, the last one as long as the one before.
    (1.98, 9.0, (49, 50)), (0.05, 0.06, (1, 2)), (2.0, 9.0, (50, 50)), (7.0, None, (50, 50)),
])  # fmt: skip
def test_segment(start, end, expected):
    assert index(range(1000, 1200, 4)).segment(start, end) == expected  # first frame at 10 s


@pytest.mark.parametrize("source", [*Source])
def test_segment_of_uneven_times_and_of_long_files(source):
    """As counted in the times of all frames, but without making them: a long file costs no more."""
    rng = np.random.default_rng(1)
    stamps = 3 + np.cumsum(rng.integers(1, 9, 400)) if source else range(7, 7 + 3003 * 400, 3003)
    base = Fraction(1) if source is Source.FRAMES else Fraction(1, 90_000)
    found = FrameIndex(source, 64, 48, 0, False, "h264", stamps, base, np.zeros(1, np.int32))
    times_T = found.seconds_T - found.seconds_T[0]
    ends = [-1.0, 0.0, 1e9, *times_T[::9].tolist(), *(rng.random(200) * times_T[-1] * 1.1).tolist()]
    for start, end in itertools.pairwise(ends):
        first, stop = (int((times_T < at - 1e-6).sum()) for at in (start, end))
        if first >= stop > 0 and start < times_T[-1] + times_T[-1] - times_T[-2] - 1e-6:
            first, stop = first - 1, first
        if start < end:
            assert found.segment(start, end) == (first, stop)
    np.testing.assert_array_equal(found.seconds_of(30, 50), found.seconds_T[30:50])
    long = index(range(0, 4 * 10**9, 4))  # the times of all frames would not fit into memory
    assert long.segment(39_999_999.0, None) == (999_999_975, 10**9)
    assert len(long.seconds_of(10**8, 10**8 + 5)) == 5


def test_a_segment_inside_a_held_picture_is_that_picture(tmp_path):
    """A screen recording that stands still for three seconds."""
    ticks = [40 * i + 3000 * (i >= 10) for i in range(20)]
    path = write_numbered(tmp_path / "a.mp4", 20, ticks=ticks, bf="0", g="5")
    for source in Source:
        found = index_frames(path, source)
        assert found.segment(0.5, 1.5) == (9, 10)
        assert found.segment(0.2, 1.5) == (5, 10)
        assert found.segment(1.0, 3.40) == (9, 10)
        assert found.segment(3.77, None) == (19, 20)
        assert found.segment(3.81, None) == (20, 20)


@pytest.mark.parametrize(("bframes", "swapped"), [("0", 11), ("0", 1), ("2", 10), ("2", 21)])
def test_times_that_do_not_rise_in_display_order(tmp_path, bframes, swapped):
    """Two frames have each other's time: numbers are those of reading through, in any case."""
    options = {"bf": bframes, "g": "20", "x264_params": "b-adapt=0:b-pyramid=none"}
    plain = write_numbered(tmp_path / "a.mkv", 40, **options)
    path = tmp_path / "b.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        ordered = sorted(packets, key=lambda packet: packet.pts)
        one, two = ordered[swapped : swapped + 2]
        one.pts, two.pts = two.pts, one.pts
        for number, packet in enumerate(packets):
            packet.dts = number - 100 + min(p.pts for p in packets)  # muxers want it to rise
            packet.stream = stream
            target.mux(packet)
    with VideoReader(path) as reader:
        expected = [number_of(frame.image) for frame in reader]
    assert expected == list(range(40))
    for wanted in ([swapped], [swapped + 1], range(swapped - 1, 30), range(40)):
        found = index_frames(path)
        frames = read_frames(path, found, wanted)
        assert [number_of(luma(frame)) for _, frame in frames] == list(wanted)


def luma(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray()[: frame.height, : frame.width]


def test_a_table_is_enough_where_b_frames_are_announced_and_none_come(tmp_path):
    """A long file that begins so must not be read through, let alone decoded."""
    options = {"g": "12", "x264_params": "bframes=3:b-bias=-100"}
    path = write_numbered(tmp_path / "a.mp4", 120, **options)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.has_b_frames
        stamps = [packet.pts for packet in container.demux(stream) if packet.size]
    assert stamps == sorted(stamps)
    found = index_frames(path)
    assert found.source is Source.TABLE
    assert found.stamps == range(0, 120 * 512, 512)
    frames = read_frames(str(path), found, range(70, 90))
    seen = {number: number_of(frame.to_ndarray(format="gray8")) for number, frame in frames}
    assert seen == {number: number for number in range(70, 90)}
    assert index_frames(path, Source.PACKETS).source is Source.PACKETS


def test_a_table_is_enough_for_mp4(tmp_path):
    found = index_frames(write_numbered(tmp_path / "a.mp4", 50, bf="3", g="12"))
    assert found.source is Source.TABLE
    assert found.stamps == range(0, 50 * 512, 512)
    assert found.keys.tolist() == [0, 12, 24, 36, 48]
    assert (found.width, found.height, found.codec, found.rotation) == (128, 96, "h264", 0)


def test_packets_tell_what_a_table_does_not(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 40, bf="3", g="12", ticks=TICKS)
    found = index_frames(path)
    assert found.source is Source.PACKETS
    with VideoReader(path, colour=None) as reader:
        np.testing.assert_allclose(found.seconds_T, [frame.time for frame in reader])
    webm = index_frames(
        write_numbered(tmp_path / "a.webm", 40, codec="libvpx-vp9", g="12", deadline="realtime")
    )
    assert (webm.source, len(webm)) == (Source.PACKETS, 40)
    assert webm.keys.tolist() == [0, 12, 24, 36]


@pytest.mark.parametrize("least", Source)
def test_no_less_than_asked_for(tmp_path, least):
    path = write_numbered(tmp_path / "a.mp4", 40, bf="3", g="12", rotate=(90, True))
    found = index_frames(path, least)
    assert found.source is least
    with VideoReader(path) as reader:
        info = reader.info
    assert (found.width, found.height) == (info.width, info.height) == (96, 128)
    assert (found.rotation, found.mirrored) == (info.rotation, info.mirrored)
    np.testing.assert_allclose(found.seconds_T, np.arange(40) / 25)


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.mp4").write_text("no video at all" * 100)
    (tmp_path / "empty.mp4").touch()
    whole = write_numbered(tmp_path / "a.mp4", 40)
    (tmp_path / "head.mp4").write_bytes(whole.read_bytes()[:500])
    for name in ("text.mp4", "empty.mp4", "head.mp4", "gone.mp4", "."):
        with pytest.raises(VideoError, match=rf"{name}: "):
            index_frames(tmp_path / name)
        with pytest.raises(VideoError):
            IndexCache().get(str(tmp_path / name))


@pytest.fixture
def made(monkeypatch) -> list[tuple[str, Source]]:
    calls: list[tuple[str, Source]] = []

    def counted(path, least=Source.TABLE):
        calls.append((Path(path).name, least))
        return index_frames(path, least)

    monkeypatch.setattr(index_module, "index_frames", counted)
    return calls


def test_cache(tmp_path, made):
    path = str(write_numbered(tmp_path / "a.mp4", 30))
    cache = IndexCache()
    found = cache.get(path)
    assert cache.get(path) is found
    better = cache.get(path, Source.FRAMES)
    assert better.source is Source.FRAMES
    assert cache.get(path, Source.FRAMES) is better
    assert cache.get(path) is found  # whatever was asked before
    assert made == [("a.mp4", Source.TABLE), ("a.mp4", Source.FRAMES)]
    write_numbered(Path(path), 20)
    os.utime(path, (time.time() + 5,) * 2)
    assert len(cache.get(path)) == 20
    assert len(cache.get(path, Source.FRAMES)) == 20


def test_cache_makes_no_index_twice(tmp_path, made):
    path = str(write_numbered(tmp_path / "a.avi", 30, codec="libx264", bf="3"))
    cache = IndexCache()
    found = cache.get(path)
    assert found.source is Source.FRAMES
    for least in Source:
        assert cache.get(path, least) is found
    assert len(made) == 1


def test_cache_has_a_limit(tmp_path, made):
    paths = [str(write_numbered(tmp_path / f"{i}.mp4", 5)) for i in range(4)]
    size = index_frames(paths[0]).bytes
    cache = IndexCache(limit=3 * size)
    for path in (*paths[:3], paths[0], paths[3], paths[0], paths[2], paths[1]):
        cache.get(path)
    assert [name for name, _ in made] == ["0.mp4", "1.mp4", "2.mp4", "3.mp4", "1.mp4"]
    assert cache._used <= 3 * size
    again = pickle.loads(pickle.dumps(cache))
    assert again._used == 0
    assert len(again.get(paths[0])) == 5


def test_an_index_is_small(tmp_path):
    regular = index_frames(write_numbered(tmp_path / "a.mp4", 300))
    assert regular.bytes < 2000
