"""What is wrong with the labels of a data set, told from its catalog alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from unicodedata import category, normalize

from mofo.datasets.catalog import Catalog
from mofo.datasets.video import Video

TRAIN = "train"
Segment = tuple[str, float | None, float | None]


class LabelFault(NamedTuple):
    """One thing that is wrong."""

    kind: str
    what: str
    reason: str


def label_faults(catalog: Catalog) -> list[LabelFault]:
    """Classes and labels that are probably wrong, and videos that are where they should not be.

    * a class with one video only, among those for training (or all, where there are no splits);
    * a class that is tested but never trained;
    * classes whose names look alike: they differ in case, blanks, invisible characters or the
      Unicode form of accents only, or are the same number ("1", "1.0", "01");
    * a video with two labels of one kind in different rows;
    * a video in two splits;
    * a video without a label, where others of its split have one.
    """
    faults = []
    for head, counts in class_counts(catalog).items():
        faults += list(_class_faults(head, counts))
    return [*faults, *_two_labels(catalog), *_two_splits(catalog), *_no_label(catalog)]


def class_counts(catalog: Catalog) -> dict[str, dict[str, dict[str, int]]]:
    """Videos by head, class (in the catalog's order, the others behind) and split ("" for none)."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for head, names in catalog.classes.items():
        counts[head] = {name: Counter() for name in names}
    for video in catalog:
        for head, name in video.labels:
            by_class = counts.setdefault(head, {})
            by_class.setdefault(name, Counter())[video.split or ""] += 1
    return {h: {n: dict(c) for n, c in of.items()} for h, of in counts.items()}


def _class_faults(head: str, counts: Mapping[str, Mapping[str, int]]) -> Iterator[LabelFault]:
    has_train = any(TRAIN in of for of in counts.values())
    alike: dict[str, str] = {}
    for name, of in counts.items():
        if not of:
            continue  # a class of the official list that this part of the data set has not
        trained = of.get(TRAIN, 0) if has_train else sum(of.values())
        if has_train and not trained:
            others = ", ".join(f"{n} in {split or 'no split'}" for split, n in of.items())
            yield LabelFault("class not trained", f"{head} {name!r}", f"none in train, {others}")
        elif trained == 1:
            yield LabelFault("class of one", f"{head} {name!r}", "only one video to train it by")
        before = alike.setdefault(_plain(name), name)
        if before != name:
            yield LabelFault(
                "classes alike", f"{head} {name!r}", f"and {before!r}: {_difference(name, before)}"
            )


def _plain(name: str) -> str:
    """What is left of a name if nothing counts that one hardly sees."""
    shown = (c for c in normalize("NFKC", name) if category(c) not in ("Cf", "Cc") or c.isspace())
    plain = " ".join("".join(shown).split()).casefold()
    try:
        return f"{float(plain):g}" if plain.replace(".", "", 1).isdecimal() else plain
    except ValueError:
        return plain


def _difference(one: str, other: str) -> str:
    if normalize("NFKC", one) == normalize("NFKC", other):
        return "the same in another Unicode form"
    if " ".join(one.split()).casefold() == " ".join(other.split()).casefold():
        return "differ in case or blanks"
    if one.replace(".", "").isdecimal():
        return "the same number"
    return f"differ in characters that are not seen ({one!a}, {other!a})"


def _two_labels(catalog: Catalog) -> Iterator[LabelFault]:
    """Rows about the same segment that contradict each other."""
    first: dict[Segment, Video] = {}
    for video in catalog:
        before = first.setdefault((video.path, video.start, video.end), video)
        if before is video or not video.labels or not before.labels:
            continue
        for head in {head for head, _ in video.labels}:
            one, two = (sorted(name for h, name in v.labels if h == head) for v in (before, video))
            if one and one != two:
                reason = f"is {head} {', '.join(one)!r} and, in another row, {', '.join(two)!r}"
                yield LabelFault("two labels", video.path, reason)


def splits_of(catalog: Catalog) -> dict[str, set[str]]:
    """By path, the splits that a file is in."""
    splits: dict[str, set[str]] = defaultdict(set)
    for video in catalog:
        if video.split:
            splits[video.path].add(video.split)
    return splits


def _two_splits(catalog: Catalog) -> Iterator[LabelFault]:
    for path, several in splits_of(catalog).items():
        if len(several) > 1:
            yield LabelFault("two splits", path, f"is in {' and '.join(sorted(several))}")


def _no_label(catalog: Catalog) -> Iterator[LabelFault]:
    labelled = {video.split for video in catalog if video.labels}
    for video in catalog:
        if not video.labels and video.split in labelled:
            split = f"{video.split} videos" if video.split else "videos"
            yield LabelFault("no label", video.path, f"has no label, other {split} have")
