"""ActivityNet, HACS Segments, THUMOS14: segments of untrimmed videos, in one JSON file.

::

    activitynet/
        videos/                         v_---9CpRcKoU.mp4 ... (any layout, with "v_" or without)
        activity_net.v1-3.min.json      (HACS_segments_v1.1.1.json, thumos14.json)

``{"database": {ID: {"subset": "train", "annotations": [{"segment": [0.5, 9.2], "label": "x"}]}}}``.
Each segment is a row; videos for testing, which have none, are rows as a
whole.
"""

from __future__ import annotations

from typing import Any

from mofo.datasets.formats.documents import SPLITS, read_json
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing
from mofo.datasets.video import LABEL

_HEAD = 4096  # characters in which "database" must begin
_NAMES = ("activity_net*.json", "hacs_segments*.json", "thumos*.json", "activitynet*.json")


@FORMATS.register("activitynet")
class ActivityNet(Format):
    """One JSON file with a database of segments."""

    about = "ActivityNet, HACS Segments, THUMOS14: JSON with a database of segments"

    def recognises(self, source: Source) -> bool:
        """A file that begins as such, or a folder with one of the official names."""
        if source.is_folder:
            return any(source.named(name) for name in _NAMES)
        return source.path.suffix.lower() == ".json" and '"database"' in _beginning(source)

    def read(self, source: Source) -> Listing:
        """The segments of all videos."""
        paths = [source.path]
        if source.is_folder:
            paths = [source.one(*_NAMES, what="segments")]
        database: Any = read_json(paths[0], dict).get("database")
        database = database if isinstance(database, dict) else {}
        listing = source.lookup.listing()
        for name, entry in database.items():
            where = f"{paths[0]}, {name}"
            entry = entry if isinstance(entry, dict) else {}
            split = SPLITS.get(str(entry.get("subset", "")).lower())
            details = {"split": split, "group": name, "name": name}
            stems = [name, f"v_{name}", name.removeprefix("v_")]
            annotations = entry.get("annotations") or []
            for number, row in enumerate(annotations, 1):
                try:
                    start, end = (float(time) for time in row["segment"])
                    label = str(row["label"]).strip()
                except (KeyError, TypeError, ValueError):
                    text = f"annotation {number} has no segment of two times, or no label"
                    source.problems.append((where, text))
                    continue
                if not 0 <= start < end:
                    text = f"segment {start:g} to {end:g} stops before it starts"
                    source.problems.append((where, text))
                    continue
                times = {"start": start, "end": end}
                source.lookup.add(listing, stems, where, label=label, **times, **details)
            if not annotations:
                source.lookup.add(listing, stems, where, **details)
        names = {name for video in listing.videos for _, name in video.labels}
        listing.classes = {LABEL: tuple(sorted(names))} if names else {}
        return listing


def _beginning(source: Source) -> str:
    try:
        with source.path.open(encoding="utf-8-sig", errors="replace") as file:
            text = file.read(_HEAD)
            if '"database"' not in text and source.path.stat().st_size < 1 << 28:
                text += file.read()  # other parts may come first, such as the taxonomy
            return text
    except OSError:
        return ""
