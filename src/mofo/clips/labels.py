"""Labels of videos as numbers: which classes there are, and which video has which."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mofo.datasets.video import LABEL, Video
from mofo.types import MofoError


class LabelError(MofoError):
    """Labels that are missing, unknown or contradict each other."""


@dataclass(frozen=True, eq=False)
class LabelTable:
    """The labels of videos, row by row.

    Attributes:
        classes: by head, the names of its classes; a class's number is its place.
        numbers: by head, for each row the numbers of its classes, ascending: one, or any number
            of them where ``several`` is true.
        several: whether a video may have several classes of a head.
    """

    classes: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, tuple[tuple[int, ...], ...]]
    several: bool = False

    @classmethod
    def of(
        cls,
        videos: Sequence[Video],
        heads: Sequence[str] = (LABEL,),
        classes: Mapping[str, Sequence[str]] | None = None,
        *,
        several: bool = False,
    ) -> LabelTable:
        """Number the labels of videos.

        Args:
            videos: all of them with labels, see ``labelled``.
            classes: names of the classes by head, in order; a head that is not in it has the
                classes that its videos have, sorted, numbers by their value.
            several: whether a video may have several classes of a head.
        """
        known: dict[str, tuple[str, ...]] = {}
        numbers: dict[str, tuple[tuple[int, ...], ...]] = {}
        for head in heads:
            names = [_names(video, head) for video in videos]
            given = (classes or {}).get(head)
            known[head] = tuple(given) if given else _sorted({n for row in names for n in row})
            _check(videos, head, names, known[head], several)
            number = {name: place for place, name in enumerate(known[head])}
            numbers[head] = tuple(tuple(sorted(number[name] for name in row)) for row in names)
        return cls(known, numbers, several)

    def __len__(self) -> int:
        return len(next(iter(self.numbers.values()), ()))

    def number_V(self, head: str = LABEL) -> np.ndarray:
        """The (first) class of each row, int64."""
        return np.array([row[0] for row in self.numbers[head]], np.int64)

    def target_BC(self, head: str, rows: Iterable[int]) -> np.ndarray:
        """What a classifier should say, float32 (B, classes): 1 for each class of a row, else 0."""
        rows = list(rows)
        target_BC = np.zeros((len(rows), len(self.classes[head])), np.float32)
        for b, row in enumerate(rows):
            target_BC[b, list(self.numbers[head][row])] = 1
        return target_BC

    def counts(self, head: str = LABEL) -> np.ndarray:
        """Videos of each class, int64 (classes,)."""
        every = [number for row in self.numbers[head] for number in row]
        return np.bincount(np.array(every, np.int64), minlength=len(self.classes[head]))


def labelled(
    videos: Iterable[Video], heads: Sequence[str] = (LABEL,)
) -> tuple[tuple[Video, ...], tuple[tuple[str, str], ...]]:
    """The videos that have a label for each head; ``(path, reason)`` of the others."""
    kept, others = [], []
    for video in videos:
        missing = [head for head in heads if not _names(video, head)]
        if missing:
            others.append((video.path, f"has no {' and no '.join(missing)}"))
        else:
            kept.append(video)
    return tuple(kept), tuple(others)


def _names(video: Video, head: str) -> tuple[str, ...]:
    return tuple(name for each, name in video.labels if each == head)


def _sorted(names: set[str]) -> tuple[str, ...]:
    """Natural order: "class 10" after "class 9"."""

    def key(name: str) -> tuple[list[tuple[int, int, str]], str]:
        parts = re.split(r"([0-9]+)", name)
        return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], name

    return tuple(sorted(names, key=key))


def _check(
    videos: Sequence[Video],
    head: str,
    names: Sequence[tuple[str, ...]],
    known: tuple[str, ...],
    several: bool,
) -> None:
    twice = sorted({name for name in known if known.count(name) > 1}) if known else []
    if twice:
        raise LabelError(f"the list of classes of {head!r} has {twice[0]!r} twice")
    is_known = set(known)
    for wrong, text in (
        ([i for i, row in enumerate(names) if not row], f"no {head}"),
        (
            [i for i, row in enumerate(names) if len(row) > 1] if not several else [],
            f"several classes of {head!r}, where one is expected (loss.labels multi allows them)",
        ),
        ([i for i, row in enumerate(names) if not is_known.issuperset(row)], ""),
    ):
        if not wrong:
            continue
        first = wrong[0]
        if not text:
            strange = sorted({n for i in wrong for n in names[i]} - is_known)
            more = f" and {len(strange) - 1} other classes" if len(strange) > 1 else ""
            text = f"{head} {strange[0]!r}{more}, not among the {len(known)} classes known"
        videos_more = f" and {len(wrong) - 1} more videos" if len(wrong) > 1 else ""
        raise LabelError(
            f"{videos[first].path}{videos_more}: {text}: mend the labels, or leave those videos out"
        )
