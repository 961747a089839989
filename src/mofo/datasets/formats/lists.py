"""Plain lists, as VideoMAE, VideoMAE V2, UniFormer and MMAction2 take them: no header.

A line is a path and what follows it, with blanks, tabs or commas between::

    videos/a.mp4 3              path, number of the class
    videos/b.mp4,3              the same
    videos/c.mp4 250 3          path, number of frames, class
    videos/d.mp4 0 -1           for pre-training: from frame 0 to the end, no class
    videos/e.mp4 brush hair     path, name of the class
    "videos/my f.mp4", "a, b"   in quotes
    # text                      no video

Paths are relative to the list, or to the folder that is given for the videos. A folder that holds
``train.csv`` and ``val.csv`` of this kind is read as a whole. Numbers of frames are not needed and
not used. Lists of folders of pictures (such as VideoMAE's for Something-Something) name no videos.
"""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH111

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mofo.datasets.formats.documents import SPLITS, each_line, split_of
from mofo.datasets.formats.format import FORMATS, RowFormat
from mofo.datasets.formats.source import Source, first_line
from mofo.datasets.listing import EXTENSIONS, Listing, Problems, Rows, keyed_rows
from mofo.datasets.video import LABEL, Video
from mofo.types import MofoError
from mofo.video.storage import joined

ENDINGS = (".txt", ".csv", ".list")
"""Of names of plain lists."""
_ENDINGS = "|".join(sorted(ending[1:] for ending in EXTENSIONS))
# As long a path as possible, so that "a.mp4/b.mp4 3" is whole; it may have blanks in it.
_LINE = re.compile(rf"(.+\.(?:{_ENDINGS}))(?:[\s,;]+(.*))?", re.IGNORECASE)
_QUOTED = re.compile(rf"\"([^\"]+\.(?:{_ENDINGS}))\"(?:[\s,;]+(.*))?", re.IGNORECASE)
_BARE = re.compile(r"(\S+?)[\s,;]+(-?\d+(?:[\s,;]+-?\d+)*)")
# The row of a table that has lost its first line: "a.mp4,left,train".
_ROW = re.compile(rf"[^,]+,.*,[\s\"]*(?:{'|'.join(SPLITS)})[\s\"]*", re.IGNORECASE)
NUMBER = re.compile(r"[0-9]{1,5}")  # of a class; longer ones are ids of something else


@FORMATS.register("list")
class PlainList(RowFormat):
    """Lines of a path and a class."""

    about = "plain list of paths and classes, as VideoMAE's"
    rank = 2

    def recognises(self, source: Source) -> bool:
        """A text file whose first line is such a line, or a folder with a list for each split."""
        if source.is_folder:
            return any("train" in path.stem.lower() for path in _lists(source))
        is_text = source.path.suffix.lower() in ENDINGS
        return is_text and _is_list(first_line(source.path, skip="#"))

    def rows(self, source: Source) -> tuple[Listing, Rows]:
        """The lines of a list, or of the lists of a folder; see ``RowFormat``."""
        base = str(source.folder if source.videos is None else source.videos)
        lists = _lists(source) if source.is_folder else [source.path]
        labels: set[str] = set()

        def collected(problems: Problems) -> Iterator[Video]:
            for video in _rows(lists, base, problems):
                labels.update(name for _, name in video.labels)
                yield video

        listing, rows = keyed_rows(base, collected)
        numbers = {int(label) for label in labels if NUMBER.fullmatch(label)}
        # Names in the order of their numbers, those included that have no video in this list.
        if numbers and len(numbers) == len(labels):
            listing.classes = {LABEL: tuple(map(str, range(max(numbers) + 1)))}
        return listing, rows


def _rows(lists: Sequence[Path], base: str, problems: Problems) -> Iterator[Video]:
    """The lines; keys are still empty."""
    labels: dict[str | None, tuple[tuple[str, str], ...]] = {None: ()}
    for path in lists:
        split = split_of(path)
        for count, (number, line) in enumerate(each_line(path)):
            if not count and _ROW.fullmatch(line):
                raise MofoError(
                    f"{path}: line {number} seems to be path, label and split ({line[:60]!r}): "
                    "put a line above it that names the columns, path,label,split"
                )
            match = match_line(line)
            if match is None and line.startswith("#"):  # some names of videos do, too
                continue
            if match is None:
                where = f"{path}, line {number}"
                problems.append((where, f"expected a path and a class: {line[:60]!r}"))
                continue
            file = list_path(base, match)
            try:
                label = _label(match[2] or "")
            except ValueError as error:
                problems.append((f"{path}, line {number}", str(error)))
                continue
            if label not in labels:
                labels[label] = ((LABEL, str(label)),)
            yield Video(file, "", labels[label], split=split)


def _label(text: str) -> str | None:
    """What follows the path: the class, if there is one; ValueError for too many numbers."""
    parts = re.split(r"[\s,;]+", text.strip())
    if sum(bool(re.fullmatch(r"\d*\.\d+", part)) for part in parts) > 1:
        raise ValueError(f"{text[:40]!r} seems to be a box or times, expected a class")
    if not all(re.fullmatch(r"-?\d+", part) for part in parts):
        return text.strip(" \t,;\"'") or None
    if len(parts) > 2:
        raise ValueError(
            f"{len(parts)} numbers after the path: expected a class, or frames and a class; "
            "multilabel:LIST reads several classes"
        )
    if parts[-1] == "-1":  # VideoMAE V2's "0 -1": first frame, and "all" for their number
        return None
    return parts[-1].lstrip("0") or "0"


def _lists(source: Source) -> list[Path]:
    """The lists of a folder that have a split in their names."""
    paths = [path for path in source.files if path.suffix.lower() in (".csv", ".txt")]
    return [path for path in paths if split_of(path) and _is_list(first_line(path, skip="#"))]


def match_line(line: str) -> re.Match[str] | None:
    """A line of a list: group 1 is the path, group 2 what follows it; None for other lines."""
    return _QUOTED.fullmatch(line) or _LINE.fullmatch(line) or _BARE.fullmatch(line)


def list_path(base: str, match: re.Match[str]) -> str:
    """The path of a line."""
    return joined(base, os.path.expanduser(match[1].strip()))


def _is_list(line: str) -> bool:
    if _QUOTED.fullmatch(line) or _LINE.fullmatch(line):
        return True
    return bool(_BARE.fullmatch(line)) and "/" in line
