"""What lies in folders made by other verbs: runs, results of tests, stores of motion areas."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from mofo.evaluation.results import Results, read_results
from mofo.motion.detect_plan import read_failures
from mofo.motion.store import AreaStore
from mofo.training.checkpoint import CheckpointError, open_checkpoint
from mofo.types import MofoError

PRETRAIN, FINETUNE = "pretrain", "finetune"
_DEEP = 2  # levels below a folder that is given
# Folders that belong to what is above them, or may hold very many files.
_CLOSED = {"checkpoints", "pictures", "overlays", "tensorboard", "parts", "videos", "clips"}
_RESULTS, _SETTINGS, _METRICS = "results.json", "settings.yaml", "metrics.jsonl"

Line = dict[str, Any]


@dataclass(frozen=True)
class TrainingRun:
    """What a run of ``mofo pretrain`` or ``mofo finetune`` has left behind.

    Attributes:
        folder: of the run.
        kind: "pretrain" or "finetune".
        settings: by section, as in its recipe.
        metrics, validation: a line each, in the order of steps; broken lines are left out.
        versions: of packages, by name.
        unreadable: ``(path, reason)``.
        pictures: PNG files, in the order of steps.
        checkpoint: content of the newest checkpoint's JSON; empty: there is none.
        name: for a reader.
    """

    folder: Path
    kind: str
    settings: dict[str, dict[str, Any]]
    metrics: tuple[Line, ...]
    validation: tuple[Line, ...]
    versions: dict[str, str]
    unreadable: tuple[tuple[str, str], ...]
    pictures: tuple[Path, ...]
    checkpoint: dict[str, Any]
    name: str = ""

    def setting(self, section: str, key: str, default: Any = None) -> Any:
        """One value of the recipe."""
        return self.settings.get(section, {}).get(key, default)


@dataclass(frozen=True)
class Test:
    """What ``mofo evaluate`` or ``mofo probe`` has left behind."""

    folder: Path
    results: Results
    name: str = ""


@dataclass(frozen=True, eq=False)
class FoundAreas:
    """A store of motion areas.

    Attributes:
        folder, store: as they are.
        failures: ``(name, reason)`` of the videos that have no area.
    """

    folder: Path
    store: AreaStore
    failures: tuple[tuple[str, str], ...]
    name: str = ""


@dataclass
class Gathered:
    """All that was found.

    Attributes:
        folders: as they were given.
        problems: one line each: what could not be used, and why.
        left_out: ``(path, reason)`` of files that were not used before any of it was made.
    """

    folders: tuple[Path, ...]
    runs: list[TrainingRun] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)
    areas: list[FoundAreas] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: tuple[tuple[str, str], ...] = ()

    def close(self) -> None:
        """Lets go of the files of stores."""
        for one in self.areas:
            one.store.close()


def gather(folders: Sequence[str | Path]) -> Gathered:
    """Looks through folders, two levels deep.

    Raises:
        MofoError: a folder is not there, or nothing known is in any of them.
    """
    found = Gathered(tuple(Path(folder) for folder in folders))
    seen: set[Path] = set()
    for given in found.folders:
        if not given.exists():
            raise MofoError(f"{given}: no such folder")
        before = len(seen)
        for folder in _walk(given if given.is_dir() else given.parent, _DEEP):
            place = folder.resolve()
            if place not in seen and _take(folder, found):
                seen.add(place)
        if len(seen) == before and not any(given.resolve() in (p, *p.parents) for p in seen):
            found.problems.append(f"{given}: holds nothing that mofo has made")
    if not (found.runs or found.tests or found.areas):
        raise MofoError(
            "; ".join(found.problems) + ": give folders of `mofo pretrain`, `finetune`, "
            "`evaluate`, `probe` or `detect`, or one that has them in it"
        )
    _name_all(found)
    return found


def _walk(folder: Path, deep: int) -> Iterator[Path]:
    """The folder, then those in it, by name."""
    yield folder
    if not deep:
        return
    try:
        below = sorted(
            entry
            for entry in folder.iterdir()
            if entry.is_dir() and entry.name not in _CLOSED and not entry.name.startswith(".")
        )
    except OSError:
        return
    for each in below:
        yield from _walk(each, deep - 1)


def _take(folder: Path, found: Gathered) -> bool:
    """Adds what one folder holds; False if that is nothing."""
    taken = False
    if (folder / _METRICS).is_file() or (
        (folder / _SETTINGS).is_file() and (folder / "checkpoints").is_dir()
    ):
        found.runs.append(_run(folder, found.problems))
        taken = True
    if (folder / _RESULTS).is_file():
        try:
            found.tests.append(Test(folder, read_results(folder / _RESULTS)))
        except MofoError as error:
            found.problems.append(str(error))
        taken = True
    if any(folder.glob("videos*.parquet")):
        try:
            store = AreaStore.open(folder)
            found.areas.append(FoundAreas(folder, store, tuple(_failures(folder))))
        except MofoError as error:
            found.problems.append(str(error))
        taken = True
    return taken


def _failures(folder: Path) -> Iterator[tuple[str, str]]:
    try:
        yield from sorted(read_failures(folder).items())
    except (OSError, ValueError, MofoError):
        return


def _run(folder: Path, problems: list[str]) -> TrainingRun:
    settings = _settings(folder / _SETTINGS, problems)
    metrics = _lines(folder / _METRICS)
    checkpoint: dict[str, Any] = {}
    try:
        checkpoint = open_checkpoint(folder).facts
    except CheckpointError as error:
        if (folder / "checkpoints").is_dir():
            problems.append(str(error))
    kind = str(checkpoint.get("kind") or "")
    if kind not in (PRETRAIN, FINETUNE):
        labelled = "augment" in settings or any("top1" in key for line in metrics for key in line)
        kind = FINETUNE if labelled else PRETRAIN
    reasons = {
        str(line["path"]): str(line["reason"])
        for line in _lines(folder / "unreadable.jsonl", "path", "reason")
    }
    return TrainingRun(
        folder=folder,
        kind=kind,
        settings=settings or _sections(checkpoint.get("settings")),
        metrics=metrics,
        validation=_lines(folder / "validation.jsonl"),
        versions=_versions(folder / "versions.json") or _texts(checkpoint.get("versions")),
        unreadable=tuple(reasons.items()),
        pictures=tuple(sorted((folder / "pictures").glob("*.png"))),
        checkpoint=checkpoint,
    )


def _settings(path: Path, problems: list[str]) -> dict[str, dict[str, Any]]:
    try:
        return _sections(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        problems.append(f"{path}: is not there, so what was run is known in part only")
    except (OSError, ValueError, yaml.YAMLError):
        problems.append(f"{path}: cannot be read, so what was run is known in part only")
    return {}


def _sections(content: Any) -> dict[str, dict[str, Any]]:
    """Only what has the form of a recipe."""
    if not isinstance(content, dict):
        return {}
    return {str(key): part for key, part in content.items() if isinstance(part, dict)}


def _lines(path: Path, *needed: str) -> tuple[Line, ...]:
    """Whole lines of a journal; a kill may have cut off the last one, even within a letter."""
    needed = needed or ("step",)
    lines = []
    try:
        content = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    for text in content.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and all(key in line for key in needed):
            lines.append(line)
    return tuple(lines)


def number(line: Line, key: str) -> float:
    """A value of a line; NaN where there is none, or anything else."""
    value = line.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def _versions(path: Path) -> dict[str, str]:
    try:
        return _texts(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _texts(content: Any) -> dict[str, str]:
    if not isinstance(content, dict):
        return {}
    return {str(key): str(value) for key, value in content.items()}


def _name_all(found: Gathered) -> None:
    found.runs = [replace(o, name=n) for o, n in zip(found.runs, _names(found.runs), strict=True)]
    found.tests = [
        replace(o, name=n) for o, n in zip(found.tests, _names(found.tests), strict=True)
    ]
    found.areas = [
        replace(o, name=n) for o, n in zip(found.areas, _names(found.areas), strict=True)
    ]


def _names(several: Sequence[TrainingRun | Test | FoundAreas]) -> list[str]:
    """Names for a reader: of each folder its last parts, as many as make them differ."""
    places = [one.folder.absolute().parts for one in several]
    deep = 1
    while len({place[-deep:] for place in places}) < len(places):
        deep += 1
    return ["/".join(place[-deep:]) for place in places]
