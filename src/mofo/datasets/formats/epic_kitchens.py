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

import numpy as np

from mofo.datasets.folders import Found
from mofo.datasets.formats.documents import numbered, read_rows
from mofo.datasets.formats.source import Source
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


def recognises(source: Source) -> bool:
    """A folder with the official lists, or a list with their columns."""
    if source.is_folder:
        return any(source.named(name) for name in _LISTS)
    return set(_COLUMNS) <= {name.strip() for name in source.first_line.split(",")}


def read(source: Source) -> Found:
    """The segments of all lists that are there, or of the one that is given.

    Classes of actions are the pairs of verb and noun that the training and validation lists in the
    folder have, in the order of their numbers: the same ones whichever list is read.

    Raises:
        MofoError: a list of classes is missing; a list cannot be read.
    """
    verbs, nouns = _classes(source, "verb"), _classes(source, "noun")
    named = {path: split for name, split in _LISTS.items() for path in source.named(name)[:1]}
    lists = named if source.is_folder else {source.path: named.get(source.path)}
    labelled = [path for path, split in named.items() if split != "test"]
    labelled += [path for path in lists if path not in named]
    pairs = sorted({pair for path in labelled for pair in _pairs(path, len(verbs), len(nouns))})
    found = source.lookup.found()
    for path, split in lists.items():
        for where, row in read_rows(path, _COLUMNS):
            name, file = row.get("narration_id"), row.get("video_id")
            try:
                start = seconds(row.get("start_timestamp", ""))
                end = seconds(row.get("stop_timestamp", ""))
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
            video = Video("", "", labels, start, end, split, file, name)
            source.lookup.add(found, [file], where, video)
    actions = tuple(f"{verbs[verb]} {nouns[noun]}" for verb, noun in pairs)
    found.classes = {"verb": verbs, "noun": nouns, **({"action": actions} if actions else {})}
    found.apart = _apart(source)
    return found


def person(video: Video) -> str:
    """Who recorded a segment, such as "P18"."""
    return (video.name or "").partition("_")[0]


def seconds(stamp: str) -> float:
    """``HH:mm:ss.SS`` in seconds; ValueError if it is none."""
    hours, minutes, rest = stamp.split(":")
    value = int(hours) * 3600 + int(minutes) * 60 + float(rest)
    if not 0 <= value < float("inf"):
        raise ValueError(stamp)
    return value


def action_pairs(classes: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Verb and noun of each action, int64 ``(A, 2)``.

    Args:
        classes: of heads "verb", "noun" and "action", see ``Catalog.classes``.
    """
    verbs = {name: number for number, name in enumerate(classes["verb"])}
    nouns = {name: number for number, name in enumerate(classes["noun"])}
    halves = (name.split(" ", 1) for name in classes["action"])
    return np.array([(verbs[verb], nouns[noun]) for verb, noun in halves], np.int64).reshape(-1, 2)


def tail_classes(folder: str | Path) -> dict[str, frozenset[str]]:
    """Names of the rare verbs and nouns, by head, which the challenge evaluates apart.

    Args:
        folder: of the annotations.

    Raises:
        MofoError: a file is missing or damaged.
    """
    source = Source(folder)
    tail = {}
    for head in ("verb", "noun"):
        classes = _classes(source, head)
        path = source.one(f"EPIC_100_tail_{head}s.csv", what=f"rare {head}s")
        rows = read_rows(path, [head])
        try:
            tail[head] = frozenset(classes[int(row[head])] for _, row in rows)
        except (KeyError, ValueError, IndexError):
            raise MofoError(f"{path}: has a {head} that is no number of a class") from None
    return tail


def unseen_participants(folder: str | Path, split: str = "validation") -> frozenset[str]:
    """Ids of the persons, such as "P18", who are in a split but not in the training set.

    ``person(video)`` is the person of a segment.

    Args:
        folder: of the annotations.
        split: "validation" or "test".

    Raises:
        MofoError: the file is missing or damaged.
    """
    name = f"EPIC_100_unseen_participant_ids_{split}.csv"
    path = Source(folder).one(name, what="persons who are not in the training set")
    column = "participant_id"
    return frozenset(row[column] for _, row in read_rows(path, [column]) if row.get(column))


def _apart(source: Source) -> dict[str, dict[str, tuple[str, ...]]]:
    """What the official files that are there say is to be evaluated apart."""
    apart: dict[str, dict[str, tuple[str, ...]]] = {}
    if all(source.named(f"EPIC_100_tail_{head}s.csv") for head in ("verb", "noun")):
        tail = tail_classes(source.folder)
        apart[TAIL] = {head: tuple(sorted(names)) for head, names in tail.items()}
    splits = [
        split
        for split in ("validation", "test")
        if source.named(f"EPIC_100_unseen_participant_ids_{split}.csv")
    ]
    if splits:
        apart[UNSEEN] = {
            split: tuple(sorted(unseen_participants(source.folder, split))) for split in splits
        }
    return apart


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
