"""How often the model is right: measures with intervals, confusion, each class by itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from mofo.evaluation.area_scores import Interval
from mofo.evaluation.recognition import compare
from mofo.evaluation.results import ClassRow, Recognition
from mofo.evaluation.views import EvaluationError
from mofo.report.page.charts import Dot, interval_chart
from mofo.report.page.gathered import Gathered, Test
from mofo.report.page.scales import SERIES
from mofo.report.page.sections.section import Section
from mofo.report.page.words import measure_meaning, measure_name

_MATRIX = 30  # classes that a matrix can hold as a table
_MIXED, _BARS = 8, 40  # rows


@dataclass(frozen=True)
class Measured:
    """One measure of one test."""

    name: str
    meaning: str
    value: Interval


@dataclass(frozen=True)
class MixedUp:
    """Videos of one class taken for another."""

    label: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True)
class Judged:
    """One kind of label in one test.

    Attributes:
        name: of the test, and of the kind of label where there are several.
        number: for anchors.
        recognition: the results.
        chance: accuracy of always saying the commonest class; None where that is no measure.
        measures: with their meanings.
        several: whether a video may have several classes.
        classes: best one first.
        rest: how many more there are.
        matrix: counts, rows are labels; empty if there are too many classes.
        mixed: the most frequent confusions.
    """

    name: str
    number: int
    recognition: Recognition
    chance: float | None
    measures: tuple[Measured, ...]
    several: bool
    classes: tuple[ClassRow, ...]
    rest: int
    matrix: tuple[tuple[int, ...], ...]
    mixed: tuple[MixedUp, ...]


@dataclass(frozen=True)
class Difference:
    """How much better the second of two tests is, on the same videos."""

    first: str
    second: str
    measure: str
    value: Interval

    @property
    def verdict(self) -> str:
        """In words."""
        if self.value.low > 0:
            return "better"
        return "worse" if self.value.high < 0 else "no clear difference"


def accuracy(found: Gathered) -> Section | None:
    """The section; None if there is no test."""
    judged: list[Judged] = []
    for test in found.tests:
        for head, recognition in test.results.heads.items():
            name = f"{test.name}: {head}" if len(test.results.heads) > 1 else test.name
            judged.append(_judged(name, len(judged), recognition))
    if not judged:
        return None
    dots = []
    for k, one in enumerate(judged):
        for measured in one.measures[:1]:
            low, high = measured.value.low, measured.value.high
            name = f"{one.name}, {measured.name}"
            dots.append(Dot(name, measured.value.mean, low, high, one.chance, k % SERIES))
    return Section(
        "accuracy",
        "How often the model is right",
        "The dot is the share of test videos that were named rightly, the line through it is where "
        "that share would likely lie with other videos of the same kind (95 % interval), and the "
        "upright mark is what always giving the commonest answer would reach.",
        {
            "judged": judged,
            "chart": interval_chart(dots, title="Accuracy with intervals"),
            "differences": _differences(found.tests),
        },
    )


def _judged(name: str, number: int, found: Recognition) -> Judged:
    several = any(row.average_precision is not None for row in found.classes)
    seen = [row for row in found.classes if row.count or row.predicted]
    ordered = sorted(seen, key=lambda row: -(_fares(row, several) or 0.0))
    matrix: tuple[tuple[int, ...], ...] = ()
    if found.confusion and len(found.classes) <= _MATRIX:
        matrix = tuple(tuple(row) for row in found.confusion_matrix().tolist())
    chance = found_by_chance(found) if "top1" in found.measures and found.count else None
    return Judged(
        name=name,
        number=number,
        recognition=found,
        chance=chance,
        measures=tuple(
            Measured(measure_name(key), measure_meaning(key), value)
            for key, value in found.measures.items()
        ),
        several=several,
        classes=tuple(ordered[:_BARS]),
        rest=max(0, len(ordered) - _BARS),
        matrix=matrix,
        mixed=_mixed(found),
    )


def found_by_chance(found: Recognition) -> float:
    """Accuracy of always giving the commonest answer."""
    return max((row.count for row in found.classes), default=0) / max(1, found.count)


def _fares(row: ClassRow, several: bool) -> float | None:
    return row.average_precision if several else row.recall


def _mixed(found: Recognition) -> tuple[MixedUp, ...]:
    wrong = [cell for cell in found.confusion if cell[0] != cell[1]]
    wrong.sort(key=lambda cell: (-cell[2], cell[:2]))
    return tuple(
        MixedUp(
            found.classes[label].name,
            found.classes[predicted].name,
            count,
            count / max(1, found.classes[label].count),
        )
        for label, predicted, count in wrong[:_MIXED]
    )


def _differences(tests: Sequence[Test]) -> list[Difference]:
    """Each test beside the first one, where they are of the same videos."""
    found = []
    for first, second in itertools.islice(((tests[0], other) for other in tests[1:]), 12):
        for head in first.results.heads.keys() & second.results.heads.keys():
            try:
                values = compare(first.results.heads[head], second.results.heads[head])
            except (EvaluationError, IndexError):
                continue
            found += [
                Difference(first.name, second.name, measure_name(name), value)
                for name, value in values.items()
            ]
    return found


def shade(count: int, row: ClassRow) -> str:
    """How strong a cell of the matrix is coloured, in percent."""
    # Single mix-ups are to be seen beside a full diagonal.
    return f"{100 * min(1.0, count / max(1, row.count)) ** 0.7:.0f}%"
