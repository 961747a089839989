"""Lists of videos: from files, folders, patterns, tables and data sets to one checked list.

Nothing is opened here: a listed file exists and may be read, whether it is a video is for the
reader to say.
"""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH112, PTH113, PTH207

from __future__ import annotations

import fnmatch
import glob
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import overload

from mofo.datasets.distinct import RealFiles, said
from mofo.datasets.folders import EXTENSIONS, Apart, Found, Problems, is_video, video_files
from mofo.datasets.formats import parquet
from mofo.datasets.formats.class_folders import with_labels
from mofo.datasets.formats.documents import separator
from mofo.datasets.formats.formats import read_source, split_name
from mofo.datasets.formats.source import Source, first_line
from mofo.datasets.quarantine import Quarantine
from mofo.datasets.table import read_table
from mofo.datasets.video import Video
from mofo.types import MofoError

EXCLUDE = "exclude:"
"""Before the name of a list of videos that are to be left out."""
_MAY_BE_LISTS = (".csv", ".txt", ".list", ".json", ".parquet")


@dataclass(frozen=True)
class Catalog(Sequence[Video]):
    """Videos in a fixed order, and what could not be listed.

    Attributes:
        videos: each key once, unless a table lists several stretches of one file. A tuple, or
            columns of which videos are made when they are asked for; see ``RowTable``.
        problems: ``(name, reason)`` of each file or folder that is no usable video; one line each.
        classes: by head, the names of its classes in the order of their numbers, where a source
            says so; see ``LabelTable``.
        flip: False if a source's labels know left from right, so that mirroring clips would make
            them wrong; None if no source says anything.
        excluded: ``(path, reason)`` of each video that a quarantine list leaves out.
        apart: what the official evaluation of a data set measures apart: "tail", names of rare
            classes by head; "unseen", persons who are not in the training set, by split.
    """

    videos: Sequence[Video] = ()
    problems: tuple[tuple[str, str], ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flip: bool | None = None
    excluded: tuple[tuple[str, str], ...] = ()
    apart: Apart = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.videos)

    @overload
    def __getitem__(self, index: int) -> Video: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Video, ...]: ...
    def __getitem__(self, index: int | slice) -> Video | tuple[Video, ...]:
        some = self.videos[index]
        return tuple(some) if isinstance(some, Sequence) else some

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)


def read_catalog(
    sources: Sequence[str | Path],
    *,
    videos: str | Path | None = None,
    split_number: int = 1,
) -> Catalog:
    """List the videos of files, folders, patterns, CSV tables and data sets.

    * File: taken whatever its extension. Its key is its name.
    * Folder: all files below it with one of ``EXTENSIONS``, links followed, in the order of names,
      a folder's files before its subfolders; names that begin with "." are skipped. Keys are
      relative to the folder. If it is a folder of class folders, videos have labels; see
      ``mofo.datasets.formats.class_folders``.
    * Pattern (with ``*``, ``?`` or ``[``; ``**`` for any depth): files as in a folder, and all of
      the folders that match. Keys are relative to the part before the first wildcard.
    * Table (``.csv``): a header with the column ``path`` and, if wanted, labels, times, splits and
      groups, see ``read_table``. Paths are relative to the table's folder, and so are keys; if any
      file lies outside of it, all keys of the table are relative to the folder that its files have
      in common. A file may have several rows, with different stretches or labels.
    * Data set in a published layout, a plain list, or a catalog of mofo: its folder, or one of its
      lists; see ``mofo.datasets.formats.formats``. It is recognised by the names and first lines of
      its files; ``ssv2:PATH`` says what it is. Keys are relative to the folder of the videos.
    * Quarantine (``exclude:FILE``): a list of videos of the other sources that are left out, see
      ``Quarantine``.

    A file that is reached twice, also through links, is listed once, where it comes first, unless
    it is there with other labels, times or splits. If two sources give the same key to different
    files, the keys of both get their folder's name in front, and those of further parent folders
    until they differ.

    Args:
        sources: paths or patterns. A path that exists is never read as a pattern.
        videos: folder that the videos of tables and data sets are below, if it is not their own.
        split_number: which of several official splits (UCF101, HMDB51).

    Returns:
        The catalog; files and folders that cannot be used are in its ``problems``.

    Raises:
        MofoError: a source does not exist, matches nothing, or cannot be read.
    """
    names, quarantine = split_sources(sources)
    if len(names) == 1:
        whole = _columns(names[0], quarantine, videos)
        if whole is not None:
            return whole
    problems: Problems = []
    found: list[Found] = []
    for name in names:
        before = len(problems)
        one = _source(name, problems, videos, split_number)
        if not one.videos and len(problems) == before:
            raise MofoError(
                f"{name}: no video there; expected one of {' '.join(sorted(EXTENSIONS))}"
            )
        found.append(one)
    excluded = _exclude(found, quarantine)
    _distinct(found)
    if len(found) > 1:
        _unique_keys(found)
    unique = dict.fromkeys((_printable(name), reason) for name, reason in problems)
    every = tuple(video for one in found for video in one.videos)
    flip = False if any(one.flip is False for one in found) else None
    apart = next((one.apart for one in found if one.apart), {})
    return Catalog(every, tuple(unique), _one_order(found), flip, tuple(excluded), apart)


def split_sources(sources: str | Path | Sequence[str | Path]) -> tuple[list[str], Quarantine]:
    """The names of the sources, and what the quarantine lists among them leave out."""
    several = [sources] if isinstance(sources, str | Path) else sources
    names = [os.fspath(source) for source in several]
    lists = [name for name in names if name.startswith(EXCLUDE) and not os.path.lexists(name)]
    quarantine = Quarantine(Path(name.removeprefix(EXCLUDE)) for name in lists)
    return [name for name in names if name not in lists], quarantine


def _columns(name: str, quarantine: Quarantine, videos: str | Path | None) -> Catalog | None:
    """A catalog of mofo, which may be long: its rows stay columns; None if it is none."""
    kind, path = split_name(name)
    is_catalog = kind == "parquet" or (kind is None and path.lower().endswith(".parquet"))
    if not (is_catalog and os.path.isfile(path) and parquet.is_distinct(Path(path))):
        return None
    excluded: Problems = []

    def keep(video: Video) -> bool:
        reason = quarantine.reason(video)
        if reason is not None:
            excluded.append((_printable(video.path), reason))
        return reason is None

    source = Source(path, videos=videos)
    found, rows = parquet.read_columns(source, keep if len(quarantine) else None)
    unique = dict.fromkeys((_printable(name), reason) for name, reason in source.problems)
    if not len(rows) and unique:
        where, reason = next(iter(unique))
        raise MofoError(
            f"{path}: none of its {len(source.problems):,} videos can be used, the first for this "
            f"reason: {where}: {reason}; --videos DIR of `mofo data convert` says where videos are"
        )
    if not len(rows) and not excluded:
        raise MofoError(f"{name}: no video there; it has no rows")
    return Catalog(rows, tuple(unique), found.classes, found.flip, tuple(excluded), found.apart)


def _source(name: str, problems: Problems, videos: str | Path | None, split_number: int) -> Found:
    """The videos of one source."""
    kind, path = split_name(name)
    is_folder = os.path.isdir(path)
    if kind is None and not os.path.lexists(path):
        if glob.has_magic(path):
            return _pattern(path, problems)
        raise MofoError(
            f"{name}: does not exist; give a video, a folder, a pattern, a CSV file or a data set"
        )
    is_plain = kind is None and is_table(path)
    if kind or is_folder or (path.lower().endswith(_MAY_BE_LISTS) and not is_plain):
        found = read_source(path, kind, problems, videos=videos, split_number=split_number)
        if found is not None:
            return found
    if is_folder:
        found = Found(str(Path(path).absolute()))
        for file in video_files(found.root, problems):
            found.add(file, problems)
        return with_labels(found)
    if path.lower().endswith(".csv") and os.path.isfile(path):
        return _table(Path(path), problems, videos)
    whole = Path(path).absolute()
    found = Found(str(whole.parent))
    found.add(str(whole), problems)
    return found


def is_table(path: str) -> bool:
    """A CSV file that has a column "path"."""
    if not (path.lower().endswith(".csv") and os.path.isfile(path)):
        return False
    header = first_line(Path(path))
    mark = separator(header, "path")
    return "path" in (cell.strip(' "').lower() for cell in header.split(mark))


def _exclude(found: Sequence[Found], quarantine: Quarantine) -> list[tuple[str, str]]:
    """Take out what a quarantine list names, and say why."""
    excluded: list[tuple[str, str]] = []
    for one in found if len(quarantine) else ():
        kept = []
        for video in one.videos:
            reason = quarantine.reason(video)
            if reason is None:
                kept.append(video)
            else:
                excluded.append((_printable(video.path), reason))
        one.videos = kept
    return excluded


def _one_order(found: Sequence[Found]) -> dict[str, tuple[str, ...]]:
    """The classes of each head; several sources may name them, but in one order."""
    classes: dict[str, tuple[str, ...]] = {}
    for one in found:
        for head, names in one.classes.items():
            before = classes.get(head, ())
            short, long = sorted((before, names), key=len)
            # A list that knows only the first classes numbers them in the same way.
            if long[: len(short)] != short:
                raise MofoError(
                    f"{one.root}: numbers the classes of {head!r} in another way than an earlier "
                    "source: use the same list of classes for all"
                )
            classes[head] = long
    return classes


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _pattern(pattern: str, problems: Problems) -> Found:
    parts = Path(pattern).absolute().parts
    plain = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    one = Found(str(Path(*parts[:plain])))
    # The part from the first "**" on is matched against a walk: Python's own glob goes round and
    # round where links form a circle.
    deep = parts.index("**") if "**" in parts else len(parts)
    for hit in sorted(glob.glob(str(Path(*parts[:deep])))):
        if os.path.isdir(hit):
            below = Found(one.root)
            failed: Problems = []
            for file in video_files(hit, failed):
                below.add(file, failed)
            wanted = parts[deep:]
            cut = len(Path(hit).parts)
            one.videos += [v for v in below.videos if _matches(Path(v.path).parts[cut:], wanted)]
            for name, reason in failed:
                # What lies in a folder that cannot be read might have matched.
                if os.path.isdir(name) or _matches(Path(name).parts[cut:], wanted):
                    problems.append((name, reason))
        elif deep == len(parts) and is_video(hit):
            one.add(hit, problems)
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


def _table(table: Path, problems: Problems, folder: str | Path | None) -> Found:
    """The videos of a table, with keys."""
    base = table.parent if folder is None else Path(folder)
    root = str(base.absolute())
    rows = read_table(table, problems, base)
    paths = dict.fromkeys(video.path for video in rows)
    if any(not PurePath(path).is_relative_to(root) for path in paths):
        root = os.path.commonpath([str(PurePath(path).parent) for path in paths])
    keys = {path: PurePath(path).relative_to(root).as_posix() for path in paths}
    return Found(root, [replace(video, key=keys[video.path]) for video in rows])


def _distinct(found: list[Found]) -> None:
    """Keep the first of several entries that say the same about the same real file.

    An entry that says nothing is dropped where an earlier source has the file, and an entry of a
    file that an earlier source has taken as a whole, without a word about it, likewise.
    """
    real = RealFiles()
    files: dict[str, str] = {}  # what paths really are
    earlier: set[str] = set()  # files of earlier sources
    plain: set[str] = set()  # those that are whole, and nothing is said about
    first: dict[int, Video] = {}  # by hash: less memory than all that is said, once more
    for one in found:
        kept, here, plain_here = [], set(), set()
        for video in one.videos:
            file = files.get(video.path)
            if file is None:
                file = files[video.path] = real(video.path)
            says_nothing = said(video) == _NOTHING
            if file in plain or (says_nothing and file in earlier):
                continue
            number = hash((file, said(video)))
            before = first.setdefault(number, video)
            same = (file, said(video))
            while before is not video and (files[before.path], said(before)) != same:
                number += 1
                before = first.setdefault(number, video)
            if before is not video:
                continue
            here.add(file)
            if says_nothing:
                plain_here.add(file)
            kept.append(video)
        earlier |= here
        plain |= plain_here
        one.videos = kept


_NOTHING = ((), None, None, None, None)


def _unique_keys(found: list[Found]) -> None:
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
