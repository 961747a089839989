"""EPIC-KITCHENS-100: actions in long videos, listed in CSV files; nothing has to be cut.

::

    EPIC-KITCHENS/                      as the official downloader lays it out
        P01/videos/                     P01_01.MP4 (of 2018), P01_101.MP4 (three digits: new)
        epic-kitchens-100-annotations/  EPIC_100_train.csv EPIC_100_validation.csv
                                        EPIC_100_test_timestamps.csv
                                        EPIC_100_verb_classes.csv EPIC_100_noun_classes.csv
                                        EPIC_100_tail_verbs.csv EPIC_100_tail_nouns.csv
                                        EPIC_100_unseen_participant_ids_validation.csv ...

The archives themselves have the videos of 2018 in ``videos/train/P01/P01_01.MP4`` and
``videos/test/...``, and only the new ones in ``P01/videos/P01_101.MP4``: files are found by their
names in both, or in any other layout.

Segments go by time stamps, not by ``start_frame``: those count the pictures that the publishers
extracted, from 1, at their own rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mofo.datasets.formats.documents import numbered, read_rows
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing
from mofo.datasets.video import Video
from mofo.types import MofoError

HEADS = ("verb", "noun", "action")
"""Kinds of labels; an action is a verb and a noun, such as "turn-on tap"."""

_LABELLED = {"EPIC_100_train.csv": "train", "EPIC_100_validation.csv": "validation"}
_LISTS = {**_LABELLED, "EPIC_100_test_timestamps.csv": "test"}
_COLUMNS = ("narration_id", "video_id", "start_timestamp", "stop_timestamp")
_CLASS_COLUMNS = ("verb_class", "noun_class")
TAIL, UNSEEN = "tail", "unseen"
"""What is evaluated apart: rare classes, by head; persons not in the training set, by split."""
Pair = tuple[int, int]


@FORMATS.register("epic")
class EpicKitchens(Format):
    """Lists of segments in CSV, with a verb and a noun each."""

    about = "EPIC-KITCHENS-100"

    def recognises(self, source: Source) -> bool:
        """A folder with the official lists, or a list with their columns."""
        if source.is_folder:
            return any(source.named(name) for name in _LISTS)
        return set(_COLUMNS) <= {name.strip() for name in source.first_line.split(",")}

    def read(self, source: Source) -> Listing:
        """The segments of all lists that are there, or of the one that is given.

        Classes of actions are the pairs of verb and noun that the training and validation lists in
        the folder have, in the order of their numbers: the same ones whichever list is read.
        """
        verbs, nouns = _classes(source, "verb"), _classes(source, "noun")
        named = {path: split for name, split in _LISTS.items() for path in source.named(name)[:1]}
        lists = named if source.is_folder else {source.path: named.get(source.path)}
        labelled = [path for path, split in named.items() if split != "test"]
        labelled += [path for path in lists if path not in named]
        pairs = sorted({pair for path in labelled for pair in _pairs(path, len(verbs), len(nouns))})
        listing = source.lookup.listing()
        for path, split in lists.items():
            for where, row in read_rows(path, _COLUMNS):
                name, file = row.get("narration_id"), row.get("video_id")
                try:
                    start = _seconds(row.get("start_timestamp", ""))
                    end = _seconds(row.get("stop_timestamp", ""))
                except ValueError:
                    source.problems.append((where, "time stamps must be such as 00:01:02.34"))
                    continue
                if not name or not file or end <= start:
                    wrong = "stops before it starts" if name and file else "has no id"
                    source.problems.append((where, f"the segment {name or ''} {wrong}"))
                    continue
                labels: tuple[tuple[str, str], ...] = ()
                if all(row.get(column) for column in _CLASS_COLUMNS):
                    pair = _pair(row, len(verbs), len(nouns))
                    if pair is None:
                        text = ", ".join(f"{column} {row[column]}" for column in _CLASS_COLUMNS)
                        source.problems.append((where, f"{text}: no such classes"))
                        continue
                    verb, noun = verbs[pair[0]], nouns[pair[1]]
                    labels = (("verb", verb), ("noun", noun), ("action", f"{verb} {noun}"))
                details = {"labels": labels, "split": split, "group": file, "name": name}
                source.lookup.add(listing, [file], where, start=start, end=end, **details)
        actions = tuple(f"{verbs[verb]} {nouns[noun]}" for verb, noun in pairs)
        listing.classes = {"verb": verbs, "noun": nouns, **({"action": actions} if actions else {})}
        listing.apart = _apart(source, listing.classes)
        return listing


def person(video: Video) -> str:
    """Who recorded a segment, such as "P18"."""
    return (video.name or "").partition("_")[0]


def _seconds(stamp: str) -> float:
    """``HH:mm:ss.SS`` in seconds; ValueError if it is none."""
    hours, minutes, rest = stamp.split(":")
    value = int(hours) * 3600 + int(minutes) * 60 + float(rest)
    if not 0 <= value < float("inf"):
        raise ValueError(stamp)
    return value


def _apart(
    source: Source, classes: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """What the official files that are there say is to be evaluated apart."""
    apart: dict[str, dict[str, tuple[str, ...]]] = {}
    tails = {head: source.named(f"EPIC_100_tail_{head}s.csv") for head in ("verb", "noun")}
    if all(tails.values()):
        apart[TAIL] = {head: _tail(paths[0], head, classes[head]) for head, paths in tails.items()}
    for split in ("validation", "test"):
        for path in source.named(f"EPIC_100_unseen_participant_ids_{split}.csv")[:1]:
            rows = read_rows(path, ["participant_id"])
            persons = {row.get("participant_id") or "" for _, row in rows} - {""}
            apart.setdefault(UNSEEN, {})[split] = tuple(sorted(persons))
    return apart


def _tail(path: Path, head: str, classes: Sequence[str]) -> tuple[str, ...]:
    """Names of the rare verbs or nouns, which the challenge evaluates apart."""
    try:
        return tuple(sorted({classes[int(row[head])] for _, row in read_rows(path, [head])}))
    except (KeyError, ValueError, IndexError):
        raise MofoError(f"{path}: has a {head} that is no number of a class") from None


def _classes(source: Source, head: str) -> tuple[str, ...]:
    # The nouns came out a second time, as ..._v2.csv, with more of their spellings in each class.
    path = source.one(
        f"EPIC_100_{head}_classes.csv",
        f"EPIC_100_{head}_classes_v2.csv",
        what=f"numbers and names of the {head}s",
    )
    rows = read_rows(path, ["id", "key"])
    return numbered([(row.get("id", ""), row.get("key", "")) for _, row in rows], path)


def _pairs(path: Path, verbs: int, nouns: int) -> set[Pair]:
    pairs = (_pair(row, verbs, nouns) for _, row in read_rows(path, _COLUMNS))
    return {pair for pair in pairs if pair is not None}


def _pair(row: Mapping[str, str], verbs: int, nouns: int) -> Pair | None:
    """Numbers of verb and noun; None if there are no such classes."""
    try:
        verb, noun = (int(row[column]) for column in _CLASS_COLUMNS)
    except (KeyError, ValueError):
        return None
    return (verb, noun) if 0 <= verb < verbs and 0 <= noun < nouns else None
