"""``mofo data check``: inspects every file of a data set, and its labels."""

from __future__ import annotations

import contextlib
import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mofo.datasets.catalog import Catalog, read_catalog
from mofo.datasets.file_report import QUARANTINED, STOPPED, Fault, FileReport, FileTask, Journal
from mofo.datasets.inspect_file import inspect_file
from mofo.datasets.label_faults import LabelFault, class_counts, label_faults, splits_of
from mofo.datasets.quarantine import COLUMNS
from mofo.system.files import csv_cell, folder_lock, replaced, write_json
from mofo.system.pool import ENGINES, InProcess, Result
from mofo.system.processes import worker_count
from mofo.system.progress import Progress
from mofo.types import MofoError, SettingsError
from mofo.video.location import file_state

_PICTURES = 40
_STALL = 300.0  # seconds without a frame until a file is given up
_LENGTHS = (1, 2, 5, 10, 20, 60, 300, 3600)  # seconds


@dataclass
class CheckReport:
    """What was found; all paths are those of the catalog.

    Attributes:
        faults: ``(path, fault)`` of files and segments.
        duplicates: files with the same content, two and more each.
        sizes, lengths, codecs: number of files by "320x240", by "2-5 s" and by codec.
        inspected, skipped: files that were opened now, and those known from an earlier run.
        pictures: ``(path, JPEG in base64)`` of some files, evenly from all.
    """

    catalog: Catalog
    out: Path
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    labels: list[LabelFault] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)
    codecs: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    seconds: float = 0.0
    inspected: int = 0
    skipped: int = 0
    pictures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def quarantined(self) -> list[tuple[str, Fault]]:
        """Files and segments that are of no use."""
        return [(path, fault) for path, fault in self.faults if fault.kind in QUARANTINED]

    def problems(self) -> list[dict[str, Any]]:
        """Everything that is wrong, as rows with kind, what and reason."""
        rows = [
            {
                "kind": "unused column" if reason.startswith("column") else "not there",
                "what": name,
                "reason": reason,
            }
            for name, reason in self.catalog.problems
        ]
        for path, fault in self.faults:
            row: dict[str, Any] = {"kind": fault.kind, "what": path, "reason": fault.reason}
            if (fault.start, fault.end) != (None, None):
                row |= {"start": fault.start, "end": fault.end}
            rows.append(row)
        rows += [fault._asdict() for fault in self.labels]
        splits = splits_of(self.catalog)
        for group in self.duplicates:
            several = {split for path in group for split in splits[path]}
            kind = "same in two splits" if len(several) > 1 else "same content"
            reason = f"same content as {', '.join(group[1:4])}" + (
                f" and {len(group) - 4} more" if len(group) > 4 else ""
            )
            if len(several) > 1:
                reason += f"; in {' and '.join(sorted(several))}"
            rows.append({"kind": kind, "what": group[0], "reason": reason})
        return rows


def check(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    full: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> CheckReport:
    """Inspects all files and labels of a data set; goes on where an earlier run stopped.

    Writes into the folder ``out``: ``check.json`` (all that is in the report), ``quarantine.csv``
    (what is of no use: give it to other verbs as the source ``exclude:FILE``) and ``files.jsonl``
    (a line for each file, by which a later run knows it).

    Args:
        sources: see ``read_catalog``.
        out: folder.
        full: decode all frames, not just the first, the middle and the last one.
        workers: processes; None for all processors that this process may use; 0 works in the
            calling process, where a crash inside a decoder ends everything.
        progress: show progress on stderr.

    Raises:
        MofoError: a source cannot be read at all, or ``out`` is no folder.
        KeyboardInterrupt: stopped by Ctrl-C; what was inspected is kept.
    """
    if workers is not None and workers < 0:
        raise SettingsError(f"workers is {workers}: 0 (this process) is the least")
    several = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    folder = Path(out).absolute()
    if folder.exists() and not folder.is_dir():
        raise MofoError(f"{folder}: is a file: give --out a folder")
    catalog = read_catalog([os.fspath(source) for source in several])
    folder.mkdir(parents=True, exist_ok=True)
    report = CheckReport(catalog, folder)
    with folder_lock(folder):
        _inspect_all(report, full, workers, progress)
        report.labels = label_faults(catalog)
        _write(report, [os.fspath(source) for source in several], full)
    return report


def _inspect_all(report: CheckReport, full: bool, workers: int | None, show: bool) -> None:
    tasks = _tasks(report.catalog, full)
    sizes: dict[str, list[str]] = defaultdict(list)
    with Journal(report.out / "files.jsonl") as journal:
        todo = []
        for task in tasks:
            known = journal.known(task)
            if known is None:
                todo.append(task)
            else:
                report.skipped += 1
                _take(report, known, sizes)
        count = worker_count(workers, len(todo))
        bar = Progress(len(todo), show=show, name="check")
        try:
            for result, running in _results(iter(todo), count):
                if result is not None:
                    file = result.value or _stopped(result)
                    journal.keep(result.task, file)
                    report.inspected += 1
                    _take(report, file, sizes)
                    bar.finished(file.frames)
                bar.beat(running)
        except KeyboardInterrupt:
            left = len(todo) - report.inspected
            raise KeyboardInterrupt(
                f"stopped: {left} of {len(tasks)} files are left; run the same command to go on"
            ) from None
        finally:
            bar.close()
    order = {task.key: number for number, task in enumerate(tasks)}
    report.faults.sort(key=lambda pair: order[pair[0]])
    report.pictures.sort(key=lambda pair: order[pair[0]])
    groups = (sorted(paths, key=order.__getitem__) for paths in sizes.values() if len(paths) > 1)
    report.duplicates = sorted(groups, key=lambda paths: order[paths[0]])


def _results(tasks: Iterator[FileTask], workers: int) -> Iterator[tuple[Result | None, int]]:
    """What becomes of the tasks, None now and then; and frames of files under way."""
    engine = (ENGINES["local"] if workers else InProcess)(inspect_file, workers, _STALL)
    with contextlib.closing(engine.run(tasks)) as results:
        for result in results:
            yield result, engine.frames


def _stopped(result: Result) -> FileReport:
    return FileReport(result.task.key, faults=(Fault(STOPPED, result.failure),))


def _tasks(catalog: Catalog, full: bool) -> list[FileTask]:
    """One for each file; only those of equal size can have the same content."""
    segments: dict[str, dict[tuple[float | None, float | None], None]] = {}
    for video in catalog:
        wanted = segments.setdefault(video.path, {})
        if video.start is not None or video.end is not None:
            wanted[video.start, video.end] = None
    sizes = {path: file_state(path)[1] for path in segments}
    counts = Counter(sizes.values())
    every = max(1, -(-len(segments) // _PICTURES))
    return [
        FileTask(path, path, tuple(wanted), full, counts[sizes[path]] > 1, number % every == 0)
        for number, (path, wanted) in enumerate(segments.items())
    ]


def _take(report: CheckReport, file: FileReport, same: dict[str, list[str]]) -> None:
    report.faults += [(file.key, fault) for fault in file.faults]
    if file.digest:
        same[file.digest].append(file.key)
    if file.picture:
        report.pictures.append((file.key, file.picture))
    if file.count:
        report.sizes[f"{file.width}x{file.height}"] += 1
        report.lengths[_length(file.seconds)] += 1
        report.codecs[file.codec] += 1
        report.frames += file.count
        report.seconds += file.seconds


def _length(seconds: float) -> str:
    below = 0
    for limit in _LENGTHS:
        if seconds < limit:
            return f"{below}-{limit} s"
        below = limit
    return f"over {below} s"


def _write(report: CheckReport, sources: list[str], full: bool) -> None:
    with (
        replaced(report.out / "quarantine.csv", flush=True) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for path, fault in report.quarantined:
            writer.writerow([csv_cell(path), fault.start, fault.end, csv_cell(fault.reason)])
    problems = report.problems()
    lengths = sorted(report.lengths.items(), key=lambda pair: _rank(pair[0]))
    document = {
        "sources": sources,
        "full": full,
        "rows": len(report.catalog),
        "files": report.inspected + report.skipped,
        "frames": report.frames,
        "seconds": round(report.seconds, 3),
        "problems": dict(Counter(str(row["kind"]) for row in problems)),
        "quarantined": len(report.quarantined),
        "excluded": len(report.catalog.excluded),
        "classes": class_counts(report.catalog),
        "sizes": dict(report.sizes.most_common()),
        "lengths": dict(lengths),
        "codecs": dict(report.codecs.most_common()),
        "duplicates": report.duplicates,
        "list": problems,
    }
    write_json(report.out / "check.json", document)


def _rank(length: str) -> float:
    return float("inf") if length.startswith("over") else float(length.split("-")[0])
