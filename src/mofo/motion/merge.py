"""What a folder holds of motion areas, and the merge of parts and shards into tables.

Nothing is deleted before everything that replaces it is on the disk, and everything found twice
is the same twice, so a merge may be killed between any two steps and simply done again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mofo.motion.parts import (
    PARTS,
    DamagedError,
    damage_named,
    in_shard,
    part_file,
    part_files,
    read_part,
    read_schema,
)
from mofo.motion.presets import DetectSettings
from mofo.motion.records import AREAS, VIDEOS, Meta, changes, from_rows, join_versions
from mofo.motion.tables import AreasFile, Pair, TableWriter, pairs
from mofo.system.files import replaced
from mofo.types import MotionArea, StoreError


class Held(NamedTuple):
    """One video that is finished in this folder: where it lies, and what it was made from.

    ``table`` is the number of the pair, -1 for a part; ``row`` the row in its videos table.
    ``current``: made with the settings asked for.
    """

    path: str
    size: int
    current: bool
    table: int
    row: int


class Located(NamedTuple):
    """The rows of one video in a file of the store: small enough to be sent to a worker."""

    file: Path
    video: dict[str, Any]

    def area(self) -> MotionArea:
        """The motion area itself."""
        rows = AreasFile(self.file).rows(self.video["video"])
        return from_rows(_checked(self.file, self.video, rows)[1], self.video)


@dataclass
class Holdings:
    """Everything finished in a folder, as seen by a run with ``settings``.

    Attributes:
        held: video -> where; a part before a table, a shard before the undivided table, and what
            has the right settings before everything else.
        others: settings that differ, each once.
    """

    folder: Path
    settings: DetectSettings | None
    tables: list[Pair]
    held: dict[str, Held] = field(default_factory=dict)
    metas: list[Meta] = field(default_factory=list)
    others: list[DetectSettings | None] = field(default_factory=list)
    _videos: dict[int, pa.Table] = field(default_factory=dict)

    def locate(self, key: str) -> Located:
        """Where the rows of one finished video are."""
        held = self.held[key]
        if held.table < 0:
            part = read_part(part_file(self.folder, key))
            return Located(part.file, part.video)
        if held.table not in self._videos:
            self._videos[held.table] = self.tables[held.table].read_videos()
        video = self._videos[held.table].slice(held.row, 1).to_pylist()[0]
        return Located(self.tables[held.table].areas, video)

    def pending(self) -> list[str]:
        """Videos that are here with other settings only."""
        return [key for key, held in self.held.items() if not held.current]


def scan(folder: Path, settings: DetectSettings | None) -> Holdings:
    """Look at all tables and parts of ``folder``; torn parts are deleted (see ``parts``).

    Raises:
        StoreError: a table is damaged or made by a newer mofo.
    """
    here = Holdings(folder, settings, pairs(folder))
    for number, pair in enumerate(here.tables):
        meta = pair.meta()
        # Killed between the two renames of a merge, the pair can disagree with itself; what the
        # areas file says is what its rows are.
        found = Meta.read(read_schema(pair.areas), str(pair.areas)).settings
        here.metas.append(meta)
        current = meta.settings == found == settings
        if not current:
            _remember(here.others, meta.settings if found == settings else found)
        table = pair.read_videos(["video", "path", "bytes"])
        columns = (table[name].to_pylist() for name in ("video", "path", "bytes"))
        for row, (key, path, size) in enumerate(zip(*columns, strict=True)):
            _hold(here, key, Held(path, size, current, number, row))
    for file in part_files(folder):
        try:
            part = read_part(file)
        except DamagedError:
            # Also when a shard beside us has just merged and deleted it: then it is not ours.
            file.unlink(missing_ok=True)
            continue
        current = part.meta.settings == settings
        if not current:
            _remember(here.others, part.meta.settings)
        video = part.video
        _hold(here, video["video"], Held(video["path"], video["bytes"], current, -1, 0))
    return here


def merge(here: Holdings, shard: tuple[int, int] | None, drop: Callable[[str], bool]) -> Pair:
    """Bring parts (and, for ``shard`` None, all shards) into one pair; return the pair.

    Call it with a fresh ``scan``. Does nothing when there is nothing to bring in.

    Args:
        drop: videos with other settings that may be left out, because they were tried again and
            failed.

    Raises:
        StoreError: videos with other settings would be lost; a file is damaged.
    """
    target = Pair(here.folder, shard)
    number = here.tables.index(target) if target in here.tables else None
    mine = _chooser(here, shard)
    lost = [key for key in would_lose(here, shard) if not drop(key)]
    if lost:
        difference = "; ".join(changes(old, here.settings) for old in here.others)
        raise StoreError(
            f"{here.folder}: {len(lost)} videos are of other settings ({difference}), the first "
            f"is {min(lost)!r}: finish their detection first"
        )
    keys = sorted(key for key, held in here.held.items() if held.current and mine(key, held))
    if not _up_to_date(here, target, number, keys):
        here.folder.mkdir(parents=True, exist_ok=True)
        _write(here, target, keys)
    _tidy(here, target)
    return target


def would_lose(here: Holdings, shard: tuple[int, int] | None) -> list[str]:
    """Videos that a merge now would drop: they are here with other settings only."""
    mine = _chooser(here, shard)
    return [key for key in here.pending() if mine(key, here.held[key])]


def _chooser(here: Holdings, shard: tuple[int, int] | None) -> Callable[[str, Held], bool]:
    """Which videos a merge brings into its pair."""
    if shard is None:
        return lambda key, held: True
    own = Pair(here.folder, shard)
    number = here.tables.index(own) if own in here.tables else None
    return lambda key, held: held.table == number if held.table >= 0 else in_shard(key, shard)


def _hold(here: Holdings, key: str, new: Held) -> None:
    old = here.held.get(key)
    if old is None or new.current or not old.current:
        here.held[key] = new


def _remember(others: list[DetectSettings | None], settings: DetectSettings | None) -> None:
    if settings not in others:
        others.append(settings)


def _up_to_date(here: Holdings, target: Pair, number: int | None, keys: list[str]) -> bool:
    if number is None:
        # An empty table is written only where other tables are to go.
        return not keys and not (here.tables and target.shard is None)
    mine = [held for held in here.held.values() if held.table == number]
    same = len(mine) == len(keys) and all(here.held[key].table == number for key in keys)
    return same and all(held.current for held in mine)


def _write(here: Holdings, target: Pair, keys: list[str]) -> None:
    used = sorted({here.held[key].table for key in keys} - {-1})
    found = [here.metas[number].versions for number in used]
    for key in keys:
        if here.held[key].table < 0:
            found.append(read_part(part_file(here.folder, key)).meta.versions)
            found = [join_versions(found)]
    seen = join_versions(found)
    # Renamed in the order of leaving, the last first: so the videos file, the commit point, last.
    with (
        replaced(target.videos, flush=True) as videos_file,
        replaced(target.areas, flush=True) as areas_file,
    ):
        areas = TableWriter(areas_file, Meta("areas", here.settings, seen).attach(AREAS))
        videos = TableWriter(videos_file, Meta("videos", here.settings, seen).attach(VIDEOS))
        waiting: list[dict[str, Any]] = []
        for video, rows in _finished(here, keys, used):
            areas.write(rows)
            waiting.append(video)
            if len(waiting) >= 4096:
                videos.write(pa.Table.from_pylist(waiting, VIDEOS))
                waiting.clear()
        videos.write(pa.Table.from_pylist(waiting, VIDEOS))
        areas.close()
        videos.close()


def _finished(
    here: Holdings, keys: list[str], used: list[int]
) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """Every video of ``keys`` (sorted): its row, and its frames' rows."""
    with contextlib.ExitStack() as stack:
        files = {number: AreasFile(here.tables[number].areas) for number in used}
        for file in files.values():
            stack.callback(file.close)
        cursors = {number: _Cursor(file) for number, file in files.items()}
        tables = {number: here.tables[number].read_videos() for number in used}
        for key in keys:
            held = here.held[key]
            if held.table < 0:
                part = read_part(part_file(here.folder, key))
                with damage_named(part.file):
                    rows = pq.read_table(part.file, partitioning=None)
                yield _checked(part.file, part.video, rows)
            else:
                video = tables[held.table].slice(held.row, 1).to_pylist()[0]
                rows = cursors[held.table].take(key)
                yield _checked(here.tables[held.table].areas, video, rows)


def _checked(file: Path, video: dict[str, Any], rows: pa.Table) -> tuple[dict[str, Any], pa.Table]:
    if len(rows) != video["frames"]:
        raise DamagedError(
            f"{file}: {len(rows)} frames of {video['video']}, expected {video['frames']}: "
            "delete this file and its videos file, then detect again"
        )
    return video, rows


class _Cursor:
    """Takes videos out of a sorted areas file, forwards only, one row group in memory."""

    def __init__(self, file: AreasFile) -> None:
        self._runs = file.runs()
        self._next = next(self._runs, None)

    def take(self, key: str) -> pa.Table:
        pieces = []
        while self._next is not None and self._next[0] <= key:
            if self._next[0] == key:
                pieces.append(self._next[1])
            self._next = next(self._runs, None)
        # Pieces of different row groups have different dictionaries; all are read as text.
        plain = [piece.replace_schema_metadata(None).cast(AREAS) for piece in pieces]
        return pa.concat_tables(plain) if plain else AREAS.empty_table()


def _tidy(here: Holdings, target: Pair) -> None:
    """Delete what the tables now hold, and parts of settings that no longer count."""
    if target.shard is None:
        for pair in here.tables:
            if pair != target:
                pair.remove()
        for file in here.folder.glob("areas-*-of-*.parquet"):
            file.unlink()  # of a pair whose removal was broken off in the middle
    for key, held in here.held.items():
        if held.table < 0 and (target.shard is None or in_shard(key, target.shard)):
            part_file(here.folder, key).unlink(missing_ok=True)
    if target.shard is None:
        for file in part_files(here.folder):
            file.unlink(missing_ok=True)
        for folder in (here.folder, here.folder / PARTS):
            for file in folder.glob(".*.tmp"):
                file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (here.folder / PARTS).rmdir()
