"""Moments in Time: clips of three seconds in a folder for each class, and lists of them.

::

    Moments_in_Time_Raw/
        training/ validation/       adult+female+singing/0-0-1-2-3.mp4 ...
        moments_categories.txt      adult+female+singing,3
        trainingSet.csv validationSet.csv       adult+female+singing/0-0-1-2-3.mp4,LABEL,4,1

The last two cells count the people who saw the class in the clip, or did not.
"""

from __future__ import annotations

from mofo.datasets.formats.documents import numbered, read_lines, split_of
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing
from mofo.datasets.video import LABEL

_LISTS = ("trainingset.csv", "validationset.csv", "testingset.csv")


@FORMATS.register("moments")
class Moments(Format):
    """Lists of paths, classes and votes."""

    about = "Moments in Time"

    def recognises(self, source: Source) -> bool:
        """The numbers of the classes and an official list, or one of the lists."""
        if not source.named("moments_categories.txt"):
            return False
        if source.is_folder:
            return any(source.named(name) for name in _LISTS)
        return source.path.name.lower() in _LISTS

    def read(self, source: Source) -> Listing:
        """The clips of all lists that are there, or of the one that is given."""
        path = source.one("moments_categories.txt", what="numbers of the classes")
        pairs = [line.rpartition(",")[::2] for _, line in read_lines(path)]
        classes = numbered([(number.strip(), name.strip()) for name, number in pairs], path)
        lists = [source.path]
        if source.is_folder:
            lists = [path for name in _LISTS for path in source.named(name)[:1]]
        listing = source.lookup.listing()
        for list_path in lists:
            stem = list_path.stem.lower().removesuffix("set")
            split = split_of(list_path.with_name(f"{stem}.csv"))
            for number, line in read_lines(list_path):
                where = f"{list_path}, line {number}"
                file, _, rest = line.partition(",")
                label = rest.split(",")[0].strip()
                folder, _, name = file.strip().rpartition("/")
                if label not in classes:
                    source.problems.append((where, f"class {label!r} is not in {path.name}"))
                    continue
                stem = name.rsplit(".", 1)[0]
                stems = [f"{folder.rpartition('/')[2]}/{stem}"]
                source.lookup.add(listing, stems, where, label=label, split=split, name=stem)
        listing.classes = {LABEL: classes}
        return listing
