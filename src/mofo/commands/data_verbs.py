"""``mofo data``: check, convert and generate data sets."""

from __future__ import annotations

import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mofo.commands.verb import print_rows, verb

if TYPE_CHECKING:
    from mofo.datasets.catalog import Catalog
    from mofo.datasets.inspect_file import FileMetadata


@verb("data check", calls="mofo.datasets.check:check")
def check(call: Callable[..., Any], sources: list[str], *, out: Path = Path("check")) -> int:
    """Inspect every file and label, and list what is wrong.

    Opens each file and decodes its first, middle and last frame (all with --full), side by side.
    Run the same command again to continue after a stop; files that have not changed are not opened
    again. The exit code is 1 if there is anything that cannot be used.

    Args:
        sources: videos, folders, patterns, lists or data sets.
        out: folder for the results (check).

    The folder has quarantine.csv (what is of no use), check.json (everything) and check.png (a page
    with pictures). Other verbs leave out what is in quarantine if it is one more source:

    examples:
      mofo data check videos/ --out check
      mofo detect videos/ exclude:check/quarantine.csv --out areas
    """
    from mofo.datasets.listing import other_endings
    from mofo.report.figures.data_sheet import save_check_sheet

    report = call(sources=sources, out=out)
    save_check_sheet(report, report.out / "check.png")
    by_kind: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in report.problems():
        by_kind[str(row["kind"])].append((str(row["what"]), str(row["reason"])))
    for kind, rows in by_kind.items():
        print_rows(kind, rows, shown=10)
    before = f" ({report.skipped:,} known from before)" if report.skipped else ""
    count = sum(map(len, by_kind.values()))
    print(
        f"{len(report.catalog):,} rows of {report.inspected + report.skipped:,} files{before}, "
        f"{report.frames:,} frames: {count:,} problem{'s' if count != 1 else ''}, "
        f"{len(report.quarantined):,} in quarantine"
    )
    for folder in filter(os.path.isdir, sources):
        endings = other_endings(folder)
        most = ", ".join(f"{ending or 'none'} {n:,}" for ending, n in endings.most_common(5))
        if endings:
            print(f"{folder}: {endings.total():,} files are no videos by their endings ({most})")
    for name in ("check.png", "check.json", "quarantine.csv"):
        print(f"  {report.out / name}")
    if report.quarantined:
        sources = [*sources, f"exclude:{report.out / 'quarantine.csv'}"]
    print(f"next: mofo detect {shlex.join(sources)} --out areas")
    return 1 if report.quarantined or report.catalog.problems else 0


@verb("data convert")
def convert(
    sources: list[str],
    *,
    to: Path,
    format_: str = "",
    videos: Path | None = None,
    split_number: int = 1,
    hold_out: float = 0.0,
    seed: int = 0,
    probe: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> int:
    """Read a data set in its published layout, write it as one file.

    That file is a source like any other, for every verb; but data sets can be given to them
    directly, too. It is worth while where an option below is needed, or where reading the lists
    takes long. The format is recognised by the names and first lines of files; --format, or
    ssv2:PATH as SOURCE, says it: docs/data.md shows the tree that each expects.

    Args:
        sources: folders or lists of data sets; any source.
        to: file to write: .parquet (a catalog), or .csv.
        format_: name of the format: {datasets.FORMATS}.
        videos: folder that the videos are below, if not the source's.
        split_number: official split, 1 to 3.
        hold_out: share of each class to put in split validation, the rest in train.
        seed: of what is held out.
        probe: open the files: size, frame rate, number of frames.
        workers: files opened at once (default: all processors).

    CSV tables, plain lists and catalogs may be long: a row takes some tens of bytes of memory.

    examples:
      mofo data convert something-something-v2/ --to ssv2.parquet
      mofo data convert ucf101/ --split-number 2 --to ucf101-2.parquet
      mofo data convert my_videos/ --to labelled.csv --hold-out 0.25
      mofo data convert train.csv --format list --videos clips/ --to k400.parquet
    """
    from mofo.datasets import splits
    from mofo.datasets.catalog import read_catalog
    from mofo.datasets.catalog_file import write_catalog
    from mofo.datasets.formats.format import FORMATS, split_name
    from mofo.datasets.quarantine import EXCLUDE
    from mofo.types import MofoError, SettingsError

    if to.suffix.lower() not in (".parquet", ".csv"):
        raise SettingsError(f"--to {to}: the name must end in .parquet or .csv")
    if workers is not None and workers < 0:
        raise SettingsError(f"--workers {workers}: 0 (as many as processors) is the least")
    if split_number < 1:
        raise SettingsError(f"--split-number {split_number}: 1 is the first")
    if any(Path(source).absolute() == to.absolute() for source in sources):
        raise SettingsError(f"{to}: is a source itself; give --to another name")
    if format_:
        FORMATS.check(format_)
        sources = [
            source
            if source.startswith(EXCLUDE) or split_name(source)[0] is not None
            else f"{format_}:{source}"
            for source in sources
        ]
    catalog = read_catalog(sources, videos=videos, split_number=split_number)
    if not len(catalog):
        problem = next(iter(catalog.problems), None)
        reason = ": ".join(problem) if problem else "there are no rows, or all are excluded"
        raise MofoError(f"no video is left: {reason}")
    if hold_out:
        catalog = replace(catalog, videos=splits.hold_out(catalog.videos, hold_out, seed))
    metadata, unreadable = _probe(catalog, workers, progress) if probe else ({}, [])
    write_catalog(to, catalog, metadata=metadata)
    problems = [*catalog.problems, *unreadable]
    print_rows("cannot be used", problems, shown=20)
    counts: Counter[str] = Counter()
    files: set[str] = set()
    labels: dict[tuple[str, str], None] = {}
    for video in catalog:
        counts[video.split or "no split"] += 1
        files.add(video.path)
        labels |= dict.fromkeys(video.labels)
    classes = Counter(head for head, _ in labels)
    parts = [f"{len(catalog):,} rows of {len(files):,} files"]
    parts.append(", ".join(f"{count:,} {split}" for split, count in counts.items()))
    for head, count in classes.items():
        known = catalog.classes.get(head)
        parts.append(f"{head}: {count:,}{f' of {len(known):,}' if known else ''} classes")
    if catalog.excluded:
        parts.append(f"{len(catalog.excluded):,} in quarantine left out")
    print("; ".join(parts))
    if catalog.flip is False:
        print("labels know left from right: keep data.flip off")
    print(f"  {to}")
    print(f"next: mofo data check {shlex.quote(str(to))} --out check")
    return 1 if problems else 0


def _probe(
    catalog: Catalog, workers: int | None, progress: bool
) -> tuple[dict[str, FileMetadata], list[tuple[str, str]]]:
    from mofo.datasets.inspect_file import probe
    from mofo.system.processes import usable_cpus
    from mofo.system.progress import Bar
    from mofo.types import VideoError

    paths = list(dict.fromkeys(video.path for video in catalog))
    metadata: dict[str, FileMetadata] = {}
    unreadable = []
    results = probe(paths, workers or usable_cpus())
    for path, result in Bar(
        iterable=results, total=len(paths), desc="probe", unit="file", show=progress
    ):
        if isinstance(result, VideoError):
            unreadable.append((path, result.reason))
        else:
            metadata[path] = result
    return metadata, unreadable


@verb("data pack", calls="mofo.datasets.pack:pack", skip=("beside",))
def pack(call: Callable[..., Any], *, out: Path, areas: Path | None = None) -> int:
    """Write the videos of any source as tar shards, as the webdataset library reads them.

    Each sample has the video, a .json with what is known about it (label, split, segments ...), and
    a .cls with the number of its class. A few large files are read faster than many small ones from
    network drives and object stores. Run the same command again to continue after a stop.

    Args:
        sources: videos, folders, patterns, lists, data sets; exclude:LIST.
        out: folder of the shards.
        size: megabytes after which a shard ends.
        areas: a store of motion areas, which are put into the shards, too.

    examples:
      mofo data pack videos.csv --out shards --areas areas
      mofo detect shards --out found
    """
    from mofo.motion.packed import packed_members
    from mofo.motion.store import AreaStore
    from mofo.types import StoreError

    store = AreaStore.open(areas) if areas is not None else None
    without: dict[str, str] = {}

    def motion(shard: str, videos: Any) -> dict[str, bytes]:
        assert store is not None
        found = []
        for video in videos:
            key, path = video.rows[0].key, video.rows[0].path
            try:
                area = store[key if key in store else store.find(path)]
                found.append((video.member, video.size, area))
            except StoreError as error:
                without[path] = f"packed without motion: {error}"
        return packed_members(shard, found, store.settings, store.versions)

    report = call(out=out, beside=None if store is None else motion)
    print_rows("left out", report.failures, shown=20)
    print_rows("warnings", [*without.items()], shown=20)
    known = f" ({report.kept:,} known from before)" if report.kept else ""
    size = f"{report.bytes / 1e6:,.1f} MB"
    print(f"{report.videos:,} videos, {size}: {len(report.shards):,} shards{known}\n  {report.out}")
    place = shlex.quote(str(out))
    also = f" --data.areas {place}" if areas is not None else ""
    print(f"next: mofo pretrain --config tiny --data.source {place}{also}")
    return 1 if report.failures else 0


@verb(
    "data synth",
    calls="mofo.synth.actions.dataset_writer:write_action_set",
    settings={"settings": "mofo.synth.actions.dataset_writer:ActionSetSettings"},
)
def synth(call: Callable[..., Any], *, clips: int, out: Path, progress: bool = True) -> int:
    """Generate a labelled set in which only motion tells classes apart.

    Things cut out of real photographs move over other photographs: left, right, towards, away,
    turning, stopping, dropping, meeting, pushing ... A single frame does not tell the class. The
    folder gets videos/, videos.csv (path, label, split, group), areas/ (exact motion areas) and
    about.json. Run the same command again to continue after a stop, or with more clips to enlarge
    the set.

    Args:
        clips: clips in all (70/15/15 % a split).
        out: folder of the set.

    levels: easy (8 classes, one large thing, still camera), medium (16), hard (20, moving camera)

    example:
      mofo data synth --level easy --clips 2000 --out actions
    """
    from mofo.system.progress import Bar

    with Bar(total=clips, unit="clip", show=progress) as bar:
        report = call(out=out, clips=clips, progress=bar.update)
        bar.total = report.done
    counts = ", ".join(f"{count} {split}" for split, count in report.counts.items())
    before = f", {report.skipped} finished before" if report.skipped else ""
    print(f"{report.done + report.skipped} clips ({counts}): {report.done} made{before}")
    print(f"  {report.table}")
    print(f"  {report.folder / 'areas'}")
    table, areas = (shlex.quote(str(path)) for path in (report.table, report.folder / "areas"))
    print(f"next: mofo pretrain --config tiny --data.source {table} --data.areas {areas}")
    return 0
