"""Frames got by seeking are those got by decoding everything, in every kind of file."""

from __future__ import annotations

import ctypes
import gc
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from helpers.numbered import number_of, write_numbered
from mofo.types import VideoError
from mofo.video import clip as clip_module
from mofo.video.clip import IndexMismatchError, Segment, read_frames
from mofo.video.index import FrameIndex, Source, index_frames
from mofo.video.reader import VideoReader

UNEVEN = np.cumsum([17 + 40 * (i % 3) + 100 * (i == 20) for i in range(60)]).tolist()
KINDS: dict[str, Callable[[Path], Path]] = {
    "h264, B-frames": lambda d: write_numbered(d / "a.mp4", bf="3", g="12"),
    "h264, long GOP": lambda d: write_numbered(d / "a.mp4", 150, bf="3", g="250"),
    "h264, no B-frames": lambda d: write_numbered(d / "a.mp4", bf="0", g="20"),
    "h264, all key": lambda d: write_numbered(d / "a.mp4", g="1"),
    "h264, pyramid": lambda d: write_numbered(
        d / "a.mp4", bf="7", g="40", x264_params="b-pyramid=normal:b-adapt=0"
    ),
    "h264, open GOP": lambda d: write_numbered(
        d / "a.mp4", bf="3", g="15", x264_params="open-gop=1"
    ),
    "h264, open GOP, mkv": lambda d: write_numbered(
        d / "a.mkv", bf="3", g="15", x264_params="open-gop=1"
    ),
    "h264, intra refresh": lambda d: write_numbered(
        d / "a.mp4", bf="0", g="20", x264_params="intra-refresh=1"
    ),
    "h264, several slices": lambda d: write_numbered(d / "a.mp4", g="12", x264_params="slices=4"),
    "h264, avi": lambda d: write_numbered(d / "a.avi", bf="3", g="20"),
    "h264, flv": lambda d: write_numbered(d / "a.flv", bf="3", g="20"),
    "h264, ts": lambda d: write_numbered(d / "a.ts", bf="3", g="20"),
    "h264, fragments": lambda d: write_numbered(
        d / "a.mp4", bf="3", g="20", muxer={"movflags": "frag_keyframe+empty_moov"}
    ),
    "h264, uneven times": lambda d: write_numbered(d / "a.mp4", bf="3", g="12", ticks=UNEVEN),
    "h264, late start": lambda d: write_numbered(
        d / "a.mp4", bf="3", g="12", ticks=[5000 + 40 * i for i in range(60)]
    ),
    "h264, rotated": lambda d: write_numbered(d / "a.mp4", bf="3", g="12", rotate=(90, False)),
    "mpeg4, avi": lambda d: write_numbered(d / "a.avi", codec="mpeg4", bf="2", g="12"),
    "mpeg4, mp4": lambda d: write_numbered(d / "a.mp4", codec="mpeg4", bf="2", g="12"),
    "mpeg4, no B-frames": lambda d: write_numbered(d / "a.avi", codec="mpeg4", g="12"),
    "mpeg2, program stream": lambda d: write_numbered(
        d / "a.mpg", codec="mpeg2video", bf="2", g="12"
    ),
    "vp9": lambda d: write_numbered(
        d / "a.webm", codec="libvpx-vp9", g="20", deadline="good", cpu_used="5",
        auto_alt_ref="1", lag_in_frames="16",
    ),
    "vp8": lambda d: write_numbered(
        d / "a.webm", codec="libvpx", g="20", deadline="good", cpu_used="5",
        auto_alt_ref="1", lag_in_frames="16",
    ),
    "vp8, hidden frames": lambda d: hidden(
        write_numbered(d / "b.webm", codec="libvpx", g="20", deadline="good", cpu_used="5"),
        d / "a.webm",
    ),
    "hevc, open GOP": lambda d: write_numbered(
        d / "a.mp4", codec="libx265", x265_params="keyint=15:open-gop=1:log-level=none"
    ),
    "av1": lambda d: write_numbered(d / "a.mp4", codec="libsvtav1", g="20", preset="12"),
    "mjpeg": lambda d: write_numbered(d / "a.avi", codec="mjpeg", strict="unofficial"),
    "mjpeg, index without an entry": lambda d: reindexed(
        write_numbered(d / "b.avi", codec="mjpeg", strict="unofficial"), d / "a.avi", {20}
    ),
    "mpeg4, index without an entry": lambda d: reindexed(
        write_numbered(d / "b.avi", codec="mpeg4", g="12"), d / "a.avi", {20}
    ),
    "mpeg4, index without a key frame": lambda d: reindexed(
        write_numbered(d / "b.avi", codec="mpeg4", g="12"), d / "a.avi", {3, 24, 25}
    ),
    "mpeg4, index ends early": lambda d: reindexed(
        write_numbered(d / "b.avi", codec="mpeg4", g="12"), d / "a.avi", set(range(30, 60))
    ),
    "truncated": lambda d: cut(
        write_numbered(d / "b.mp4", bf="3", g="12", muxer={"movflags": "faststart"}), d / "a.mp4"
    ),
    "hole": lambda d: hole(write_numbered(d / "b.mp4", bf="3", g="12"), d / "a.mp4"),
    "cut without its first key frame": lambda d: headless(
        write_numbered(d / "b.mkv", bf="3", g="12", x264_params="open-gop=1"), d / "a.mkv"
    ),
}  # fmt: skip
# Kinds whose index tells the truth without decoding.
DOUBTFUL = ("h264, avi", "vp8", "vp8, hidden frames", "truncated", "hole")
# Seeks in these are rough, or no frame is whole after one.
ROUGH = (
    "h264, ts", "mpeg2, program stream", "h264, intra refresh",
    *(kind for kind in KINDS if ", index" in kind),
)  # fmt: skip
SEEKABLE = [k for k in KINDS if k not in (*DOUBTFUL, "cut without its first key frame")]


def cut(path: Path, to: Path) -> Path:
    content = path.read_bytes()
    to.write_bytes(content[: int(len(content) * 0.7)])
    return to


def reindexed(path: Path, to: Path, without: set[int]) -> Path:
    """A copy of an AVI whose list of packets lacks some."""
    content = path.read_bytes()
    at = content.rindex(b"idx1")
    size = int.from_bytes(content[at + 4 : at + 8], "little")
    entries = [content[at + 8 + 16 * n :][:16] for n in range(size // 16) if n not in without]
    index = b"idx1" + (16 * len(entries)).to_bytes(4, "little") + b"".join(entries)
    changed = content[:at] + index + content[at + 8 + size :]
    to.write_bytes(changed[:4] + (len(changed) - 8).to_bytes(4, "little") + changed[8:])
    return to


def hole(path: Path, to: Path) -> Path:
    """Some packets in the middle are not packets any more."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    for packet in packets[20:23]:
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    to.write_bytes(content)
    return to


def hidden(path: Path, to: Path) -> Path:
    """A copy in which every tenth frame is only there for others to refer to."""
    with av.open(str(path)) as source, av.open(str(to), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            content = bytearray(bytes(packet))
            if number % 10 == 5:
                content[0] &= ~0x10  # show_frame (RFC 6386, 9.1)
            changed = av.Packet(bytes(content))
            changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
            changed.is_keyframe = packet.is_keyframe
            changed.stream = stream
            target.mux(changed)
    return to


def headless(path: Path, to: Path) -> Path:
    """A copy of all packets from the second key frame on: its leading frames cannot be decoded."""
    with av.open(str(path)) as source, av.open(str(to), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        keys = 0
        for packet in source.demux(video=0):
            keys += packet.is_keyframe
            if keys > 1 and packet.size:
                packet.stream = stream
                target.mux(packet)
    return to


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    files: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in files:
            folder = tmp_path_factory.mktemp("clip")
            try:
                files[kind] = KINDS[kind](folder)
            except av.codec.codec.UnknownCodecError:
                pytest.skip(f"this build of FFmpeg cannot write {kind}")
        return files[kind]

    return make


def luma(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray()[: frame.height, : frame.width]


def everything(path: Path) -> list[np.ndarray]:
    """All frames, as coded, by decoding from the beginning to the end."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError):
                break
            try:
                found += [luma(frame) for frame in packet.decode()]
            except av.FFmpegError:
                continue
    return found


def reliable(path: Path, wanted: np.ndarray) -> tuple[FrameIndex, dict[int, np.ndarray]]:
    """As a user of the module reads: with a better index where one proves to be wrong."""
    least = Source.TABLE
    while True:
        index = index_frames(path, least)
        try:
            frames = read_frames(path, index, wanted[wanted < len(index)])
            return index, {number: luma(frame) for number, frame in frames}
        except IndexMismatchError:
            least = Source(index.source + 1)


def wanted_sets(frames: int) -> list[np.ndarray]:
    rng = np.random.default_rng(frames)
    sets = [np.array([0]), np.array([frames - 1]), np.array([frames // 2]), np.arange(frames)]
    for stride in (1, 2, 4):
        sets += [
            np.minimum(rng.integers(frames) + stride * np.arange(16), frames - 1) for _ in range(3)
        ]
    return sets + [rng.choice(frames, int(rng.integers(2, 17)), replace=False) for _ in range(6)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "hole"])
def test_exactly_the_wanted_frames(made, kind):
    path = made(kind)
    expected = everything(path)
    with VideoReader(path, colour=None) as reader:
        times = [frame.time for frame in reader]
    for wanted in wanted_sets(len(expected)):
        index, found = reliable(path, wanted)
        assert sorted(found) == sorted(set(wanted.tolist()))
        for number, image in found.items():
            np.testing.assert_array_equal(image, expected[number], str(number))
        assert len(index) == len(times) == len(expected)
        np.testing.assert_allclose(index.seconds_T, times, atol=1e-9)


def test_a_hole_in_the_middle(made):
    """Damage is not seen from far away: packets are numbered, unless a frame is missed."""
    path = made("hole")
    expected = everything(path)
    assert len(expected) < 60
    for wanted in wanted_sets(60):
        index, found = reliable(path, wanted)
        if index.source is Source.FRAMES:
            assert len(index) == len(expected)
            for number, image in found.items():
                np.testing.assert_array_equal(image, expected[number], str(number))
        elif wanted.max() < 20 or wanted.min() > 23:
            for number, image in found.items():
                assert number_of(image) == number
    index, _ = reliable(path, np.arange(15, 30))
    assert index.source is Source.FRAMES


@pytest.mark.parametrize("kind", SEEKABLE)
def test_numbers_that_are_painted(made, kind):
    path = made(kind)
    index = index_frames(path)
    assert index.source is not Source.FRAMES
    for number, frame in read_frames(path, index, range(7, len(index), 5)):
        assert number_of(luma(frame)) == number


@pytest.fixture
def fed(monkeypatch) -> list[tuple[bool, int]]:
    """Of each pass over a file: whether it was a careful one, and packets decoded."""
    passes: list[list] = []
    run, until_fed = clip_module._Pass.run, clip_module._Pass._until_fed

    def counted_run(self):
        passes.append([self._careful, 0])
        yield from run(self)

    def counted(self, *arguments):
        for packet in until_fed(self, *arguments):
            passes[-1][1] += 1
            yield packet

    monkeypatch.setattr(clip_module._Pass, "run", counted_run)
    monkeypatch.setattr(clip_module._Pass, "_until_fed", counted)
    return passes


def test_no_more_is_decoded_than_needed(made, fed):
    path = made("h264, no B-frames")  # key frames 0, 20, 40
    index = index_frames(path)

    def packets(*wanted: int) -> int:
        fed.clear()
        assert [number for number, _ in read_frames(path, index, wanted)] == list(wanted)
        ((careful, count),) = fed
        assert not careful
        return count

    assert packets(0) == 1
    assert packets(2) == 3  # near the beginning: no seek
    assert packets(45) == 6  # from 40 on
    assert packets(40, 41) == 2
    assert packets(1, 58) == 2 + 19  # what lies between is left out
    assert packets(38, 42) == 19 + 4  # not worth a seek


@pytest.mark.parametrize("kind", [kind for kind in SEEKABLE if kind not in ROUGH])
def test_one_pass_is_enough(made, fed, kind):
    path = made(kind)
    index = index_frames(path)
    for wanted in wanted_sets(len(index)):
        list(read_frames(path, index, wanted))
    assert not any(careful for careful, _ in fed)


def test_frames_that_others_need_not_are_left_out(made, monkeypatch):
    path = made("h264, long GOP")
    index = index_frames(path)
    wanted = range(0, 120, 4)
    output: list[int] = []
    decoded = clip_module._Pass._decoded

    def watched(self, *arguments):
        for number, frame in decoded(self, *arguments):
            output.append(number)
            yield number, frame

    monkeypatch.setattr(clip_module._Pass, "_decoded", watched)
    found = [number for number, _ in read_frames(path, index, wanted)]
    assert found == list(wanted)
    assert len(output) < 0.75 * (wanted[-1] + 1)


def test_a_wrong_index_is_noticed(made, tmp_path):
    """The file was replaced by one with other time stamps since it was indexed."""
    index = index_frames(made("h264, B-frames"))
    for kind in ("h264, late start", "h264, uneven times", "truncated"):
        path = tmp_path / "a.mp4"
        shutil.copy(made(kind), path)
        with pytest.raises(IndexMismatchError):
            list(read_frames(path, index, [3, 50]))


def test_frames_that_do_not_exist(made):
    path = made("h264, B-frames")
    index = index_frames(path)
    assert list(read_frames(path, index, [])) == []
    for wrong in (-1, 60):
        with pytest.raises(ValueError, match="of 60"):
            list(read_frames(path, index, [3, wrong]))


def test_a_file_that_is_gone(made, tmp_path):
    index = index_frames(made("h264, B-frames"))
    with pytest.raises(VideoError, match="does not exist"):
        list(read_frames(tmp_path / "gone.mp4", index, [3]))


def test_no_file_stays_open(made):
    path = made("h264, B-frames")
    index = index_frames(path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        frames = read_frames(path, index, range(30))
        next(frames)
        frames.close()
        list(read_frames(path, index, [5]))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("kind", ["h264, B-frames", "h264, avi", "h264, rotated", "mpeg4, mp4"])
def test_a_segment_reads_like_a_reader(made, kind):
    path = made(kind)
    index = index_frames(path)
    seen: list[int] = []
    options = {"colour": "gray", "motion_vectors": True}
    with VideoReader(path, **options) as reader:
        expected = list(reader)[20:50]
    with Segment(
        str(path), index=index, start=20, stop=50, on_frame=lambda n, _: seen.append(n), **options
    ) as segment:
        found = list(segment)
    assert (segment.info.width, segment.info.height) == (reader.info.width, reader.info.height)
    assert (segment.info.codec, segment.info.rotation) == (reader.info.codec, reader.info.rotation)
    assert segment.info.frames == 30
    assert segment.size == reader.size
    assert sorted(seen) == list(range(20, 50))
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine.index, mine.kind, mine.key) == (theirs.index, theirs.kind, theirs.key)
        assert mine.time == pytest.approx(theirs.time)
        np.testing.assert_array_equal(mine.image, theirs.image)
        assert mine.image.flags.c_contiguous
        assert mine.referred == theirs.referred
        if theirs.vectors is None:
            assert mine.vectors is None
        else:
            assert mine.vectors.tolist() == theirs.vectors.tolist()  # without padding


@pytest.mark.parametrize("kind", SEEKABLE)
def test_a_file_is_opened_once_and_a_good_table_spares_the_probing(kind, made, monkeypatch):
    path, opened = made(kind), []
    index = index_frames(path)
    plain = clip_module.open_video

    def noting(path, options, *, probe=True):
        opened.append(probe)
        return plain(path, options, probe=probe)

    monkeypatch.setattr(clip_module, "open_video", noting)
    wanted = np.arange(7, len(index), 4)
    assert [number for number, _ in read_frames(path, index, wanted)] == wanted.tolist()
    if kind not in ROUGH:
        assert opened == [index.source is not Source.TABLE]


class Allocated(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in "abcdefghij")


def allocated() -> int:
    """Bytes that are allocated and not freed."""
    info = ctypes.CDLL(None).mallinfo2
    info.restype = Allocated
    return info().h


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="asks glibc")
def test_reading_a_part_keeps_no_memory(made):
    path = made("h264, B-frames")
    before = 0
    for number in range(400):
        if number == 200:
            gc.collect()
            before = allocated()
        list(read_frames(path, index_frames(path), [0]))
    gc.collect()
    assert allocated() - before < 200 * 60
