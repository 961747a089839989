"""What a user may do wrong with labels, checkpoints and recipes: one clear line, or it works."""

from pathlib import Path

import pytest

from helpers.changes import changed
from helpers.coloured import rows_of, write_coloured, write_rows
from mofo.cli import main
from mofo.training.checkpoint import open_checkpoint
from mofo.training.finetune_task import FinetuneTask
from mofo.training.trainer import train
from mofo.types import SettingsError


def one_line(capsys, *words, code):
    assert main(["finetune", *map(str, words)]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("mofo finetune: ")
    return lines[0]


@pytest.fixture
def recipe(plain_tuned, tmp_path):
    path = tmp_path / "recipe.yaml"
    changed(plain_tuned, "run", stop_at=1).write(path)
    return path


@pytest.fixture
def rows(coloured):
    return rows_of(coloured)


def listed(settings, path, rows, **options):
    """The settings with another list of videos."""
    return changed(settings, "data", source=(str(write_rows(path, rows)),), **options)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (
            ["--optim.lrr", "1"],
            "optim.lrr (on the command line): unknown key, did you",
        ),
        (["--model.fusion", "max"], "fusion 'max' is unknown: choose from"),
        (["--model.freeze", "all"], "freeze 'all': say encoder, or a number of blocks"),
        (["--freeze", "9"], "freeze '9': say encoder, or a number of blocks from 0 to"),
        (["--data.sampling", "uniform"], "sampling 'uniform' is unknown"),
        (["--augment.mixup", "-1"], "augment.mixup: -1"),
        (["--mask.ratio", "0.5"], "mask: unknown section"),
        (["--data.size", "50"], "50"),
        (["--loss.labels", "one"], "labels 'one' is unknown: choose from single, multi"),
    ],
    ids=" ".join,
)
def test_wrong_settings(recipe, capsys, words, part):
    assert part in one_line(capsys, "--config", recipe, *words, code=2)


def test_a_recipe_of_a_pretraining(capsys, coloured, tmp_path):
    words = ["--config", "tiny", "--data.source", coloured, "--run.out", tmp_path]
    line = one_line(capsys, *words, code=2)
    assert "task 'pretrain' is for `mofo pretrain`, not for `mofo finetune`" in line


def test_no_labels_at_all(recipe, capsys, rows, tmp_path):
    table = write_rows(tmp_path / "a.csv", [[path] for path, *_ in rows], "path")
    line = one_line(capsys, "--config", recipe, "--data.source", table, code=1)
    assert "has no label; no video of data.source has all of data.heads (label): give a CSV" in line
    line = one_line(capsys, "--config", recipe, "--data.heads", "[verb, noun]", code=1)
    assert "has no verb and no noun" in line


def test_columns_that_are_swapped(recipe, capsys, rows, tmp_path):
    table = write_rows(tmp_path / "a.csv", [[label, path, split] for path, label, split in rows])
    line = one_line(capsys, "--config", recipe, "--data.source", table, code=1)
    assert f"{tmp_path}/blue: does not exist" in line
    assert "there is no video to train on" in line


def test_a_split_that_is_misspelt(recipe, capsys, rows, tmp_path):
    wrong = [[path, label, split.replace("train", "trian")] for path, label, split in rows]
    table = write_rows(tmp_path / "a.csv", wrong)
    line = one_line(capsys, "--config", recipe, "--data.source", table, code=1)
    assert "a.csv: none of 6 videos is in split 'train'; not usable: " in line
    assert "line 2: split 'trian' is unknown: train, validation or test (and 11 more)" in line


def test_labels_that_contradict_each_other_are_told(plain_tuned, rows, tmp_path, capsys):
    (blue, *_), (green, *_) = rows[:2]
    mixed = [*rows, [blue, "red", "train"], [green, "GREEN", "train"]]
    chosen = listed(plain_tuned, tmp_path / "a.csv", mixed)
    train(changed(chosen, "run", stop_at=1), progress=True)
    said = capsys.readouterr().err
    assert "doubtful labels and 2 more: " in said  # two videos, and classes that are alike
    assert f"mofo data check {tmp_path}/a.csv lists all" in said


def test_some_rows_without_a_label_are_left_out_and_told(plain_tuned, rows, tmp_path, capsys):
    rows = [[path, "" if number in (3, 4, 15) else label, split]
            for number, (path, label, split) in enumerate(rows)]  # fmt: skip
    chosen = listed(plain_tuned, tmp_path / "a.csv", rows)
    report = train(changed(chosen, "run", save_every=1, stop_at=1), progress=True)
    said = capsys.readouterr().err
    assert "10 videos, " in said
    assert "and 2 more: has no label" in said
    assert report.validation["videos"] == 5


def test_a_class_that_is_only_validated(recipe, capsys, rows, tmp_path):
    seen = [row for row in rows if (row[1], row[2]) != ("red", "train")]
    table = write_rows(tmp_path / "a.csv", seen)
    line = one_line(capsys, "--config", recipe, "--data.source", table, code=1)
    assert "label 'red', not among the 2 classes known: mend the labels, or leave" in line


def test_several_classes_where_one_is_expected(recipe, capsys, rows, tmp_path):
    mixed = [[path, f"{label};bright", split] for path, label, split in rows]
    table = write_rows(tmp_path / "a.csv", mixed, "path,labels,split")
    line = one_line(capsys, "--config", recipe, "--data.source", table, code=1)
    assert "several classes of 'label', where one is expected (loss.labels multi allows" in line


def test_one_class_only(recipe, capsys, rows, tmp_path):
    table = write_rows(tmp_path / "a.csv", [row for row in rows if row[1] == "red"])
    line = one_line(capsys, "--config", recipe, "--data.source", table, code=2)
    assert "head 'label' has 1 classes: 2 is the least" in line


def test_a_class_with_one_video(plain_tuned, rows, tmp_path):
    kept = [row for row in rows if row[1] != "red" or Path(row[0]).stem == "red0"]
    assert [row[1] for row in kept].count("red") == 1
    chosen = listed(plain_tuned, tmp_path / "a.csv", kept, balance=1.0)
    report = train(changed(chosen, "run", stop_at=4))
    assert report.validation["videos"] == 4
    assert open_checkpoint(chosen.run.out).metadata.classes == {"label": ["blue", "green", "red"]}


def test_videos_shorter_than_a_clip(plain_tuned, tmp_path):
    names = []
    for number, colour in enumerate(["blue", "red"] * 2):
        write_coloured(tmp_path / f"{number}.mp4", colour, number, frames=2)
        names.append([str(tmp_path / f"{number}.mp4"), colour, "train"])
    for sampling in ("segments", "dense"):
        chosen = listed(plain_tuned, tmp_path / "a.csv", names, sampling=sampling, areas="dis")
        report = train(changed(chosen, "run", stop_at=1, out=str(tmp_path / sampling)))
        assert (report.steps, report.unreadable) == (1, 0)


def test_without_validation_it_works_and_says_so(plain_tuned, rows, tmp_path, capsys):
    chosen = listed(plain_tuned, tmp_path / "a.csv", [row for row in rows if row[2] == "train"])
    report = train(changed(chosen, "run", stop_at=4), progress=True)
    assert "not validated: no video is in split 'validation'" in capsys.readouterr().err
    assert (report.validation, report.best) == ({}, None)


def test_validation_videos_that_are_trained_on_are_told(plain_tuned, rows, tmp_path, capsys):
    both = write_rows(tmp_path / "a.csv", [row[:2] for row in rows], "path,label")
    chosen = changed(plain_tuned, "data", source=(str(both),), validation=(str(both),))
    train(changed(chosen, "run", stop_at=1), progress=True)
    assert "18 videos are trained on and validated on" in capsys.readouterr().err


def test_checkpoints_that_are_none(recipe, capsys, tmp_path):
    line = one_line(capsys, "--config", recipe, "--encoder", tmp_path / "nowhere", code=1)
    assert "nowhere: is no checkpoint" in line
    (tmp_path / "file.pt").write_bytes(b"weights")
    line = one_line(capsys, "--config", recipe, "--encoder", tmp_path / "file.pt", code=1)
    assert "file.pt: is no checkpoint" in line


def test_the_folder_of_a_pretraining(settings, recipe, capsys):
    train(changed(settings, "run", stop_at=1))
    line = one_line(capsys, "--config", recipe, "--run.out", settings.run.out, code=2)
    assert "holds a run of task 'pretrain': use another --run.out" in line


def test_going_on_with_other_labels(plain_tuned, rows, tmp_path, coloured):
    train(changed(plain_tuned, "run", stop_at=1))

    def refused(name, rows, part):
        with pytest.raises(SettingsError, match=part) as caught:
            train(listed(plain_tuned, tmp_path / name, rows))
        assert "\n" not in str(caught.value)

    new = [
        [path, "dark" if Path(path).stem == "red0" else label, split] for path, label, split in rows
    ]
    refused("new.csv", new, "3 classes of 'label', now 4")
    renamed = [[path, label.replace("red", "rose"), split] for path, label, split in rows]
    refused("renamed.csv", renamed, "other classes of 'label', such as 'rose'")
    swapped = [
        [path, "red" if Path(path).stem == "blue0" else label, split] for path, label, split in rows
    ]
    refused("swapped.csv", swapped, "other labels of the videos")
    fewer = [row for row in rows if Path(row[0]).stem != "red5"]
    refused("fewer.csv", fewer, "other validation videos, or other labels of them")
    # The same list somewhere else is the same.
    same = listed(
        plain_tuned, coloured.parent / "moved.csv", [[Path(r[0]).name, *r[1:]] for r in rows]
    )
    assert train(changed(same, "run", stop_at=2)).steps == 2


def test_the_command_line(recipe, capsys, tmp_path):
    words = ["finetune", "--config", str(recipe), "--quiet", "--freeze", "1"]
    assert main([*words, "--run.stop_at", "4"]) == 1
    said = capsys.readouterr()
    assert "4 of 12 steps, loss" in said.out
    assert "last validation: videos 6, loss" in said.out
    assert said.err == "stopped at run.stop_at; the same command continues from here\n"
    assert main([*words, "--run.stop_at", "0"]) == 0
    assert f"next: mofo evaluate --encoder {recipe.parent / 'run'}" in capsys.readouterr().out
    assert main(["finetune", "--keys"]) == 0
    assert "freeze (0)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("splits", "command"),
    [
        (("train", "validation"), "mofo evaluate --encoder OUT LIST --split validation"),
        (
            ("train", "test"),
            "mofo evaluate --encoder OUT LIST --split test",
        ),  # as most published sets
        (("train", "validation", "test"), "mofo evaluate --encoder OUT LIST --split test"),
        (("train",), "mofo predict --encoder OUT VIDEO"),
        (("",), "mofo predict --encoder OUT VIDEO"),
    ],
)
def test_what_comes_next_is_no_test_on_training_videos(
    plain_tuned, rows, tmp_path, splits, command
):
    cycled = [[*row[:2], splits[n // 3 % len(splits)]] for n, row in enumerate(rows)]
    table = tmp_path / "other.csv"
    settings = listed(plain_tuned, table, cycled)
    wanted = command.replace("OUT", settings.run.out).replace("LIST", str(table))
    assert FinetuneTask(settings).next_command().startswith(wanted)
