"""Results of a recognition test as a table in plain text, and as the files of a folder."""

from __future__ import annotations

from pathlib import Path

from mofo.evaluation.results import ClassRow, Recognition, Results, write_results
from mofo.report.figures.confusion import write_class_chart, write_confusion
from mofo.report.wording import counted, measure_name, percent, printable

RESULTS = "results.json"
_ROWS = 25  # classes in a table
_LETTERS = 48  # of a class's name


def results_table(results: Results) -> str:
    """Returns the measures with intervals, then the classes: the worst, if they are many."""
    lines = [f"{name:12}{printable(text)}" for name, text in results.about.items()]
    for head, result in results.heads.items():
        lines += ["", _title(head, result)]
        lines += [
            f"  {measure_name(name):24}{100 * value.mean:6.2f} %   "
            f"[{100 * value.low:.2f}, {100 * value.high:.2f}]"
            for name, value in result.measures.items()
        ]
        if result.is_few and not _is_part(head):
            lines.append(f"  only {counted(result.count, 'video')}: that says nothing about others")
        if not _is_part(head):
            lines += ["", *_classes(result)]
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
    groups = len({row.group for row in result.videos})
    over = f"{groups:,} groups of videos" if 0 < groups < result.count else "videos"
    size = f"{counted(result.count, 'video')}, {counted(len(result.classes), 'class', 'classes')}"
    return f"{head}: {size}   (95 % interval over {over})"


def _headline(result: Recognition) -> str:
    name, value = next(iter(result.measures.items()))
    return f"{measure_name(name)} {percent(value.mean)} of {counted(result.count, 'video')}"


def _classes(result: Recognition) -> list[str]:
    several = any(row.average_precision is not None for row in result.classes)
    shown = [row for row in result.classes if row.count or row.predicted]
    title = "  class"
    if len(shown) > _ROWS:
        shown = sorted(shown, key=lambda row: (_score(row), -row.count))[:_ROWS]
        title = f"  {_ROWS} of {len(result.classes)} classes, the worst"
    names = [_short(row.name) for row in shown]
    width = max([len(title), *(len(name) + 2 for name in names)]) + 2
    last = ["average precision"] if several else ["recall", "precision"]
    lines = [f"{title:{width}}videos  {'  '.join(f'{head:>9}' for head in last)}"]
    for name, row in zip(names, shown, strict=True):
        values = [row.average_precision] if several else [row.recall, row.precision]
        texts = (
            f"{percent(value):>{max(9, len(head))}}"
            for value, head in zip(values, last, strict=True)
        )
        lines.append(f"  {name:{width - 2}}{row.count:6,}  {'  '.join(texts)}")
    return lines


def _score(row: ClassRow) -> float:
    value = row.recall if row.average_precision is None else row.average_precision
    return 2.0 if value is None else value


def _short(name: str) -> str:
    name = printable(" ".join(name.split()))
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
