"""Tar shards, as the webdataset library writes and reads them.

::

    shards/                  train-000.tar
        train-000.tar            walk_01.mp4
        train-001.tar            walk_01.cls     a class: number or name
        val-000.tar              walk_01.json    {"label": "walk", "split": "train", ...}
                                 walk_01.txt     a class, or a caption

Members that share their name up to its first dot are one sample. ``.json`` may have what a table
has (``label``, ``labels``, ``verb``, ``noun``, ``start``, ``end``, ``split``, ``group``), or
``segments``, a list of such. Texts count as classes only if they repeat: captions do not. Where
nothing else says a class, folders inside the shards do, as outside of them. Shards are not
unpacked: videos are read where they lie.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mofo.datasets.formats.class_folders import FolderNames
from mofo.datasets.formats.documents import SPLITS
from mofo.datasets.formats.format import FORMATS, RowFormat
from mofo.datasets.formats.source import Source
from mofo.datasets.formats.table import HEADS, SEVERAL, video_of_row
from mofo.datasets.listing import Listing, Problems, Rows, is_shard, is_video, video_files
from mofo.datasets.video import LABEL, Video
from mofo.types import MofoError, VideoError
from mofo.video.shard import Shard, open_shard

_MOST_CLASSES = 100_000


@FORMATS.register("webdataset")
class WebDataset(RowFormat):
    """A tar file, or a folder of tar files and no videos beside them."""

    about = "tar shards, as WebDataset's"
    rank = 2

    def recognises(self, source: Source) -> bool:
        """By names; a folder that has videos, too, is one of videos."""
        if not source.is_folder:
            return is_shard(source.path.name)
        files = video_files(source.path, [], lambda name: is_shard(name) or is_video(name))
        has_any, has_videos = False, False
        for file in files:
            has_any, has_videos = True, is_video(file)
            if has_videos:
                break
        return has_any and not has_videos

    def rows(self, source: Source) -> tuple[Listing, Rows]:
        """The videos of all shards; see ``RowFormat``."""
        shards = [str(source.path)]
        if source.is_folder:
            shards = list(video_files(source.path, source.problems, is_shard))
        listing = Listing(str(source.folder))
        return listing, Samples(shards, listing, is_named=source.is_named).videos

    def usable_rows(self, source: Source) -> tuple[Listing, Rows]:
        """The same: what a shard lists is there."""
        return self.rows(source)


class Samples:
    """The videos of several shards, and what their other members say about them.

    ``listing``: for the keys; gets the order of classes from ``videos``.
    """

    def __init__(self, shards: Sequence[str], listing: Listing, *, is_named: bool = False) -> None:
        self._shards, self._listing = shards, listing
        folders: Counter[tuple[str, ...]] = Counter()
        captions: set[int] = set()
        count, is_described = 0, False
        for shard in self._readable([]):
            for name in _videos(shard):
                folders[tuple(name.split("/")[:-1])] += 1
            for texts in _texts(shard).values():
                is_described |= "json" in texts or "cls" in texts
                count += "txt" in texts
                captions.add(hash(texts.get("txt")))
        self._top = len(os.path.commonprefix([*folders]))  # noqa: RUF071 - parts, not strings
        inner = Counter({names[self._top :]: n for names, n in folders.items()})
        self._folders = FolderNames(Counter() if is_described else inner, is_named=is_named)
        self._has_classes = len(captions) <= max(1, count / 2)
        splits = [_split(listing.key(shard)) for shard in shards]
        known = {*splits}
        # All of a set that is called "test" are not for testing: a name may mean other things.
        self._in_splits = None not in known and (len(known) > 1 or known == {"train"})

    def videos(self, problems: Problems) -> Iterator[Video]:
        """All videos, or their segments, shard by shard, in the order of names."""
        classes: dict[int, set[str]] = {}
        for shard in self._readable(problems):
            texts = _texts(shard)
            split = _split(self._listing.key(shard.file)) if self._in_splits else None
            for name in _videos(shard):
                path = f"{shard.file}/{name}"
                labels, own_split = self._folders(tuple(name.split("/")[self._top : -1]))
                start = Video(path, self._listing.key(path), labels, split=own_split or split)
                about = texts.get(sample_key(name)[0])
                if about is None:
                    yield start
                    continue
                for number, video in self._described(start, about, problems):
                    if number.isdecimal() and video.label:
                        classes.setdefault(int(number), set()).add(video.label)
                    yield video
        names = {number: next(iter(several)) for number, several in classes.items()}
        if (
            names
            and max(names) < _MOST_CLASSES
            and len({*names.values()}) == len(names)
            and all(len(several) == 1 for several in classes.values())
        ):
            order = tuple(names.get(number, str(number)) for number in range(max(names) + 1))
            self._listing.classes = {LABEL: order}

    def _described(
        self, start: Video, about: dict[str, str], problems: Problems
    ) -> Iterator[tuple[str, Video]]:
        """A video as its sample describes it, once or for each segment; with class numbers."""
        text = about.get("cls") or (about.get("txt") if self._has_classes else None)
        rows: list[dict[str, Any]] = [{}]
        if "json" in about:
            try:
                content = json.loads(about["json"])
                several = content.get("segments")
                rows = several if isinstance(several, list) and several else [content]
                rows = [dict(row) for row in rows]
            except (ValueError, AttributeError, TypeError, RecursionError):
                problems.append((f"{start.path}, .json", "is no JSON object: not used"))
        for row in rows:
            try:
                said = video_of_row(_cells(row), "")
            except ValueError as error:
                problems.append((f"{start.path}, .json", str(error)))
                said = start
            labels = said.labels or (((LABEL, text),) if text else start.labels)
            yield str(row.get("cls", about.get("cls", ""))), replace(
                start, labels=labels, start=said.start, end=said.end,
                split=said.split or start.split, group=said.group, name=row.get("name"),
            )  # fmt: skip

    def _readable(self, problems: Problems) -> Iterator[Shard]:
        for file in self._shards:
            try:
                shard = open_shard(file)
            except VideoError as error:
                problems.append((file, error.reason))
            except MofoError as error:
                problems.append((file, str(error).removeprefix(f"{file}: ")))
            except OSError as error:
                problems.append((file, f"cannot be read ({error.strerror or error})"))
            else:
                problems += [(f"{file}/{n}" if n else file, why) for n, why in shard.problems]
                yield shard


def sample_key(name: str) -> tuple[str, str]:
    """Name of the sample that a member is of, and the member's ending, in small letters."""
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _videos(shard: Shard) -> Iterator[str]:
    for name in shard.members["name"].to_pylist():
        if is_video(name) and not os.path.basename(name).startswith("."):  # noqa: PTH119
            yield name


def _texts(shard: Shard) -> dict[str, dict[str, str]]:
    """By sample, the texts of its members by ending."""
    texts: dict[str, dict[str, str]] = {}
    rows = shard.members.filter(shard.members["text"].is_valid())
    for name, text in zip(rows["name"].to_pylist(), rows["text"].to_pylist(), strict=True):
        key, ending = sample_key(name)
        texts.setdefault(key, {})[ending] = text.decode("utf-8-sig", "replace").strip()
    return texts


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """A JSON object as a row of a table."""
    cells = {"path": "-"}
    for name, value in row.items():
        column = SEVERAL if name == LABEL and isinstance(value, list) else name
        if column in (*HEADS, SEVERAL, "start", "end", "split", "group") and value is not None:
            cells[column] = ";".join(map(str, value)) if isinstance(value, list) else str(value)
    return cells


def _split(key: str) -> str | None:
    """The split that a shard or its folder is named after."""
    words = re.split(r"[^a-z]+", key.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)
