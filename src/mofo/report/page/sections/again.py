"""How to do it again: commands, recipes, versions of packages."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mofo.report.page.gathered import FoundAreas, Gathered, Test, TrainingRun
from mofo.report.page.sections.section import Section

_FEW = 3


@dataclass(frozen=True)
class Command:
    """What to type, and what it makes again."""

    name: str
    text: str
    recipe: str = ""
    recipe_name: str = ""


def again(found: Gathered, command: str) -> Section:
    """The section.

    Args:
        found: what is on the page.
        command: that made the page.
    """
    commands = [
        *(_detect(one) for one in found.areas),
        *(_train(run, number) for number, run in enumerate(found.runs)),
        *(_test(one) for one in found.tests),
        Command("this page", command),
    ]
    return Section(
        "again",
        "How to do it again",
        "Commands that make the same results from the same videos, and the versions of the "
        "programs that took part.",
        {"commands": commands, "versions": _versions(found), "problems": found.problems},
    )


def _detect(one: FoundAreas) -> Command:
    settings = one.store.settings
    if settings is None:
        return Command(one.name, _line("mofo", "areas", "import", "BOXES.json", "--out", "areas"))
    paths = _paths(one)
    folders = list(dict.fromkeys(str(Path(path).parent) for path in paths))
    # A folder may hold other videos, too: a few are named one by one.
    sources = paths if len(paths) <= _FEW else folders if len(folders) <= _FEW else ["VIDEOS"]
    words = ["mofo", "detect", *sources, "--out", one.folder.name or "areas"]
    words += ["--flow", settings.flow, "--preset", settings.preset]
    return Command(one.name, _line(*words, "--short-side", settings.short_side))


def _paths(one: FoundAreas) -> list[str]:
    found: list[str] = one.store.videos()["path"].to_pylist()
    return found


def _train(run: TrainingRun, number: int) -> Command:
    name = f"{run.name.replace('/', '-')}.yaml"
    text = yaml.safe_dump(run.settings, sort_keys=False) if run.settings else ""
    line = _line("mofo", run.kind, "--config", name, "--run.out", f"{run.folder.name}-again")
    return Command(run.name, line, text, name)


def _test(one: Test) -> Command:
    about = one.results.about
    checkpoint = about.get("checkpoint", about.get("encoder", "CHECKPOINT")).rsplit(", step", 1)[0]
    data = about.get("data", "VIDEOS.csv")
    split = about.get("split", "").partition(",")[0]
    words: list[Any] = ["mofo", *about.get("test", "evaluate").split(), checkpoint, data]
    if about.get("test", "").startswith("probe"):
        return Command(one.name, _line(*words, "--out", one.folder.name))
    if split:
        words += ["--split", split]
    store = about.get("areas", "").rpartition("store ")[2]
    if "store " in about.get("areas", ""):
        words += ["--store", store]
    views = about.get("views", "").replace(" of time x ", "x").partition(" ")[0]
    return Command(one.name, _line(*words, *(["--views", views] if views else []),
                                   "--out", one.folder.name))  # fmt: skip


def _line(*words: Any) -> str:
    return shlex.join(str(word) for word in words)


def _versions(found: Gathered) -> dict[str, Any]:
    """A row for each package, a column for each run or store that says something."""
    columns = [(run.name, run.versions) for run in found.runs if run.versions]
    columns += [
        (one.name, {key: ", ".join(several) for key, several in one.store.versions.items()})
        for one in found.areas
    ]
    alias = {"cv2": "opencv-python-headless"}
    columns = [
        (name, {alias.get(key, key): value for key, value in versions.items()})
        for name, versions in columns
    ]
    rows = list(dict.fromkeys(key for _, versions in columns for key in versions))
    values = {key: [versions.get(key, "-") for _, versions in columns] for key in rows}
    told = {key: set(several) - {"-"} for key, several in values.items()}
    if all(len(several) == 1 for several in told.values()):  # nothing differs: a column will do
        return {"names": ["version"], "rows": [(key, list(told[key])) for key in rows]}
    return {"names": [name for name, _ in columns], "rows": list(values.items())}
