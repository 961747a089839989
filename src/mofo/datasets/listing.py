"""What one source of a catalog holds, and the video files below a folder."""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH116, PTH119, PTH120, PTH122

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mofo.datasets.video import LABEL, Usable, Video, why_unusable

EXTENSIONS = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts"}
    | {".wmv", ".flv", ".3gp", ".ogv", ".y4m", ".gif", ".vob", ".asf", ".m2v", ".m1v", ".mxf"}
    | {".dv", ".f4v", ".qt", ".divx", ".ogm", ".rm", ".rmvb", ".mpe", ".mpv", ".3g2", ".wtv"}
    | {".nut", ".ivf"}
)
"""What counts as a video in a folder or a pattern; upper and lower case are the same."""

_MISSING = re.compile(r"no video called (.+) below (.+)")
_TAR = re.compile(r"\.(tar(\.(gz|bz2|xz|zst))?|tgz)$", re.IGNORECASE)
_SHOWN = 3  # names in a line

Problems = list[tuple[str, str]]
"""``(name, reason)`` of files, folders and rows that cannot be used."""

Apart = Mapping[str, Mapping[str, tuple[str, ...]]]
"""What is evaluated apart, and of which kind or split: ``{"tail": {"verb": ("cut", ...)}}``."""

Rows = Callable[[Problems], Iterator[Video]]
"""Reads the rows of a list once more; gets the problems that it finds on the way."""


@dataclass
class Listing:
    """What one source holds.

    Attributes:
        videos: in the source's order.
        classes: by head, the names of its classes in the order of their numbers, if it says so.
        flip: False if labels know left from right, so that mirroring would make them wrong.
        apart: what its official evaluation measures apart, see ``Catalog``.
    """

    root: str
    videos: list[Video] = field(default_factory=list)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flip: bool | None = None
    apart: Apart = field(default_factory=dict)

    def key(self, path: str) -> str:
        """The key of a file below ``root``; of a file elsewhere, all of its path."""
        folder = self.root.rstrip(os.sep) + os.sep
        if path.startswith(folder):
            return path[len(folder) :].replace(os.sep, "/")
        return path.replace("://", "/").replace(os.sep, "/").lstrip("/")

    def add(
        self, path: str, problems: Problems, *, label: str | None = None, **details: Any
    ) -> None:
        """Adds a file below ``root``, or says why not.

        ``details``: other attributes of the ``Video``, but for path and key.
        """
        reason = why_unusable(path)
        if label:
            details["labels"] = ((LABEL, label),)
        if reason is None:
            self.videos.append(Video(path, self.key(path), **details))
        else:
            problems.append((path, reason))


def keyed_rows(base: str, rows: Rows) -> tuple[Listing, Rows]:
    """Gives keys to rows that have none: relative to ``base``, or to what their files share.

    They are relative to the deepest folder that all usable files share if any of those lies outside
    of ``base``.

    Returns:
        A listing without videos, and the rows with keys.
    """
    folders: set[str] = set()
    usable = Usable()
    for video in rows([]):
        folder = os.path.dirname(video.path)
        if folder not in folders and usable(video.path) is None:
            folders.add(folder)
    below = base.rstrip(os.sep) + os.sep
    is_outside = any(not f"{folder}{os.sep}".startswith(below) for folder in folders)
    listing = Listing(_common(folders) if is_outside else base)

    def with_keys(problems: Problems) -> Iterator[Video]:
        for video in rows(problems):
            yield replace(video, key=listing.key(video.path))

    return listing, with_keys


def _common(folders: Iterable[str]) -> str:
    """The deepest folder that all share, as in ``os.path.commonpath``, also of URLs."""
    parts = [folder.split("/") for folder in folders]
    return "/".join(os.path.commonprefix(parts)) or "/"  # noqa: RUF071 - parts, not strings


def problem_lines(problems: Iterable[tuple[str, str]]) -> list[str]:
    """Problems as lines; files that a list or a folder lacks are counted in one line for all."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, reason in problems:
        missing = _MISSING.fullmatch(reason)
        if missing:
            key, item = (name.partition(", ")[0], f"not below {missing[2]}"), missing[1]
        elif reason == "does not exist":
            key, item = (os.path.dirname(name), "do not exist"), os.path.basename(name)
        else:
            key, item = (name, reason), name
        groups.setdefault(key, []).append((item, f"{name}: {reason}"))
    lines = []
    for (where, reason), group in groups.items():
        names = ", ".join(item for item, _ in group[:_SHOWN])
        more = f" and {len(group) - _SHOWN:,} more" if len(group) > _SHOWN else ""
        text = f"{where}: {len(group):,} videos {reason}: {names}{more}"
        lines.append(text if len(group) > 1 else group[0][1])
    return lines


def is_video(name: str) -> bool:
    """Whether a file's name ends as a video's does."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def is_shard(name: str) -> bool:
    """Whether a file's name ends as that of a tar shard, compressed ones included."""
    return _TAR.search(name) is not None


def other_endings(folder: str | Path) -> Counter[str]:
    """Endings of files below a folder that do not count as videos, and how many there are."""
    names = (name for _, _, names in os.walk(folder) for name in names if name[0] != ".")
    return Counter(os.path.splitext(name)[1].lower() for name in names if not is_video(name))


def video_files(
    folder: str | Path, problems: Problems, wanted: Callable[[str], bool] = is_video
) -> Iterator[str]:
    """The videos below a folder, without recursion and each folder once.

    A folder's files come before those of its subfolders, each in the order of names; links are
    followed, names that begin with "." skipped. ``wanted``: tells by a file's name whether it is
    one.
    """
    seen: set[tuple[int, int]] = set()
    stack = [os.fspath(folder)]
    while stack:
        path = stack.pop()
        try:
            status = os.stat(path)
            # Device and inode are the folder's identity: links in a circle come back to one seen.
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            problems.append((path, f"folder cannot be read ({error.strerror})"))
            continue
        folders = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                is_folder = entry.is_dir()  # no system call, unless it is a link
            except OSError:
                is_folder = False
            if is_folder:
                folders.append(entry.path)
            elif wanted(entry.name):
                yield entry.path
        stack.extend(reversed(folders))
