from pathlib import Path

import pytest
import yaml

from mofo.training.recipe import (
    explain_keys,
    known_keys,
    load_settings,
    plain,
    settings_from,
    write_settings,
)
from mofo.types import SettingsError

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
NEEDED = [("data.source", "videos"), ("run.out", "out")]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_writes_back(path, tmp_path):
    settings = load_settings(path, NEEDED)
    write_settings(settings, tmp_path / "again.yaml")
    assert load_settings(tmp_path / "again.yaml") == settings
    settings.model_settings()


@pytest.mark.parametrize("path", [p for p in RECIPES if not p.stem.endswith("-tube")], ids=str)
def test_every_recipe_has_its_baseline(path):
    ours = plain(load_settings(path, NEEDED))
    tube = plain(load_settings(path.with_name(f"{path.stem}-tube.yaml"), NEEDED))
    assert tube["mask"].pop("strategy") == "tube"
    assert ours["mask"].pop("strategy") == "motion"
    assert ours == tube


def test_published_settings_of_something_something():
    settings = load_settings(RECIPES[0].parent / "ssv2.yaml", NEEDED)
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


def test_every_key_is_explained():
    lines = explain_keys().splitlines()
    for key in known_keys():
        section, _, name = key.partition(".")
        start = lines.index(f"{section}:")
        place = next(i for i in range(start, len(lines)) if lines[i].startswith(f"  {name} ("))
        assert len(lines[place + 1].strip()) > 5, key
