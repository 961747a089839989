"""A file is truncated if pictures are missing at its end, and only then."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from helpers.numbered import write_numbered
from mofo.datasets.file_report import FileTask
from mofo.datasets.inspect_file import inspect_file
from mofo.video.reader import VideoReader

FRAMES = 50
CODECS = {".webm": ("libvpx", "libopus"), ".wmv": ("wmv2", "wmav2"), ".avi": ("mjpeg", "mp3")}


def write(path: Path, *, sound: float = 0.0, late: float = 0.0, **muxer: str) -> Path:
    """Two seconds of noise, and sound of any duration; pictures begin ``late``."""
    rng = np.random.default_rng(0)
    codec, audio_codec = CODECS.get(path.suffix, ("libx264", "aac"))
    with av.open(str(path), "w", options=muxer) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        audio: Any = container.add_stream(audio_codec, rate=44100) if sound else None
        if audio:
            audio.bit_rate = 128_000
        packets: list[Any] = []
        for number in range(FRAMES):
            image = rng.integers(0, 256, (48, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number + round(25 * late), Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if audio:
            audio.codec_context.format, audio.codec_context.layout = "fltp", "stereo"
            audio.codec_context.open()
            size = audio.codec_context.frame_size
            for first in range(0, round(sound * 44100), size):
                silence = np.zeros((2, size), np.float32)
                samples = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
                samples.sample_rate, samples.pts = 44100, first
                samples.time_base = Fraction(1, 44100)
                packets += audio.encode(samples)
            packets += audio.encode(None)
        known = [packet for packet in packets if packet.size]
        for packet in sorted(known, key=lambda packet: float(packet.dts * packet.time_base)):
            container.mux(packet)
    return path


def judged(path: Path) -> tuple[bool, bool]:
    """Whether the file is called truncated, by a quick look and by a full one."""
    quick, full = (
        any(fault.kind == "truncated" for fault in inspect_file(task).faults)
        for task in (FileTask(str(path), str(path), full=full) for full in (False, True))
    )
    return quick, full


WHOLE = {
    "sound is longer, avi": ("a.avi", {"sound": 5.0}),
    "sound is longer, flv": ("a.flv", {"sound": 5.0}),
    "sound is longer, wmv": ("a.wmv", {"sound": 5.0}),
    "sound is longer, mkv": ("a.mkv", {"sound": 5.0}),
    "sound is longer, mp4": ("a.mp4", {"sound": 5.0}),
    "sound is longer, mkv of a live stream": ("a.mkv", {"sound": 5.0, "live": "1"}),
    "sound is longer, ts": ("a.ts", {"sound": 5.0}),
    "late, mkv": ("a.mkv", {"late": 3.5}),
    "late, mp4": ("a.mp4", {"late": 3.5}),
    "late, ts": ("a.ts", {"late": 3.5}),
    "late, flv": ("a.flv", {"late": 3.5}),
    "avi": ("a.avi", {}),
    "wmv": ("a.wmv", {}),
    "webm": ("a.webm", {}),
    "mpg": ("a.mpg", {}),
    "fragments": ("a.mp4", {"movflags": "frag_keyframe+empty_moov"}),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_files(tmp_path, kind):
    name, options = WHOLE[kind]
    path = write(tmp_path / name, **options)
    assert judged(path) == (False, False)
    with VideoReader(path, colour=None) as reader:
        assert sum(1 for _ in reader) == FRAMES
    assert reader.warnings == []


def test_guessed_times_are_no_damage(tmp_path):
    """A program stream gives some pictures a time; those between are FFmpeg's guesses."""
    path = write_numbered(tmp_path / "a.mpg", 19, codec="mpeg2video", size=(80, 48), g="1")
    with VideoReader(path, colour=None) as reader:
        times_T = [frame.time for frame in reader]
    assert np.all(np.diff(times_T) > 0)
    assert reader.warnings == []


CUT = {
    "avi": ("a.avi", {}),
    "avi, with sound": ("a.avi", {"sound": 2.0}),
    "mp4": ("a.mp4", {"movflags": "faststart"}),
    "mkv": ("a.mkv", {}),
    "mkv, with sound": ("a.mkv", {"sound": 2.0}),
    "mkv, late": ("a.mkv", {"late": 3.5}),
    "webm": ("a.webm", {}),
    "flv": ("a.flv", {}),
    "flv, longer sound": ("a.flv", {"sound": 5.0}),
    "wmv": ("a.wmv", {}),
}


@pytest.mark.parametrize("share", [0.5, 0.8])
@pytest.mark.parametrize("kind", CUT)
def test_cut_files(tmp_path, kind, share):
    """Both looks say so: neither believes what the other does not."""
    name, options = CUT[kind]
    whole = write(tmp_path / name, **options)
    path = tmp_path / f"cut{whole.suffix}"
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    if not (path.suffix == ".flv" and share > 0.5):  # says no more than its duration, roughly
        assert judged(path) == (True, True)


def test_pictures_are_counted(tmp_path):
    whole = write(tmp_path / "a.avi")
    content = whole.read_bytes()
    path = tmp_path / "b.avi"
    path.write_bytes(content[: len(content) // 2])
    with VideoReader(path, colour=None) as reader:
        frames = sum(1 for _ in reader)
        assert f"{frames} of {FRAMES} frames are in the file" in reader.warnings[0]
    (fault, *_) = inspect_file(FileTask(str(path), str(path))).faults
    assert fault.reason == f"{frames} of {FRAMES} frames are in the file"


def test_a_last_picture_that_is_held_is_no_truncation(tmp_path):
    ticks = [0, 40, 80, 120, 2120, 4120]
    path = write_numbered(
        tmp_path / "a.mov", len(ticks), ticks=ticks, muxer={"movflags": "frag_keyframe+empty_moov"}
    )
    assert judged(path) == (False, False)


def test_names_in_a_file_that_are_no_text(tmp_path):
    """Also where the durations of all streams are looked up."""
    whole = write(tmp_path / "a.flv", sound=5.0).read_bytes()
    path = tmp_path / "b.flv"
    path.write_bytes(whole.replace(b"encoder", b"\xff" * 7))
    assert judged(path) == (False, False)


def test_sound_that_is_cut_behind_the_last_picture(tmp_path):
    whole = write(tmp_path / "a.mkv", sound=20.0)
    path = tmp_path / "b.mkv"
    path.write_bytes(whole.read_bytes()[:-200])
    assert judged(path) == (False, False)
