"""Long lists, row by row: what ``mofo data convert`` reads without holding it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mofo.datasets.catalog import is_table, split_sources
from mofo.datasets.distinct import Distinct, Usable
from mofo.datasets.folders import Found, Problems, Root
from mofo.datasets.formats import lists, parquet
from mofo.datasets.formats.formats import recognised, split_name
from mofo.datasets.formats.source import Source
from mofo.datasets.quarantine import Quarantine
from mofo.datasets.table import table_rows
from mofo.datasets.video import Video
from mofo.types import MofoError

Rows = Callable[[Problems], Iterator[Video]]
_FORMATS = {"list": lists.read_rows, "parquet": parquet.read_rows}


class VideoStream:
    """The rows of a table, a plain list or a catalog, as ``read_catalog`` gives them.

    They can be gone through any number of times; each time the file is read again. In memory are 8
    bytes for each row, by which rows are found that say the same about the same file.

    Args:
        found: what the source says about all of its rows.
        rows: reads them.
        quarantine: what is left out.

    Attributes:
        found: as given.
        problems, excluded: as in ``Catalog``, of the last time that all rows were gone through.
    """

    def __init__(self, found: Found, rows: Rows, quarantine: Quarantine) -> None:
        self.found, self._rows, self._quarantine = found, rows, quarantine
        self.problems: Problems = []
        self.excluded: Problems = []
        self._distinct = Distinct(rows([]))

    def __iter__(self) -> Iterator[Video]:
        self._distinct.begin()
        problems: dict[tuple[str, str], None] = {}
        excluded: list[tuple[str, str]] = []
        wrong: Problems = []
        usable = Usable()
        for video in self._rows(wrong):
            reason = usable(video.path)
            if reason is not None:
                wrong.append((video.path, reason))
            if wrong:
                problems |= dict.fromkeys(wrong)
                wrong.clear()
            if reason is not None:
                continue
            reason = self._quarantine.reason(video)
            if reason is not None:
                excluded.append((video.path, reason))
            elif self._distinct.is_first(video):
                yield video
        problems |= dict.fromkeys(wrong)
        self.problems, self.excluded = list(problems), excluded


def video_stream(
    sources: Sequence[str | Path], *, videos: str | Path | None = None
) -> VideoStream | None:
    """The rows of a source; None if it is none of those that can be read row by row.

    Args:
        sources: one CSV table with a header, plain list or catalog; and quarantine lists.
        videos: folder that paths are relative to, if it is not the source's own.

    Raises:
        MofoError: the source cannot be read.
    """
    names, quarantine = split_sources(sources)
    if len(names) != 1:
        return None
    kind, path = split_name(names[0])
    if not Path(path).is_file():
        return None
    if kind is None and is_table(path):
        found, rows = _table(Path(path), videos)
        return VideoStream(found, rows, quarantine)
    if kind is None and not path.lower().endswith((".csv", ".txt", ".list", ".parquet")):
        return None
    source = Source(path, videos=videos)
    if kind is None:
        one = recognised(source)
        kind = one.name if one else None
    if kind not in _FORMATS:
        return None
    found, rows = _FORMATS[kind](source)
    return VideoStream(found, rows, quarantine)


def _table(table: Path, videos: str | Path | None) -> tuple[Found, Rows]:
    folder = None if videos is None else Path(videos)
    if folder is not None and not folder.is_dir():
        raise MofoError(f"{videos}: no such folder: it should hold the videos")
    root = Root(str((folder or table.parent).absolute()))
    for video in table_rows(table, [], folder):
        root.add(video.path)
    found = Found(root.path)

    def rows(problems: Problems) -> Iterator[Video]:
        for video in table_rows(table, problems, folder):
            yield replace(video, key=found.key(video.path))

    return found, rows
