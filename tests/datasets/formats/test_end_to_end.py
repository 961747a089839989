"""Every published layout through the whole chain, by the command line, as its users go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.lanes import slow_but
from helpers.trees import TREES, epic, ssv2
from mofo.cli import main
from mofo.datasets.catalog import read_catalog
from mofo.training.checkpoint import CheckpointFolder

SMALL = (
    "--data.frames", "4", "--data.size", "32", "--data.stride", "2",
    "--model.size", "nano", "--optim.batch", "2", "--optim.warmup_epochs", "0",
    "--run.micro_batch", "2", "--run.workers", "0", "--run.trackers", "[]", "--quiet",
)  # fmt: skip
TESTED = {  # which split has labels besides the training set
    "ssv2": "validation",
    "epic": "validation",
    "kinetics": "validation",
    "ucf101": "test",
    "hmdb51": "test",
    "diving48": "test",
    "jester": "validation",
    "list": "validation",
    "folder": "all",
    "activitynet": "validation",
    "charades": "test",
    "moments": "validation",
    "finegym": "validation",
    "hf": "test",
    "webdataset": "validation",
}


def two_steps(videos: int) -> tuple[str, ...]:
    return ("--optim.epochs", str(4 / videos))


def latest(run: Path) -> int:
    return CheckpointFolder(run / "checkpoints", 1).steps()[-1]


def call(*words: object, code: int = 0) -> None:
    assert main([str(word) for word in words]) == code, words


def trained(tree: Path, out: Path) -> Path:
    """The tree converted, checked, detected and pre-trained on for two steps, below ``out``."""
    catalog = out / "catalog.parquet"
    call("data", "convert", tree, "--to", catalog, "--quiet")
    call("data", "check", catalog, "--out", out / "check", "--workers", 0, "--quiet")
    checked = json.loads((out / "check" / "check.json").read_text())
    # All files of a tree are the same video, which is told; nothing is of no use.
    assert checked["quarantined"] == 0
    assert set(checked["problems"]) <= {
        "same content", "same in two splits", "class not trained", "class of one",
    }  # fmt: skip
    quarantine = f"exclude:{out / 'check' / 'quarantine.csv'}"
    call("detect", catalog, quarantine, "--out", out / "areas", "--workers", 0, "--quiet")
    call(
        "pretrain", "--data.source", json.dumps([str(catalog), quarantine]),
        "--data.areas", out / "areas", "--run.out", out / "pretrained",
        *SMALL, *two_steps(len(read_catalog([catalog]))),
    )  # fmt: skip
    assert latest(out / "pretrained") == 2
    return catalog


def finetuned(catalog: Path, out: Path, *heads: str) -> Path:
    """The run that trained for two more steps on what the training set is."""
    run = out / "-".join(heads)
    train = [video for video in read_catalog([catalog]) if video.split in ("train", None)]
    call(
        "finetune", "--encoder", out / "pretrained", "--data.source", catalog,
        "--data.areas", out / "areas", "--data.heads", json.dumps(heads),
        "--run.out", run, *SMALL, *two_steps(len(train)),
    )  # fmt: skip
    assert latest(run) == 2
    return run


def results_of(run: Path, catalog: Path, out: Path, *more: object) -> dict:
    call(
        "evaluate", "--encoder", run, catalog, "--store", out / "areas", "--views", "1x1",
        "--workers", 0, "--out", run / "results", "--quiet", *more,
    )  # fmt: skip
    return json.loads((run / "results" / "results.json").read_text())


@pytest.mark.parametrize(
    "name", slow_but(("kinetics", "ssv2", "folder"), [name for name in TESTED if name != "epic"])
)
def test_from_a_published_tree_to_results(name, tiny, tmp_path):
    catalog = trained(TREES[name](tmp_path / "data", tiny), tmp_path)
    run = finetuned(catalog, tmp_path, "label")
    results = results_of(run, catalog, tmp_path, "--split", TESTED[name])
    wanted = [v for v in read_catalog([catalog]) if TESTED[name] in (v.split, "all")]
    assert [row["name"] for row in results["heads"]["label"]["videos"]] == [v.key for v in wanted]
    assert wanted


@pytest.mark.slow
def test_from_epic_kitchens_to_results_and_a_submission(tiny, tmp_path):
    catalog = trained(epic(tmp_path / "data", tiny, full=True), tmp_path)
    for heads in (("verb", "noun"), ("action",)):
        run = finetuned(catalog, tmp_path, *heads)
        found = results_of(run, catalog, tmp_path)["heads"]
        # 3 segments: two with a rare verb or noun, two of a person who is new.
        assert {head: found[head]["count"] for head in found} == {
            "verb": 3, "noun": 3, "action": 3,
            "verb (tail)": 2, "noun (tail)": 2, "action (tail)": 2,
            "verb (unseen)": 2, "noun (unseen)": 2, "action (unseen)": 2,
        }  # fmt: skip
        # The test set has no labels.
        handed_in = run / "handed-in.json"
        results_of(run, catalog, tmp_path, "--split", "test", "--submission", handed_in)
        document = json.loads(handed_in.read_text())
        assert list(document["results"]) == ["P01_101_0"]
        assert {h: len(s) for h, s in document["results"]["P01_101_0"].items()} == {
            "verb": 97, "noun": 300,
        }  # fmt: skip


def test_left_and_right(tiny, tmp_path, capsys):
    """Mirrored clips would have wrong labels: refused where labels come in, told before."""
    tree = ssv2(tmp_path / "data", tiny)
    given = ("--data.source", tree, "--data.areas", "none", "--data.flip", "true", *SMALL)
    call("finetune", *given, "--run.out", tmp_path / "fine", code=2)
    assert "know left from right" in capsys.readouterr().err
    assert not (tmp_path / "fine" / "checkpoints").exists()
    words = [word for word in given if word != "--quiet"]
    call("pretrain", *words, "--run.out", tmp_path / "pre", *two_steps(9))
    told = capsys.readouterr()
    assert "know left from right" in told.out + told.err
