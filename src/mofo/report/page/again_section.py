"""The section on how to do it again: commands, recipes, settings, versions, unreadable files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mofo.models.fusion import FUSIONS
from mofo.report.page.folders import FINETUNE, AreaFolder, Contents, Test, TrainingRun, number
from mofo.report.wording import counted, hours, plain
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.pretrain_settings import PretrainSettings

_FEW, _MAX_ROWS = 3, 200


@dataclass(frozen=True)
class Step:
    """One thing that was run.

    Attributes:
        facts: ``(name, value)``.
        settings: ``(key, value, meaning)`` of everything that was chosen; may be empty.
        recipe, recipe_name: the file that the command reads; may be empty.
    """

    kind: str
    name: str
    command: str
    facts: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, str, str], ...] = ()
    recipe: str = ""
    recipe_name: str = ""


def again_section(contents: Contents, command: str) -> dict[str, Any]:
    """Returns what the template needs; ``command`` is what makes the page."""
    steps = [_detect(each) for each in contents.areas]
    steps += [_train(run) for run in contents.runs]
    steps += [_test(test) for test in contents.tests]
    steps += [Step(each.kind, each.name, "", (("holds", each.text),)) for each in contents.others]
    steps.append(Step("this page", "", command))
    unreadable = contents.unreadable()
    warnings = list(_warnings(contents))
    tables = (("Files that could not be used", unreadable), ("Used, with a warning", warnings))
    return {
        "steps": steps,
        "versions": _versions(contents),
        "problems": contents.problems,
        "tables": [
            (f"{title} ({len(rows):,})", rows[:_MAX_ROWS], max(0, len(rows) - _MAX_ROWS))
            for title, rows in tables
            if rows
        ],
    }


def _detect(each: AreaFolder) -> Step:
    settings, videos = each.store.settings, each.store.videos()
    count, frames = len(videos), sum(videos["frames"].to_pylist())
    facts = [
        ("videos", f"{count:,}" + (f", {len(each.failures)} failed" if each.failures else "")),
        ("length", f"{sum(videos['duration'].to_pylist()):,.0f} s, {frames:,} frames"),
    ]
    if settings is None:
        command = "mofo areas import BOXES.json --out areas"
        return Step("motion areas", each.name, command, (*facts, ("by", "imported boxes")))
    paths: list[str] = videos["path"].to_pylist()
    folders = list(dict.fromkeys(str(Path(path).parent) for path in paths))
    # A folder may hold other videos, too: a few are named one by one.
    sources = paths if len(paths) <= _FEW else folders if len(folders) <= _FEW else ["VIDEOS"]
    words = ["mofo", "detect", *sources, "--out", each.folder.name or "areas"]
    words += ["--flow", settings.flow, "--preset", settings.preset]
    words += ["--short-side", str(settings.short_side)]
    return Step("motion areas", each.name, shlex.join(words), tuple(facts))


def _train(run: TrainingRun) -> Step:
    name = f"{run.name.replace('/', '-')}.yaml"
    words = ["mofo", run.kind, "--config", name, "--run.out", f"{run.folder.name}-again"]
    facts = [("videos", f"{run.videos:,}")] if run.videos else []
    fusion = run.setting("model", "fusion")
    if str(fusion) in FUSIONS:
        facts.append(("uses the motion area", FUSIONS[fusion].description))
    if run.metrics:
        steps = number(run.metrics[-1], "step") + 1
        facts.append(("done", f"{steps:,.0f} steps in {hours(run.seconds)}"))
    kind = FinetuneSettings if run.kind == FINETUNE else PretrainSettings
    meanings = {name: key.help.replace("``", "") for name, key in kind.keys().items()}
    settings = tuple(
        (f"{section}.{key}", plain(value), meanings.get(f"{section}.{key}", ""))
        for section, part in run.settings.items()
        for key, value in part.items()
    )
    recipe = yaml.safe_dump(run.settings, sort_keys=False) if run.settings else ""
    title = "fine-tuning" if run.kind == FINETUNE else "pre-training"
    return Step(title, run.name, shlex.join(words), tuple(facts), settings, recipe, name)


def _test(test: Test) -> Step:
    about = test.results.about
    facts = [(name, text) for name, text in about.items() if name not in ("chance", "fusion")]
    if fusion := about.get("fusion"):
        text = FUSIONS[fusion].description if fusion in FUSIONS else fusion
        facts.append(("uses the motion area", text))
    facts += [
        (head, f"{counted(result.count, 'video')} of "
         f"{counted(len(result.classes), 'class', 'classes')}")
        for head, result in test.results.heads.items()
    ]  # fmt: skip
    checkpoint = about.get("checkpoint", about.get("encoder", "CHECKPOINT")).rsplit(", step", 1)[0]
    words = ["mofo", *about.get("test", "evaluate").split(), "--encoder", checkpoint]
    words.append(about.get("data", "VIDEOS"))
    if not about.get("test", "").startswith("probe"):
        split, areas = about.get("split", "").partition(",")[0], about.get("areas", "")
        views = about.get("views", "").replace(" of time x ", "x").partition(" ")[0]
        words += ["--split", split] if split else []
        words += ["--store", areas.rpartition("store ")[2]] if "store " in areas else []
        words += ["--areas", test.results.motion] if test.results.motion else []
        words += ["--views", views] if views else []
    command = shlex.join([*words, "--out", test.folder.name])
    return Step("test", test.name, command, tuple(facts))


def _warnings(contents: Contents) -> Iterator[tuple[str, str, str]]:
    for each in contents.areas:
        for row in each.store.videos().select(["video", "warnings"]).to_pylist():
            for text in row["warnings"]:
                yield row["video"], text, each.name


def _versions(contents: Contents) -> dict[str, Any]:
    """A row for each package, a column for each run or store that says something."""
    columns = [(run.name, run.versions) for run in contents.runs if run.versions]
    columns += [
        (each.name, {key: ", ".join(several) for key, several in each.store.versions.items()})
        for each in contents.areas
    ]
    alias = {"cv2": "opencv-python-headless"}
    columns = [
        (name, {alias.get(key, key): value for key, value in versions.items()})
        for name, versions in columns
    ]
    keys = dict.fromkeys(key for _, versions in columns for key in versions)
    rows = {key: [versions.get(key, "-") for _, versions in columns] for key in keys}
    known = {key: set(values) - {"-"} for key, values in rows.items()}
    if all(len(values) == 1 for values in known.values()):  # nothing differs: a column will do
        return {"names": ["version"], "rows": [(key, list(known[key])) for key in rows]}
    return {"names": [name for name, _ in columns], "rows": list(rows.items())}
