import os
import subprocess
import sys

import numpy as np
import pytest

from helpers.drawn import moving
from helpers.shown import checkpoint, frames_of, read_png, settings
from mofo import cli
from mofo.evaluation.predict import ClassScore, Prediction
from mofo.motion.detect import detect
from mofo.motion.presets import DetectSettings
from mofo.report.figures.annotated import write_annotated
from mofo.report.figures.overlays import write_overlay
from mofo.report.figures.stages import write_stages
from mofo.video.reader import VideoReader
from mofo.video.writer import VideoWriter

WHATS = ("motion", "mask", "reconstruction")
SMALL = ("--size", "64", "--frames", "4", "--ratio", "0.75")


@pytest.fixture
def show(capsys, tmp_path, monkeypatch):
    """Runs ``mofo show`` in an empty folder: exit code, lines of stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = cli.main(["show", *map(str, words)])
        told = capsys.readouterr()
        return code, told.out.splitlines(), told.err

    return run


@pytest.mark.parametrize("what", WHATS)
def test_help_of_each_ends_with_an_example(show, what, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, lines, _ = show(what, "--help")
    assert code == 0
    assert len(lines) <= 48
    assert lines[-1].strip().startswith(f"mofo show {what} ")
    assert "%(" not in "".join(lines)


def test_help_imports_nothing_heavy():
    for words in (["show", "--help"], *(["show", what, "--help"] for what in WHATS)):
        code = (
            f"import sys, mofo.cli; mofo.cli.main({words!r});"
            "print(*{'torch', 'cv2', 'av', 'matplotlib', 'PIL'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=300,
            env=os.environ | {"COLUMNS": "80"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == ""


def test_motion(show, video):
    code, lines, _ = show("motion", video)
    assert code == 0
    assert lines[-2:] == [
        "picture: clip0.motion.png",
        f"next: mofo detect {video} --out areas --overlay",
    ]
    assert read_png("clip0.motion.png").size
    code, lines, _ = show("motion", video, "--out", "new/stages.mp4")
    assert (code, lines[-2]) == (0, "video: new/stages.mp4")
    assert len(frames_of("new/stages.mp4")) == 24


def test_videos_keep_uneven_times(tmp_path):
    """A held picture lasts as long in what is drawn as in the file."""
    held = [0.0, 0.04, 3.08, 3.12]
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for image, time in zip(moving(4, 64, 48), held, strict=True):
            writer.write(image, time + 1.5)
    area = detect(tmp_path / "a.mp4", flow="codec")
    overlay, annotated, stages = (tmp_path / f"{name}.mp4" for name in "oas")
    write_overlay(tmp_path / "a.mp4", area, overlay)
    shown = [Prediction("a.mp4", None, None, {"label": (ClassScore("x", 0.5),)}, "none")]
    write_annotated(tmp_path / "a.mp4", shown, annotated, area=area)
    write_stages(tmp_path / "a.mp4", DetectSettings(flow="codec"), stages)
    for file in (overlay, annotated, stages):
        with VideoReader(file) as reader:
            np.testing.assert_allclose([frame.time for frame in reader], held, atol=1e-4)


def test_mask(show, video):
    code, lines, _ = show("mask", video, *SMALL)
    assert code == 0
    assert lines[0].startswith("motion  hidden inside ")
    assert lines[-2:] == [
        "picture: clip0.mask.png",
        "next: mofo pretrain --config RECIPE --mask.strategy NAME",
    ]
    code, lines, _ = show("mask", video, *SMALL, "--all", "--block", "2", "--out", "x.mp4")
    assert code == 0
    assert [line.split()[0] for line in lines[:7]] == [
        "tube", "random", "motion", "visible_share", "hide_motion", "weighted", "block",
    ]  # fmt: skip
    assert lines[-2] == "video: x.mp4"
    assert len(frames_of("x.mp4")) == 4


def test_reconstruction(show, video, tmp_path):
    checkpoint(tmp_path / "run", settings())
    code, lines, _ = show("reconstruction", "run", video)
    assert code == 0
    assert lines[0].startswith("clip0.mp4  error ")
    assert lines[-2] == "picture: clip0.reconstruction.png"
    assert lines[-1].startswith("next: ")
    code, lines, _ = show("reconstruction", "run", video, "--leak", "--out", "x.mp4")
    assert (code, lines[-1]) == (0, "video: x.mp4")
    assert len(frames_of("x.mp4")) == 4
    gone = settings(data={"areas": str(tmp_path / "gone")})
    checkpoint(tmp_path / "run", gone, step=40)
    code, lines, _ = show("reconstruction", "run", video)
    assert lines[0].startswith("note: motion areas found now by dis")


def test_mistakes_are_one_line(show, video, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    checkpoint(tmp_path / "run", settings())
    checkpoint(tmp_path / "raw", settings(loss={"normalise": False}))
    cases = {
        (): (2, "motion, mask"),
        ("maks", "x"): (2, "did you mean 'mask'?"),
        ("motion", "text.mp4"): (1, "text.mp4: not a video"),
        ("motion", "text.mp4", "--out", "x.mp4"): (1, "text.mp4: not a video"),
        ("motion", video, "--out", "x.webm"): (2, "must end in .png (picture) or .mp4 (video)"),
        ("motion", video, "--out", "x.mp4", "--frames", "1"): (2, "x.mp4 will show all frames"),
        ("motion", video, "--frames", "-1"): (2, "frames are counted from 0"),
        ("mask", "text.mp4"): (1, "text.mp4: not a video"),
        ("mask", "gone.mp4"): (1, "gone.mp4: does not exist"),
        ("mask", video, "--strategy", "moton"): (2, "did you mean 'motion'?"),
        ("mask", video, "--size", "100"): (2, "not a multiple of patch 16"),
        ("mask", video, "--ratio", "1"): (2, "ratio 1.0 is not between 0 and 1"),
        ("mask", video, "--areas", "gone"): (1, "gone: no such folder"),
        ("mask", video, "--areas", "codce"): (1, "did you mean 'codec'?"),
        ("mask", video, "--stride", "0"): (2, "stride is 0"),
        ("mask", video, "--out", "text.mp4/x.png"): (1, "text.mp4: cannot be written: is a file"),
        ("reconstruction", "gone", video): (1, "gone: is no checkpoint"),
        ("reconstruction", "run", "text.mp4"): (1, "text.mp4: not a video"),
        ("reconstruction", "run", "gone.mp4"): (1, "gone.mp4: does not exist"),
        ("reconstruction", "run", video, "--out", "x"): (2, "must end in .png"),
        ("reconstruction", "run", video, "--clips", "0"): (2, "clips is 0"),
        ("reconstruction", "raw", video, "--leak"): (2, "nothing to leak"),
        ("reconstruction", "run"): (2, "required: VIDEO"),
    }
    for words, (wanted, message) in cases.items():
        code, lines, err = show(*words)
        assert (code, lines) == (wanted, []), words
        assert message in err, words
        assert err.count("\n") == 1, words
    assert not list(tmp_path.glob("*.png"))
