"""Which videos a run has to do: what was asked for, less what is finished already."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from mofo.motion.merge import Holdings
from mofo.motion.parts import in_shard
from mofo.motion.records import IMPORTED, changes, storable
from mofo.system.files import replaced
from mofo.types import StoreError

if TYPE_CHECKING:
    from mofo.datasets.catalog import Catalog

Shard = tuple[int, int]
WHOLE: Shard = (1, 1)


class Work(NamedTuple):
    """One video to do. ``draw_only``: its area is finished, only the overlay is missing."""

    key: str
    path: str
    size: int
    draw_only: bool


@dataclass
class Plan:
    """What is to be done, and what came out of looking at the sources.

    Attributes:
        works: to do, in catalog order.
        found: videos asked for, bad names included.
        skipped: finished already.
        failures: name -> reason, for what cannot be used.
        note: one line for the user when settings changed, or empty.
    """

    works: list[Work] = field(default_factory=list)
    found: int = 0
    skipped: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    note: str = ""


def make_plan(
    catalog: Catalog, here: Holdings, *, shard: Shard = WHOLE, overlay: bool = False
) -> Plan:
    """Compare the sources with what the store holds.

    A video is finished when the store has its key with the same settings and the same file size.

    Raises:
        StoreError: the settings changed, and videos of the store are no longer there to be done
            again; or the store holds imported boxes.
    """
    plan = Plan()
    asked: dict[str, str] = {}
    for name, reason in catalog.problems:
        if in_shard(name, shard):  # each problem is told by one shard
            plan.found += 1
            plan.failures[storable(name)] = reason
    for video in catalog.videos:
        key = storable(video.key)
        if not in_shard(key, shard):
            continue
        if key in asked:
            # A data set may list parts of one file as several rows; the file is done once.
            if not _same_file(asked[key], video.path):
                plan.found += 1
                plan.failures[storable(video.path)] = (
                    f"has the same name as {storable(asked[key])}: rename one of them"
                )
            continue
        asked[key] = video.path
        plan.found += 1
        _decide(plan, here, key, video.path, overlay)
    _again(plan, here, asked, shard, overlay)
    return plan


def overlay_files(folder: Path, key: str) -> tuple[Path, Path]:
    """Where the overlay (mp4) and the contact sheet (png) of a video lie.

    ``a/b.mp4`` gives ``b.mp4`` and ``b.png``; other endings stay in the name, as ``b.webm.mp4``.
    """
    parts = [part for part in PurePosixPath(key).parts if part not in ("/", "..")]
    base = folder.joinpath("overlays", *parts)
    base = base.with_suffix("") if base.suffix == ".mp4" else base
    return base.with_name(base.name + ".mp4"), base.with_name(base.name + ".png")


def _decide(plan: Plan, here: Holdings, key: str, path: str, overlay: bool) -> None:
    try:
        size = Path(path).stat().st_size
    except OSError as error:
        plan.failures[key] = f"cannot be read: {error.strerror or error}"
        return
    held = here.held.get(key)
    if held is not None and storable(path) != held.path and _another(held.path, path):
        plan.failures[key] = f"another video of this name is in the store already ({held.path})"
    elif held is None or not held.current or held.size != size:
        plan.works.append(Work(key, path, size, False))
    elif overlay and not all(file.is_file() for file in overlay_files(here.folder, key)):
        plan.works.append(Work(key, path, size, True))
    else:
        plan.skipped += 1


def _again(plan: Plan, here: Holdings, asked: dict[str, str], shard: Shard, overlay: bool) -> None:
    """Videos in the store with other settings: a store has one, so they are done again too."""
    if not here.others:
        return
    if None in here.others:
        raise StoreError(f"{here.folder}: holds {IMPORTED}: choose another folder for detections")
    pending = [key for key in here.pending() if in_shard(key, shard)]
    rest = [key for key in pending if key not in asked]
    gone = [key for key in rest if not os.access(here.held[key].path, os.R_OK)]
    difference = "; ".join(changes(old, here.settings) for old in here.others)
    if gone:
        raise StoreError(
            f"{here.folder}: the settings changed ({difference}), but {len(gone)} of its videos "
            f"are gone, such as {here.held[gone[0]].path}: choose another folder"
        )
    for key in rest:
        plan.found += 1
        _decide(plan, here, key, here.held[key].path, overlay)
    if pending:
        plan.note = f"settings changed ({difference}): {len(pending)} videos are detected again"


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - Path.samefile is no shorter here
    except OSError:
        return one == other


def _another(old: str, new: str) -> bool:
    """Whether the file that the store was made from is still there, and is not ``new``."""
    return Path(old).exists() and not _same_file(old, new)


def failures_file(folder: Path, shard: Shard | None) -> Path:
    """``failures.csv``, or the shard's own."""
    part = "" if shard is None else f"-{shard[0]:05d}-of-{shard[1]:05d}"
    return folder / f"failures{part}.csv"


def write_failures(file: Path, failures: Iterable[tuple[str, str]]) -> None:
    """Write the table of (name, reason); no failures, no file."""
    rows = list(failures)
    if not rows:
        file.unlink(missing_ok=True)
        return
    with (
        replaced(file) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as out,
    ):
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("name", "reason"))
        table.writerows((storable(name), storable(reason)) for name, reason in rows)


def read_failures(folder: Path) -> dict[str, str]:
    """All failures noted in ``folder``, those of shards included: name -> reason."""
    found: dict[str, str] = {}
    for file in sorted(folder.glob("failures*.csv")):
        with file.open(newline="", encoding="utf-8") as lines:
            found.update((row["name"], row["reason"]) for row in csv.DictReader(lines))
    return found
