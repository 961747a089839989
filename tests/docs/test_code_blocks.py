"""What README, pages and help texts tell readers to type works."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

import mofo
import mofo.cli
from helpers import typed
from helpers.lanes import slow_but
from helpers.pages import ROOT, Block, blocks, pages, unfenced
from mofo.commands.verb import VERBS
from mofo.training.recipe import read_recipe, recipe_names

ALL = [block for path in pages() for block in blocks(path)]
FENCED = [block for block in ALL if block.fenced]
TYPED = """
from pathlib import Path
import mofo
area = mofo.detect("clip.mp4")
reveal_type(area)
reveal_type(mofo.detect([Path("a.mp4"), Path("b.mp4")]))
reveal_type(mofo.AreaStore.open("areas"))
model = mofo.load("runs/fine")
reveal_type(model)
reveal_type(model.predict("clip.mp4"))
reveal_type(mofo.pretrain(mofo.PretrainSettings.from_yaml("tiny")))
"""
READ = ("text", "json", "yaml", "csv")  # languages that are shown, not run


def of(page) -> list[Block]:
    return [block for block in FENCED if block.page == page and block.reason is None]


def small_recipes(home):
    """Recipes that a Python block opens become small ones; ``typed.SMALL`` does it for commands."""
    for name in recipe_names():
        kind = read_recipe(name).content["task"]
        recipe: dict = {"extends": f"{name}.yaml"}
        for key, value in typed.SMALL[kind].items():
            section, _, word = key.partition(".")
            recipe.setdefault(section, {})[word] = yaml.safe_load(value)
        if not (home / name).exists():  # a file of that name here is taken first
            (home / name).write_text(yaml.safe_dump(recipe))


def names_of(page) -> dict:
    """Names that a page's Python uses as given."""
    box_BT4 = torch.tensor([30.0, 40, 120, 130]).repeat(2, 16, 1)
    valid_BT = torch.ones(2, 16, dtype=torch.bool)
    if page == "docs/masking.md":
        noise_BN = torch.rand(2, 1568, generator=torch.Generator().manual_seed(0))
        return {"box_BT4": box_BT4, "valid_BT": valid_BT, "noise_BN": noise_BN}
    if page == "docs/augmentation.md":
        from mofo.clips.batch import ClipBatch
        from mofo.types import TokenGrid

        frames = np.random.default_rng(0).integers(0, 255, (2, 16, 32, 32, 3), np.uint8)
        batch = ClipBatch(
            frames_BTHWC=torch.from_numpy(frames), box_BT4=box_BT4 / 8, valid_BT=valid_BT,
            noise_BN=torch.rand(2, 32), index_B=torch.arange(2), path=("a", "b"),
            start_B=torch.zeros(2), failures=(),
        )  # fmt: skip
        return {
            "grid": TokenGrid(16, 32, 32), "batch": batch, "device": "cpu",
            "target_BC": torch.eye(2), "classifier": lambda frames, inside_BN: None,
        }  # fmt: skip
    return {}


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "sh"], ids=str)
def test_commands_are_right(block, template, monkeypatch):
    monkeypatch.chdir(template[0])
    if block.reason:
        pytest.skip(f"{block}: {block.reason}")
    for words in block.commands():
        typed.check(words, ROOT, block.fenced)


@pytest.mark.parametrize(
    "page", slow_but(("docs/quickstart.md",), {block.page: block for block in FENCED})
)
def test_blocks_run(page, home, capsys):
    names = names_of(page)
    for block in of(page):
        if block.language == "python":
            continue
        for words in block.commands() if block.language == "sh" else ():
            command = typed.words_of_mofo(words)
            if command is not None and words[0] in ("mofo", ".venv/bin/mofo"):
                typed.run(command)
    small_recipes(home)
    for block in of(page):
        if block.language == "python":
            exec(compile(block.text, str(block), "exec"), names)


@pytest.mark.slow
def test_the_python_of_the_readme_runs_as_a_script(home):
    small_recipes(home)
    [block] = [block for block in of("README.md") if block.language == "python"]
    (home / "script.py").write_text(block.text)
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_type_checkers_see_the_types(tmp_path):
    (tmp_path / "user.py").write_text(TYPED)
    # Not checked with it, for time: large packages whose types do not show in ours.
    large = "cv2 pyarrow torch torchcodec transformers accelerate pandas matplotlib"
    skipped = "".join(f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in large.split())
    (tmp_path / "mypy.ini").write_text(f"[mypy]\n{skipped}")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "user.py"],
        capture_output=True, text=True, cwd=tmp_path, timeout=500,
    )  # fmt: skip
    shown = re.findall(r'Revealed type is "([^"]+)"', done.stdout.replace("builtins.", ""))
    assert done.returncode == 0, done.stdout
    assert shown == [
        "mofo.types.MotionArea",
        "dict[str, mofo.types.MotionArea]",
        "mofo.motion.store.AreaStore",
        "mofo.evaluation.predict.VideoClassifier",
        "mofo.evaluation.predict.Prediction",
        "mofo.training.callbacks.RunReport",
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_examples_of_the_help_run(verb, home, capsys, monkeypatch):
    assert mofo.cli.main([*verb.split(), "--help"]) == 0
    text = capsys.readouterr().out.rpartition("\nexample")[2].partition(":")[2]
    commands = Block(f"mofo {verb} --help", 1, "sh", text).commands()
    assert commands
    if verb == "areas import":
        typed.run(["areas", "export", "areas", "--to", "boxes.json"])
    for words in commands:
        typed.check(words, ROOT, False)
        typed.run(words[1:])


def test_every_block_has_a_language_that_someone_looks_after():
    for path in pages():
        assert unfenced(path) == 0, path
    for block in FENCED:
        assert block.language in ("sh", "python", *READ), block


def test_recipes_in_pages_are_valid(home):
    for block in FENCED:
        if block.language == "yaml":
            (home / "shown.yaml").write_text(block.text)
            needed = {"data": {"source": "v"}, "run": {"out": "o"}}
            mofo.PretrainSettings.from_yaml(home / "shown.yaml", **needed)
