"""Results of a recognition test as a table in plain text, and as the files of a folder."""

from __future__ import annotations

from pathlib import Path

from mofo.evaluation.results import ClassRow, Recognition, Results, write_results
from mofo.report.figures.confusion import write_class_chart, write_confusion

RESULTS = "results.json"
_NAMES = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_class_accuracy": "mean class accuracy",
    "mean_average_precision": "mean average precision",
}
_ROWS = 25  # classes in a table
_LETTERS = 48  # of a class's name


def results_table(results: Results, *, rows: int = _ROWS) -> str:
    """Returns the measures with intervals, then the classes: the worst, if they are many.

    Args:
        results: of a test.
        rows: classes of each head at most; 0: none.
    """
    lines = [f"{name:12}{_harmless(text)}" for name, text in results.about.items()]
    for head, result in results.heads.items():
        lines += ["", _title(head, result)]
        lines += [
            f"  {_NAMES.get(name, name):24}{100 * value.mean:6.2f} %   "
            f"[{100 * value.low:.2f}, {100 * value.high:.2f}]"
            for name, value in result.measures.items()
        ]
        if rows and not _is_part(head):
            lines += ["", *_classes(result, rows)]
    return "\n".join(lines)


def write_evaluation(results: Results, folder: str | Path) -> list[Path]:
    """Writes ``results.json`` and, for each head, ``confusion.png`` and ``classes.png``.

    With several heads the pictures have their names: ``confusion_verb.png``. The folder is made.

    Returns:
        What was written, the numbers first.

    Raises:
        MofoError, OSError: a file cannot be written.
    """
    folder = Path(folder)
    paths = [folder / RESULTS]
    write_results(results, paths[0])
    for head, result in results.heads.items():
        if _is_part(head):  # its videos are among those of the whole
            continue
        end = f"_{head}" if len(results.heads) > 1 else ""
        title = "" if len(results.heads) == 1 else f"{head}: "
        if result.confusion:
            paths.append(folder / f"confusion{end}.png")
            write_confusion(result, paths[-1], title=f"{title}{_headline(result)}")
        paths.append(folder / f"classes{end}.png")
        write_class_chart(result, paths[-1], title=f"{title}{_headline(result)}")
    return paths


def _is_part(head: str) -> bool:
    """Whether these are some of the videos only, as in "action (tail)"."""
    return head.endswith(")")


def _title(head: str, result: Recognition) -> str:
    classes = len(result.classes)
    groups = len({row.group for row in result.videos})
    over = f"{groups:,} groups of videos" if 0 < groups < result.count else "videos"
    return f"{head}: {result.count:,} videos, {classes:,} classes   (95 % interval over {over})"


def _headline(result: Recognition) -> str:
    name, value = next(iter(result.measures.items()))
    return f"{_NAMES.get(name, name)} {100 * value.mean:.1f} % of {result.count:,} videos"


def _classes(result: Recognition, rows: int) -> list[str]:
    several = any(row.average_precision is not None for row in result.classes)
    shown = [row for row in result.classes if row.count or row.predicted]
    title = "  class"
    if len(shown) > rows:
        shown = sorted(shown, key=lambda row: (_score(row), -row.count))[:rows]
        title = f"  {rows} of {len(result.classes)} classes, the worst"
    names = [_short(row.name) for row in shown]
    width = max([len(title), *(len(name) + 2 for name in names)]) + 2
    last = "average precision" if several else "recall  precision"
    lines = [f"{title:{width}}videos  {last}"]
    for name, row in zip(names, shown, strict=True):
        values = f"{_percent(row.average_precision):>17}"
        if not several:
            values = f"{_percent(row.recall):>6}  {_percent(row.precision):>9}"
        lines.append(f"  {name:{width - 2}}{row.count:6,}  {values}")
    return lines


def _score(row: ClassRow) -> float:
    value = row.recall if row.average_precision is None else row.average_precision
    return 2.0 if value is None else value


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _short(name: str) -> str:
    name = _harmless(" ".join(name.split()))
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _harmless(text: str) -> str:
    """Names without letters that a terminal obeys, such as escape sequences."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
