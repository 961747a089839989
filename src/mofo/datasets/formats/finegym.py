"""FineGym: gymnastic elements in long videos, told by names such as the one below.

::

    finegym/
        videos/         A0xAXXysHUo.mp4 ...   (or cut: A0xAXXysHUo_E_002184_002237_A_0035_0036.mp4)
        annotations/    gym99_train_element_v1.0.txt gym99_val_element.txt gym99_categories.txt
                        finegym_annotation_info_v1.0.json (finer times, if it is there)

A line ``A0xAXXysHUo_E_002184_002237_A_0035_0036 13`` names a video, the seconds of an event in it,
those of an action in the event, and the class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mofo.datasets.formats.documents import read_json, read_lines, split_of
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing
from mofo.datasets.video import LABEL
from mofo.types import MofoError

_LINE = re.compile(r"((.+)_(E_(\d+)_\d+)_(A_(\d+)_(\d+)))\s+(\d+)")
_CATEGORY = re.compile(r"clabel:\s*(\d+);.*?(?:glabel:[^;]*;)\s*(.+)", re.IGNORECASE)


@FORMATS.register("finegym")
class FineGym(Format):
    """Lists of names with times in them, and numbers of classes."""

    about = "FineGym: Gym99, Gym288"

    def recognises(self, source: Source) -> bool:
        """A folder with an official list, or a list with such names."""
        if source.is_folder:
            return bool(_lists(source))
        return bool(_LINE.fullmatch(source.first_line))

    def read(self, source: Source) -> Listing:
        """The elements of the lists that are there (of Gym99, if of both), or of the one given."""
        lists = _lists(source) if source.is_folder else [source.path]
        group = lists[0].name.lower().partition("_")[0]
        classes: dict[int, str] = {}
        for path in source.named(f"{group}_categories.txt")[:1]:
            matches = (_CATEGORY.search(line) for _, line in read_lines(path))
            classes = {int(match[1]): match[2].strip() for match in matches if match}
            if len(set(classes.values())) < len(classes):
                raise MofoError(f"{path}: names a class twice")
        times = {}
        for path in source.named("finegym_annotation_info*.json")[:1]:
            times = read_json(path, dict)
        listing = source.lookup.listing()
        for path in lists:
            for number, line in read_lines(path):
                where = f"{path}, line {number}"
                match = _LINE.fullmatch(line)
                if match is None:
                    text = "expected a name such as ID_E_002184_002237_A_0035_0036 and a class"
                    source.problems.append((where, text))
                    continue
                name, video, label = match[1], match[2], int(match[8])
                if classes and label not in classes:
                    source.problems.append((where, f"class {label} is not in the list of classes"))
                    continue
                # A cut file, where there is one, needs no times.
                is_cut = name in source.lookup
                start, end = (None, None) if is_cut else _times(match, times)
                details = {"split": split_of(path), "group": video, "name": name}
                details |= {"label": classes.get(label, str(label)), "start": start, "end": end}
                source.lookup.add(listing, [name if is_cut else video], where, **details)
        if classes:
            listing.classes = {LABEL: tuple(classes[number] for number in sorted(classes))}
        return listing


def _times(match: re.Match[str], times: Mapping[str, Any]) -> tuple[float, float]:
    """Seconds in the whole video, by the annotations, or by the whole seconds of the name."""
    event = int(match[4])
    try:
        entry = times[match[2]][match[3]]
        begin = float(entry["timestamps"][0][0]) if entry.get("timestamps") else float(event)
        spans = entry["segments"][match[5]]["timestamps"]
        return begin + float(spans[0][0]), begin + float(spans[-1][-1])
    except (KeyError, TypeError, ValueError, IndexError):
        start, end = event + int(match[6]), event + int(match[7])
        return float(start), float(max(end, start + 1))


def _lists(source: Source) -> list[Path]:
    for group in ("gym99", "gym288"):
        lists = source.named(f"{group}_train*.txt")[:1] + source.named(f"{group}_val*.txt")[:1]
        if lists:
            return lists
    return []
