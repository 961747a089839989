"""``mofo probe``: what a frozen model knows, from files to numbers with intervals."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from helpers.probed import FRAMES, SIZE, write_labelled, write_pretrained
from mofo.cli import main
from mofo.evaluation.attentive_probe import AttentiveSettings
from mofo.evaluation.probe import probe
from mofo.evaluation.results import read_results
from mofo.training.checkpoint import write_checkpoint
from mofo.types import MofoError

KINDS = ("knn", "linear", "attentive")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_pretrained(tmp_path_factory.mktemp("pretrained") / "one")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probed")
    return {
        "colour": write_labelled(folder / "colour", "colour", 24, 16),
        "moving": write_labelled(folder / "moving", "moving", 24, 16),
        "none": write_labelled(folder / "none", "none", 20, 60),
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Features are computed once for all tests that do not look at that."""
    return tmp_path_factory.mktemp("cache")


def run(kind, *words):
    return main(["probe", kind, *map(str, words), "--quiet", "--workers", "0"])


def probed(kind, checkpoint, table, cache, **options):
    found = probe(kind, checkpoint, table, cache=cache, workers=0, **options)
    assert found.results is not None
    return found, found.results.heads["label"].measures


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_signal_is_recovered(kind, checkpoint, tables, cache):
    report, measures = probed(kind, checkpoint, tables["colour"], cache)
    assert measures["top1"].mean == measures["mean_class_accuracy"].mean == 1
    assert report.chance.top1 == report.chance.mean_class_accuracy == 0.5
    assert report.train == 24


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_mean_nothing_stay_at_chance(kind, checkpoint, tables, cache):
    _, measures = probed(kind, checkpoint, tables["none"], cache)
    found = measures["mean_class_accuracy"]
    assert found.low <= 0.5 <= found.high
    assert found.high - found.low < 0.35


@pytest.mark.slow
def test_where_things_move_tells_left_from_right_without_a_picture(tables, cache, tmp_path, capsys):
    words = (tables["moving"], "--frames", FRAMES, "--size", SIZE, "--stride", 1, "--areas", "dis")
    assert run("areas", *words, "--out", tmp_path / "areas", "--cache", cache) == 0
    found = read_results(tmp_path / "areas" / "results.json")
    assert found.heads["label"].measures["top1"].mean > 0.9
    assert found.about["encoder"] == "none: areas' coordinates alone"
    assert "mofo report" in capsys.readouterr().out.splitlines()[-1]
    none = probe(
        "areas", None, tables["none"], stride=1, areas="dis", cache=cache, workers=0
    ).results.heads["label"]
    assert none.measures["top1"].low <= 0.5 <= none.measures["top1"].high


def test_the_command_prints_intervals_and_chance_and_leaves_results(
    checkpoint, tables, cache, tmp_path, capsys
):
    out = tmp_path / "results"
    words = ("--out", out, "--cache", cache, "--pool", "both", "--areas", "dis")
    assert run("linear", "--encoder", checkpoint, tables["colour"], *words) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "top-1 accuracy 100.00 % [100.00, 100.00]" in " ".join(printed.out.split())
    assert "top-1 0.5000 (always 'class 0'), mean class accuracy 0.5000" in printed.out
    assert str(out / "results.json") in printed.out
    found = read_results(out / "results.json")
    assert found.about["test"] == "probe linear"
    assert found.about["features"] == "layer 2 of 2, both"
    assert found.about["areas"] == "dis"
    assert found.about["chosen"].startswith("C=")
    head = found.heads["label"]
    assert head.count == 16
    assert [row.name for row in head.classes] == ["class 0", "class 1"]
    assert {row.name for row in head.videos} == {f"v{n}.mp4" for n in range(24, 40)}


def test_python_writes_the_same_results(checkpoint, tables, cache, tmp_path):
    report, _ = probed("knn", checkpoint, tables["none"], cache, out=tmp_path / "r", k=3)
    assert report.file == tmp_path / "r" / "results.json"
    assert read_results(report.file) == report.results
    again, _ = probed("knn", checkpoint, tables["none"], cache, k=3)
    assert again.results == report.results


def test_random_weights_as_a_control(checkpoint, tables, cache, tmp_path, capsys):
    words = ("--encoder", "random", tables["colour"], "--config", checkpoint, "--cache", cache)
    options = ("--fusion", "cross_attention", "--areas", "dis", "--epochs", 3, "--seed", 5)
    assert run("attentive", *words, *options, "--out", tmp_path) == 0
    found = read_results(tmp_path / "results.json")
    assert found.about["encoder"] == f"random weights (seed 5), sizes of {checkpoint}"
    assert found.about["fusion"] == "cross_attention"
    report, _ = probed("knn", None, tables["colour"], cache, config=checkpoint, seed=5)
    assert "random weights (seed 5)" in report.results.about["encoder"]


def test_the_area_reaches_the_fusion(checkpoint, tables, cache):
    """The spot is in the area: what a fusion that asks for it sees differs from the mean."""
    scores = []
    for fusion in ("mean", "weighted_mean"):
        settings = AttentiveSettings(fusion=fusion, epochs=2, rates=(3e-3,))
        report, _ = probed(
            "attentive", checkpoint, tables["moving"], cache, attentive=settings,
            areas="dis" if fusion != "mean" else None,
        )  # fmt: skip
        scores.append(report.results.about["areas"])
    assert scores == ["none", "dis"]


def test_other_heads_and_groups(checkpoint, tables, cache, tmp_path):
    lines = tables["colour"].read_text().splitlines()[1:]
    rows = ["path,verb,split,group,start,end"]
    for number, line in enumerate(lines):
        name, label, split = line.split(",")
        rows.append(f"{tables['colour'].parent / name},{label},{split},g{number % 10},0,0.4")
    table = tmp_path / "verbs.csv"
    table.write_text("\n".join(rows) + "\n")
    report = probe("linear", checkpoint, table, head="verb", workers=0, cache=cache)
    head = report.results.heads["verb"]
    assert head.measures["top1"].mean == 1
    assert len({row.group for row in head.videos}) == 10
    assert len({row.name for row in head.videos}) == head.count


def changed(table, tmp_path, change):
    """A table with other rows: ``change(number, name, label, split)`` gives one, or None."""
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    found = [change(number, *row) for number, row in enumerate(rows)]
    text = "\n".join(",".join(row) for row in found if row)
    out = table.parent / f"{tmp_path.name}.csv"
    out.write_text(f"path,label,split\n{text}\n")
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_with_one_training_video(kind, checkpoint, tables, cache, tmp_path):
    def rare(number, name, label, split):
        return name, "rare" if number in (0, 30) else label, split

    table = changed(tables["colour"], tmp_path, rare)
    report, measures = probed(kind, checkpoint, table, cache)
    assert report.results.heads["label"].count == 16
    assert measures["top1"].mean > 0.8


def test_classes_on_one_side_only_are_told(checkpoint, tables, cache, tmp_path, capsys):
    def new(number, name, label, split):
        return name, "new" if number == 30 else label, split

    table = changed(tables["colour"], tmp_path, new)
    assert run("knn", "--encoder", checkpoint, table, "--cache", cache) == 0
    assert "note: no training video of 'new': these can only be missed" in capsys.readouterr().out


def test_unreadable_and_unlabelled_videos_are_left_out(checkpoint, tables, tmp_path, capsys):
    folder = tmp_path / "videos"
    shutil.copytree(tables["colour"].parent, folder)
    (folder / "v3.mp4").write_bytes(b"no video")
    text = (folder / "list.csv").read_text().replace("v30.mp4,class 0", "v30.mp4,")
    (folder / "list.csv").write_text(text)
    assert run("knn", "--encoder", checkpoint, folder / "list.csv", "--out", tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert "left out (1)" in printed.err
    assert f"note: 1 videos left out, the first {folder / 'v30.mp4'}: has no label" in printed.out
    found = read_results(tmp_path / "out" / "results.json")
    assert found.heads["label"].count == 15
    assert [path for path, _ in found.left_out] == [str(folder / "v3.mp4")]


@pytest.mark.parametrize("kind", [*KINDS, "areas"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda n, name, label, split: (name, "", split), "has no label"),
        (lambda n, name, label, split: (name, "one", split), "training videos of two classes"),
        (lambda n, name, label, split: (name, label, "train"),
         "all videos are of the split 'train'"),
        (lambda n, name, label, split: (name, label, ""), "--hold-out"),
    ],
)  # fmt: skip
def test_labels_and_splits_that_make_no_probe(
    kind, checkpoint, tables, cache, tmp_path, capsys, change, expected
):
    table = changed(tables["colour"], tmp_path, change)
    own = ("--frames", FRAMES, "--size", SIZE, "--areas", "codec")
    first = own if kind == "areas" else ("--encoder", checkpoint)
    code = run(kind, *first, table, "--cache", cache)
    printed = capsys.readouterr()
    assert (code, printed.out) == (1, "")
    assert len(printed.err.splitlines()) == 1
    assert expected in printed.err


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["knn", "--encoder=CHECKPOINT"], 2, "required: SOURCE"),
        (["knn", "--encoder=random", "TABLE"], 2, "--config RECIPE"),
        (["knn", "--encoder=CHECKPOINT", "TABLE", "--config", "x"], 2, "--config RECIPE"),
        (["knn", "--encoder=STRANGE", "TABLE"], 1, "which has no encoder"),
        (["knn", "--encoder=CHECKPOINT", "TABLE", "--pool", "tokens"], 2, "`attentive` takes"),
        (["knn", "--encoder=CHECKPOINT", "TABLE", "--k", "0"], 2, "k 0"),
        (["knn", "--encoder=CHECKPOINT", "TABLE", "--test-split", "train"], 2, "it learned from"),
        (["knn", "--encoder=CHECKPOINT", "TABLE", "--head", "verb"], 1, "has no verb"),
        (["attentive", "--encoder=CHECKPOINT", "TABLE", "--fusion", "men"], 2, "you mean 'mean'"),
        (["attentive", "--encoder=CHECKPOINT", "TABLE", "--fusion", "cross_attention",
          "--areas", "none"], 2, "fusion cross_attention needs motion areas"),
        (["attentive", "--encoder=CHECKPOINT", "TABLE", "--clips", "2"], 2, "use one clip"),
        (["areas", "TABLE", "--areas", "none"], 2, "needs motion areas"),
        (["linaer", "TABLE"], 2, "did you mean 'linear'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(checkpoint, tables, cache, tmp_path, capsys, words, code, expected):
    strange = write_checkpoint(tmp_path / "strange", {}, {"task": "flow"})
    places = {
        "--encoder=CHECKPOINT": f"--encoder={checkpoint}",
        "--encoder=STRANGE": f"--encoder={strange}",
        "TABLE": tables["colour"],
    }
    assert run(*(places.get(word, word) for word in words), "--cache", cache) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert expected in printed.err


def test_wrong_combinations_in_python(checkpoint, tables):
    for words, expected in (
        (("linaer", checkpoint), "probe 'linaer' is unknown"),
        (("knn", None), "give a checkpoint, or `random`"),
        (("areas", checkpoint), "takes no encoder"),
    ):
        with pytest.raises(MofoError, match=expected):
            probe(*words, tables["colour"])
    with pytest.raises(MofoError, match="takes no pool"):
        probe("attentive", checkpoint, tables["colour"], pool="mean")
    with pytest.raises(MofoError, match="unexpected keyword argument 'poll'"):
        probe("knn", checkpoint, tables["colour"], poll="mean")


def test_the_global_random_state_is_left_alone(checkpoint, tables, cache):
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    probed("linear", checkpoint, tables["colour"], cache)
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002
