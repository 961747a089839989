from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mofo
from generated.clips import ClipRecipe, make_clip, write_clip
from helpers import typed
from mofo.curation.score_files import score_many
from mofo.motion.detect import detect_many
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.pretrain_settings import PretrainSettings

CLASSES = ("push", "pull")


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> tuple[Path, Path]:
    """A folder in which the pages' names are there: what a reader has before each page begins.

    videos/ and my_videos/ (classes as folders), videos.csv and other lists, clip.mp4, match.mp4,
    areas (a store), scores.parquet, runs/first and runs/tiny (pre-trained), runs/fine,
    runs/finetuned and runs/classes.
    """
    folder = tmp_path_factory.mktemp("docs")
    home = folder / "home"
    home.mkdir()
    (home / "videos").mkdir()
    rows, lines = ["path,label,split"], ["path,label,split"]
    for number in range(8):
        label, split = CLASSES[number % 2], "train" if number < 6 else "validation"
        path = home / "videos" / f"clip{number}.mp4"
        recipe = ClipRecipe(seed=number, movers=1, area=(0.05, 0.2), frames=12, width=96, height=64)
        write_clip(make_clip(recipe), path)
        rows.append(f"videos/{path.name},{label},{split}")
        mine = home / "my_videos" / ("jump", "run")[number % 2] / f"{label}{number}.mp4"
        mine.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, mine)
        lines.append(f"{mine.relative_to(home / 'my_videos')},{label},{split}")
    (home / "my_videos/all.csv").write_text("\n".join(lines) + "\n")
    (home / "data").mkdir()
    for name, above in (("videos.csv", ""), ("test.csv", ""), ("data/validation.csv", "../")):
        kept = rows if name == "videos.csv" else [rows[0], *rows[7:]]
        (home / name).write_text(
            "\n".join(row.replace("videos/", f"{above}videos/") for row in kept)
        )
    long = ClipRecipe(seed=50, movers=1, area=(0.05, 0.2), frames=40, width=96, height=64)
    write_clip(make_clip(long), home / "clip.mp4")
    shutil.copy(home / "clip.mp4", home / "match.mp4")
    (home / "check").mkdir()
    (home / "check/quarantine.csv").write_text("path,start,end,reason\n")
    sources = [home / "videos.csv", home / "my_videos", home / "clip.mp4"]
    detect_many(sources, home / "areas", workers=0)
    score_many(home / "videos", home / "scores.parquet", workers=0, progress=False)
    small = {kind: [*typed.SMALL[kind].items(), ("data.areas", "none")] for kind in typed.SMALL}
    given = [("data.source", str(home / "videos.csv"))]
    pretrained, finetuned = home / "runs/first", home / "runs/fine"
    pairs = [*small["pretrain"], *given, ("run.out", str(pretrained))]
    mofo.pretrain(PretrainSettings.from_yaml("tiny", pairs), progress=False)
    pairs = [*small["finetune"], *given, ("run.out", str(finetuned))]
    mofo.finetune(FinetuneSettings.from_yaml("tiny-finetune", pairs), progress=False)
    for name in ("tiny", "second"):
        shutil.copytree(pretrained, home / "runs" / name)
    for name in ("finetuned", "classes"):
        shutil.copytree(finetuned, home / "runs" / name)
    shutil.copytree(home, folder / "template")
    return folder / "template", home


@pytest.fixture
def home(template, monkeypatch) -> Path:
    """The folder as it was prepared, where the test stands; always at the same place, which is
    what its store of areas knows.
    """
    prepared, home = template
    shutil.rmtree(home)
    shutil.copytree(prepared, home)
    monkeypatch.chdir(home)
    return home
