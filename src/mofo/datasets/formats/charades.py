"""Charades: actions in videos of half a minute, several at once, in CSV files.

::

    charades/
        Charades_v1_480/        46GP8.mp4 ...
        Charades_v1_train.csv Charades_v1_test.csv Charades_v1_classes.txt

A cell ``actions`` such as ``c092 11.90 21.20;c147 0.00 12.60`` gives a row for each action: class,
start and end in seconds. Classes are named as in ``Charades_v1_classes.txt``.
"""

from __future__ import annotations

from mofo.datasets.formats.documents import read_lines, read_rows, split_of
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing
from mofo.datasets.video import LABEL
from mofo.types import MofoError

_COLUMNS = ("id", "subject", "actions")


@FORMATS.register("charades")
class Charades(Format):
    """Tables with several actions in a cell."""

    about = "Charades"

    def recognises(self, source: Source) -> bool:
        """A folder with the official lists, or a table with their columns."""
        if source.is_folder:
            return bool(source.named("charades_*_train.csv") or source.named("charades_*_test.csv"))
        return set(_COLUMNS) <= {name.strip() for name in source.first_line.split(",")}

    def read(self, source: Source) -> Listing:
        """The actions of all lists that are there, or of the one that is given."""
        lists = [source.path]
        if source.is_folder:
            names = ("charades_*_train.csv", "charades_*_test.csv")
            lists = [path for name in names for path in source.named(name)[:1]]
        path = source.one("Charades_v1_classes.txt", "charades_*classes.txt", what="classes")
        classes = dict(line.partition(" ")[::2] for _, line in read_lines(path))
        if len(set(classes.values())) < len(classes):
            raise MofoError(f"{path}: names a class twice")
        listing = source.lookup.listing()
        for list_path in lists:
            for where, row in read_rows(list_path, _COLUMNS):
                name, split = row.get("id", ""), split_of(list_path)
                details = {"split": split, "group": row.get("subject") or None, "name": name}
                actions = [part.split() for part in row.get("actions", "").split(";") if part]
                for action in actions:
                    try:
                        number, start, end = action[0], float(action[1]), float(action[2])
                        label = classes[number]
                    except (IndexError, KeyError, ValueError):
                        text = f"action {' '.join(action)!r}: no class of {path.name} and two times"
                        source.problems.append((where, text))
                        continue
                    if not 0 <= start < end:
                        text = f"action {' '.join(action)!r} stops before it starts"
                        source.problems.append((where, text))
                        continue
                    times = {"start": start, "end": end}
                    source.lookup.add(listing, [name], where, label=label, **times, **details)
                if not actions:
                    source.lookup.add(listing, [name], where, **details)
        listing.classes = {LABEL: tuple(classes.values())}
        return listing
