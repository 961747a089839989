from pathlib import Path

import pytest
import yaml

from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.recipe import (
    explain_keys,
    known_keys,
    load_settings,
    plain,
    settings_from,
    write_settings,
)
from mofo.types import SettingsError

EVERY = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
FINETUNING = [path for path in EVERY if "-finetune" in path.stem]
RECIPES = [path for path in EVERY if path not in FINETUNING]
NEEDED = [("data.source", "videos"), ("run.out", "out")]


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_writes_back(path, tmp_path):
    kind = FinetuneSettings if path in FINETUNING else PretrainSettings
    settings = load_settings(path, NEEDED, kind)
    write_settings(settings, tmp_path / "again.yaml")
    assert load_settings(tmp_path / "again.yaml", kind=kind) == settings
    if path in RECIPES:
        settings.model_settings()


@pytest.mark.parametrize(
    "path", [p for p in FINETUNING if not p.stem.endswith("-mean")], ids=lambda path: path.stem
)
def test_every_finetuning_follows_a_pretraining_and_has_its_baseline(path):
    ours = load_settings(path, NEEDED, FinetuneSettings)
    mean = plain(load_settings(path.with_name(f"{path.stem}-mean.yaml"), NEEDED, FinetuneSettings))
    assert mean["model"].pop("fusion") == "mean"
    wanted = plain(ours)
    assert wanted["model"].pop("fusion") == "cross_attention"
    assert mean == wanted
    before = load_settings(
        path.with_name(f"{path.stem.removesuffix('-finetune')}.yaml"), NEEDED, PretrainSettings
    )
    for key in ("frames", "size", "flip", "areas"):
        assert getattr(ours.data, key) == getattr(before.data, key), key


@pytest.mark.parametrize(
    ("name", "epochs", "batch", "peak", "decay", "drop_path", "repeats", "flip", "sampling"),
    [
        ("ssv2", 50, 512, 1e-3, 0.75, 0.1, 1, False, "segments"),
        ("ek100", 50, 512, 1e-3, 0.75, 0.1, 1, False, "segments"),
        ("k400", 75, 768, 7.5e-4, 0.75, 0.1, 2, True, "dense"),
        ("ucf101", 100, 256, 2.5e-4, 0.7, 0.2, 2, True, "dense"),
    ],
)
def test_published_settings_of_finetuning(
    name, epochs, batch, peak, decay, drop_path, repeats, flip, sampling
):
    path = EVERY[0].parent / f"{name}-finetune.yaml"
    settings = load_settings(path, NEEDED, FinetuneSettings)
    optim, augment, data = settings.optim, settings.augment, settings.data
    assert (optim.epochs, optim.batch, optim.layer_decay) == (epochs, batch, decay)
    assert optim.lr * batch / 256 == pytest.approx(peak)
    assert (settings.model.drop_path, settings.loss.smoothing) == (drop_path, 0.1)
    assert (data.repeats, data.flip, data.sampling) == (repeats, flip, sampling)
    assert (augment.randaugment, augment.magnitude, augment.erasing) == (4, 7, 0.25)
    assert (augment.mixup, augment.cutmix, augment.mixing) == (0.8, 1.0, 1.0)
    heads = ("verb", "noun") if name == "ek100" else ("label",)
    assert data.heads == heads


@pytest.mark.parametrize("path", [p for p in RECIPES if not p.stem.endswith("-tube")], ids=str)
def test_every_recipe_has_its_baseline(path):
    ours = plain(load_settings(path, NEEDED))
    tube = plain(load_settings(path.with_name(f"{path.stem}-tube.yaml"), NEEDED))
    assert tube["mask"].pop("strategy") == "tube"
    assert ours["mask"].pop("strategy") == "motion"
    assert ours == tube


def test_published_settings_of_something_something():
    settings = load_settings(EVERY[0].parent / "ssv2.yaml", NEEDED)
    assert (settings.optim.batch, settings.optim.epochs, settings.optim.lr) == (2048, 800, 1.5e-4)
    assert (settings.mask.ratio, settings.mask.inside) == (0.9, 0.75)
    assert (settings.data.stride, settings.data.flip, settings.model.size) == (2, False, "base")


def test_pairs_win_over_the_file_and_are_typed(tmp_path):
    (tmp_path / "a.yaml").write_text("optim: {batch: 8, lr: 2e-3}\n")
    pairs = [*NEEDED, ("optim.batch", "16"), ("optim.betas", "[0.8, 0.9]"), ("data.flip", "true")]
    settings = load_settings(tmp_path / "a.yaml", pairs)
    assert settings.optim.batch == 16
    assert settings.optim.lr == 2e-3  # YAML alone would take 2e-3 for a text
    assert settings.optim.betas == (0.8, 0.9)
    assert settings.data.flip is True
    assert settings.data.source == ("videos",)


def message(*pairs, path=None):
    with pytest.raises(SettingsError) as caught:
        load_settings(path, pairs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_mistakes_are_told_at_once_with_the_nearest_name():
    text = message(
        ("lr", "1"),
        ("optim.bach", "4"),
        ("mask.ratio", "1.0"),
        ("data.size", "big"),
        ("runn.x", "1"),
    )
    for part in (
        "did you mean optim.lr", "did you mean optim.batch", "ratio 1.0 is not between",
        "data.size: 'big'", "run.out is missing", "data.source is missing", "did you mean run?",
    ):  # fmt: skip
        assert part in text


def test_impossible_values_of_a_section_are_told_together():
    text = message(*NEEDED, ("optim.batch", "0"), ("optim.epochs", "-1"), ("optim.clip", "-2"))
    assert all(word in text for word in ("batch 0", "epochs -1", "clip -2"))


def test_files_that_are_no_recipe(tmp_path):
    (tmp_path / "tiny.yaml").write_text("data: {}\n")
    assert "did you mean" in message(path=tmp_path / "tyny.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    assert "no sections" in message(path=tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    assert "no YAML" in message(path=tmp_path / "broken.yaml")
    (tmp_path / "flat.yaml").write_text("optim: 3\n")
    assert "should hold keys" in message(path=tmp_path / "flat.yaml")
    (tmp_path / "loop.yaml").write_text("extends: loop.yaml\n")
    assert "extends itself" in message(path=tmp_path / "loop.yaml")


def test_known_keys_are_those_of_the_settings(settings):
    keys = {f"{section}.{key}" for section, part in plain(settings).items() for key in part}
    assert keys == set(known_keys())


def test_plain_settings_come_back(settings):
    assert settings_from(yaml.safe_load(yaml.safe_dump(plain(settings)))) == settings


@pytest.mark.parametrize("kind", [PretrainSettings, FinetuneSettings])
def test_every_key_is_explained(kind):
    lines = explain_keys(kind).splitlines()
    for key in known_keys(kind):
        section, _, name = key.partition(".")
        start = lines.index(f"{section}:")
        place = next(i for i in range(start, len(lines)) if lines[i].startswith(f"  {name} ("))
        assert len(lines[place + 1].strip()) > 5, key
