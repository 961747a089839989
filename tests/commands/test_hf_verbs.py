"""Encoders of Hugging Face by the command line: features, probes, a classifier from end to end."""

import json

import pyarrow.parquet as pq
import pytest

from helpers.hf_models import MODELS, save
from helpers.lanes import slow_but
from helpers.probed import write_labelled
from mofo import cli
from mofo.evaluation.results import read_results
from mofo.models.hf.folder import open_hf_encoder
from mofo.training.saved_models import open_classifier

QUICK = ("--quiet", "--workers", "0")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("labelled") / "videos", "colour", 4, 2)


def run(*words):
    return cli.main([str(word) for word in words])


def finetuned(name, freeze, table, out):
    """Trains for two steps; returns whether the encoder is as before."""
    grid = open_hf_encoder(name).settings.grid
    words = {
        "data.source": table, "data.frames": grid.frames, "data.size": grid.height,
        "data.stride": 1, "data.sampling": "dense", "data.areas": "dis", "model.drop_path": 0,
        "augment.randaugment": 0, "optim.batch": 2, "optim.epochs": 1, "optim.warmup_epochs": 0,
        "run.micro_batch": 2, "run.workers": 0, "run.trackers": "[]", "run.out": out,
    }  # fmt: skip
    pairs = [word for key, value in words.items() for word in (f"--{key}", value)]
    assert run("finetune", "--encoder", name, "--freeze", freeze, "--quiet", *pairs) == 0
    before, after = open_hf_encoder(name).weights, open_classifier(out).model.state_dict()
    return all((after[key] == tensor).all() for key, tensor in before.items())


@pytest.mark.parametrize("model_type", slow_but(("videomae", "dinov2"), MODELS))
def test_from_features_to_a_picture(model_type, table, tmp_path):
    save(tmp_path / "model", model_type)
    name, clip = f"hf:{tmp_path / 'model'}", table.parent / "v4.mp4"
    features, quick = tmp_path / "features.parquet", ("--areas", "dis", *QUICK)
    assert run("embed", table, "--encoder", name, "--out", features, "--pool", "both", *quick) == 0
    width = open_hf_encoder(name).settings.width
    assert len(pq.read_table(features)["feature"][0]) == 2 * width
    words = ("--fusion", "cross_attention", "--epochs", 1, "--batch", 2, "--out", tmp_path)
    assert run("probe", "attentive", table, "--encoder", name, *words, *quick) == 0
    assert "licence" in read_results(tmp_path / "results.json").about["encoder"]
    assert finetuned(name, "encoder", table, tmp_path / "frozen")
    full = tmp_path / "full"
    assert not finetuned(name, "0", table, full)
    (tmp_path / "model").rename(tmp_path / "elsewhere")  # a checkpoint needs nothing beside it
    assert run("evaluate", table, "--encoder", full, "--views", "1x1", *QUICK) == 0
    seen, picture = tmp_path / "seen.json", tmp_path / "attention.png"
    assert run("predict", clip, "--encoder", full, "--views", "1x1", "--json", seen) == 0
    [video] = json.loads(seen.read_text())["videos"]
    assert len(video["predictions"][0]["heads"]["label"]) == 2
    assert run("show", "attention", clip, "--encoder", full, "--out", picture) == 0
    assert picture.stat().st_size > 1000


def test_mistakes_are_one_line(table, tmp_path, capsys):
    save(tmp_path / "model", "videomae")
    cases = {
        ("hf:/none",): "there is no such folder",
        (f"hf:{tmp_path / 'model'}", "--layer", "9"): "layer 9",
    }
    for words, message in cases.items():
        out = tmp_path / "x.parquet"
        assert run("embed", "--encoder", words[0], table, "--out", out, *words[1:], *QUICK) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.count("\n") == 1
    finetune = ("finetune", "--encoder", f"hf:{tmp_path / 'model'}", "--data.source", table,
                "--run.out", tmp_path / "run", "--optim.batch", 2)  # fmt: skip
    assert run(*finetune, "--quiet") == 2
    assert "clips of 4 frames of 32 pixels" in capsys.readouterr().err
