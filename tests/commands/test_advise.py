"""`mofo advise`: facts about a list, and commands that work for it."""

import shlex

import numpy as np
import pytest

from helpers import typed
from helpers.clipsets import area_of, store_of, write_painted
from helpers.pages import ROOT
from helpers.painted import walk
from mofo.cli import main
from mofo.training.advice import advise
from mofo.video.writer import VideoWriter


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of three videos as folders, 160x64."""
    folder = tmp_path_factory.mktemp("advised")
    boxes_T4 = walk(6, 160, 64, seed=1)
    for label in ("left", "right"):
        (folder / "clips" / label).mkdir(parents=True)
        for number in range(3):
            write_painted(folder / "clips" / label / f"{number}.mp4", boxes_T4, 160, 64)
    return folder


def table(folder, name, splits, more=("", "")):
    rows = [f"path,label,split{more[0]}"]
    for number in range(6):
        label = ("left", "right")[number % 2]
        split = splits[number % len(splits)]
        rows.append(f"clips/{label}/{number // 2}.mp4,{label},{split}{more[1]}")
    (folder / name).write_text("\n".join(rows) + "\n")
    return folder / name


def commands(advice):
    for step in advice.steps:
        assert step.reason
        typed.check(shlex.split(step.command), ROOT, whole=True)
    return [step.command.partition("mofo ")[2] for step in advice.steps]


def test_folders_of_classes_from_the_command_line(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["advise", "clips"]) == 0
    out = capsys.readouterr().out
    for fact in ("6 videos", "160x64", "25 frames a second", "2 classes of 3 to 3", "no splits"):
        assert fact in out
    advice = advise("clips")
    found = commands(advice)
    assert found[0].startswith("data convert clips --to labelled.csv --hold-out")
    assert found[1].startswith("detect labelled.csv")
    assert any(c.startswith("finetune --config few") and "--model.size" in c for c in found)
    assert out.splitlines()[-1] == f"next: mofo {found[0]}"


def test_lists_with_a_test_are_taken_as_they_are(folder, monkeypatch):
    monkeypatch.chdir(folder)
    found = commands(advise(table(folder, "list.csv", ("train", "test")), encoder="runs/mine"))
    assert not any(c.startswith("data convert") for c in found)
    assert any(c.startswith("probe linear --encoder runs/mine") for c in found)
    assert any("--encoder runs/mine" in c for c in found)
    assert any(c.startswith("evaluate") for c in found)


def test_clips_are_cut_as_the_videos_need(folder, monkeypatch):
    monkeypatch.chdir(folder)
    long = table(folder, "long.csv", ("train", "test"), (",start,end", ",0,30"))
    [finetune] = [c for c in commands(advise(long)) if c.startswith("finetune")]
    assert "--data.seconds" in finetune
    assert "--data.fit pad" in finetune  # 160x64


def test_clips_of_mixed_rates_are_no_longer_than_the_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for rate in (10, 30):
        with VideoWriter(tmp_path / f"{rate}.mp4", fps=rate) as writer:
            for shade in range(rate):
                writer.write(np.full((32, 32, 3), shade, np.uint8))
    [pretrain] = [c for c in commands(advise(".")) if c.startswith("pretrain")]
    assert "--data.seconds 1 " in pretrain


def test_without_labels_and_with_little_motion(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    box_T4 = np.tile(np.float32([0, 0, 40, 40]), (6, 1))
    area = area_of(box_T4, 160, 64, [1, 0, 0, 0, 0, 0])
    store = store_of(tmp_path / "areas", {"a.mp4": area})
    advice = advise("clips/left/*.mp4", areas=store)
    [pretrain] = commands(advice)
    assert pretrain.startswith("pretrain")
    assert "--data.moving" in pretrain
    assert "1 of 1" not in " ".join(advice.facts)
    found = commands(advise("clips/left/*.mp4", areas=store, encoder="hf:somewhere/"))
    assert [c.split()[0] for c in found] == ["embed", "search"]
