"""Quarantine: lists of videos that are left out, as ``mofo data check`` writes them."""

# os.path is several times faster than Path, which counts with a million files.
# ruff: noqa: PTH114, PTH119

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mofo.datasets.formats.documents import read_rows, seconds
from mofo.datasets.video import Video
from mofo.types import MofoError
from mofo.video.storage import joined

EXCLUDE = "exclude:"
"""Before the name of a list of videos that are to be left out."""
COLUMNS = ("path", "start", "end", "reason")
"""Of the CSV file; only ``path`` has to be there."""

Entry = tuple[str, float | None, float | None]


class Quarantine:
    """Files, or segments of files, that are not to be used.

    Args:
        lists: CSV files with a header: ``path``, relative to the list; ``start`` and ``end`` in
            seconds, if only that segment is meant; ``reason``.
    """

    def __init__(self, lists: Iterable[Path] = ()) -> None:
        self._reasons: dict[Entry, str] = {}
        for path in lists:
            base = str(path.absolute().parent)
            for where, row in read_rows(path, ["path"]):
                try:
                    segment = seconds(row.get("start")), seconds(row.get("end"))
                except ValueError:
                    raise MofoError(f"{where}: start and end must be seconds") from None
                if "\0" in row["path"]:
                    raise MofoError(f"{where}: no path has a zero byte in it")
                if row["path"]:
                    file = os.path.realpath(joined(base, row["path"]))
                    self._reasons[file, *segment] = row.get("reason") or "no reason given"
        # Links are only followed for files that may be meant.
        self._names = {os.path.basename(file) for file, _, _ in self._reasons}

    def __len__(self) -> int:
        return len(self._reasons)

    def reason(self, video: Video) -> str | None:
        """Why a video is left out; None if it is not."""
        if not self._reasons:
            return None
        if os.path.basename(video.path) in self._names or os.path.islink(video.path):
            file = os.path.realpath(video.path)
            whole = self._reasons.get((file, None, None))
            return whole or self._reasons.get((file, video.start, video.end))
        return None


def split_sources(sources: str | Path | Sequence[str | Path]) -> tuple[list[str], Quarantine]:
    """The names of the sources, and what the quarantine lists among them leave out."""
    several = [sources] if isinstance(sources, str | Path) else sources
    names = [os.fspath(source) for source in several]
    lists = [name for name in names if name.startswith(EXCLUDE) and not os.path.lexists(name)]
    quarantine = Quarantine(Path(name.removeprefix(EXCLUDE)) for name in lists)
    return [name for name in names if name not in lists], quarantine
