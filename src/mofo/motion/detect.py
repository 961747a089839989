"""Detection of motion areas: of one video in memory, and of many into a store."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, overload

from mofo.datasets.catalog import read_catalog
from mofo.datasets.video import Video
from mofo.motion.detect_plan import (
    WHOLE,
    Plan,
    Shard,
    check_shard,
    failures_file,
    read_failures,
    write_failures,
)
from mofo.motion.detect_worker import OVERLAYS, Draw, Outcome, Task, detect_video
from mofo.motion.estimate import Estimate, estimate
from mofo.motion.listed import MARGIN
from mofo.motion.merge import merge, scan
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.system.files import folder_lock, remove_temporaries
from mofo.system.pool import Engine, Result, check_engine, make_engine
from mofo.system.processes import stopped, terminable
from mofo.system.progress import Progress
from mofo.types import MofoError, MotionArea, SettingsError, StoreError, VideoError
from mofo.video.inputs import VideoInput, are_paths, video_input


@dataclass(frozen=True)
class DetectReport:
    """What a run of ``detect_many`` did.

    Attributes:
        total: videos asked for (of this shard), with those that cannot be used.
        done: detected now. skipped: finished before. failed: not usable.
        failures: (name, reason), sorted by name; the same as in ``failures.csv``.
        warnings: (video, text): found wrong with a file, which was done all the same.
        frames: frames processed now. seconds: wall time.
        paths: the files made, tables first.
        estimate: of a dry run, what a run will take.
    """

    total: int
    done: int
    skipped: int
    failed: int
    failures: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...]
    frames: int
    seconds: float
    paths: tuple[Path, ...]
    estimate: Estimate | None = None


@overload
def detect(
    source: list[str] | list[Path],
    *,
    flow: str = ...,
    preset: str = ...,
    short_side: int = ...,
    fps: float | None = ...,
) -> dict[str, MotionArea]: ...
@overload
def detect(
    source: VideoInput,
    *,
    flow: str = ...,
    preset: str = ...,
    short_side: int = ...,
    fps: float | None = ...,
) -> MotionArea: ...
def detect(
    source: Any,
    *,
    flow: str = "",
    preset: str = "default",
    short_side: int = 240,
    fps: float | None = None,
) -> MotionArea | dict[str, MotionArea]:
    """Motion areas of a video, in memory.

    Args:
        source: a path; the bytes or an open binary file of a video; frames in memory, see
            ``video.inputs.Frames``. Or a list of paths (files, folders, globs, CSV lists): then the
            result has the area of each video by its name. For many, ``detect_many`` is better.
        flow: "dis", "farneback", "tvl1" or "codec"; empty for the preset's own.
        preset: "default" or "paper".
        short_side: frames are scaled down (never up) to it for the analysis, pixels.
        fps: frames a second of frames in memory; None: a decoder's own, or 25.

    Raises:
        VideoError: a video cannot be used.
        SettingsError: an unknown flow or preset, an impossible size, something else than a video.
    """
    from mofo.motion.analyse import analyse

    settings = DetectSettings(preset=preset, flow=flow, short_side=short_side)
    if are_paths(source):
        return {video.key: analyse(video.path, settings) for video in _videos(source)}
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        name = os.fspath(source)
        raise VideoError(
            name, f"is a folder: detect([{name!r}]) gives the area of each video in it"
        )
    with video_input(source, fps) as video:
        return analyse(video, settings)


def _videos(sources: Sequence[str | os.PathLike[str]]) -> Sequence[Video]:
    catalog = read_catalog([os.fspath(source) for source in sources])
    for name, reason in catalog.problems:
        raise VideoError(name, reason)
    return catalog.videos


def detect_many(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    settings: DetectSettings | None = None,
    workers: int | None = None,
    shard: Shard = WHOLE,
    draw: Draw | None = None,
    whole_files: bool = False,
    margin: float = MARGIN,
    engine: str = "local",
    timeout: float | None = None,
    dry_run: bool = False,
    progress: bool = True,
) -> DetectReport:
    """Motion areas of many videos into the store ``out``; goes on where an earlier run stopped.

    One bad video never stops the others: it is listed in the report and in ``failures.csv``.

    Args:
        sources: files, folders (searched through), globs or CSV lists: see ``read_catalog``.
        settings: default settings if None. A store has one: with others its videos are done again.
        workers: processes; None for all processors that this process may use; 0 works in the
            calling process, where a crash inside a decoder ends everything.
        shard: (I, N): only the I-th of N parts, chosen by the hash of each video's key.
        draw: pictures of each video to write into ``out/overlays``, such as
            ``mofo.report.figures.overlays.OVERLAYS``; see ``detect_worker.Draw``.
        whole_files: look at whole files, also where a list names segments of them.
        margin: seconds around a listed segment that are looked at, too.
        engine: what runs the processes.
        timeout: give a video up that makes no progress, counted every 32 frames, for so many
            seconds (local engine).
        dry_run: only say how long it will take, by doing some of the videos; nothing is written.
        progress: show progress on stderr.

    Raises:
        MofoError: a source does not exist, there are no videos, no worker can start, or another
            process is writing to ``out``.
        StoreError: ``out`` holds something else.
        KeyboardInterrupt: stopped by Ctrl-C; what is finished is in the store.
    """
    start = time.monotonic()
    folder = Path(out).absolute()
    _check(shard, margin, workers, engine, timeout, folder)
    several = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    catalog = read_catalog([os.fspath(source) for source in several])
    # Overlays are videos, too: a store inside the folder of videos must not feed on itself.
    videos = tuple(v for v in catalog.videos if not Path(v.path).is_relative_to(folder))
    if not videos and not catalog.problems:
        raise MofoError(f"no videos in {', '.join(os.fspath(source) for source in several)}")
    settings, draw = settings or DetectSettings(), draw or {}
    # Pictures are of whole videos.
    around = None if whole_files or draw else margin
    if dry_run:
        plan = Plan(scan(folder, settings), shard, draw, around)
        plan.add_catalog(replace(catalog, videos=videos))
        run = _Run(plan, settings, draw, Progress(0, show=False))
        found = estimate([*run.tasks()], engine, workers, timeout)
        return replace(run.report(time.monotonic() - start, ()), estimate=found)
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder, "" if shard == WHOLE else f"{shard[0]:05d}-of-{shard[1]:05d}"):
        _remove_temporaries(folder, alone=shard == WHOLE)
        plan = Plan(scan(folder, settings), shard, draw, around)
        plan.add_catalog(replace(catalog, videos=videos))
        frames = plan.frames() if progress else 0
        bar = Progress(len(plan.works), show=progress, frames=frames)
        run = _Run(plan, settings, draw, bar)
        try:
            with terminable():
                run.work(make_engine(engine, detect_video, workers, len(plan.works), timeout))
        except KeyboardInterrupt as error:
            run.leave(error)
        finally:
            run.progress.close()
        return run.end(time.monotonic() - start)


def merge_shards(folder: str | os.PathLike[str]) -> AreaStore:
    """Puts everything in ``folder`` into one part, with the latest settings; returns the store.

    Raises:
        StoreError: no store, two settings, damaged files.
        MofoError: a shard is still at work.
    """
    place = Path(folder)
    if not place.is_dir():
        raise StoreError(f"{place}: no such folder: a store is what `mofo detect` makes")
    with folder_lock(place):
        here = scan(place, None)
        if not here.held:
            raise StoreError(f"{place}: not a store of motion areas: nothing to merge")
        here = scan(place, here.metas[-1].settings)
        failed = read_failures(place)
        merge(here, drop=failed.__contains__, everything=True)
        for file in place.glob("failures-*.csv"):
            file.unlink()
        write_failures(failures_file(place, WHOLE), sorted(failed.items()))
    return AreaStore.open(place)


@dataclass
class _Run:
    """One run under way: counts, and what to tell at its end."""

    plan: Plan
    settings: DetectSettings
    draw: Draw
    progress: Progress
    done: int = 0
    tried: set[str] = field(default_factory=set)
    warnings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.plan.here.folder

    def work(self, engine: Engine) -> None:
        """Runs all tasks."""
        if self.plan.note:
            self.progress.say(self.plan.note)
        # Closed to end the processes now, not when the generator is collected.
        with contextlib.closing(engine.run(self.tasks())) as results:
            for result in results:
                if result is not None:
                    self._take(result)
                self.progress.beat(engine.frames)

    def tasks(self) -> Iterator[Task]:
        """One for each video that is to be done."""
        here = self.plan.here
        for key, path, size, draw_only, spans in self.plan.works:
            known = here.locate(key) if draw_only else None
            yield Task(key, path, size, here.folder, self.settings, self.draw, known, spans)

    def _take(self, result: Result) -> None:
        key, outcome = result.task.key, result.value or Outcome(failure=result.failure)
        self.tried.add(key)
        self.progress.finished(outcome.frames)
        self.warnings += [(key, text) for text in outcome.warnings]
        if outcome.trace:
            self.progress.say(f"{key}: a bug in mofo, please report it:\n{outcome.trace}")
        if outcome.disk_full:
            raise StoreError(
                f"{self.folder}: {outcome.failure}: {self.done} videos were finished; "
                "free some space, then run the same command to go on"
            )
        if outcome.failure:
            self.plan.failures[key] = outcome.failure
        else:
            self.done += 1

    def end(self, seconds: float) -> DetectReport:
        """Merges, writes the failures, reports."""
        plan, failures = self.plan, tuple(sorted(self.plan.failures.items()))
        merge(scan(self.folder, self.settings), plan.shard, plan.failures.__contains__)
        table = failures_file(self.folder, plan.shard)
        write_failures(table, failures)
        if plan.shard == WHOLE:
            for file in self.folder.glob("failures-*.csv"):
                file.unlink()
        paths = [self.folder / name for name in ("areas", "videos", table.name, OVERLAYS)]
        return self.report(seconds, tuple(path for path in paths if path.exists()))

    def report(self, seconds: float, paths: tuple[Path, ...]) -> DetectReport:
        """Counts and failures so far."""
        failures = tuple(sorted(self.plan.failures.items()))
        return DetectReport(
            total=self.plan.total,
            done=self.done,
            skipped=self.plan.skipped,
            failed=len(failures),
            failures=failures,
            warnings=tuple(sorted(self.warnings)),
            frames=self.progress.frames,
            seconds=seconds,
            paths=paths,
        )

    def leave(self, error: KeyboardInterrupt) -> NoReturn:
        """Notes failures and ends early; what is finished is in the store already."""
        plan, table = self.plan, failures_file(self.folder, self.plan.shard)
        untried = {work.key for work in plan.works} - self.tried
        known = read_failures(self.folder) if table.exists() else {}
        before = {name: reason for name, reason in known.items() if name in untried}
        write_failures(table, sorted((before | plan.failures).items()))
        text = (
            f"stopped: {self.done + plan.skipped} of {plan.total} videos are finished, "
            f"{len(untried)} are left; run the same command to go on from here"
        )
        raise stopped(error, text) from None


def _remove_temporaries(folder: Path, *, alone: bool) -> None:
    """Removes what killed runs have left."""
    for name in ("", "areas", "videos"):
        remove_temporaries(folder / name, alone=alone)
    for place, _, _ in os.walk(folder / OVERLAYS):
        remove_temporaries(Path(place), alone=alone)


def _check(
    shard: Shard,
    margin: float,
    workers: int | None,
    engine: str,
    timeout: float | None,
    folder: Path,
) -> None:
    check_shard(shard)
    if margin < 0:
        raise SettingsError(f"margin is {margin:g} s: 0 is the least")
    check_engine(engine, workers, timeout)
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder}: is a file: a store is a folder")
