"""HMDB51: videos in a folder for each class, and three official splits.

::

    hmdb51/
        hmdb51_org/                    brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi ...
        testTrainMulti_7030_splits/    brush_hair_test_split1.txt ... wave_test_split3.txt

There is one file for each class and split, with a file's name and 0, 1 or 2 in each line: 1 is for
training, 2 for testing, 0 is not used in this split. Names have characters such as "#", "!" and
"&" in them. The archive holds one more archive for each class.
"""

from __future__ import annotations

from mofo.datasets.formats.documents import read_lines
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing
from mofo.datasets.video import LABEL
from mofo.types import MofoError

_SPLITS = {"0": None, "1": "train", "2": "test"}


@FORMATS.register("hmdb51")
class Hmdb51(Format):
    """A list for each class and split."""

    about = "HMDB51"

    def recognises(self, source: Source) -> bool:
        """A folder with lists of the official names."""
        return source.is_folder and bool(source.named("*_test_split[123].txt"))

    def read(self, source: Source) -> Listing:
        """The videos of one split: "train" and "test"."""
        ending = f"_test_split{source.split_number}.txt"
        lists = source.named(f"*{ending}")
        if not lists:
            raise MofoError(f"{source.folder}: has no *{ending}, which the split would be in")
        listing = source.lookup.listing()
        for path in lists:
            label = path.name[: -len(ending)]
            for number, line in read_lines(path):
                where = f"{path}, line {number}"
                file, _, digit = line.rpartition(" ")
                if digit not in _SPLITS or not file.strip():
                    source.problems.append((where, "expected a file's name and 0, 1 or 2"))
                    continue
                split = _SPLITS[digit]
                if split is None:
                    continue
                stem = file.strip().rsplit(".", 1)[0]
                # What stands before the class is the film that the clip was cut from.
                group = stem.partition(f"_{label}_")[0]
                details = {"label": label, "split": split, "group": group, "name": stem}
                source.lookup.add(listing, [f"{label}/{stem}"], where, **details)
        listing.classes = {LABEL: tuple(path.name[: -len(ending)] for path in lists)}
        return listing
