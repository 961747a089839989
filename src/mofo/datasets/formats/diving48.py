"""Diving48: clips of dives, and JSON files with the numbers of their classes.

::

    diving48/
        rgb/    -mmq0PT-u8k_00155.mp4 ...
        Diving48_V2_train.json  Diving48_V2_test.json  Diving48_vocab.json

Version 2 has corrected labels, and is taken where both are there. A class is four words: take-off,
somersaults, twists, position. ``start_frame`` and ``end_frame`` span the whole file.
"""

from __future__ import annotations

from mofo.datasets.formats.documents import numbered, read_json
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing
from mofo.datasets.video import LABEL
from mofo.types import MofoError

_VOCABULARY = "Diving48_vocab.json"


@FORMATS.register("diving48")
class Diving48(Format):
    """Lists in JSON, with the numbers of the classes."""

    about = "Diving48"

    def recognises(self, source: Source) -> bool:
        """A folder with the lists, or one of the lists."""
        if not source.is_folder:
            name = source.path.name.lower()
            return name.startswith("diving48_") and name.endswith(".json")
        return bool(source.named("diving48_*train.json") or source.named("diving48_*test.json"))

    def read(self, source: Source) -> Listing:
        """The videos of both lists, or of the one that is given: "train" and "test"."""
        path = source.one(_VOCABULARY, what="names of the classes")
        words = read_json(path, list)
        classes = numbered(
            [(n, " ".join(map(str, w)) if isinstance(w, list) else w) for n, w in enumerate(words)],
            path,
        )
        lists = [source.path]
        if source.is_folder:
            names = (f"diving48_*{split}.json" for split in ("train", "test"))
            both = [
                sorted(source.named(name), key=lambda p: "_v2_" in p.name.lower()) for name in names
            ]
            lists = [paths[-1] for paths in both if paths]
        listing = source.lookup.listing()
        for list_path in lists:
            split = "train" if "train" in list_path.stem.lower() else "test"
            for number, row in enumerate(read_json(list_path, list), 1):
                try:
                    name, label = str(row["vid_name"]), int(row["label"])
                except (KeyError, TypeError, ValueError):
                    raise MofoError(
                        f"{list_path}, video {number}: has no vid_name or no label: fetch it again"
                    ) from None
                where = f"{list_path}, {name}"
                if not 0 <= label < len(classes):
                    source.problems.append((where, f"class {label} is not in {path.name}"))
                    continue
                # Clips of one competition differ in the number at the end.
                details = {"split": split, "group": name.rpartition("_")[0], "name": name}
                source.lookup.add(listing, [name], where, label=classes[label], **details)
        listing.classes = {LABEL: classes}
        return listing
