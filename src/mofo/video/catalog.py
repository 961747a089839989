"""Lists of videos: from files, folders, patterns and CSV tables to one sorted, checked list.

Nothing is opened here: a listed file exists and may be read, whether it is a video is for the
reader to say.
"""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH112, PTH113, PTH114, PTH116, PTH118, PTH122, PTH207

from __future__ import annotations

import fnmatch
import glob
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import overload

from mofo.types import MofoError
from mofo.video.table import read_table
from mofo.video.video import Video, why_unusable

EXTENSIONS = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts"}
    | {".wmv", ".flv", ".3gp", ".ogv", ".y4m", ".gif"}
)
"""What counts as a video in a folder or a pattern; upper and lower case are the same."""


@dataclass(frozen=True)
class Catalog(Sequence[Video]):
    """Videos in a fixed order, and what could not be listed.

    Attributes:
        videos: each key once, unless a table lists several stretches of one file.
        problems: ``(name, reason)`` of each file or folder that is no usable video; one line each.
        classes: by head, the names of its classes in the order of their numbers, where a source
            says so; see ``LabelTable``.
    """

    videos: tuple[Video, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.videos)

    @overload
    def __getitem__(self, index: int) -> Video: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Video, ...]: ...
    def __getitem__(self, index: int | slice) -> Video | tuple[Video, ...]:
        return self.videos[index]

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)


@dataclass
class _Found:
    """Videos of one source. ``root`` is the absolute folder that keys are relative to."""

    root: str
    videos: list[Video] = field(default_factory=list)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_catalog(sources: Sequence[str | Path]) -> Catalog:
    """List the videos of files, folders, patterns and CSV tables.

    * File: taken whatever its extension. Its key is its name.
    * Folder: all files below it with one of ``EXTENSIONS``, links followed, in the order of names,
      a folder's files before its subfolders; names that begin with "." are skipped. Keys are
      relative to the folder.
    * Pattern (with ``*``, ``?`` or ``[``; ``**`` for any depth): files as in a folder, and all of
      the folders that match. Keys are relative to the part before the first wildcard.
    * Table (``.csv``): a header with the column ``path`` and, if wanted, labels, times, splits and
      groups, see ``read_table``. Paths are relative to the table's folder, and so are keys; if any
      file lies outside of it, all keys of the table are relative to the folder that its files have
      in common. A file may have several rows, with different stretches or labels.

    A file that is reached twice, also through links, is listed once, where it comes first. If two
    sources give the same key to different files, the keys of both get their folder's name in front,
    and those of further parent folders until they differ.

    Args:
        sources: paths or patterns. A path that exists is never read as a pattern.

    Returns:
        The catalog; files and folders that cannot be used are in its ``problems``.

    Raises:
        MofoError: a source does not exist, matches nothing, or is a table that cannot be read.
    """
    if isinstance(sources, str | Path):
        sources = [sources]
    problems: list[tuple[str, str]] = []
    found: list[_Found] = []
    for source in sources:
        name = os.fspath(source)
        before = len(problems)
        if os.path.isdir(name):
            one = _Found(str(Path(name).absolute()))
            _walk(one.root, one, problems)
        elif name.lower().endswith(".csv") and os.path.isfile(name):
            one = _table(Path(name), problems)
        elif os.path.lexists(name):
            path = Path(name).absolute()
            one = _Found(str(path.parent))
            _add(str(path), one, problems)
        elif glob.has_magic(name):
            one = _pattern(name, problems)
        else:
            raise MofoError(
                f"{name}: does not exist; give a video, a folder, a pattern or a CSV file"
            )
        if not one.videos and len(problems) == before:
            raise MofoError(
                f"{name}: no video there; expected one of {' '.join(sorted(EXTENSIONS))}"
            )
        found.append(one)
    _distinct(found)
    if len(found) > 1:
        _unique_keys(found)
    unique = dict.fromkeys((_printable(name), reason) for name, reason in problems)
    videos = tuple(video for one in found for video in one.videos)
    return Catalog(videos, tuple(unique), _one_order(found))


def _one_order(found: Sequence[_Found]) -> dict[str, tuple[str, ...]]:
    """The classes of each head; several sources may name them, but in one order."""
    classes: dict[str, tuple[str, ...]] = {}
    for one in found:
        for head, names in one.classes.items():
            if classes.setdefault(head, names) != names:
                raise MofoError(
                    f"{one.root}: numbers the classes of {head!r} in another way than an earlier "
                    "source: use the same list of classes for all"
                )
    return classes


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _add(path: str, one: _Found, problems: list[tuple[str, str]]) -> None:
    """Add a file below ``one.root``, or say why not."""
    reason = why_unusable(path)
    if reason is None:
        key = path[len(one.root.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
        one.videos.append(Video(path, key))
    else:
        problems.append((path, reason))


def _walk(folder: str, one: _Found, problems: list[tuple[str, str]]) -> None:
    """Add the videos below ``folder``, without recursion and each folder once."""
    seen: set[tuple[int, int]] = set()
    stack = [folder]
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
            elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                _add(entry.path, one, problems)
        stack.extend(reversed(folders))


def _pattern(pattern: str, problems: list[tuple[str, str]]) -> _Found:
    parts = Path(pattern).absolute().parts
    plain = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    one = _Found(str(Path(*parts[:plain])))
    # The part from the first "**" on is matched against a walk: Python's own glob goes round and
    # round where links form a circle.
    deep = parts.index("**") if "**" in parts else len(parts)
    for hit in sorted(glob.glob(str(Path(*parts[:deep])))):
        if os.path.isdir(hit):
            below = _Found(one.root)
            failed: list[tuple[str, str]] = []
            _walk(hit, below, failed)
            wanted = parts[deep:]
            cut = len(Path(hit).parts)
            one.videos += [v for v in below.videos if _matches(Path(v.path).parts[cut:], wanted)]
            for name, reason in failed:
                # What lies in a folder that cannot be read might have matched.
                if os.path.isdir(name) or _matches(Path(name).parts[cut:], wanted):
                    problems.append((name, reason))
        elif deep == len(parts) and os.path.splitext(hit)[1].lower() in EXTENSIONS:
            _add(hit, one, problems)
    return one


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path, or a folder it lies in, matches a pattern; both are split at "/"."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(names[i:], pattern[1:]) for i in range(len(names) + 1))
    if not names or not fnmatch.fnmatchcase(names[0], pattern[0]):
        return False
    return _matches(names[1:], pattern[1:])


def _table(table: Path, problems: list[tuple[str, str]]) -> _Found:
    """The videos of a table, with keys."""
    root = str(table.absolute().parent)
    rows = read_table(table, problems)
    if any(not PurePath(video.path).is_relative_to(root) for video in rows):
        root = os.path.commonpath([str(PurePath(video.path).parent) for video in rows])
    keyed = (replace(v, key=PurePath(v.path).relative_to(root).as_posix()) for v in rows)
    return _Found(root, list(keyed))


def _distinct(found: list[_Found]) -> None:
    """Keep the first of several entries for the same real file (in a table: the same stretch)."""
    folders: dict[str, str] = {}
    earlier: set[str] = set()
    for one in found:
        kept, seen = [], set()
        for video in one.videos:
            folder, name = os.path.split(video.path)
            # A folder is resolved once for all its files; a file only if it is a link itself.
            real = folders.get(folder)
            if real is None:
                real = folders[folder] = os.path.realpath(folder)
            file = os.path.join(real, name)
            if os.path.islink(file):
                file = os.path.realpath(file)
            entry = (file, video.labels, video.start, video.end)
            if file not in earlier and entry not in seen:
                seen.add(entry)
                kept.append(video)
        earlier |= {entry[0] for entry in seen}
        one.videos = kept


def _unique_keys(found: list[_Found]) -> None:
    """Put folder names before the keys of sources that share a key, until none do."""
    roots = [PurePath(one.root) for one in found]
    depth = [0] * len(found)

    def prefix(i: int) -> str:
        names = roots[i].parts[1:]  # without "/" or the drive
        return "".join(f"{name}/" for name in names[len(names) - depth[i] :])

    while True:
        users: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for i, one in enumerate(found):
            before = prefix(i)
            for video in one.videos:
                users[before + video.key][video.path].add(i)
        clash = {i for paths in users.values() if len(paths) > 1 for p in paths.values() for i in p}
        longer = {i for i in clash if depth[i] < len(roots[i].parts) - 1}
        if not longer:
            break
        for i in longer:
            depth[i] += 1
    for i, one in enumerate(found):
        if depth[i]:
            one.videos = [replace(video, key=prefix(i) + video.key) for video in one.videos]
