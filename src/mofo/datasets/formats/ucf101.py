"""UCF101: videos in a folder for each class, and three official splits.

::

    ucf101/
        UCF-101/            ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi ...
        ucfTrainTestlist/   classInd.txt trainlist01.txt testlist01.txt ... testlist03.txt

The lists for training have the class's number after the file's name, those for testing have not;
the class is the name of the folder in both. Numbers begin at 1.
"""

from __future__ import annotations

import re

from mofo.datasets.formats.documents import numbered, read_lines
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing
from mofo.datasets.video import LABEL
from mofo.types import MofoError


@FORMATS.register("ucf101")
class Ucf101(Format):
    """Lists of paths whose folder is the class."""

    about = "UCF101"

    def recognises(self, source: Source) -> bool:
        """A folder with the list of classes and any list of videos."""
        lists = source.named("trainlist0[123].txt") + source.named("testlist0[123].txt")
        return source.is_folder and bool(source.named("classind.txt")) and bool(lists)

    def read(self, source: Source) -> Listing:
        """The videos of one split: "train" and "test"."""
        path = source.one("classInd.txt", what="numbers of the classes")
        pairs = [line.split(None, 1) for _, line in read_lines(path)]
        try:
            classes = numbered([(int(number) - 1, name) for number, name in pairs], path)
        except ValueError:
            raise MofoError(f"{path}: expected a number and a class in each line") from None
        listing = source.lookup.listing()
        for split in ("train", "test"):
            name = f"{split}list{source.split_number:02d}.txt"
            list_path = source.one(name, what=f"{split} list of split {source.split_number}")
            for number, line in read_lines(list_path):
                where = f"{list_path}, line {number}"
                file = line.split()[0].replace("\\", "/")
                label, slash, base = file.rpartition("/")
                label = label.rpartition("/")[2]
                stem = base.rsplit(".", 1)[0]
                if not slash or label not in classes:
                    reason = f"{file}: its folder is no class of {path.name}"
                    source.problems.append((where, reason))
                    continue
                group = re.search(r"_(g\d+)_c\d+$", stem)
                # The folder is HandstandPushups, its files are v_HandStandPushups_...: some copies
                # of the data set have mended that.
                stems = [f"{label}/{stem}", f"{label}/{stem.replace('HandStand', 'Handstand')}"]
                # Clips of a group show the same people in the same place.
                people = f"{label}_{group[1]}" if group else None
                details = {"label": label, "split": split, "group": people, "name": stem}
                source.lookup.add(listing, stems, where, **details)
        listing.classes = {LABEL: classes}
        return listing
