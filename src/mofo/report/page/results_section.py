"""The section on results: how often models are right, with intervals, classes and mix-ups."""

from __future__ import annotations

from typing import Any

from mofo.evaluation.results import ClassRow, Recognition
from mofo.report.page.charts import Dot, interval_chart
from mofo.report.page.conclusion import chance, differences, is_useless
from mofo.report.page.examples import examples
from mofo.report.page.folders import Contents
from mofo.report.page.media import ClipMaker
from mofo.report.wording import MEASURES, measure_name

_MATRIX = 30  # classes that a matrix can hold as a table
_MIX_UPS, _BARS = 8, 40  # rows


def results_section(contents: Contents, maker: ClipMaker, clips: int) -> dict[str, Any] | None:
    """Returns what the template needs; None if there is no test."""
    tested = [
        _tested(f"{test.name}: {head}" if len(test.results.heads) > 1 else test.name, result)
        | {"control": " (control)" if test.is_control else ""}
        for test in contents.tests
        for head, result in test.results.heads.items()
    ]
    if not tested:
        return None
    dots = [
        Dot(f"{each['name']}, {name}{each['control']}", mean, low, high, each["chance"])
        for each in tested
        for name, _, (mean, low, high), _ in each["measures"][:1]
    ]
    return {
        "tested": tested,
        "chart": interval_chart(dots, title="Accuracy with intervals"),
        "differences": differences(contents.tests),
        "examples": examples(contents, maker, clips) if clips else [],
    }


def _tested(name: str, result: Recognition) -> dict[str, Any]:
    """One kind of label in one test."""
    several = any(row.average_precision is not None for row in result.classes)
    seen = [row for row in result.classes if row.count or row.predicted]
    seen.sort(key=lambda row: -((row.average_precision if several else row.recall) or 0.0))
    wrong = sorted(
        (cell for cell in result.confusion if cell[0] != cell[1]),
        key=lambda cell: (-cell[2], cell[:2]),
    )
    classes, fits = result.classes, result.confusion and len(result.classes) <= _MATRIX
    return {
        "name": name,
        "recognition": result,
        # Of always giving the commonest answer, where that is a measure.
        "chance": chance(result) if "top1" in result.measures and result.count else None,
        # (name, meaning, value, whether it says nothing about other videos)
        "measures": [
            (
                measure_name(key),
                MEASURES.get(key, ("", ""))[1],
                value,
                is_useless(value) or result.is_few,
            )
            for key, value in result.measures.items()
        ],
        "several": several,  # a video may have several classes
        "classes": seen[:_BARS],
        "rest": max(0, len(seen) - _BARS),
        "matrix": result.confusion_matrix().tolist() if fits else [],
        "mix_ups": [
            (classes[label].name, classes[predicted].name, n, n / max(1, classes[label].count))
            for label, predicted, n in wrong[:_MIX_UPS]
        ],
    }


def shade(count: int, row: ClassRow) -> str:
    """Says how strong a cell of the matrix is coloured, in percent."""
    # Single mix-ups are to be seen beside a full diagonal.
    return f"{100 * min(1.0, count / max(1, row.count)) ** 0.7:.0f}%"
