"""A folder with everything that can be wrong, through the whole command, as a user meets it."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mofo.motion.store import AreaStore
from mofo.video.writer import VideoWriter

GOOD = {  # key: (frames, width, height)
    "black.mp4": (125, 64, 48),
    "one-frame.mp4": (1, 64, 48),
    "portrait.mp4": (12, 48, 96),
    "sub folder/名前 été.mp4": (12, 96, 64),
    "tiny.mp4": (8, 7, 5),
    "vp9.webm": (12, 96, 64),
}


def write(file: Path, frames: int, width: int, height: int, *, moving: bool = True) -> None:
    """A bright square that crosses a textured ground."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    ground = rng.integers(60, 120, (height, width), np.uint8)
    side = max(2, min(width, height) // 3)
    more = {"pix_fmt": "gray"} if width % 2 else {}
    with VideoWriter(file, fps=25, **more) as writer:
        for frame in range(frames):
            image = ground.copy() if moving else np.zeros_like(ground)
            if moving:
                left = (2 + 3 * frame) % max(1, width - side)
                image[height // 3 : height // 3 + side, left : left + side] = 230
            writer.write(image)


@pytest.fixture(scope="module")
def junk(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("junk") / "videos"
    for key, (frames, width, height) in GOOD.items():
        write(folder / key, frames, width, height, moving=key != "black.mp4")
    (folder / "text.mp4").write_text("This is not a video.\n" * 50)
    (folder / "empty.mp4").touch()
    write(folder / "truncated.mp4", 100, 96, 64)
    whole = (folder / "truncated.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    # The system gives an error for every read of it, to root as well.
    (folder / "unreadable.mp4").symlink_to("/proc/self/mem")
    if os.geteuid() != 0:
        write(folder / "forbidden.mp4", 5, 64, 48)
        (folder / "forbidden.mp4").chmod(0)
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "itself.mp4").symlink_to("itself.mp4")
    return folder


@pytest.fixture(scope="module")
def result(junk) -> tuple[subprocess.CompletedProcess, Path]:
    out = junk.parent / "areas"
    command = [sys.executable, "-m", "mofo", "detect", str(junk), "--out", str(out)]
    done = subprocess.run(
        [*command, "--workers", "2", "--quiet"], capture_output=True, text=True, timeout=120
    )
    return done, out


def test_the_command_ends_with_1_and_no_traceback(result):
    done, _ = result
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "next: " in done.stdout.splitlines()[-1]


def test_every_good_video_is_in_the_store(result):
    store = AreaStore.open(result[1])
    assert set(store) == {*GOOD, "truncated.mp4"}
    for key, (frames, width, height) in GOOD.items():
        area = store[key]
        assert (len(area), area.width, area.height) == (frames, width, height), key
    assert not store["black.mp4"].valid_T.any()
    assert store["sub folder/名前 été.mp4"].valid_T.any()


def test_a_truncated_video_keeps_its_good_frames_and_is_named(result):
    done, out = result
    store = AreaStore.open(out)
    assert 0 < len(store["truncated.mp4"]) < 100
    assert any("truncated after frame" in text for text in store["truncated.mp4"].warnings)
    assert "  truncated.mp4: truncated after frame" in done.stderr


def test_every_bad_one_is_named_with_a_reason_of_one_line(result, junk):
    done, out = result
    with (out / "failures.csv").open(newline="") as lines:
        failures = {row["name"]: row["reason"] for row in csv.DictReader(lines)}
    bad = {"text.mp4", "empty.mp4", "unreadable.mp4", "itself.mp4"}
    bad |= {"forbidden.mp4"} if os.geteuid() != 0 else set()
    assert {Path(name).name for name in failures} == bad
    assert "not a video" in failures["text.mp4"]
    assert "is empty" in failures["empty.mp4"]
    for name, reason in failures.items():
        assert reason
        assert "\n" not in reason
        assert f"  {name}: {reason}\n" in done.stderr


def test_the_second_time_only_the_bad_ones_are_tried(result, junk):
    done = subprocess.run(
        [sys.executable, "-m", "mofo", "detect", str(junk), "--out", str(result[1]),
         "--workers", "1", "--quiet"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert " 0 done, 7 finished before, " in done.stdout
