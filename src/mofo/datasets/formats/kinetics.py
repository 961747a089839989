"""Kinetics-400, 600 and 700: cut clips, and CSV files with the columns of the publishers.

::

    k400/
        annotations/    train.csv val.csv test.csv
        train/          ---QUuC4vJs_000084_000094.mp4 ... (flat, or a folder for each class)
        val/  test/
        replacement/replacement_for_corrupted_k400/    files that CVDF gives in place of broken ones

Columns: ``label,youtube_id,time_start,time_end,split`` and, in Kinetics-400, ``is_cc``; there is no
``label`` in the test lists. Classes have no official numbers; everybody sorts them by name, and so
does training here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mofo.datasets.formats.documents import SPLITS, read_rows
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source, first_line
from mofo.datasets.listing import Listing

_OPENED = 100  # CSV files of a folder; there are three lists
_MENDED = "replacement_for_corrupted_k400"
_COLUMNS = ("youtube_id", "time_start", "time_end")


@FORMATS.register("kinetics")
class Kinetics(Format):
    """Lists in CSV of ids of YouTube and times."""

    about = "Kinetics-400, 600 or 700"

    def recognises(self, source: Source) -> bool:
        """A CSV file with a column ``youtube_id``, or a folder with one."""
        return _is_list(source.first_line) if not source.is_folder else bool(_lists(source))

    def read(self, source: Source) -> Listing:
        """The videos of all lists that are there, or of the one that is given."""
        listing = source.lookup.listing()
        rows = [
            row
            for path in (_lists(source) if source.is_folder else [source.path])
            for row in read_rows(path, _COLUMNS)
        ]
        times = Counter(row.get("youtube_id", "") for _, row in rows)
        mended = source.lookup.inside(_MENDED)
        for where, row in rows:
            name, label = row.get("youtube_id"), row.get("label", "")
            # Kinetics-700 says "validate", the others "val".
            split = SPLITS.get(row.get("split", "").removesuffix("ate").lower())
            try:
                start, end = int(float(row["time_start"])), int(float(row["time_end"]))
            except (KeyError, ValueError, OverflowError):
                source.problems.append((where, "time_start and time_end must be seconds"))
                continue
            if not name:
                source.problems.append((where, "no youtube_id in this row"))
                continue
            # Files are cut to the ten seconds already: the times are in their names, not wanted.
            stem = f"{name}_{start:06d}_{end:06d}"
            stems = [f"{label}/{stem}", *([f"{label}/{name}"] if times[name] == 1 else [])]
            details = {"label": label, "split": split, "group": name, "name": stem}
            # These are called like the broken ones, or by the id alone.
            better = mended.get(stem) or (mended.get(name) if times[name] == 1 else None)
            if better:
                listing.add(better, source.problems, **details)
            else:
                source.lookup.add(listing, stems, where, **details)
        return listing


def _lists(source: Source) -> list[Path]:
    """The CSV files with the right columns, for training first and for testing last."""
    lists = [path for path in source.named("*.csv")[:_OPENED] if _is_list(first_line(path))]
    return sorted(lists, key=lambda path: ("test" in path.stem, "val" in path.stem, path.name))


def _is_list(line: str) -> bool:
    return set(_COLUMNS) <= {name.strip() for name in line.split(",")}
