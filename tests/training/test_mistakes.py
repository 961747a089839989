"""What a user may do wrong: one clear line each, and nothing lost."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from helpers.changes import changed
from mofo.cli import main
from mofo.training import checkpoint
from mofo.training.trainer import train
from mofo.types import MofoError


def one_line(capsys, *words, code=2):
    assert main(["pretrain", *map(str, words)]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("mofo pretrain: ")
    return lines[0]


@pytest.fixture
def recipe(settings, tmp_path):
    path = tmp_path / "recipe.yaml"
    settings.write(path)
    return path


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (
            ["--optim.lrr", "1"],
            "optim.lrr (on the command line): unknown key, did you",
        ),
        (["--lr", "1"], "did you mean optim.lr?"),
        (["--data.size", "50"], "50"),
        (["--mask.ratio", "1.0"], "ratio 1.0 is not between 0 and 1"),
        (["--mask.strategy", "motoin"], "did you mean 'motion'?"),
        (["--model.size", "smal"], "did you mean 'small'?"),
        (["--run.precision", "fp16"], "precision 'fp16' is unknown"),
        (["--run.trackers", "tensorbord"], "run.trackers"),
        (["--data.clips_per_video", "3"], "in parts of data.clips_per_video 3"),
        (["--run.out"], "--run.out has no value"),
        (["stray"], "stray"),
    ],
    ids=" ".join,
)
def test_wrong_settings(recipe, capsys, words, part):
    assert part in one_line(capsys, "--config", recipe, *words)


def test_no_such_recipe(capsys):
    assert "did you mean" in one_line(capsys, "--config", "tinny")


def test_missing_videos(recipe, capsys, tmp_path):
    line = one_line(capsys, "--config", recipe, "--data.source", tmp_path / "nowhere", code=1)
    assert "nowhere" in line
    (tmp_path / "empty").mkdir()
    assert "empty" in one_line(
        capsys, "--config", recipe, "--data.source", tmp_path / "empty", code=1
    )


@pytest.mark.parametrize("name", ["file/below", "long" * 100, "file"])
def test_a_folder_that_cannot_be_made(recipe, capsys, tmp_path, name):
    (tmp_path / "file").write_text("no folder")
    line = one_line(capsys, "--config", recipe, "--quiet", "--run.out", tmp_path / name, code=1)
    assert str(tmp_path / name) in line
    assert "name another run.out" in line


def test_missing_areas(recipe, capsys, tmp_path):
    line = one_line(capsys, "--config", recipe, "--data.areas", tmp_path / "areas", code=1)
    assert "areas" in line


def test_a_checkpoint_of_another_size(settings, recipe, capsys):
    train(changed(settings, "run", stop_at=4))
    line = one_line(capsys, "--config", recipe, "--model.size", "tiny")
    assert "model.size 'nano', now 'tiny'" in line


def test_a_damaged_checkpoint_is_named(settings, recipe, capsys):
    report = train(changed(settings, "run", stop_at=4))
    (report.checkpoint / "model.safetensors").write_bytes(b"no")
    line = one_line(capsys, "--config", recipe, "--quiet", code=1)
    assert "model.safetensors: is damaged" in line
    assert "no checkpoint of this run is whole" in line


def test_a_full_disk_keeps_earlier_checkpoints_and_the_run_goes_on_later(
    settings, recipe, capsys, monkeypatch
):
    whole = train(changed(settings, "run", out=settings.run.out + "-whole"))
    real = checkpoint.save_file

    def full(tensors, path):
        if "step_00000008" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    line = one_line(capsys, "--config", recipe, "--quiet", code=1)
    assert "No space left on device" in line
    monkeypatch.undo()
    report = train(settings)
    assert report.finished
    assert report.loss == whole.loss


def test_unreadable_videos_are_named_and_too_many_end_the_run(settings, videos, tmp_path):
    folder = tmp_path / "mixed"
    shutil.copytree(videos, folder)
    for name in ("bad1.mp4", "bad2.mp4"):
        (folder / name).write_text("no video")
    mixed = changed(settings, "data", source=(str(folder),), areas="dis", max_unreadable=0.5)
    report = train(mixed)
    assert report.finished
    assert report.unreadable == 2
    lines = [json.loads(line) for line in report.unreadable_file.read_text().splitlines()]
    assert {Path(line["path"]).name for line in lines} == {"bad1.mp4", "bad2.mp4"}
    assert all(line["reason"] for line in lines)
    strict = changed(changed(mixed, "data", max_unreadable=0.05), "run", out=str(tmp_path / "s"))
    with pytest.raises(MofoError, match=r"cannot be read, more than data.max_unreadable") as caught:
        train(strict)
    assert "\n" not in str(caught.value)
    for name in ("bad1.mp4", "bad2.mp4"):  # mended: nothing is held against them
        shutil.copy(videos / "clip0.mp4", folder / name)
    assert train(strict).unreadable == 0


def test_workers_hand_over_one_clear_line(settings, tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.mp4").write_text("no video")
    bad = changed(settings, "data", source=(str(folder),), max_unreadable=1.0)
    for workers in (0, 1):
        with pytest.raises(MofoError) as caught:
            train(changed(bad, "run", workers=workers, out=str(tmp_path / f"o{workers}")))
        assert "\n" not in str(caught.value)
        assert ".mp4" in str(caught.value)
