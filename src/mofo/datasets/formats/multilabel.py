"""Plain lists with several classes a video, as MMAction2 takes them: no header.

::

    videos/a.mp4 3 17 25        path, numbers of the classes
    videos/b.mp4 4

Such a list is recognised where lines have one number or more, but not all the same: two numbers in
all lines are frames and class of a plain list. ``multilabel:PATH`` says it of any list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from mofo.datasets.formats.documents import each_line, split_of
from mofo.datasets.formats.format import FORMATS, RowFormat
from mofo.datasets.formats.lists import ENDINGS, NUMBER, list_path, match_line
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing, Problems, Rows, keyed_rows
from mofo.datasets.video import LABEL, Video
from mofo.types import MofoError

_READ = 1000  # lines by which a list is recognised


@FORMATS.register("multilabel")
class MultiLabelList(RowFormat):
    """Lines of a path and numbers of classes."""

    about = "plain list of paths and several classes each"

    def recognises(self, source: Source) -> bool:
        """A list whose lines have different numbers of numbers."""
        if source.is_folder or source.path.suffix.lower() not in ENDINGS:
            return False
        try:
            rows = [_numbers(line) for _, line in islice(each_line(source.path), _READ)]
        except MofoError:
            return False
        counts = {len(numbers) for numbers in rows if numbers is not None}
        return None not in rows and len(counts - {0}) > 1

    def rows(self, source: Source) -> tuple[Listing, Rows]:
        """The lines of the list; see ``RowFormat``."""
        base = str(source.folder if source.videos is None else source.videos)
        largest = 0

        def rows(problems: Problems) -> Iterator[Video]:
            nonlocal largest
            split = split_of(source.path)
            for number, line in each_line(source.path):
                match, numbers = match_line(line), _numbers(line)
                if match is None or numbers is None:
                    if not line.startswith("#"):
                        where = f"{source.path}, line {number}"
                        problems.append((where, f"expected a path and numbers: {line[:60]!r}"))
                    continue
                largest = max(largest, *numbers, 0)
                labels = tuple((LABEL, str(label)) for label in dict.fromkeys(numbers))
                yield Video(list_path(base, match), "", labels, split=split)

        listing, keyed = keyed_rows(base, rows)
        listing.classes = {LABEL: tuple(map(str, range(largest + 1)))}
        return listing, keyed


def _numbers(line: str) -> list[int] | None:
    """The numbers behind a path; None for other lines."""
    match = match_line(line)
    parts = re.split(r"[\s,;]+", (match[2] or "").strip()) if match else ["-"]
    numbers = [part for part in parts if part]
    return [int(part) for part in numbers] if all(map(NUMBER.fullmatch, numbers)) else None
