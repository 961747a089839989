"""The section on results: how often models are right, with intervals, classes and mix-ups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mofo.evaluation.measures import Interval
from mofo.evaluation.results import ClassRow, Recognition
from mofo.report.page.charts import Dot, interval_chart
from mofo.report.page.conclusion import chance, differences, is_useless
from mofo.report.page.examples import examples
from mofo.report.page.folders import Contents
from mofo.report.page.media import ClipMaker
from mofo.report.page.wording import MEASURES, measure_name

_MATRIX = 30  # classes that a matrix can hold as a table
_MIX_UPS, _BARS = 8, 40  # rows


@dataclass(frozen=True)
class Measured:
    """One measure of one test; ``useless`` if its interval is too wide to say anything."""

    name: str
    meaning: str
    value: Interval

    @property
    def useless(self) -> bool:
        """Whether the value says nothing."""
        return is_useless(self.value)


@dataclass(frozen=True)
class MixUp:
    """Videos of one class taken for another."""

    label: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True)
class Tested:
    """One kind of label in one test.

    Attributes:
        name: of the test, and of the kind of label where there are several.
        recognition: the results.
        chance: accuracy of always giving the commonest answer; None where that is no measure.
        measures: with their meanings.
        several: whether a video may have several classes.
        classes: best one first.
        rest: how many more there are.
        matrix: counts, rows are labels; empty if there are too many classes.
        mix_ups: the most frequent ones.
        control: whether motion areas were replaced on purpose.
    """

    name: str
    recognition: Recognition
    chance: float | None
    measures: tuple[Measured, ...]
    several: bool
    classes: tuple[ClassRow, ...]
    rest: int
    matrix: tuple[tuple[int, ...], ...]
    mix_ups: tuple[MixUp, ...]
    control: bool


def results_section(contents: Contents, maker: ClipMaker, clips: int) -> dict[str, Any] | None:
    """Returns what the template needs; None if there is no test."""
    tested = [
        _tested(f"{test.name}: {head}" if len(test.results.heads) > 1 else test.name,
                result, test.is_control)
        for test in contents.tests
        for head, result in test.results.heads.items()
    ]  # fmt: skip
    if not tested:
        return None
    dots = [
        Dot(
            f"{each.name}, {measured.name}" + (" (control)" if each.control else ""),
            *measured.value,
            each.chance,
        )
        for each in tested
        for measured in each.measures[:1]
    ]
    return {
        "tested": tested,
        "chart": interval_chart(dots, title="Accuracy with intervals"),
        "differences": differences(contents.tests),
        "examples": examples(contents, maker, clips) if clips else [],
    }


def _tested(name: str, result: Recognition, control: bool) -> Tested:
    several = any(row.average_precision is not None for row in result.classes)
    seen = [row for row in result.classes if row.count or row.predicted]
    seen.sort(key=lambda row: -((row.average_precision if several else row.recall) or 0.0))
    matrix: tuple[tuple[int, ...], ...] = ()
    if result.confusion and len(result.classes) <= _MATRIX:
        matrix = tuple(tuple(row) for row in result.confusion_matrix().tolist())
    return Tested(
        name=name,
        recognition=result,
        chance=chance(result) if "top1" in result.measures and result.count else None,
        measures=tuple(
            Measured(measure_name(key), MEASURES.get(key, ("", ""))[1], value)
            for key, value in result.measures.items()
        ),
        several=several,
        classes=tuple(seen[:_BARS]),
        rest=max(0, len(seen) - _BARS),
        matrix=matrix,
        mix_ups=_mix_ups(result),
        control=control,
    )


def _mix_ups(result: Recognition) -> tuple[MixUp, ...]:
    wrong = sorted(
        (cell for cell in result.confusion if cell[0] != cell[1]),
        key=lambda cell: (-cell[2], cell[:2]),
    )
    classes = result.classes
    return tuple(
        MixUp(classes[label].name, classes[predicted].name, n, n / max(1, classes[label].count))
        for label, predicted, n in wrong[:_MIX_UPS]
    )


def shade(count: int, row: ClassRow) -> str:
    """Says how strong a cell of the matrix is coloured, in percent."""
    # Single mix-ups are to be seen beside a full diagonal.
    return f"{100 * min(1.0, count / max(1, row.count)) ** 0.7:.0f}%"
