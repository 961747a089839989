"""One source that is, or may be, a published data set: its files, and where its videos are."""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH119, PTH120, PTH122

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any
from unicodedata import normalize

from mofo.datasets.listing import Listing, Problems, video_files
from mofo.types import MofoError

_SIDE_FOLDER = re.compile("label|annot|split|list", re.IGNORECASE)
_ENDINGS = (".json", ".csv", ".txt", ".list")
_HEAD = 65536  # bytes of a file by which its kind is told


class Source:
    """A file or folder that is read as a data set.

    ``videos``: folder that the videos are below; None: the source's own, or the one above it.
    ``problems``: gets ``(name, reason)`` of whatever cannot be used. ``videos``, ``split_number``,
    ``problems``, ``is_named``: as given; ``videos`` absolute.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        videos: str | Path | None = None,
        split_number: int = 1,
        problems: Problems | None = None,
        is_named: bool = False,
    ) -> None:
        self.path = Path(path).absolute()
        self.is_folder = self.path.is_dir()
        self.split_number, self.is_named = split_number, is_named
        self.problems: Problems = [] if problems is None else problems
        self.videos = None if videos is None else Path(videos).absolute()
        if self.videos is not None and not self.videos.is_dir():
            raise MofoError(f"{videos}: no such folder: it should hold the videos")

    @property
    def folder(self) -> Path:
        """The folder that label files are in, or below."""
        return self.path if self.is_folder else self.path.parent

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """JSON, CSV and text files: a folder's own, and those of subfolders for labels.

        Such are all whose name has "label", "annot", "split" or "list" in it.
        """
        files: list[Path] = []
        folders = [self.folder]
        for folder in folders:
            try:
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                if entry.name.lower().endswith(_ENDINGS):
                    files.append(Path(entry.path))
                elif folder is self.folder and _SIDE_FOLDER.search(entry.name):
                    with contextlib.suppress(OSError):  # a link to itself
                        if entry.is_dir():
                            folders.append(Path(entry.path))
        return tuple(files)

    def named(self, pattern: str) -> list[Path]:
        """Files of that name, upper and lower case alike; ``pattern`` may have wildcards."""
        return [f for f in self.files if fnmatch.fnmatch(f.name.lower(), pattern.lower())]

    def one(self, *patterns: str, what: str) -> Path:
        """The file that has the first of these names that is there."""
        for pattern in patterns:
            for path in self.named(pattern):
                return path
        raise MofoError(f"{self.folder}: {patterns[0]} is missing: it has the {what}")

    @cached_property
    def first_line(self) -> str:
        """Of a text file; empty for folders and other files."""
        return "" if self.is_folder else first_line(self.path)

    @cached_property
    def lookup(self) -> Lookup:
        """The videos, by name."""
        if self.videos is not None:
            return Lookup(self.videos, self.problems)
        lookup = Lookup(self.folder, self.problems)
        # Labels often have a folder of their own, beside that of the videos.
        above = self.folder.parent
        if not len(lookup) and above != above.parent:
            lookup = Lookup(above, self.problems)
        return lookup


class Lookup:
    """The videos below a folder by the stems of their names, wherever they lie.

    So it does not matter whether an archive was unpacked into one folder, or one for each class,
    split or person, or whether files were transcoded to another format.
    """

    def __init__(self, root: Path, problems: Problems) -> None:
        self.root = str(root)
        self._problems = problems
        self._paths: dict[str, str | list[str]] = {}
        for path in video_files(self.root, problems):
            stem = _composed(os.path.splitext(os.path.basename(path))[0])
            before = self._paths.setdefault(stem, path)
            if isinstance(before, list):
                before.append(path)
            elif before is not path:
                self._paths[stem] = [before, path]

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, stem: str) -> bool:
        return stem in self._paths

    def inside(self, folder: str) -> dict[str, str]:
        """Paths of the videos that lie in a folder of this name, by stem."""
        videos = {}
        for stem, paths in self._paths.items():
            for path in [paths] if isinstance(paths, str) else paths:
                if _folder(path) == _plain(folder):
                    videos[stem] = path
        return videos

    def listing(self) -> Listing:
        """An empty listing, whose keys are relative to the folder."""
        return Listing(self.root)

    def add(self, listing: Listing, stems: Iterable[str], where: str, **details: Any) -> None:
        """Adds the video that has one of these stems, or says that there is none.

        Args:
            stems: of the file's name, the likeliest first; a "/" before the name is for the folder
                that it is in, where several files have that name.
            details: attributes of the ``Video``, other than path and key.
        """
        stems = list(stems)
        for stem in stems:
            folder, _, name = _composed(stem).rpartition("/")
            paths = self._paths.get(name)
            if isinstance(paths, list):
                near = [path for path in paths if _folder(path) == _plain(folder)]
                if len(near) != 1:
                    self._problems.append(
                        (where, f"{len(paths)} files are called {name}: {', '.join(paths[:3])}")
                    )
                    return
                paths = near[0]
            if paths is not None:
                listing.add(paths, self._problems, **details)
                return
        name = stems[0].rpartition("/")[2]
        self._problems.append((where, f"no video called {name} below {self.root}"))


def first_line(path: Path, skip: str = "") -> str:
    """The first line with anything in it; empty if the file is no text.

    Lines that begin with ``skip`` are left out if they are not all.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        return ""
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD)
    except OSError:
        return ""
    if b"\0" in start:
        return ""
    # Wrong bytes are for the reader to complain about: here they would hide the file.
    text = start.decode("utf-8-sig", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = [line for line in lines if not (skip and line.startswith(skip))] or lines
    return shown[0] if shown else ""


def _folder(path: str) -> str:
    return _plain(os.path.basename(os.path.dirname(path)))


def _plain(name: str) -> str:
    """Downloads write "air drumming" and "air_drumming"."""
    return _composed(name.replace("_", " ").lower())


def _composed(name: str) -> str:
    """Accents as one character, whichever way the file system and the list have them."""
    return name if name.isascii() else normalize("NFC", name)
