"""Formats of data sets: what each says about itself, and which of them a source has.

    @FORMATS.register("ssv2")
    class SomethingSomething(Format):
        about = "Something-Something V2"

        def recognises(self, source: Source) -> bool: ...
        def read(self, source: Source) -> Listing: ...

``ssv2:PATH`` then reads ``PATH`` in that format, and a ``PATH`` that it recognises is read so.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import mofo.datasets.formats as package
from mofo.datasets.formats.documents import describe_text
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing, Problems, Rows, is_video
from mofo.datasets.row_table import RowTable
from mofo.datasets.video import Usable, Video
from mofo.registry import Registry
from mofo.types import MofoError
from mofo.video.location import split_member


class Format(ABC):
    """One layout of data sets.

    Attributes:
        about: what it is, in a line.
        rank: formats are asked in this order; the first that recognises a source reads it, and two
            of one rank ask the user which is meant. 0: is certain; 1: published data sets; 2: what
            may be taken for one of those; 3: whatever is left.
        may_be_empty: a source without a single usable video gives an empty listing and problems,
            instead of an error.
    """

    about: ClassVar[str]
    rank: ClassVar[int] = 1
    may_be_empty: ClassVar[bool] = False

    @abstractmethod
    def recognises(self, source: Source) -> bool:
        """Whether a source has this format; looks at names and first lines only."""

    @abstractmethod
    def read(self, source: Source) -> Listing:
        """The videos of a source that has this format.

        What cannot be used goes to ``source.problems``.

        Raises:
            MofoError: a file is missing or damaged.
        """


class RowFormat(Format):
    """A list that is read row by row, since it may be long."""

    @abstractmethod
    def rows(self, source: Source) -> tuple[Listing, Rows]:
        """What the source says about all of its rows (no videos yet), and what reads its rows.

        Whether the files are there is not looked at.
        """

    def usable_rows(self, source: Source) -> tuple[Listing, Rows]:
        """The same of the rows whose files can be used."""
        listing, rows = self.rows(source)

        def usable(problems: Problems) -> Iterator[Video]:
            why = Usable()
            for video in rows(problems):
                reason = why(video.path)
                if reason is None:
                    yield video
                else:
                    problems.append((video.path, reason))

        return listing, usable

    def read(self, source: Source) -> Listing:
        """The rows whose files can be used."""
        listing, rows = self.usable_rows(source)
        listing.videos = list(rows(source.problems))
        return listing

    def columns(self, source: Source) -> tuple[Listing, RowTable] | None:
        """The rows whose files can be used, no two the same, as columns; None: only ``rows``."""
        return None


_TEXTS = frozenset(
    {".csv", ".tsv", ".txt", ".list", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".html", ".md"}
)
_HINT = (
    "no list of videos that mofo knows; write a CSV with the columns path and label, see "
    "docs/data.md, or name its format as in list:PATH"
)


def _load() -> None:
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


FORMATS: Registry[type[Format]] = Registry("format", _load)


def split_name(source: str) -> tuple[str | None, str]:
    """``"ssv2:PATH"`` as format and path; no format if the whole is the name of a file."""
    name, colon, path = source.partition(":")
    if colon and path and name in FORMATS and not os.path.lexists(source):
        return name, path
    return None, source


def find_format(
    name: str,
    problems: Problems | None = None,
    *,
    videos: str | Path | None = None,
    split_number: int = 1,
) -> tuple[Source, Format | None]:
    """A source and its format: the one that its name says, or the one that recognises it.

    Args:
        name: path of a file or folder, perhaps with a format before it, as in ``ssv2:PATH``.
        problems: gets ``(name, reason)`` of what cannot be used.
        videos: folder that the videos are below, if the source does not tell.

    Returns:
        No format if it is just a video, whatever it is called.
    """
    kind, path = split_name(name)
    if not os.path.lexists(path) and split_member(path) is None:
        raise MofoError(f"{path}: does not exist; expected a file or a folder")
    source = Source(
        path, videos=videos, split_number=split_number, problems=problems, is_named=kind is not None
    )
    if kind is not None:
        return source, FORMATS[kind]()
    if is_video(path) or not (source.is_folder or source.path.is_file()):
        return source, None
    fitting: list[str] = []
    for kind in sorted(FORMATS, key=lambda kind: FORMATS[kind].rank):
        if fitting and FORMATS[kind].rank > FORMATS[fitting[0]].rank:
            break
        if FORMATS[kind]().recognises(source):
            fitting.append(kind)
    if len(fitting) > 1:
        raise MofoError(
            f"{source.path}: may be {' or '.join(fitting)}: say which, as in "
            f"{fitting[0]}:{source.path}"
        )
    if not fitting and source.path.suffix.lower() in _TEXTS and source.first_line:
        raise MofoError(f"{path}: {describe_text(source.path)}: {_HINT}")
    return source, FORMATS[fitting[0]]() if fitting else None


def read_source(source: Source, layout: Format) -> Listing:
    """The videos of a source that has a format."""
    before = len(source.problems)
    listing = layout.read(source)
    failed = source.problems[before:]
    if failed and not listing.videos and not layout.may_be_empty:
        raise MofoError(none_usable(str(source.path), layout, failed))
    return listing


def none_usable(path: str, layout: Format, problems: Problems) -> str:
    """The text of an error about a source of which no video can be used."""
    where, reason = problems[0]
    return (
        f"{path}: read as {layout.about}, but none of its {len(problems):,} videos can be used, "
        f"the first for this reason: {where}: {reason}; --videos DIR of `mofo data convert` says "
        "where videos are"
    )
