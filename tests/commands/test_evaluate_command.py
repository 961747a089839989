from __future__ import annotations

import pytest

from helpers.classifiers import CLASSES, write_classifier, write_videos
from mofo.cli import main
from mofo.evaluation.results import read_results
from mofo.training.checkpoint import CheckpointFolder


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("tested") / "videos", 3, CLASSES["label"][:2])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_classifier(tmp_path_factory.mktemp("run"))


def test_a_table_numbers_and_pictures(run, table, tmp_path, capsys):
    words = ["--workers", "0", "--quiet", "--views", "1x1", "--out", str(tmp_path / "out")]
    assert main(["evaluate", "--encoder", str(run), str(table), *words]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for text in ("top-1", "top-5", "mean class accuracy", "areas       found by dis", "\n  cut ",
                 "only 3 videos: that says nothing"):  # fmt: skip
        assert text in out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"results.json", "confusion.png", "classes.png"}
    results = read_results(tmp_path / "out" / "results.json")
    assert results.views == 1
    assert results.heads["label"].count == 3
    assert f"{100 * results.heads['label'].measures['top1'].mean:6.2f} %" in out


def test_left_out_videos_are_named(run, table, tmp_path, capsys):
    listed = tmp_path / "list.csv"
    rows = [f"{table.parent}/clip{k}.mp4,cut" for k in range(3)]
    (tmp_path / "bad.mp4").touch()
    listed.write_text("\n".join(["path,label", *rows, "bad.mp4,cut"]))
    words = ["--workers", "0", "--quiet", "--views", "1x1", "--max-unreadable", "0.5"]
    assert main(["evaluate", "--encoder", str(run), str(listed), *words]) == 0
    out, err = capsys.readouterr()
    assert "left out (1):" in err
    assert "bad.mp4: " in err
    assert "3 videos" in out


@pytest.mark.parametrize("what", ["pretrain", "labels", "classes", "empty"])
def test_mistakes_are_one_line(run, table, tmp_path, capsys, what):
    checkpoint, source = str(run), str(table)
    if what == "pretrain":
        CheckpointFolder(tmp_path / "checkpoints", 1).save(3, {}, {}, {"task": "pretrain"})
        checkpoint, text = str(tmp_path), "has no classes"
    elif what == "labels":
        source, text = str(table.parent / "*.mp4"), "no label"
    elif what == "classes":
        other = write_classifier(tmp_path / "other", {"label": ("fly", "swim")})
        checkpoint, text = str(other), "not among the 2 classes known"
    else:
        (tmp_path / "empty").mkdir()
        source, text = str(tmp_path / "empty"), "no video there"
    assert main(["evaluate", "--encoder", checkpoint, source, "--workers", "0", "--quiet"]) == 1
    err = capsys.readouterr().err
    assert text in err
    assert len(err.strip().splitlines()) == 1
