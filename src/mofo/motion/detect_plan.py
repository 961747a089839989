"""Which videos a run has to do: all of the sources, less what is finished."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mofo.datasets.catalog import Catalog
from mofo.datasets.inspect_file import FileMetadata, probe
from mofo.datasets.video import Video
from mofo.motion.detect_worker import picture_files
from mofo.motion.listed import Spans, covers, joined, wanted_spans
from mofo.motion.merge import Holdings
from mofo.motion.parts import in_shard
from mofo.motion.records import IMPORTED, changes, storable
from mofo.system.files import csv_cell, csv_text, replaced
from mofo.types import SettingsError, StoreError, VideoError
from mofo.video.location import file_state, locate

Shard = tuple[int, int]
WHOLE: Shard = (1, 1)
_OPENED = 8  # files


def check_shard(shard: Shard) -> None:
    """Raises SettingsError: there is no such part."""
    if not 1 <= shard[0] <= shard[1]:
        raise SettingsError(
            f"shard {shard[0]}/{shard[1]}: the first number goes from 1 to the second"
        )


class Work(NamedTuple):
    """One video to do.

    ``draw_only``: its area is finished, only pictures are missing. ``spans``: only these segments
    are looked at; none: all of it.
    """

    key: str
    path: str
    size: int
    draw_only: bool
    spans: Spans = ()


@dataclass
class Plan:
    """What is to be done, and what came out of looking at the sources.

    Attributes:
        here: what is finished.
        shard: only this part of the videos.
        pictures: endings of the pictures that each video is to have.
        margin: seconds around listed segments that are looked at; None: whole files.
        works: to do, in catalog order.
        total: videos asked for, bad names included.
        skipped: finished already.
        failures: name -> reason, for what cannot be used.
        note: one line for the user when settings changed, or empty.
    """

    here: Holdings
    shard: Shard = WHOLE
    pictures: Collection[str] = ()
    margin: float | None = None
    works: list[Work] = field(default_factory=list)
    total: int = 0
    skipped: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def add_catalog(self, catalog: Catalog) -> None:
        """Compares the sources with what the store holds.

        A video is finished when the store has its key with the same settings and file size.

        Raises:
            StoreError: the settings changed, and videos of the store are no longer there to be
                done again; or the store holds imported boxes.
        """
        wanted: dict[str, str] = {}
        rows: dict[str, list[Video]] = defaultdict(list)
        for video in catalog.videos if self.margin is not None else ():
            rows[storable(video.key)].append(video)
        for name, reason in catalog.problems:
            if in_shard(name, self.shard):  # each problem belongs to one shard
                self.total += 1
                self.failures[storable(name)] = reason
        for video in catalog.videos:
            key = storable(video.key)
            if not in_shard(key, self.shard):
                continue
            if key not in wanted:
                wanted[key] = video.path
                self._add(key, video.path, wanted_spans(rows.pop(key, ()), self.margin or 0.0))
            elif not _same_file(wanted[key], video.path):
                # A data set may list parts of one file as several rows; the file is done once.
                self.total += 1
                self.failures[storable(video.path)] = (
                    f"has the same name as {storable(wanted[key])}: rename one of them"
                )
        if self.here.others:
            self._add_changed(wanted)

    def _add(self, key: str, path: str, spans: Spans = ()) -> None:
        self.total += 1
        try:
            size = locate(path).size
        except VideoError as error:
            self.failures[key] = error.reason
            return
        held = self.here.held.get(key)
        have = held.spans if held is not None and held.current else ()
        if held is not None and storable(path) != held.path and _is_other(held.path, path):
            self.failures[key] = f"another video of this name is in the store already ({held.path})"
        elif held is None or not held.current or held.size != size:
            self.works.append(Work(key, path, size, False, spans))
        elif not covers(have, spans):
            more = joined([*have, *spans]) if spans else ()
            self.works.append(Work(key, path, size, False, more))
        elif not all(file.is_file() for file in self._pictures(key)):
            self.works.append(Work(key, path, size, True))
        else:
            self.skipped += 1

    def frames(self) -> float:
        """Frames to look at, about: by some of the files."""
        works = [work for work in self.works if not work.draw_only]
        some = works[:: max(1, len(works) // _OPENED)]
        counts = []
        for work, (_, file) in zip(some, probe([one.path for one in some], _OPENED), strict=True):
            if isinstance(file, FileMetadata):
                listed = sum(end - start for start, end in work.spans) * (file.fps or 25.0)
                counts.append(min(file.frames, listed or file.frames))
        return len(works) * sum(counts) / max(1, len(counts))

    def _pictures(self, key: str) -> list[Path]:
        return picture_files(self.here.folder, key, self.pictures)

    def _add_changed(self, wanted: dict[str, str]) -> None:
        """Videos in the store with other settings: a store has one, so they are done again too."""
        here = self.here
        if None in here.others:
            raise StoreError(
                f"{here.folder}: holds {IMPORTED}: choose another folder for detections"
            )
        pending = [key for key in here.pending() if in_shard(key, self.shard)]
        rest = [key for key in pending if key not in wanted]
        gone = [key for key in rest if file_state(here.held[key].path)[1] < 0]
        difference = "; ".join(changes(old, here.settings) for old in here.others)
        if gone:
            raise StoreError(
                f"{here.folder}: the settings changed ({difference}), but {len(gone)} of its "
                f"videos are gone, such as {here.held[gone[0]].path}: choose another folder"
            )
        for key in rest:
            self._add(key, here.held[key].path)
        if pending:
            self.note = f"settings changed ({difference}): {len(pending)} videos are detected again"


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - Path.samefile is no shorter here
    except OSError:
        return one == other


def _is_other(old: str, new: str) -> bool:
    """Whether the file that the store was made from is still there, and is not ``new``."""
    return file_state(old)[1] >= 0 and not _same_file(old, new)


def failures_file(folder: Path, shard: Shard) -> Path:
    """``failures.csv``, or the shard's own."""
    part = "" if shard == WHOLE else f"-{shard[0]:05d}-of-{shard[1]:05d}"
    return folder / f"failures{part}.csv"


def write_failures(file: Path, failures: Iterable[tuple[str, str]]) -> None:
    """Writes the table of (name, reason); no failures, no file."""
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
        table.writerows([csv_cell(storable(text)) for text in row] for row in rows)


def read_failures(folder: Path) -> dict[str, str]:
    """All failures noted in ``folder``, those of shards included: name -> reason."""
    failures: dict[str, str] = {}
    for file in sorted(folder.glob("failures*.csv")):
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                failures[csv_text(row["name"])] = csv_text(row["reason"])
    return failures
