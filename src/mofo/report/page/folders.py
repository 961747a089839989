"""What lies in folders made by other verbs: runs, tests, stores of motion areas, and the rest."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mofo.evaluation.embed import META
from mofo.evaluation.results import Results, read_results
from mofo.motion.detect_plan import read_failures
from mofo.motion.store import AreaStore
from mofo.training.checkpoint import CheckpointError, open_checkpoint
from mofo.training.journal import json_lines
from mofo.types import MofoError

PRETRAIN, FINETUNE = "pretrain", "finetune"
_DEPTH = 2  # levels below a folder that is given
# Folders that belong to what is above them, or may hold very many files.
_CLOSED = {"checkpoints", "pictures", "overlays", "tensorboard", "parts", "videos", "clips"}

Line = dict[str, Any]
Reasons = tuple[tuple[str, str], ...]  # (path or name, why it could not be used)


@dataclass(frozen=True)
class TrainingRun:
    """What a run of ``mofo pretrain`` or ``mofo finetune`` has left behind.

    Attributes:
        metrics, validation: a line each, in the order of steps; broken lines are left out.
        unreadable: ``(path, reason)``.
        pictures: PNG files, in the order of steps.
        checkpoint: content of the newest checkpoint's JSON; empty: there is none.
    """

    folder: Path
    kind: str
    settings: dict[str, dict[str, Any]]
    metrics: tuple[Line, ...]
    validation: tuple[Line, ...]
    versions: dict[str, str]
    unreadable: Reasons
    pictures: tuple[Path, ...]
    checkpoint: dict[str, Any]
    name: str = ""

    def setting(self, section: str, key: str) -> Any:
        """Returns one value of the recipe; None if it does not say it."""
        return self.settings.get(section, {}).get(key)

    @property
    def videos(self) -> int:
        """How many videos it learned from; 0 if that is not known."""
        videos = self.checkpoint.get("videos")
        count = videos.get("count") if isinstance(videos, dict) else videos
        return count if isinstance(count, int) else 0

    def mean(self, key: str) -> float:
        """Returns the mean of a metric over the last tenth of the steps; NaN if there is none."""
        last = self.metrics[-max(1, len(self.metrics) // 10) :]
        values = [value for line in last if math.isfinite(value := number(line, key))]
        return sum(values) / len(values) if values else math.nan

    @property
    def seconds(self) -> float:
        """How long all steps took."""
        times = [number(line, "data_s") + number(line, "compute_s") for line in self.metrics]
        return sum(time for time in times if math.isfinite(time))


@dataclass(frozen=True)
class Test:
    """What ``mofo evaluate`` or ``mofo probe`` has left behind."""

    folder: Path
    results: Results
    name: str = ""

    @property
    def title(self) -> str:
        """Its name, and whether it is a control."""
        return f"{self.name} (control)" if self.is_control else self.name

    @property
    def is_control(self) -> bool:
        """Whether motion areas were replaced on purpose: such a test is no result to show first."""
        areas = self.results.about.get("areas", "")
        replaced = areas == "none" or areas.startswith(("the middle", "of another video"))
        kind = self.results.about.get("test", "") + self.results.about.get("encoder", "")
        return replaced or "areas" in kind or "random" in kind


@dataclass(frozen=True, eq=False)
class AreaFolder:
    """A store of motion areas; ``failures`` are the videos that have no area."""

    folder: Path
    store: AreaStore
    failures: Reasons
    name: str = ""

    def frames_V2(self) -> np.ndarray:
        """Returns float ``(V, 2)``: frames that were looked at, and the share with motion."""
        rows = self.store.videos()
        columns = [rows[name].to_numpy().astype(float) for name in ("looked_at", "moving")]
        return np.stack(columns, 1)


@dataclass(frozen=True)
class OtherFolder:
    """Anything else that mofo makes, and what there is to say about it."""

    folder: Path
    kind: str
    text: str
    unreadable: Reasons = ()
    name: str = ""


@dataclass
class Contents:
    """All that the folders hold. ``problems``: one line each: what could not be used, and why."""

    folders: tuple[Path, ...]
    runs: list[TrainingRun] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)
    areas: list[AreaFolder] = field(default_factory=list)
    others: list[OtherFolder] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.runs) + len(self.tests) + len(self.areas) + len(self.others)

    def close(self) -> None:
        """Closes the files of stores."""
        for each in self.areas:
            each.store.close()

    def of_kind(self, kind: str) -> list[TrainingRun]:
        """Returns the runs that are pre-trainings, or fine-tunings."""
        return [run for run in self.runs if run.kind == kind]

    def unreadable(self) -> list[tuple[str, str, str]]:
        """Returns ``(path, reason, where)`` of every file that could not be used."""
        parts = [(each.name, each.failures) for each in self.areas]
        parts += [(run.name, run.unreadable) for run in self.runs]
        parts += [(other.name, other.unreadable) for other in self.others]
        parts += [(each.name, each.results.left_out) for each in self.tests]
        return [(path, why, where) for where, reasons in parts for path, why in reasons]


def read_folders(folders: Sequence[str | Path]) -> Contents:
    """Looks through folders, two levels deep; a file stands for its folder."""
    contents = Contents(tuple(Path(folder) for folder in folders))
    known: set[Path] = set()
    for given in contents.folders:
        if not given.exists():
            raise MofoError(f"{given}: no such folder")
        before = len(known)
        for folder in _walk(given if given.is_dir() else given.parent, _DEPTH):
            place = folder.resolve()
            if place not in known and _take(folder, contents):
                known.add(place)
        if len(known) == before and not any(given.resolve() in (p, *p.parents) for p in known):
            contents.problems.append(f"{given}: holds nothing that mofo has made")
    if not known:
        raise MofoError(
            "; ".join(contents.problems) + ": give folders of `mofo pretrain`, `finetune`, "
            "`evaluate`, `probe` or `detect`, or one that has them in it"
        )
    for several in (contents.runs, contents.tests, contents.areas, contents.others):
        _name(several)
    return contents


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """The folder, then those in it, by name."""
    yield folder
    try:
        below = sorted(folder.iterdir()) if depth else []
    except OSError:
        return
    for each in below:
        if each.is_dir() and each.name not in _CLOSED and not each.name.startswith("."):
            yield from _walk(each, depth - 1)


def _take(folder: Path, contents: Contents) -> bool:
    """Adds what one folder holds; False if that is nothing."""
    before = len(contents.problems)
    size = len(contents)
    try:
        if (folder / "metrics.jsonl").is_file() or (
            (folder / "settings.yaml").is_file() and (folder / "checkpoints").is_dir()
        ):
            contents.runs.append(_run(folder, contents.problems))
        if (folder / "results.json").is_file():
            contents.tests.append(Test(folder, read_results(folder / "results.json")))
        if any(folder.glob("videos/*.parquet")):
            store = AreaStore.open(folder)
            store.videos()  # a damaged table is found here
            failures: Reasons = ()
            with contextlib.suppress(OSError, ValueError, MofoError):
                failures = tuple(sorted(read_failures(folder).items()))
            contents.areas.append(AreaFolder(folder, store, failures))
        contents.others += _others(folder)
    except MofoError as error:
        contents.problems.append(str(error))
    return len(contents) > size or len(contents.problems) > before


def _others(folder: Path) -> Iterator[OtherFolder]:
    """A check of a data set, features, weights, also as others read them."""
    check = _json(folder / "check.json")
    if check:
        rows = [row for row in check.get("list", ()) if isinstance(row, dict)]
        reasons = tuple((str(row.get("what")), str(row.get("reason"))) for row in rows)
        text = f"{check.get('rows', 0):,} rows of {check.get('files', 0):,} files, "
        yield OtherFolder(folder, "check of a data set", f"{text}{len(rows):,} problems", reasons)
    if (folder / "_about.json").is_file():
        yield from _features(folder, sorted(folder.glob("*.parquet")))
    elif not (folder / "videos").is_dir():
        for file in sorted(folder.glob("*.parquet")):
            yield from _features(file, [file])
    weights = _json(folder / "checkpoint.json")
    if weights:
        yield OtherFolder(folder, "weights", str(weights.get("imported") or weights.get("task")))
    config = _json(folder / "config.json")
    if config and any(folder.glob("*.safetensors")):
        kind = config.get("architectures") or [config.get("model_type") or "a model"]
        yield OtherFolder(folder, "exported weights", str(kind[0]))


def _features(path: Path, files: Sequence[Path]) -> Iterator[OtherFolder]:
    """What ``mofo embed`` has written; nothing if these are other tables."""
    try:
        tables = [pq.read_metadata(file) for file in files]
    except (OSError, pa.ArrowException):
        return
    about = json.loads(((tables and tables[0].metadata) or {}).get(META, b"{}"))
    if "layer" in about:  # stores of areas are Parquet, too
        rows = sum(table.num_rows for table in tables)
        text = f"{rows:,} rows, layer {about['layer']}, {about.get('pool')}"
        yield OtherFolder(path, "features", text)


def _run(folder: Path, problems: list[str]) -> TrainingRun:
    settings = _settings(folder / "settings.yaml", problems)
    metrics = _lines(folder / "metrics.jsonl", "step")
    checkpoint: dict[str, Any] = {}
    try:
        checkpoint = open_checkpoint(folder).metadata.model_dump(exclude_none=True)
    except CheckpointError as error:
        if (folder / "checkpoints").is_dir():
            problems.append(str(error))
    kind = str(checkpoint.get("task") or "")
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
        validation=_lines(folder / "validation.jsonl", "step"),
        versions=_texts(_json(folder / "versions.json") or checkpoint.get("versions")),
        unreadable=tuple(reasons.items()),
        pictures=tuple(sorted((folder / "pictures").glob("*.png"))),
        checkpoint=checkpoint,
    )


def _settings(path: Path, problems: list[str]) -> dict[str, dict[str, Any]]:
    try:
        return _sections(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
        problems.append(f"{path}: {why}, so what was run is known in part only")
    return {}


def _sections(content: Any) -> dict[str, dict[str, Any]]:
    """Only what has the form of a recipe."""
    content = content if isinstance(content, dict) else {}
    return {str(key): part for key, part in content.items() if isinstance(part, dict)}


def _lines(path: Path, *needed: str) -> tuple[Line, ...]:
    try:
        return tuple(line for line in json_lines(path) if all(key in line for key in needed))
    except OSError:
        return ()


def number(line: Line, key: str) -> float:
    """Returns a value of a line; NaN where there is none, or anything else."""
    value = line.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def _json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; empty if it cannot be read, or holds anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _texts(content: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in content.items()} if isinstance(content, dict) else {}


def _name(several: list[Any]) -> None:
    """Gives names for a reader: the last parts of folders, as many as make them differ."""
    places = [each.folder.absolute().parts for each in several]
    depth = 1
    while len({place[-depth:] for place in places}) < len(set(places)):
        depth += 1
    for k, place in enumerate(places):
        several[k] = replace(several[k], name="/".join(place[-depth:]))
