from __future__ import annotations

import os
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from helpers.drawn import moving, texture
from mofo.types import SettingsError, VideoError
from mofo.video.reader import MOTION_VECTOR, VideoReader

Encode = Callable[..., Path]


def read(path: Path, **options: Any) -> tuple[list[Any], VideoReader]:
    with VideoReader(path, **options) as reader:
        return list(reader), reader


def bare(path: Path, fmt: str = "gray") -> list[np.ndarray]:
    with av.open(str(path)) as container:
        if fmt == "luma":
            return [
                frame.to_ndarray()[: frame.height, : frame.width]
                for frame in container.decode(video=0)
            ]
        return [frame.to_ndarray(format=fmt) for frame in container.decode(video=0)]


# What is delivered


def test_real_clip(bikes: Path) -> None:
    frames, reader = read(bikes)
    info = reader.info
    assert (info.width, info.height, info.fps, info.frames) == (640, 272, 25, 250)
    assert (info.duration, info.rotation, info.codec) == (10, 0, "h264")
    assert info.path == str(bikes)
    assert [frame.index for frame in frames] == list(range(250))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(250) / 25)
    assert frames[0].key
    assert frames[0].kind == "I"
    assert {frame.kind for frame in frames} == {"I", "P", "B"}
    assert reader.warnings == []
    for frame, luma in zip(frames, bare(bikes, "luma"), strict=True):
        np.testing.assert_array_equal(frame.image, luma)


def test_images_are_copies(clip: Path) -> None:
    frames, _ = read(clip)
    again, _ = read(clip)
    for frame, other in zip(frames, again, strict=True):
        assert frame.image.base is None
        assert frame.image.flags.c_contiguous
        assert frame.image.flags.writeable
        np.testing.assert_array_equal(frame.image, other.image)


def test_rgb(clip: Path) -> None:
    frames, _ = read(clip, colour="rgb")
    for frame, expected, drawn in zip(frames, bare(clip, "rgb24"), moving(30, 64, 48), strict=True):
        np.testing.assert_array_equal(frame.image, expected)
        assert np.abs(frame.image.astype(int) - drawn).mean() < 10


def test_no_images(clip: Path) -> None:
    frames, _ = read(clip, colour=None)
    assert len(frames) == 30
    assert all(frame.image is None and frame.vectors is None for frame in frames)


@pytest.mark.parametrize(("width", "height"), [(7, 5), (33, 17), (64, 48), (1, 1), (130, 2)])
@pytest.mark.parametrize("pix_fmt", ["gray", "yuv444p"])
def test_any_size(encode: Encode, tmp_path: Path, width: int, height: int, pix_fmt: str) -> None:
    drawn = list(moving(3, width, height))
    path = encode(tmp_path / "a.mkv", drawn, codec="ffv1", pix_fmt=pix_fmt)
    for colour, shape in (("gray", (height, width)), ("rgb", (height, width, 3))):
        frames, reader = read(path, colour=colour)
        assert reader.size == (width, height)
        assert [frame.image.shape for frame in frames] == [shape] * 3
        if pix_fmt == "yuv444p" and colour == "rgb":
            for frame, image in zip(frames, drawn, strict=True):
                assert np.abs(frame.image.astype(int) - image).max() <= 4


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        ("ffv1", "yuv420p"),
        ("ffv1", "yuv422p"),
        ("ffv1", "yuv444p"),
        ("ffv1", "yuv410p"),
        ("ffv1", "gray"),
        ("mjpeg", "yuvj420p"),
        ("ffv1", "yuv420p10le"),
        ("ffv1", "yuv444p16le"),
        ("ffv1", "gray16le"),
        ("ffv1", "bgr0"),
        ("png", "rgb24"),
        ("gif", "rgb8"),
    ],
)
def test_every_kind_of_pixels(encode: Encode, tmp_path: Path, codec: str, pix_fmt: str) -> None:
    suffix = {"png": ".avi", "gif": ".gif"}.get(codec, ".mkv")
    path = tmp_path / f"a{suffix}"
    drawn = list(moving(3, 62, 46))
    encode(path, drawn, codec=codec, pix_fmt=pix_fmt)
    for options in ({}, {"short_side": 23}):
        frames, reader = read(path, **options)
        assert reader.size == ((31, 23) if options else (62, 46))
        for frame, image in zip(frames, drawn, strict=True):
            grey = cv2.resize(
                cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), reader.size, interpolation=cv2.INTER_AREA
            )
            # Limited and full range differ by a factor and an offset: neither matters.
            assert np.corrcoef(frame.image.ravel(), grey.ravel())[0, 1] > (
                0.85 if codec == "gif" else 0.95
            )
        frames, _ = read(path, colour="rgb", **options)
        assert frames[0].image.shape[2] == 3


# Scaling


def test_short_side_only_shrinks(clip: Path) -> None:
    assert read(clip, short_side=24)[1].size == (32, 24)
    assert read(clip, short_side=25)[1].size == (33, 25)
    assert read(clip, short_side=1)[1].size == (1, 1)
    assert read(clip, short_side=480)[1].size == (64, 48)
    assert read(clip, short_side=480)[0][3].image.shape == (48, 64)
    assert read(clip, size=(100, 20))[0][3].image.shape == (20, 100)
    assert read(clip, size=(100, 20), colour="rgb")[0][3].image.shape == (20, 100, 3)
    assert read(clip, short_side=24)[1].info.width == 64


@pytest.mark.parametrize("side", [240, 112, 57])
def test_scaling_is_area_averaging(bikes: Path, side: int) -> None:
    with VideoReader(bikes, short_side=side) as small, VideoReader(bikes) as full:
        for i, (frame, whole) in enumerate(zip(small, full, strict=True)):
            expected = cv2.resize(whole.image, small.size, interpolation=cv2.INTER_AREA)
            error = np.abs(frame.image.astype(int) - expected)
            assert error.mean() < 0.5
            if i == 5:
                break


def test_scaled_rgb(bikes: Path) -> None:
    with (
        VideoReader(bikes, short_side=112, colour="rgb") as small,
        VideoReader(bikes, colour="rgb") as full,
    ):
        one, whole = next(iter(small)).image, next(iter(full)).image
    expected = cv2.resize(whole, small.size, interpolation=cv2.INTER_AREA)
    assert np.abs(one.astype(int) - expected).mean() < 1.5


def test_impossible_options(clip: Path) -> None:
    for options in (
        {"colour": "grey"},
        {"short_side": 0},
        {"size": (0, 3)},
        {"size": (8, 8), "short_side": 8},
    ):
        with pytest.raises(SettingsError):
            VideoReader(clip, **options)


# Rotation


@pytest.mark.parametrize("colour", ["gray", "rgb"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_upright(encode: Encode, tmp_path: Path, turn: int, mirrored: bool, colour: str) -> None:
    # FFmpeg turns counter-clockwise by `turn`, then mirrors.
    path = encode(tmp_path / "a.mp4", pix_fmt="yuv444p", rotate=(turn, mirrored))
    plain = encode(tmp_path / "b.mp4", pix_fmt="yuv444p")
    upright = [np.rot90(frame.image, turn // 90) for frame in read(plain, colour=colour)[0]]
    if mirrored:
        upright = [image[:, ::-1] for image in upright]
    frames, reader = read(path, colour=colour)
    height, width = upright[0].shape[:2]
    assert (reader.info.width, reader.info.height) == reader.size == (width, height)
    assert reader.info.mirrored is mirrored
    if not mirrored:
        assert reader.info.rotation == (360 - turn) % 360
    for frame, image in zip(frames, upright, strict=True):
        np.testing.assert_array_equal(frame.image, image)
        assert frame.image.flags.c_contiguous
        assert frame.image.flags.owndata
    small = read(path, colour=colour, size=(width // 2, height // 2))[0]
    assert small[0].image.shape[:2] == (height // 2, width // 2)
    half = cv2.resize(np.ascontiguousarray(upright[0]), small[0].image.shape[1::-1], None, 0, 0, 3)
    assert np.abs(small[0].image.astype(int) - half).mean() < 2


# Times and counts


def test_variable_frame_rate(tmp_path: Path) -> None:
    ticks = [0, 10, 11, 50, 500, 501]
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for tick, image in zip(ticks, moving(6, 64, 48), strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames, reader = read(path)
    assert [frame.time for frame in frames] == pytest.approx([tick / 1000 for tick in ticks])
    assert reader.warnings == []


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", "libvpx-vp9"), (".mkv", "libx264")])
def test_no_frame_count(encode: Encode, tmp_path: Path, suffix: str, codec: str) -> None:
    frames, reader = read(encode(tmp_path / f"a{suffix}", codec=codec))
    assert reader.info.frames is None
    assert reader.info.duration == pytest.approx(1.2)
    assert reader.info.codec == ("vp9" if suffix == ".webm" else "h264")
    assert len(frames) == 30
    assert reader.warnings == []


def test_missing_and_falling_times_still_rise(
    encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A raw stream has no times at all.
    raw = encode(tmp_path / "a.h264", options={"bf": "0"})
    times = np.array([frame.time for frame in read(raw)[0]])
    assert len(times) == 30
    assert (np.diff(times) > 0).all()
    # Two transport streams, one after the other: the clock starts again in the middle.
    one = encode(tmp_path / "a.ts").read_bytes()
    (tmp_path / "b.ts").write_bytes(one + one)
    frames, reader = read(tmp_path / "b.ts")
    times = np.array([frame.time for frame in frames])
    assert len(frames) >= 58
    assert (np.diff(times) > 0).all()
    assert any("do not rise" in line for line in reader.warnings)


def test_iterating_again(clip: Path) -> None:
    with VideoReader(clip) as reader:
        first = [frame.image for frame in reader]
        for frame in reader:
            if frame.index == 3:
                break
        again = [frame.image for frame in reader]
    np.testing.assert_array_equal(first, again)


# Motion vectors


def upright_shift(vectors: np.ndarray) -> tuple[float, float]:
    """Motion of a frame in px a frame, from vectors to the previous frame."""
    past = vectors[vectors["source"] == -1]
    step = past["motion_x"] / past["motion_scale"], past["motion_y"] / past["motion_scale"]
    return -float(np.median(step[0])), -float(np.median(step[1]))


def test_motion_vectors(encode: Encode, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", list(moving(20, 128, 96)), options={"bf": "0", "refs": "1"})
    frames, _ = read(path, motion_vectors=True)
    for frame in frames:
        if frame.kind == "I":
            assert frame.vectors is None
            continue
        assert frame.vectors.dtype == MOTION_VECTOR
        assert upright_shift(frame.vectors) == pytest.approx((-2, 0), abs=0.3)
    # Copies: still the same after the reader has gone, and without pixels and deblocking.
    again, _ = read(path, motion_vectors=True, colour=None)
    for frame, other in zip(frames, again, strict=True):
        assert other.image is None
        if frame.vectors is not None:
            assert frame.vectors.flags.owndata or frame.vectors.base.flags.owndata
            np.testing.assert_array_equal(frame.vectors, other.vectors)


def test_real_motion_vectors_agree_with_pyav(bikes: Path) -> None:
    frames, _ = read(bikes, motion_vectors=True, colour=None)
    with av.open(str(bikes)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"flags2": "+export_mvs"}
        for frame, other in zip(frames, container.decode(stream), strict=True):
            data: Any = other.side_data
            if frame.vectors is None:
                assert "MOTION_VECTORS" not in {side.type.name for side in data}
            else:
                expected = data["MOTION_VECTORS"].to_ndarray()
                assert frame.vectors.dtype == expected.dtype
                np.testing.assert_array_equal(frame.vectors, expected)


def test_no_vectors_in_vp9(encode: Encode, tmp_path: Path) -> None:
    frames, _ = read(encode(tmp_path / "a.webm", codec="libvpx-vp9"), motion_vectors=True)
    assert all(frame.vectors is None for frame in frames)


# Odd files


def test_size_changes_in_the_middle(encode: Encode, tmp_path: Path) -> None:
    one = encode(tmp_path / "a.h264", list(moving(10, 64, 48))).read_bytes()
    two = encode(tmp_path / "b.h264", list(moving(10, 96, 80))).read_bytes()
    (tmp_path / "c.h264").write_bytes(one + two)
    for colour in ("gray", "rgb"):
        frames, reader = read(tmp_path / "c.h264", colour=colour)
        assert len(frames) == 20
        assert {frame.image.shape[:2] for frame in frames} == {(48, 64)}
        assert reader.info.width == 64
        assert sum("96x80, the first one was 64x48" in line for line in reader.warnings) == 1


def test_cover_art_is_not_the_video(encode: Encode, tmp_path: Path) -> None:
    def build(name: str, with_video: bool) -> Path:
        picture = av.VideoFrame.from_ndarray(next(moving(1, 320, 240)), format="rgb24")
        with av.open(str(tmp_path / name), "w") as container:
            art: Any = container.add_stream("mjpeg", rate=25)
            art.width, art.height, art.pix_fmt = 320, 240, "yuvj420p"
            art.disposition = av.stream.Disposition.attached_pic
            sound: Any = container.add_stream("aac" if with_video else "libmp3lame", rate=44100)
            video: Any = container.add_stream("libx264", rate=25) if with_video else None
            if video:
                video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            container.mux(art.encode(picture))
            container.mux(art.encode())
            if video:
                for image in moving(5, 64, 48):
                    container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
                container.mux(video.encode())
            quiet = av.AudioFrame.from_ndarray(
                np.zeros((2, 2048), np.float32), format="fltp", layout="stereo"
            )
            quiet.sample_rate = 44100
            container.mux(sound.encode(quiet))
            container.mux(sound.encode())
        return tmp_path / name

    frames, reader = read(build("a.mp4", True))
    assert reader.size == (64, 48)
    assert len(frames) == 5
    with pytest.raises(VideoError, match="has no video stream"):
        VideoReader(build("a.mp3", False))


@pytest.mark.parametrize("name", ["a:b.mp4", "http:x.mp4", "my clip %03d.mp4", "видео.mp4", "-"])
def test_any_name(clip: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert len(read(Path(name))[0]) == 30
    assert len(read(tmp_path / name)[0]) == 30


# Damaged files


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv", ".avi"])
def test_truncated(encode: Encode, tmp_path: Path, suffix: str) -> None:
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(suffix, "libx264")
    muxer = {"movflags": "faststart"} if suffix == ".mp4" else {}
    images = list(moving(75, 64, 48))
    path = encode(tmp_path / f"a{suffix}", images, codec=codec, muxer=muxer, options={"g": "10"})
    whole, reader = read(path)
    assert len(whole) == 75
    assert reader.warnings == []
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    frames, reader = read(path)
    assert 5 < len(frames) < 70
    assert [line for line in reader.warnings if "truncated" in line] == [reader.warnings[0]]
    assert reader.warnings[0].startswith(f"truncated after frame {len(frames) - 1}: ")
    for frame, good in list(zip(frames, whole, strict=False))[:-8]:
        np.testing.assert_array_equal(frame.image, good.image)


def test_damage_in_the_middle(encode: Encode, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", list(moving(75, 64, 48)), options={"g": "10"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = np.random.default_rng(0).bytes(600)
    path.write_bytes(data)
    frames, reader = read(path)
    assert 55 < len(frames) <= 75
    assert frames[-1].time > 2.8
    assert len(reader.warnings) == 1
    assert "corrupt packets skipped" in reader.warnings[0]
    assert (np.diff([frame.time for frame in frames]) > 0).all()


def test_any_damage_is_survived(clip: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = np.frombuffer(clip.read_bytes(), np.uint8)
    path = tmp_path / "a.mp4"
    refusals = []
    for _ in range(60):
        bad = data.copy()
        where = rng.integers(0, len(bad), rng.integers(1, 40))
        bad[where] = rng.integers(0, 256, len(where))
        path.write_bytes(bad[: rng.integers(100, len(bad))].tobytes())
        try:
            frames, _ = read(path, short_side=24, motion_vectors=True)
        except VideoError as error:
            refusals.append(str(error))
        else:
            assert frames
    assert not any("\n" in line for line in refusals)
    assert 0 < len(refusals) < 60


# No video at all


def refused(path: Path, expected: str) -> None:
    start = time.monotonic()
    with pytest.raises(VideoError, match=expected) as caught:
        VideoReader(path)
    assert time.monotonic() - start < 5
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_not_a_video(tmp_path: Path) -> None:
    refused(tmp_path / "none.mp4", "does not exist")
    refused(tmp_path, "is a folder")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    refused(empty, r"is empty \(0 bytes\)")
    os.mkfifo(tmp_path / "fifo.mp4")
    refused(tmp_path / "fifo.mp4", "is not a regular file")
    for name in ("text.mp4", "text.txt"):
        (tmp_path / name).write_text("this is no video\n" * 50)
        refused(tmp_path / name, "not a video that FFmpeg can read")
    (tmp_path / "list.mp4").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://192.0.2.1/a.ts\n#EXT-X-ENDLIST\n"
    )
    refused(tmp_path / "list.mp4", "not a video that FFmpeg can read")
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "NONE"))
        sound.writeframes(bytes(16000))
    refused(tmp_path / "sound.wav", "has no video stream")


def test_without_index(encode: Encode, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 8])
    refused(path, "not a video that FFmpeg can read")


def test_no_frame_in_it(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    path = tmp_path / "a.mp4"
    path.write_bytes(data[: data.index(b"mdat") + 8])
    refused(path, "no frame can be decoded")


def test_unreadable(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    if os.geteuid():
        path.write_bytes(clip.read_bytes())
        path.chmod(0)
        refused(path, "no permission")
    elif Path("/proc/self/mem").exists():
        path.symlink_to("/proc/self/mem")
        refused(path, "cannot be read")
    else:
        pytest.skip("nothing is unreadable to root here")


# Manners


def test_quiet(encode: Encode, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", options={"g": "5"})
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 400] = bytes(400)
    path.write_bytes(data)
    code = (
        "import sys; from mofo.video.reader import VideoReader\n"
        "with VideoReader(sys.argv[1]) as r:\n    print(sum(1 for f in r), r.warnings)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "corrupt" in done.stdout


def test_memory_is_flat(encode: Encode, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    picture = np.stack([texture(720, 1280)] * 3, -1)
    path = encode(tmp_path / "a.mp4", [picture] * 120, options={"preset": "ultrafast"})
    peak = 0
    with VideoReader(path, colour="rgb", motion_vectors=True) as reader:
        for frame in reader:
            if frame.index == 30:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown < 40_000 * (1 if sys.platform == "linux" else 1024)  # one frame has 2700 KiB


def test_no_file_stays_open(clip: Path) -> None:
    fds = Path("/proc/self/fd")
    if not fds.exists():
        pytest.skip("needs /proc")
    before = len(list(fds.iterdir()))
    for _ in range(3):
        with VideoReader(clip) as reader:
            next(iter(reader))
        with pytest.raises(VideoError):
            VideoReader(clip.parent)
    assert len(list(fds.iterdir())) <= before


@pytest.mark.slow
def test_overhead_is_small(carphone: Path) -> None:
    def ours() -> None:
        for _ in reader:
            pass

    def theirs() -> None:
        with av.open(str(carphone)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for _ in container.decode(stream):
                pass

    def best(run: Callable[[], None]) -> float:
        times = []
        for _ in range(7):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        return min(times)

    with VideoReader(carphone) as reader:
        # Measured 1.00-1.05; the rest is room for busy machines.
        assert best(ours) < 1.3 * best(theirs)
