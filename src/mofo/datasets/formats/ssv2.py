"""Something-Something V2: ``<id>.webm`` files, and JSON files that say what they show.

::

    something-something-v2/
        20bn-something-something-v2/    1.webm 2.webm ... (any name, or several folders)
        labels/                         labels.json train.json validation.json test.json
                                        test-answers.csv

The first release calls them ``something-something-v2-labels.json`` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mofo.datasets.formats.documents import numbered, read_json, read_lines
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing, Problems
from mofo.datasets.video import LABEL

_PREFIX = "something-something-v2-"
_SPLITS = ("train", "validation", "test")


@FORMATS.register("ssv2")
class SomethingSomething(Format):
    """Lists in JSON, with the names of the classes as templates."""

    about = "Something-Something V2"

    def recognises(self, source: Source) -> bool:
        """A folder with the list of labels, or one of the lists of videos."""
        if not source.is_folder:
            return _split_of(source.path) is not None and bool(_labels_files(source))
        lists = [path for path in source.files if _split_of(path)]
        return bool(source.named(f"{_PREFIX}labels.json")) or (
            bool(source.named("labels.json")) and bool(lists)
        )

    def read(self, source: Source) -> Listing:
        """The videos of all lists that are there, or of the one that is given."""
        labels = source.one(f"{_PREFIX}labels.json", "labels.json", what="numbers of the classes")
        pairs = read_json(labels, dict).items()
        classes = numbered([(number, name) for name, number in pairs], labels)
        known = frozenset(classes)
        lists = [source.path] if not source.is_folder else _lists(source)
        if not lists:
            source.one(f"{_PREFIX}train.json", what="list of videos")
        listing = source.lookup.listing()
        answers = _answers(source)
        for path in lists:
            split = _split_of(path)
            for where, name, label in _rows(path, source.problems):
                label = label or (answers.get(name) if split == "test" else None)
                if label and label not in known:
                    source.problems.append((where, f"class {label!r} is not in {labels.name}"))
                    continue
                source.lookup.add(listing, [name], where, label=label, split=split, name=name)
        listing.classes = {LABEL: classes}
        listing.flip = False  # "Pushing something from left to right"
        return listing


def _rows(path: Path, problems: Problems) -> Iterator[tuple[str, str, str | None]]:
    for number, row in enumerate(read_json(path, list), 1):
        where = f"{path}, video {number}"
        if not isinstance(row, dict) or not str(row.get("id", "")).strip():
            problems.append((where, "has no id"))
            continue
        template = row.get("template")
        # The template is the class with its nouns in brackets, which the list of labels has not:
        # "Putting [something] on [something]". "label" holds what they were in this video.
        name = str(template).replace("[", "").replace("]", "").strip() if template else None
        yield f"{path}, id {row['id']}", str(row["id"]).strip(), name


def _answers(source: Source) -> dict[str, str]:
    """Classes of the test videos, which came out later, as ``id;class``."""
    for path in source.named("*test-answers.csv"):
        rows = (line.partition(";") for _, line in read_lines(path))
        return {name.strip(): label.strip() for name, _, label in rows}
    return {}


def _lists(source: Source) -> list[Path]:
    """One list for each split; the long names where both are there."""
    lists = []
    for split in _SPLITS:
        paths = source.named(f"{_PREFIX}{split}.json") or source.named(f"{split}.json")
        lists += paths[:1]
    return lists


def _labels_files(source: Source) -> list[Path]:
    return source.named(f"{_PREFIX}labels.json") or source.named("labels.json")


def _split_of(path: Path) -> str | None:
    stem = path.stem.lower().removeprefix(_PREFIX)
    return stem if stem in _SPLITS and path.suffix.lower() == ".json" else None
