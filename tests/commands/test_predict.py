from __future__ import annotations

import json

import av
import numpy as np
import pytest

from helpers.classifiers import CLASSES, write_classifier, write_videos
from mofo.cli import main


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commanded") / "videos"
    write_videos(folder, 2, CLASSES["label"], 60)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_classifier(tmp_path_factory.mktemp("run"))


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_table(run, videos, capsys):
    assert main(["predict", "--encoder", str(run), str(videos / "clip0.mp4"), "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "motion areas: found by dis in each clip"
    shown = [line for line in lines if " %" in line]
    assert len(shown) == 2
    assert all(line.split()[0] in CLASSES["label"] for line in shown)
    assert lines[-1].startswith("next: mofo show attention")


def test_bad_files_are_named_and_the_others_done(run, videos, tmp_path, capsys):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video at all" * 99)
    words = [str(bad), str(tmp_path / "none.mp4"), str(videos)]
    assert main(["predict", "--encoder", str(run), *words, "--json", "-"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)  # and nothing else
    assert [video["path"].rsplit("/")[-1] for video in found["videos"]] == [
        "clip0.mp4",
        "clip1.mp4",
    ]
    assert len(found["failures"]) == 2
    assert "bad.mp4: not a video" in err
    assert "none.mp4: does not exist" in err
    for video in found["videos"]:
        [whole] = video["predictions"]
        assert whole["start"] is None
        shares = [guess["probability"] for guess in whole["heads"]["label"]]
        assert shares == sorted(shares, reverse=True)


def test_windows_and_annotated_videos(run, videos, tmp_path, capsys):
    words = ["--window", "1", "--annotate", str(tmp_path / "seen"), "--json"]
    words.append(str(tmp_path / "found.json"))
    assert main(["predict", "--encoder", str(run), str(videos / "clip0.mp4"), *words]) == 0
    out = capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())["videos"][0]["predictions"]
    assert [one["start"] for one in found] == [0, 0.5, 1, pytest.approx(1.4)]
    assert out.count(" s  ") == len(found)
    annotated = frames_of(tmp_path / "seen" / "clip0.mp4")
    assert len(annotated) == 60
    plain = frames_of(videos / "clip0.mp4")
    height = annotated[0].shape[0]
    assert height > 240  # the picture, enlarged, and a panel below it
    orange = [
        ((np.abs(frame.astype(int) - (255, 140, 0)).sum(2) < 90).mean()) for frame in annotated
    ]
    assert np.mean(np.array(orange) > 0.005) > 0.5  # the area's box
    assert plain[0].shape == (64, 96, 3)
    panels = [frame[-100:, :200].astype(int) for frame in annotated]
    # The same window, the same panel; another window, another one.
    assert np.abs(panels[2] - panels[8]).mean() < 3
    names = {one["heads"]["label"][0]["class"] for one in found}
    if len(names) > 1:
        assert max(np.abs(panel - panels[0]).mean() for panel in panels) > 1


def test_stretches_of_a_list(run, videos, tmp_path, capsys):
    listed = tmp_path / "list.csv"
    clip = videos / "clip0.mp4"
    listed.write_text(f"path,start,end\n{clip},0,1\n{clip},1,2\n{clip},1,2\n{clip},50,60\n")
    assert main(["predict", "--encoder", str(run), str(listed), "--areas", "none"]) == 1
    out, err = capsys.readouterr()
    shown = [line.split()[0] for line in out.splitlines() if " %" in line]
    assert shown == ["0.0-1.0", "1.0-2.0"]
    assert "no frame from 50 s to 60 s" in err


def test_annotating_never_overwrites_the_video(run, videos, tmp_path):
    clip = tmp_path / "clip0.mp4"
    clip.write_bytes((videos / "clip0.mp4").read_bytes())
    assert main(["predict", "--encoder", str(run), str(clip), "--annotate", str(tmp_path)]) == 0
    assert clip.read_bytes() == (videos / "clip0.mp4").read_bytes()
    assert (tmp_path / "clip0_annotated.mp4").is_file()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--hop", "1"], 2, "give --window, too"),
        (["--window", "1", "--hop", "2"], 2, "leaves gaps"),
        (["--window", "0"], 2, "more than 0"),
        (["--views", "three"], 2, "two numbers such as 2x3"),
        (["--areas", "codex"], 1, "did you mean 'codec'"),
        (["--top", "0"], 2, "top 0"),
    ],
)
def test_mistakes_are_one_line(run, videos, capsys, words, code, text):
    assert main(["predict", "--encoder", str(run), str(videos / "clip0.mp4"), *words]) == code
    err = capsys.readouterr().err
    assert text in err
    assert len(err.strip().splitlines()) == 1
