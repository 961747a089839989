"""Lists of videos: from files, folders, patterns, tables and data sets to one checked list.

Nothing is opened here: a listed file exists and may be read, whether it is a video is for the
reader to say.
"""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH112, PTH120, PTH207

from __future__ import annotations

import fnmatch
import glob
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath
from typing import overload

from mofo.datasets.formats.format import (
    Format,
    RowFormat,
    find_format,
    none_usable,
    read_source,
    split_name,
)
from mofo.datasets.formats.source import Source
from mofo.datasets.formats.webdataset import Samples
from mofo.datasets.listing import (
    EXTENSIONS,
    Apart,
    Listing,
    Problems,
    is_shard,
    is_video,
    video_files,
)
from mofo.datasets.quarantine import Quarantine, split_sources
from mofo.datasets.remote import remote_listing
from mofo.datasets.row_table import Distinct, compact
from mofo.datasets.video import RealFiles, Video
from mofo.types import MofoError
from mofo.video.location import split_member
from mofo.video.storage import file_system, is_url


@dataclass(frozen=True)
class Catalog(Sequence[Video]):
    """Videos in a fixed order, and what could not be listed.

    Attributes:
        videos: each key once, unless a table lists several segments of one file. A tuple, or
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
        chosen = self.videos[index]
        return tuple(chosen) if isinstance(chosen, Sequence) else chosen

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)


def read_catalog(
    sources: str | Path | Sequence[str | Path],
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
      groups; see ``mofo.datasets.formats.table``. Paths are relative to the table's folder, and so
      are keys; if any file lies outside of it, all keys of the table are relative to the folder
      that its files share. A file may have several rows, with different segments or labels.
    * Data set in a published layout, a plain list, or a catalog of mofo: its folder, or one of its
      lists; see ``mofo.datasets.formats.format``. It is recognised by the names and first lines of
      its files; ``ssv2:PATH`` says what it is. Keys are relative to the folder of the videos.
    * Tar shards (WebDataset), a folder or a pattern of them: videos are read where they lie, and
      are called ``shard.tar/member.mp4``; see ``mofo.datasets.formats.webdataset``.
    * URL that fsspec knows (``s3://bucket/videos/``): a video, a folder, a pattern, tar shards.
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
    names = [name.removeprefix("file://") for name in names]
    problems: Problems = []
    excluded: Problems = []
    listings: list[Listing] = []
    for name in names:
        before = len(problems)
        located = _locate(name, problems, videos, split_number)
        if len(names) == 1 and located is not None:
            source, layout = located
            if isinstance(layout, RowFormat):
                return _rows(source, layout, quarantine)
        if located is not None:
            listing = _listing(*located)
        else:
            listing = (remote_listing if is_url(name) else _pattern)(name, problems)
        if not listing.videos and len(problems) == before:
            raise MofoError(
                f"{name}: no video there; expected one of {' '.join(sorted(EXTENSIONS))}"
            )
        listing.videos = _kept(listing.videos, quarantine, excluded)
        listings.append(listing)
    _drop_repeated(listings)
    if len(listings) > 1:
        _unique_keys(listings)
    return Catalog(
        tuple(video for listing in listings for video in listing.videos),
        _printable(problems),
        _common_classes(listings),
        False if any(listing.flip is False for listing in listings) else None,
        tuple(excluded),
        next((listing.apart for listing in listings if listing.apart), {}),
    )


def check_sources(sources: str | Path | Sequence[str | Path]) -> None:
    """Whether all sources are there; nothing is listed yet."""
    for name in split_sources(sources)[0]:
        kind, path = split_name(name)
        if is_url(path):
            file_system(path)
        elif kind is None and not _is_there(path) and not glob.has_magic(path):
            raise MofoError(
                f"{name}: does not exist; give a video, a folder, a pattern, a CSV file or a data "
                "set"
            )


def _locate(
    name: str, problems: Problems, videos: str | Path | None, split_number: int
) -> tuple[Source, Format | None] | None:
    """The file or folder that a source names, and its format; None for a pattern."""
    kind, path = split_name(name)
    if is_url(name) or (kind is None and not _is_there(path)):
        check_sources([name])
        return None
    return find_format(name, problems, videos=videos, split_number=split_number)


def _listing(source: Source, layout: Format | None) -> Listing:
    if layout is not None:
        return read_source(source, layout)
    path = str(source.path)
    member = split_member(path)
    listing = Listing(os.path.dirname(member[0] if member else path))
    listing.add(path, source.problems)
    return listing


def _is_there(path: str) -> bool:
    return os.path.lexists(path) or split_member(path) is not None


def _rows(source: Source, layout: RowFormat, quarantine: Quarantine) -> Catalog:
    """A list that is the only source: its rows stay columns if there are many."""
    excluded: Problems = []
    keep = partial(_is_kept, quarantine=quarantine, excluded=excluded)
    columns = layout.columns(source)
    if columns is not None:
        listing, table = columns
        videos: Sequence[Video] = table.where(keep) if len(quarantine) else table
    else:
        listing, rows = layout.usable_rows(source)
        distinct = Distinct(rows([]))
        wanted = (v for v in rows(source.problems) if keep(v) and distinct.is_first(v))
        videos = compact(wanted, distinct.heads, listing.root)
    if not videos and not excluded:
        if not source.problems:
            raise MofoError(f"{source.path}: no video there; it has no rows")
        if not layout.may_be_empty:
            raise MofoError(none_usable(str(source.path), layout, source.problems))
    return Catalog(
        videos, _printable(source.problems), listing.classes, listing.flip, tuple(excluded),
        listing.apart,
    )  # fmt: skip


def _kept(videos: list[Video], quarantine: Quarantine, excluded: Problems) -> list[Video]:
    """The videos that no quarantine list names."""
    if not len(quarantine):
        return videos
    return [video for video in videos if _is_kept(video, quarantine, excluded)]


def _is_kept(video: Video, quarantine: Quarantine, excluded: Problems) -> bool:
    reason = quarantine.reason(video)
    if reason is not None:
        excluded.append((_text(video.path), reason))
    return reason is None


def _common_classes(listings: Sequence[Listing]) -> dict[str, tuple[str, ...]]:
    """The classes of each head; several sources may name them, but in one order."""
    classes: dict[str, tuple[str, ...]] = {}
    for listing in listings:
        for head, names in listing.classes.items():
            before = classes.get(head, ())
            short, long = sorted((before, names), key=len)
            # A list that knows only the first classes numbers them in the same way.
            if long[: len(short)] != short:
                raise MofoError(
                    f"{listing.root}: numbers the classes of {head!r} in another way than an "
                    "earlier source: use the same list of classes for all"
                )
            classes[head] = long
    return classes


def _printable(problems: Problems) -> tuple[tuple[str, str], ...]:
    """Each problem once, with names that can be written as UTF-8."""
    return tuple(dict.fromkeys((_text(name), reason) for name, reason in problems))


def _text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _pattern(pattern: str, problems: Problems) -> Listing:
    """The files that match, and all videos below the folders that match."""
    parts = Path(pattern).absolute().parts
    plain = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    listing = Listing(str(Path(*parts[:plain])))
    # The part from the first "**" on is matched against a walk: Python's own glob goes round and
    # round where links form a circle.
    shards: list[str] = []
    deep = parts.index("**") if "**" in parts else len(parts)
    for hit in sorted(glob.glob(str(Path(*parts[:deep])))):
        if os.path.isdir(hit):
            below = Listing(listing.root)
            failed: Problems = []
            for file in video_files(hit, failed):
                below.add(file, failed)
            wanted = parts[deep:]
            cut = len(Path(hit).parts)
            listing.videos += [
                v for v in below.videos if _matches(Path(v.path).parts[cut:], wanted)
            ]
            for name, reason in failed:
                # What lies in a folder that cannot be read might have matched.
                if os.path.isdir(name) or _matches(Path(name).parts[cut:], wanted):
                    problems.append((name, reason))
        elif deep == len(parts) and is_shard(hit) and is_shard(pattern):
            shards.append(hit)
        elif deep == len(parts) and is_video(hit):
            listing.add(hit, problems)
    if shards:
        listing.videos += Samples(shards, listing).videos(problems)
    return listing


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path, or a folder it lies in, matches a pattern; both are split at "/"."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(names[i:], pattern[1:]) for i in range(len(names) + 1))
    if not names or not fnmatch.fnmatchcase(names[0], pattern[0]):
        return False
    return _matches(names[1:], pattern[1:])


def _drop_repeated(listings: list[Listing]) -> None:
    """Keeps the first of several rows that say the same about the same real file.

    A row that says nothing is dropped where an earlier source has the file, and a row of a file
    that an earlier source has taken as a whole, without a word about it, likewise.
    """
    real = RealFiles()
    seen: set[tuple[str, tuple[object, ...]]] = set()
    earlier: set[str] = set()  # files of earlier sources
    whole: set[str] = set()  # those that nothing is said about
    for listing in listings:
        kept, files = [], []
        for video in listing.videos:
            row = file, details = real(video.path), video.details
            if file in whole or row in seen or (details == _NOTHING and file in earlier):
                continue
            seen.add(row)
            kept.append(video)
            files.append(file)
        earlier.update(files)
        whole |= {f for f, video in zip(files, kept, strict=True) if video.details == _NOTHING}
        listing.videos = kept


_NOTHING = Video("", "").details


def _unique_keys(listings: list[Listing]) -> None:
    """Puts folder names before the keys of sources that share a key, until none do."""
    roots = [PurePath(listing.root) for listing in listings]
    depth = [0] * len(listings)

    def prefix(i: int) -> str:
        names = roots[i].parts[1:]  # without "/" or the drive
        return "".join(f"{name}/" for name in names[len(names) - depth[i] :])

    while True:
        users: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for i, listing in enumerate(listings):
            before = prefix(i)
            for video in listing.videos:
                users[before + video.key][video.path].add(i)
        clash = {i for paths in users.values() if len(paths) > 1 for p in paths.values() for i in p}
        longer = {i for i in clash if depth[i] < len(roots[i].parts) - 1}
        if not longer:
            break
        for i in longer:
            depth[i] += 1
    for i, listing in enumerate(listings):
        if depth[i]:
            listing.videos = [replace(video, key=prefix(i) + video.key) for video in listing.videos]
