"""Both trainings and an evaluation by the motion field instead of boxes, from the command line."""

from __future__ import annotations

import json

import pytest

from helpers.classifiers import write_videos
from mofo import cli
from mofo.evaluation.results import read_results
from mofo.training.saved_models import encoder_weights, open_classifier


@pytest.mark.parametrize("areas", ["dis", "store"])
def test_from_videos_to_results(tmp_path, areas, capsys):
    table = write_videos(tmp_path / "videos", 4, ("push", "pull"))
    if areas == "store":
        areas = str(tmp_path / "areas")
        assert cli.main(["detect", str(table), "--out", areas, "--workers", "0", "--quiet"]) == 0
    recipe = [
        "--data.source", str(table), "--data.areas", areas, "--data.frames", "4",
        "--data.size", "32", "--data.stride", "2", "--model.size", "nano",
        "--motion.shape", "field", "--run.micro_batch", "4", "--run.workers", "1", "--quiet",
        "--optim.epochs", "1", "--optim.batch", "4", "--optim.warmup_epochs", "0",
        "--run.log_every", "1",
    ]  # fmt: skip
    first, fine = tmp_path / "first", tmp_path / "fine"
    assert cli.main(["pretrain", *recipe, "--run.out", str(first)]) == 0
    line = json.loads((first / "metrics.jsonl").read_text().splitlines()[-1])
    assert 0 <= line["area"] <= 1
    assert encoder_weights(first).motion.shape == "field"
    assert cli.main(["finetune", *recipe, "--run.out", str(fine)]) == 0
    assert open_classifier(fine).settings.motion.shape == "field"
    store = ["--store", areas] if areas != "dis" else []
    words = [str(fine), str(table), "--views", "1x1", "--workers", "0", "--quiet", *store]
    assert cli.main(["evaluate", "--encoder", *words, "--out", str(tmp_path / "results")]) == 0
    assert read_results(tmp_path / "results" / "results.json").heads["label"].count == 4
    out = str(tmp_path / "features.parquet")
    pool = ["--pool", "inside", "--areas", areas, "--workers", "0", "--quiet", "--out", out]
    assert cli.main(["embed", "--encoder", str(first), str(table), *pool]) == 0
    capsys.readouterr()
