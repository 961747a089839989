"""Video files below a folder, and what was found in one source of a catalog."""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH116, PTH120, PTH122

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mofo.datasets.video import Video, why_unusable

EXTENSIONS = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts"}
    | {".wmv", ".flv", ".3gp", ".ogv", ".y4m", ".gif"}
)
"""What counts as a video in a folder or a pattern; upper and lower case are the same."""

Problems = list[tuple[str, str]]
"""``(name, reason)`` of files, folders and rows that cannot be used."""

Apart = Mapping[str, Mapping[str, tuple[str, ...]]]
"""What is evaluated apart, and of which kind or split: ``{"tail": {"verb": ("cut", ...)}}``."""


@dataclass
class Found:
    """What one source holds.

    Attributes:
        root: the absolute folder that keys are relative to.
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
        """The key of a file below ``root``."""
        return path[len(self.root.rstrip(os.sep)) + 1 :].replace(os.sep, "/")

    def add(self, path: str, problems: Problems, video: Video | None = None) -> None:
        """Add a file below ``root``, or say why not.

        Args:
            path: absolute.
            problems: gets the reason.
            video: all there is to say about it, except for path and key.
        """
        reason = why_unusable(path)
        if reason is None:
            plain = Video(path, self.key(path))
            self.videos.append(replace(video, path=path, key=plain.key) if video else plain)
        else:
            problems.append((path, reason))


class Root:
    """The folder that keys are relative to: ``base``, or what files have in common.

    It is what they have in common if any of them lies outside of ``base``.
    """

    def __init__(self, base: str) -> None:
        self._base, self._below = base, base.rstrip(os.sep) + os.sep
        self._common: str | None = None
        self._is_outside = False

    def add(self, path: str) -> None:
        """Another file, by its absolute path."""
        self._is_outside |= not path.startswith(self._below)
        folder = os.path.dirname(path)
        if folder != self._common:
            both = [folder] if self._common is None else [folder, self._common]
            self._common = os.path.commonpath(both)

    @property
    def path(self) -> str:
        """The folder."""
        return (self._common or self._base) if self._is_outside else self._base


def is_video(name: str) -> bool:
    """Whether a file's name ends as a video's does."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def video_files(folder: str | Path, problems: Problems) -> Iterator[str]:
    """The videos below a folder, without recursion and each folder once.

    A folder's files come before those of its subfolders, each in the order of names; links are
    followed, names that begin with "." skipped.

    Args:
        folder: where to look.
        problems: gets each folder that cannot be read.
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
            elif is_video(entry.name):
                yield entry.path
        stack.extend(reversed(folders))
