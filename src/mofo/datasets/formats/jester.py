"""Jester, and others with lists of ``id;label``, as Something-Something V1.

::

    jester/
        videos/             1.mp4 2.mp4 ... (any name, or several folders)
        annotations/        jester-v1-labels.csv jester-v1-train.csv jester-v1-validation.csv
                            jester-v1-test.csv (ids only)

The labels file has one class in each line, in the order of their numbers. The publishers give each
video as a folder of pictures, 12 a second; mofo reads videos, so they are joined first::

    ffmpeg -framerate 12 -i 20bn-jester-v1/1/%05d.jpg -c:v libx264 videos/1.mp4
"""

from __future__ import annotations

import re
from pathlib import Path

from mofo.datasets.formats.documents import read_lines
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing
from mofo.datasets.video import LABEL
from mofo.types import MofoError

_SPLITS = ("train", "validation", "test")
_NAMES = re.compile(r"(.+)-(labels|train|validation|test)\.csv", re.IGNORECASE)


@FORMATS.register("jester")
class Jester(Format):
    """Lists of ``id;label``."""

    about = "Jester, Something-Something V1: lists of id;label"

    def recognises(self, source: Source) -> bool:
        """A folder with a list of labels and one for training, or a list of ``id;label``."""
        if not source.is_folder:
            match = _NAMES.fullmatch(source.path.name)
            is_list = bool(re.fullmatch(r"\w+;[^;,]+", source.first_line))
            return bool(match and source.named(f"{match[1]}-labels.csv")) or (
                source.path.suffix.lower() == ".csv" and is_list
            )
        return any(source.named(path.name.replace("labels", "train")) for path in _labels(source))

    def read(self, source: Source) -> Listing:
        """The videos of all lists that are there, or of the one that is given."""
        labels = _labels(source)
        if not labels:
            raise MofoError(
                f"{source.folder}: *-labels.csv is missing: it has the order of the classes"
            )
        classes = tuple(line for _, line in read_lines(labels[0]))
        if len(set(classes)) < len(classes):
            raise MofoError(f"{labels[0]}: names a class twice")
        if source.is_folder:
            stem = labels[0].name.lower().removesuffix("labels.csv")
            lists = [p for split in _SPLITS for p in source.named(f"{stem}{split}.csv")[:1]]
        else:
            lists = [source.path]
        listing = source.lookup.listing()
        for path in lists:
            split = _split(path)
            for number, line in read_lines(path):
                name, _, label = (part.strip() for part in line.partition(";"))
                where = f"{path}, line {number}"
                if label and label not in classes:
                    source.problems.append((where, f"class {label!r} is not in {labels[0].name}"))
                    continue
                source.lookup.add(listing, [name], where, label=label, split=split, name=name)
        listing.classes = {LABEL: classes}
        listing.flip = False  # "Swiping Left"
        return listing


def _split(path: Path) -> str | None:
    match = _NAMES.fullmatch(path.name)
    return match[2].lower() if match and match[2].lower() in _SPLITS else None


def _labels(source: Source) -> list[Path]:
    return [path for path in source.named("*-labels.csv") if _NAMES.fullmatch(path.name)]
