"""Only tokens that move, crops around what moves, by the command line: fine-tuning to features."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers.hf_models import save
from helpers.lanes import slow_but
from helpers.probed import write_labelled, write_pretrained
from mofo import cli
from mofo.evaluation.results import read_results
from mofo.models.hf.folder import open_hf_encoder
from mofo.training.saved_models import encoder_weights, open_classifier

QUICK = ("--quiet", "--workers", "0")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("labelled") / "videos", "moving", 4, 4)


def run(*words):
    return cli.main([str(word) for word in words])


def finetune(init, table, out, frames, size, *more):
    words = {
        "data.source": table, "data.frames": frames, "data.size": size, "data.stride": 1,
        "data.sampling": "dense", "data.areas": "dis", "model.drop_path": 0, "optim.batch": 2,
        "optim.epochs": 1, "optim.warmup_epochs": 0, "run.micro_batch": 2, "run.workers": 0,
        "run.trackers": "[]", "run.out": out,
    }  # fmt: skip
    pairs = [word for key, value in words.items() for word in (f"--{key}", value)]
    return run("finetune", "--encoder", init, "--quiet", *pairs, *more)


def evaluated(model, table, out, *more):
    assert (
        run("evaluate", "--encoder", model, table, "--views", "1x1", "--out", out, *more, *QUICK)
        == 0
    )
    results = read_results(out / "results.json")
    return results.about.get("tokens", "all"), results.heads["label"].measures["top1"].mean


@pytest.mark.parametrize(
    "name",
    slow_but(("ours", "videomae"), ["ours", "videomae", "vjepa2", "vivit", "siglip_vision_model"]),
)
def test_from_a_fine_tuning_to_a_picture(name, table, tmp_path):
    if name == "ours":
        init, frames, size = write_pretrained(tmp_path / "model"), 4, 32
    else:
        save(tmp_path / "model", name)
        init = f"hf:{tmp_path / 'model'}"
        grid = open_hf_encoder(init).settings.grid
        frames, size = grid.frames, grid.height
    out = tmp_path / "run"
    more = ("--tokens.keep", 0.5, "--data.motion_crop", 0.5)
    assert finetune(init, table, out, frames, size, *more) == 0
    assert open_classifier(out).settings.tokens.keep == 0.5
    assert evaluated(out, table, tmp_path / "a")[0] == "0.5 of them, by motion"
    assert evaluated(out, table, tmp_path / "b", "--keep", 1)[0] == "all"
    merged = evaluated(out, table, tmp_path / "m", "--keep", 0.6, "--merge", "static")
    assert merged[0] == "0.6 of them, merged where static"
    quiet = ("--keep", 0.9, "--keep-least", 0.2)
    assert evaluated(out, table, tmp_path / "c", *quiet)[0].startswith("0.9 of them, down to 0.2")
    if name != "ours":
        return
    crop = ("--keep", 1, "--motion-crop")
    evaluated(out, table, tmp_path / "d", *crop)
    assert "around what moves" in read_results(tmp_path / "d" / "results.json").about["views"]
    assert (
        run("predict", "--encoder", out, table.parent / "v4.mp4", "--views", "1x0", "--motion-crop")
        == 0
    )
    seen = tmp_path / "seen.json"
    words = ("--views", "1x1", "--json", seen, "--keep", 0.3, "--keep-by", "difference")
    assert run("predict", "--encoder", out, table.parent / "v4.mp4", *words) == 0
    assert json.loads(seen.read_text())["videos"]
    picture = tmp_path / "attention.png"
    assert (
        run("show", "attention", "--encoder", out, table.parent / "v4.mp4", "--out", picture) == 0
    )
    assert picture.stat().st_size > 1000


@pytest.mark.parametrize("name", ["ours", "dinov2"])
def test_features_and_probes(name, table, tmp_path):
    if name == "ours":
        encoder = write_pretrained(tmp_path / "model")
    else:
        save(tmp_path / "model", name)
        encoder = f"hf:{tmp_path / 'model'}"
    found = {}
    for number, words in enumerate((["--keep", 1], [], ["--keep", 0.4], ["--keep-by", "random"])):
        out = tmp_path / f"{number}.parquet"
        assert run("embed", "--encoder", encoder, table, "--out", out, *words, *QUICK) == 0
        found[number] = np.stack(pq.read_table(out)["feature"].to_numpy())
    out = tmp_path / "crop.parquet"
    assert (
        run(
            "embed",
            "--encoder",
            encoder,
            table,
            "--out",
            out,
            "--motion-crop",
            "--areas",
            "dis",
            *QUICK,
        )
        == 0
    )
    assert not np.allclose(found[0], np.stack(pq.read_table(out)["feature"].to_numpy()))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[3])  # all are kept
    assert not np.allclose(found[0], found[2])
    probe = (table, "--keep", 0.4, "--out", tmp_path, "--areas", "dis", *QUICK)
    words = ("--fusion", "cross_attention", "--epochs", 1, "--batch", 2)
    assert run("probe", "attentive", "--encoder", encoder, *probe, *words) == 0
    assert run("probe", "knn", "--encoder", encoder, *probe, "--k", 1, "--keep-by", "random") == 0
    assert "0.4 of them, by random" in read_results(tmp_path / "results.json").about["tokens"]


@pytest.mark.parametrize("name", ["ours", "vjepa2"])
def test_adapters_by_the_command_line(name, table, tmp_path, capsys):
    if name == "ours":
        init, sizes = write_pretrained(tmp_path / "model"), (4, 32)
    else:
        save(tmp_path / "model", name)
        init, sizes = f"hf:{tmp_path / 'model'}", (4, 32)
    out = tmp_path / "run"
    more = ("--model.lora", 2, "--optim.lr", 0.1, "--model.freeze", 1)
    assert finetune(init, table, out, *sizes, *more, "--run.stop_at", 1) == 1
    assert finetune(init, table, out, *sizes, *more) == 0  # continues: two steps in all
    before, after = encoder_weights(init).weights, encoder_weights(out).weights
    changed = {key for key in after if not (after[key] == before[key]).all()}
    assert changed
    assert all(key.endswith(".weight") and "norm" not in key for key in changed)
    evaluated(out, table, tmp_path / "results")
    assert run("embed", "--encoder", out, table, "--out", tmp_path / "x.parquet", *QUICK) == 0
    assert finetune(init, table, tmp_path / "no", *sizes, *more, "--model.freeze", "encoder") == 2
    assert "no layer of the encoder is left" in capsys.readouterr().err


def test_mistakes_are_one_line(table, tmp_path, capsys):
    save(tmp_path / "model", "timesformer")
    init, model = f"hf:{tmp_path / 'model'}", write_pretrained(tmp_path / "ours")
    out = ("--out", tmp_path / "x.parquet")
    cases = {
        "cannot leave tokens out": ("embed", "--encoder", init, table, *out, "--keep", 0.4, *QUICK),
        "keep 2": ("embed", "--encoder", model, table, *out, "--keep", 2, *QUICK),
        "did you mean 'random'": (
            "embed",
            "--encoder",
            model,
            table,
            *out,
            "--keep-by",
            "randon",
            *QUICK,
        ),
    }
    for message, words in cases.items():
        assert run(*words) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.count("\n") == 1
    more = ("--tokens.keep", 0.5)
    assert finetune(init, table, tmp_path / "run", 4, 32, *more) == 2
    assert "cannot leave tokens out" in capsys.readouterr().err
    assert finetune(model, table, tmp_path / "run", 4, 32, *more, "--data.areas", "none") == 2
    assert "tokens.by motion needs motion areas" in capsys.readouterr().err
    crop = ("--data.motion_crop", 0.5, "--data.areas", "none")
    assert finetune(model, table, tmp_path / "run", 4, 32, *crop) == 2
    assert "data.motion_crop needs motion areas" in capsys.readouterr().err
