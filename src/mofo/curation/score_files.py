"""Scores of many videos in one Parquet file; a run that was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import glob
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mofo.curation.score_table import IDENTITY, Journal, Row, read_scores, rows_of
from mofo.curation.scores import ScoreSettings, score_rows
from mofo.datasets.catalog import read_catalog
from mofo.datasets.video import Video
from mofo.motion.detect import DetectReport
from mofo.motion.detect_plan import WHOLE, Shard, check_shard, write_failures
from mofo.motion.detect_worker import Outcome, failed
from mofo.motion.parts import in_shard
from mofo.motion.records import storable
from mofo.system.files import folder_lock
from mofo.system.pool import Engine, check_engine, make_engine
from mofo.system.processes import stopped, terminable
from mofo.system.progress import Progress
from mofo.types import SettingsError
from mofo.video.location import file_state


@dataclass(frozen=True)
class _Task:
    """One file, with the segments of it that are listed."""

    path: str
    size: int
    videos: tuple[Video, ...]
    settings: ScoreSettings


def score_many(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    settings: ScoreSettings | None = None,
    workers: int | None = None,
    shard: Shard = WHOLE,
    engine: str = "local",
    timeout: float | None = None,
    progress: bool = True,
) -> DetectReport:
    """Scores many videos into the table ``out``; goes on where an earlier run stopped.

    The table has a row for each video (or listed segment of one), each of its shots and each of its
    windows; see ``score_table``. What it has already is kept, and not scored again. Files that
    cannot be used are in the report, and in a CSV file beside the table.

    Args:
        sources: files, folders, globs, lists, data sets: see ``read_catalog``.
        out: the Parquet file.
        settings: default settings if None.
        workers: processes; None for all processors that this process may use; 0 works in the
            calling process.
        shard: (I, N): only the I-th of N parts, chosen by the hash of each video's key, into a
            table of its own beside ``out``. The run without it takes all these tables into ``out``.
        engine: what runs the processes.
        timeout: give a video up that makes no progress for so many seconds (local engine).
        progress: show progress on stderr.

    Raises:
        MofoError: a source does not exist, ``out`` is something else or has other settings, another
            process is writing it, the disk is full.
        KeyboardInterrupt: stopped by Ctrl-C; what is finished is kept.
    """
    start, target, settings = time.monotonic(), Path(out).absolute(), settings or ScoreSettings()
    if target.suffix != ".parquet":
        raise SettingsError(f"{out}: the name of a table of scores ends in .parquet")
    check_engine(engine, workers, timeout)
    check_shard(shard)
    several = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    catalog = read_catalog([os.fspath(source) for source in several])
    videos = [video for video in catalog.videos if in_shard(video.key, shard)]
    problems = [problem for problem in catalog.problems if in_shard(problem[0], shard)]
    whole, parts = target, list[Path]()
    if shard == WHOLE:
        parts = sorted(target.parent.glob(f"{glob.escape(target.stem)}-[0-9]*-of-[0-9]*.parquet"))
    else:
        target = target.with_name(f"{target.stem}-{shard[0]:05d}-of-{shard[1]:05d}.parquet")
    finished = set().union(*(_finished(path, settings) for path in {whole, target, *parts}))
    folder = target.with_name(f"{target.name}.unfinished")
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        with Journal(folder / "rows.jsonl", settings) as journal:
            run = _Run(journal, {storable(name): reason for name, reason in problems})
            finished |= {tuple(row[name] for name in IDENTITY) for rows in journal for row in rows}
            tasks, skipped = _tasks(videos, settings, finished)
            bar = Progress(len(tasks), show=progress, name="score")
            try:
                with terminable(), contextlib.closing(bar):
                    run.work(
                        make_engine(engine, score_file, workers, len(tasks), timeout), tasks, bar
                    )
            except KeyboardInterrupt as error:
                text = (
                    f"stopped: {run.done + skipped} of {len(tasks) + skipped} videos are finished; "
                    "run the same command to go on from here"
                )
                raise stopped(error, text) from None
            journal.write_table(target, parts)
        for part in parts:
            part.unlink()
            part.with_suffix(".failures.csv").unlink(missing_ok=True)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    failures, table = tuple(sorted(run.failures.items())), target.with_suffix(".failures.csv")
    write_failures(table, failures)
    return DetectReport(
        total=len(tasks) + skipped + len(problems),
        done=run.done,
        skipped=skipped,
        failed=len(failures),
        failures=failures,
        warnings=tuple(sorted(run.warnings)),
        frames=bar.frames,
        seconds=time.monotonic() - start,
        paths=tuple(path for path in (target, table) if path.exists()),
    )


def score_file(
    task: _Task, progress: Callable[[int], None] | None = None
) -> tuple[Outcome, list[Row]]:
    """Scores one file: what became of it, and its rows."""
    try:
        scores = score_rows(task.videos, task.path, task.settings, progress)
    except Exception as error:
        return failed(error), []
    pairs = zip(task.videos, scores, strict=True)
    rows = [row for video, score in pairs for row in rows_of(video, task.size, score)]
    return Outcome(sum(score.frames for score in scores), scores[0].warnings), rows


class _Run:
    """One run under way."""

    def __init__(self, journal: Journal, failures: dict[str, str]) -> None:
        self._journal = journal
        self.failures = failures
        self.warnings: list[tuple[str, str]] = []
        self.done = 0

    def work(self, engine: Engine, tasks: Sequence[_Task], bar: Progress) -> None:
        """Runs all tasks."""
        with contextlib.closing(engine.run(iter(tasks))) as results:
            for result in results:
                if result is not None:
                    outcome, rows = result.value or (Outcome(failure=result.failure), [])
                    self._take(result.task.path, outcome, rows, bar)
                bar.beat(engine.frames)

    def _take(self, path: str, outcome: Outcome, rows: list[Row], bar: Progress) -> None:
        bar.finished(outcome.frames)
        self.warnings += [(path, text) for text in outcome.warnings]
        if outcome.trace:
            bar.say(f"{path}: a bug in mofo, please report it:\n{outcome.trace}")
        if outcome.failure:
            self.failures[storable(path)] = outcome.failure
        else:
            self._journal.add(rows)
            self.done += 1


def _finished(target: Path, settings: ScoreSettings) -> set[tuple[object, ...]]:
    """Segments that the table has."""
    if not target.exists():
        return set()
    table = read_scores(target, settings).select(IDENTITY)
    return set(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _tasks(
    videos: Sequence[Video], settings: ScoreSettings, finished: set[tuple[object, ...]]
) -> tuple[list[_Task], int]:
    """What is left to do, and how many files are finished."""
    files: dict[str, list[Video]] = {}
    for video in videos:
        files.setdefault(video.path, []).append(video)
    tasks = []
    for path, parts in files.items():
        size = file_state(path)[1]
        if not {(path, size, video.start, video.end) for video in parts} <= finished:
            tasks.append(_Task(path, size, tuple(parts), settings))
    return tasks, len(files) - len(tasks)
