"""``mofo embed``: features as files that other programs read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers.probed import write_labelled, write_pretrained
from mofo.cli import main
from mofo.datasets.catalog import read_catalog
from mofo.evaluation.embed import embed


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Six videos, four for training."""
    return write_labelled(tmp_path_factory.mktemp("embedded") / "videos", "moving", 4, 2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_pretrained(tmp_path_factory.mktemp("pretrained") / "one")


def run(*words):
    return main(["embed", "--encoder", *map(str, words), "--quiet", "--workers", "0"])


def numbers(column):
    return np.stack(column.combine_chunks().to_numpy(zero_copy_only=False))


def test_a_parquet_file(checkpoint, table, tmp_path, capsys):
    out = tmp_path / "new" / "features.parquet"
    assert run(checkpoint, table, "--out", out) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == f"6 videos, a feature of 64 numbers each: {out}"
    assert printed.err == ""
    found, videos = pq.read_table(out), read_catalog([table]).videos
    assert found["path"].to_pylist() == [video.path for video in videos]
    assert found["key"].to_pylist() == [video.key for video in videos]
    assert found["label"].to_pylist() == [video.label for video in videos]
    assert found["split"].to_pylist() == ["train"] * 4 + ["validation"] * 2
    assert found["start"].to_pylist() == found["group"].to_pylist() == [None] * 6
    expected = embed(checkpoint, table, workers=0)
    assert expected.feature.dtype == np.float32
    np.testing.assert_array_equal(numbers(found["feature"]), expected.feature)
    about = json.loads(found.schema.metadata[b"mofo"])
    assert (about["pool"], about["shape"]) == ("mean", [64])
    assert list(out.parent.iterdir()) == [out]  # nothing is left beside it


def test_a_folder_is_never_half_of_itself(checkpoint, table, tmp_path, monkeypatch):
    def die(folder, **_):
        if (Path(folder) / "_about.json").exists():
            (Path(folder) / "_about.json").unlink()
            raise KeyboardInterrupt

    out = tmp_path / "features"
    assert run(checkpoint, table, "--out", out) == 0
    whole = {path.name for path in out.iterdir()}
    monkeypatch.setattr("mofo.evaluation.embed.shutil.rmtree", die)
    assert run(checkpoint, table, "--out", out) == 130
    monkeypatch.undo()
    assert {path.name for path in out.iterdir()} == whole
    assert run(checkpoint, table, "--out", out) == 0


def test_tokens_with_their_area(checkpoint, table, tmp_path):
    out = tmp_path / "tokens.parquet"
    assert run(checkpoint, table, "--out", out, "--pool", "tokens", "--areas", "dis") == 0
    found = pq.read_table(out)
    shape = json.loads(found.schema.metadata[b"mofo"])["shape"]
    expected = embed(checkpoint, [table], pool="tokens", areas="dis", workers=0)
    tokens = numbers(found["feature"]).reshape(-1, *shape)
    np.testing.assert_array_equal(tokens, expected.feature)
    np.testing.assert_array_equal(numbers(found["inside"]), expected.inside_VN)
    assert 0 < expected.inside_VN.mean() < 1


def test_npz_and_folder_hold_the_same(checkpoint, table, tmp_path):
    out, folder = tmp_path / "features.npz", tmp_path / "features"
    options = ("--split", "train", "--layer", "1", "--clips", "2")
    for _ in range(2):  # an earlier result of ours is replaced
        assert run(checkpoint, table, "--out", out, *options) == 0
        assert run(checkpoint, table, "--out", folder, *options) == 0
    with np.load(out, allow_pickle=False) as found:
        assert found["label"].tolist() == ["class 0", "class 1"] * 2
        assert np.isnan(found["start"]).all()
        assert json.loads(str(found["about"]))["layer"] == 1
        flat = numbers(pq.read_table(folder)["feature"])
        np.testing.assert_array_equal(flat, found["feature"])
    assert json.loads((folder / "_about.json").read_text())["clips"] == 2


def test_several_labels_of_a_video(checkpoint, table, tmp_path):
    both = tmp_path / "both.csv"
    both.write_text(
        "path,verb,labels,start,end,group\n"
        f"{table.parent / 'v0.mp4'},push,a;b,0.1,0.3,p1\n{table.parent / 'v1.mp4'},pull,a,,,\n"
    )
    assert run(checkpoint, both, "--out", tmp_path / "f.parquet") == 0
    found = pq.read_table(tmp_path / "f.parquet")
    assert found["label"].to_pylist() == [["a", "b"], ["a"]]
    assert found["verb"].to_pylist() == ["push", "pull"]
    assert found["start"].to_pylist() == [0.1, None]
    assert found["group"].to_pylist() == ["p1", None]
    assert run(checkpoint, both, "--out", tmp_path / "f.npz") == 0
    with np.load(tmp_path / "f.npz") as found:
        assert found["label"].tolist() == ["a;b", "a"]


def test_unreadable_videos_are_named_and_left_out(checkpoint, table, tmp_path, capsys):
    folder = tmp_path / "videos"
    shutil.copytree(table.parent, folder)
    (folder / "v1.mp4").write_bytes(b"no video")
    (folder / "v2.mp4").unlink()
    out = tmp_path / "f.npz"
    assert run(checkpoint, folder / "list.csv", "--out", out) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("4 videos")
    lines = printed.err.splitlines()
    assert lines[0] == "left out (2):"
    assert {line.split(":")[0].strip() for line in lines[1:]} == {
        str(folder / "v1.mp4"), str(folder / "v2.mp4"),
    }  # fmt: skip
    for name in folder.glob("*.mp4"):
        name.write_bytes(b"no video")
    assert run(checkpoint, folder / "list.csv", "--out", out) == 1
    assert "none of 5 videos can be read" in capsys.readouterr().err


def test_a_run_that_was_broken_off_goes_on(checkpoint, table, tmp_path, monkeypatch):
    from mofo.evaluation import embed as embedding

    out = tmp_path / "f.parquet"

    def stops(features, place):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embedding, "_write_parquet", stops)
        assert run(checkpoint, table, "--out", out) == 130
    assert not out.exists()
    with monkeypatch.context() as patch:
        patch.setattr(
            "mofo.evaluation.features._Extractor.__call__", None
        )  # nothing is computed again
        assert run(checkpoint, table, "--out", out) == 0
    assert list(tmp_path.iterdir()) == [out]


def test_from_python(checkpoint, table):
    found = embed(checkpoint, table, split="validation", pool="both", areas="dis", workers=0)
    assert found.feature.shape == (2, 128)
    assert [video.label for video in found.videos] == ["class 0", "class 1"]
    assert found.failures == ()


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["--out", "f.csv"], 2, "f.csv: give FILE.parquet, FILE.npz, or a folder's name"),
        (["--out", "taken"], 2, "taken: is a folder with other things in it"),
        (["--out", "f.npz", "--split", "test"], 1,
         "no video of the split 'test': the sources have train (4), validation (2)"),
        (["--out", "f.npz", "--pool", "men"], 2, "did you mean 'mean'"),
        (["--out", "f.npz", "--layer", "9"], 2, "has 2 blocks"),
        (["--out", "f.npz", "--areas", "nowhere", "--pool", "inside"], 1, "nowhere"),
        (["--out", "f.npz", "--precision", "fp8"], 2, "fp8"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    checkpoint, table, tmp_path, monkeypatch, capsys, words, code, expected
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thing").write_text("")
    assert run(checkpoint, table, *words) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert expected in printed.err
    assert (tmp_path / "taken" / "thing").exists()


def test_no_checkpoint_and_no_splits(checkpoint, table, tmp_path, capsys):
    assert run(tmp_path, table, "--out", tmp_path / "f.npz") == 1
    assert "is no checkpoint" in capsys.readouterr().err
    assert run(checkpoint, table.parent, "--out", tmp_path / "f.npz", "--split", "train") == 1
    assert "the sources have no splits" in capsys.readouterr().err
