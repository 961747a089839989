"""Recipes: each of the package's is valid, and every mistake is one clear line."""

import pytest
import yaml

import mofo
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.recipe import read_recipe, recipe_names
from mofo.types import SettingsError

NAMES = recipe_names()
FINETUNING = [name for name in NAMES if read_recipe(name).content["task"] == "finetune"]
PRETRAINING = [name for name in NAMES if name not in FINETUNING]
NEEDED = {"data": {"source": "videos"}, "run": {"out": "out"}}
BOTH = pytest.mark.parametrize("kind", [PretrainSettings, FinetuneSettings])


def named(name):
    kind = FinetuneSettings if name in FINETUNING else PretrainSettings
    return kind.from_yaml(name, **NEEDED)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_valid_and_writes_back(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # found by name from anywhere
    settings = named(name)
    settings.write(tmp_path / "again.yaml")
    assert type(settings).from_yaml(tmp_path / "again.yaml") == settings
    assert type(settings).from_dict(settings.to_dict()) == settings
    assert mofo.load_settings(name, [("data.source", "videos"), ("run.out", "out")]) == settings


@pytest.mark.parametrize("name", [name for name in FINETUNING if name.endswith("-finetune")])
def test_every_finetuning_follows_a_pretraining(name):
    before = named({"ek100-finetune": "ssv2"}.get(name, name.removesuffix("-finetune")))
    for key in ("frames", "size", "flip", "areas"):
        assert getattr(named(name).data, key) == getattr(before.data, key), key


@pytest.mark.parametrize(
    ("name", "epochs", "batch", "peak", "decay", "drop_path", "clips", "flip", "sampling"),
    [
        ("ssv2", 50, 512, 1e-3, 0.75, 0.1, 1, False, "segments"),
        ("ek100", 50, 512, 1e-3, 0.75, 0.1, 1, False, "segments"),
        ("k400", 75, 768, 7.5e-4, 0.75, 0.1, 2, True, "dense"),
        ("ucf101", 100, 256, 2.5e-4, 0.7, 0.2, 2, True, "dense"),
    ],
)
def test_published_settings_of_finetuning(
    name, epochs, batch, peak, decay, drop_path, clips, flip, sampling
):
    settings = named(f"{name}-finetune")
    optim, augment, data = settings.optim, settings.augment, settings.data
    assert (optim.epochs, optim.batch, optim.layer_decay) == (epochs, batch, decay)
    assert optim.lr * batch / 256 == pytest.approx(peak)
    assert (settings.model.drop_path, settings.loss.smoothing) == (drop_path, 0.1)
    assert (data.clips_per_video, data.flip, data.sampling) == (clips, flip, sampling)
    assert (augment.randaugment, augment.magnitude, augment.erasing) == (4, 7, 0.25)
    assert (augment.mixup, augment.cutmix, augment.mixing) == (0.8, 1.0, 1.0)
    assert data.heads == (("verb", "noun") if name == "ek100" else ("label",))


def test_published_settings_of_something_something():
    settings = named("ssv2")
    assert (settings.optim.batch, settings.optim.epochs, settings.optim.lr) == (2048, 800, 1.5e-4)
    assert (settings.mask.strategy, settings.mask.ratio) == ("motion", 0.9)
    assert (settings.data.stride, settings.data.flip, settings.model.size) == (2, False, "base")


def test_options_win_over_the_file_and_are_typed(tmp_path):
    (tmp_path / "a.yaml").write_text("optim: {batch: 8, lr: 2e-3}\n")
    options = [("optim.batch", "16"), ("optim.betas", "[0.8, 0.9]"), ("data.flip", "true")]
    settings = PretrainSettings.from_yaml(tmp_path / "a.yaml", options, **NEEDED)
    assert settings.optim.batch == 16
    assert settings.optim.lr == 2e-3  # YAML alone would take 2e-3 for a text
    assert settings.optim.betas == (0.8, 0.9)
    assert settings.data.flip is True
    assert settings.data.source == ("videos",)
    assert settings.change(optim={"lr": 1.0}).optim.batch == 16


def test_recipes_extend_files_and_names(tmp_path):
    (tmp_path / "base.yaml").write_text("extends: tiny\noptim: {batch: 8}\n")
    (tmp_path / "top.yaml").write_text("extends: base.yaml\noptim: {epochs: 3}\n")
    settings = PretrainSettings.from_yaml(tmp_path / "top.yaml", **NEEDED)
    assert (settings.model.size, settings.optim.batch, settings.optim.epochs) == ("tiny", 8, 3)


def message(*options, path=None, kind=PretrainSettings, needed=NEEDED):
    with pytest.raises(SettingsError) as caught:
        kind.from_yaml(path, options, **needed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_mistakes_are_told_at_once_with_the_nearest_name():
    text = message(
        ("lr", "1"), ("optim.bach", "4"), ("mask.ratio", "1.0"), ("mask.ratoi", "1"),
        ("data.size", "big"), ("runn.x", "1"), ("optim.epochs", "-1"), ("model.size", "smal"),
        needed={},
    )  # fmt: skip
    for part in (
        "did you mean optim.lr", "did you mean optim.batch", "did you mean mask.ratio",
        "data.size: 'big'", "run.out is missing", "data.source is missing", "did you mean 'run'?",
        "optim.epochs: -1", "did you mean 'small'?",
    ):  # fmt: skip
        assert part in text, text


def test_a_wrong_key_is_named_with_its_file(tmp_path):
    (tmp_path / "base.yaml").write_text("optim: {lrr: 1}\n")
    (tmp_path / "top.yaml").write_text("extends: base.yaml\nmodel: {siz: tiny}\n")
    text = message(("run.sed", "3"), path=tmp_path / "top.yaml")
    assert "optim.lrr (in base.yaml)" in text
    assert "model.siz (in top.yaml)" in text
    assert "run.sed (on the command line): unknown" in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("- 1\n", "no sections"),
        ("a: [1\n", "no recipe"),
        ("optim: 3\n", "should hold keys"),
        ("extends: a.yaml\n", "extends itself"),
        ("optim: {lr: 1, batch: 2, lr: 3}\n", "'lr' is given twice"),
        ("optim: {lr: 1}\ndata: {}\noptim: {}\n", "'optim' is given twice"),
        ("data: &x {size: 3}\nmodel: *x\n", "aliases"),
        (f"data: {'[' * 3000}", "recursion"),
        ("data: {source: 2001-99-99}", "month"),
        ("extends: tinny\n", "did you mean 'tiny'"),
        ("task: finetune\n", "is a recipe for task 'finetune', not for 'pretrain'"),
        ("{1: 2}: 3\n", "no recipe"),
    ],
)
def test_files_that_are_no_recipe(tmp_path, text, part):
    (tmp_path / "a.yaml").write_text(text)
    assert part in message(path=tmp_path / "a.yaml")


def test_no_such_recipe(tmp_path):
    (tmp_path / "mine.yaml").write_text("data: {}\n")
    assert "did you mean" in message(path=tmp_path / "mien.yaml")
    assert "did you mean 'small'" in message(path="smal")


def test_recipes_of_the_package_are_named_and_not_where_they_lie():
    assert message(path="few", needed={}, kind=FinetuneSettings).startswith("recipe few: data.")


def test_each_verb_refuses_recipes_of_the_other():
    assert "task 'finetune'" in message(path="tiny-finetune")
    assert "task 'pretrain'" in message(path="tiny", kind=FinetuneSettings)


def test_objects_are_checked_when_they_are_made():
    with pytest.raises(SettingsError, match=r"optim.lr: -1.0"):
        PretrainSettings(**NEEDED, optim={"lr": -1.0})
    with pytest.raises(SettingsError, match="optim: min_lr 1 is above lr"):
        named("tiny").change(optim={"min_lr": 1})


@BOTH
def test_every_key_has_a_help_and_is_a_key(kind):
    settings = kind(**NEEDED)
    content = {key: part for key, part in settings.to_dict().items() if key != "task"}
    assert {f"{section}.{key}" for section, part in content.items() for key in part} == set(
        kind.keys()
    )
    text = kind.explain()
    for name, key in kind.keys().items():
        assert len(key.help) > 5, name
        assert f"  {name.partition('.')[2]} (" in text
    assert yaml.safe_load(yaml.safe_dump(settings.to_dict())) == settings.to_dict()
