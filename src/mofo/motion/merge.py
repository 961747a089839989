"""What a folder holds of motion areas, and how small parts become a large one.

Nothing is removed before everything that replaces it is on the disk, and what is there twice is the
same twice, so a merge may be killed between any two steps and simply done again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from mofo.motion.listed import Spans
from mofo.motion.parts import (
    AreasFile,
    DamagedError,
    Part,
    in_shard,
    merged_part,
    new_part,
    part_of,
    parts,
)
from mofo.motion.presets import DetectSettings
from mofo.motion.records import Meta, changes, from_rows, join_versions, spans_of
from mofo.system.files import remove_temporaries
from mofo.types import MotionArea, StoreError

# Rows up to which a part is put together with others at the end of a run.
SMALL_ROWS = 1 << 20


class Held(NamedTuple):
    """One video that is finished in this folder: where it is, and what it was made from.

    Attributes:
        path, size: of the video file.
        current: made with the settings asked for.
        spans: what was looked at; none: all of it.
        part: number of the part.
        row: in the part's table of videos.
    """

    path: str
    size: int
    current: bool
    part: int
    row: int
    spans: Spans = ()


class Located(NamedTuple):
    """One finished video in a part of the store: small enough to be sent to a worker."""

    part: Part
    video: dict[str, Any]

    def area(self) -> MotionArea:
        """The motion area itself."""
        with contextlib.closing(AreasFile(self.part)) as file:
            return from_rows(file.rows(self.video), self.video)


@dataclass
class Holdings:
    """Everything finished in a folder, as seen by a run with ``settings``.

    Attributes:
        held: video -> where; what has the right settings before everything else, then the latest.
        others: settings that differ, each once, the latest last.
    """

    folder: Path
    settings: DetectSettings | None
    parts: list[Part] = field(default_factory=list)
    metas: list[Meta] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    held: dict[str, Held] = field(default_factory=dict)
    others: list[DetectSettings | None] = field(default_factory=list)

    def locate(self, key: str) -> Located:
        """Where the rows of one finished video are."""
        held = self.held[key]
        return Located(
            self.parts[held.part], self.tables[held.part].slice(held.row, 1).to_pylist()[0]
        )

    def pending(self) -> list[str]:
        """Videos that are here with other settings only."""
        return [key for key, held in self.held.items() if not held.current]


def scan(folder: Path, settings: DetectSettings | None) -> Holdings:
    """Looks at all parts of ``folder``; a torn one of a single video is removed: it is not done.

    Raises:
        StoreError: a part was made by another version of mofo, or a merged one is damaged.
    """
    several = []
    for part in parts(folder):
        try:
            several.append((part.meta(), part, part.read_videos()))
        except DamagedError:
            if part.is_merged and part.areas.exists():
                raise  # many videos: their owner decides
            # Also when a shard beside us has just merged and removed it: then it is not ours.
            part.remove()
    here = Holdings(folder, settings)
    for number, (meta, part, table) in enumerate(sorted(several, key=lambda one: one[0].made)):
        here.parts.append(part)
        here.metas.append(meta)
        here.tables.append(table)
        current = meta.settings == settings
        if not current:
            here.others = [other for other in here.others if other != meta.settings]
            here.others.append(meta.settings)
        for row, video in enumerate(table.select(["video", "path", "bytes", "spans"]).to_pylist()):
            old = here.held.get(video["video"])
            if old is None or current or not old.current:
                held = Held(video["path"], video["bytes"], current, number, row, spans_of(video))
                here.held[video["video"]] = held
    return here


def merge(
    here: Holdings,
    shard: tuple[int, int] = (1, 1),
    drop: Callable[[str], bool] = lambda key: False,
    *,
    everything: bool = False,
) -> None:
    """Puts small parts together, and removes what is out of date; call it with a fresh ``scan``.

    Args:
        shard: (I, N) with N > 1: only single videos of this shard, since others are at work.
        drop: videos with other settings that may be left out, because they were tried again and
            failed.
        everything: large parts, too.

    Raises:
        StoreError: videos with other settings would be lost; a file is damaged.
    """
    is_whole = shard == (1, 1)
    lost = [key for key in here.pending() if not drop(key)] if is_whole else []
    if lost:
        difference = "; ".join(changes(old, here.settings) for old in here.others)
        raise StoreError(
            f"{here.folder}: {len(lost)} videos are of other settings ({difference}), the first "
            f"is {min(lost)!r}: finish their detection first"
        )
    live: dict[int, list[int]] = {number: [] for number in range(len(here.parts))}
    for held in here.held.values():
        if held.current:
            live[held.part].append(held.row)
    if is_whole:
        chosen = [n for n in live if everything or _is_small(here, n) or _is_stale(here, n, live)]
    else:
        mine = {part_of(here.folder, key) for key in here.held if in_shard(key, shard)}
        chosen = [number for number, part in enumerate(here.parts) if part in mine]
    if len(chosen) == 1 and not _is_stale(here, chosen[0], live):
        chosen = []
    if any(live[number] for number in chosen):
        versions = join_versions(here.metas[number].versions for number in chosen)
        with new_part(merged_part(here.folder), here.settings, versions) as writer:
            for video, rows in _finished(here, {number: live[number] for number in chosen}):
                writer.add(video, rows)
    for number in chosen:
        here.parts[number].remove()
    for name in ("areas", "videos"):
        remove_temporaries(here.folder / name, alone=is_whole)
    if is_whole:
        _remove_strays(here.folder)


def _is_small(here: Holdings, number: int) -> bool:
    table = here.tables[number]
    return not here.parts[number].is_merged or sum(table["frames"].to_pylist()) < SMALL_ROWS


def _is_stale(here: Holdings, number: int, live: dict[int, list[int]]) -> bool:
    return len(live[number]) < len(here.tables[number])


def _finished(
    here: Holdings, live: dict[int, list[int]]
) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """The videos in these rows of these parts: the row of each, and its frames' rows."""
    for number, rows in live.items():
        if not rows:
            continue
        with contextlib.closing(AreasFile(here.parts[number])) as file:
            for row in sorted(rows):
                video = here.tables[number].slice(row, 1).to_pylist()[0]
                areas = file.rows(video)
                from_rows(areas, video)  # what is damaged must not get a new checksum
                yield video, areas


def _remove_strays(folder: Path) -> None:
    """Areas whose videos file is not there: what a killed process left."""
    known = {part.name for part in parts(folder)}
    for file in (folder / "areas").glob("*.parquet"):
        if file.stem not in known:
            file.unlink(missing_ok=True)
