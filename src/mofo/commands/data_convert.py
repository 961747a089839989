"""Read a data set in its published layout, and write down what it holds as one file.

That file is a source like any other, for every verb; but data sets can be given to them directly,
too. It is worth while where an option below is needed, or where reading the lists takes long.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mofo.datasets.catalog import Catalog
    from mofo.datasets.inspect_file import FileMetadata
    from mofo.datasets.listing import Listing
    from mofo.datasets.row_stream import Tally

EPILOG = """\
The format is recognised by the names and first lines of files; --format, or ssv2:PATH as SOURCE,
says it. docs/data.md shows the tree that each expects. CSV tables, plain lists and catalogs may be
long: unless --probe asks for more, they are never in memory as a whole.

examples:
  mofo data convert something-something-v2/ --to ssv2.parquet
  mofo data convert ucf101/ --split-number 2 --to ucf101-2.parquet
  mofo data convert train.csv --format list --videos clips/ --to k400.parquet
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo data convert`` takes."""
    from mofo.datasets.formats.format import FORMATS

    parser.epilog = EPILOG
    add = parser.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="folder or list of a data set; any source")
    add("--to", required=True, metavar="FILE", help="catalog.parquet, or .csv")
    add("--format", choices=tuple(FORMATS), metavar="NAME", help=f"{', '.join(FORMATS)}")
    add("--videos", metavar="DIR", help="folder that the videos are below, if not the source's")
    add("--split-number", type=int, default=1, metavar="N", help="official split, 1 to 3 (1)")
    add("--probe", action="store_true", help="open the files: size, frame rate, number of frames")
    add("--workers", type=int, metavar="N", help="files opened at once (default: all processors)")
    add("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Convert; 0 when the file is written, 1 when it is but some videos cannot be used."""
    from mofo.datasets.catalog import read_catalog
    from mofo.datasets.row_stream import Tally, video_stream
    from mofo.types import SettingsError

    target = Path(args.to)
    if target.suffix.lower() not in (".parquet", ".csv"):
        raise SettingsError(f"--to {target}: the name must end in .parquet or .csv")
    if args.workers is not None and args.workers < 1:
        raise SettingsError(f"--workers {args.workers}: 1 is the least")
    if args.split_number < 1:
        raise SettingsError(f"--split-number {args.split_number}: 1 is the first")
    if any(Path(source).absolute() == target.absolute() for source in args.sources):
        raise SettingsError(f"{target}: is a source itself; give --to another name")
    prefix = f"{args.format}:" if args.format else ""
    sources = [source if _has_format(source) else f"{prefix}{source}" for source in args.sources]
    # Long lists are read row by row; what has to be looked at as a whole is not.
    stream = None if args.probe else video_stream(sources, videos=args.videos)
    if stream is not None:
        rows = Tally(stream, stream)
        _write(target, rows, stream.listing, None)
        _print_summary(rows, stream.listing, stream.problems, len(stream.excluded), target)
        return 1 if stream.problems else 0
    catalog = read_catalog(sources, videos=args.videos, split_number=args.split_number)
    rows = Tally(catalog.videos, catalog)
    metadata, unreadable = _probe(catalog, args) if args.probe else (None, [])
    problems = [*catalog.problems, *unreadable]
    _write(target, rows, catalog, metadata)
    _print_summary(rows, catalog, problems, len(catalog.excluded), target)
    return 1 if problems else 0


def _write(
    target: Path, rows: Tally, about: Catalog | Listing, metadata: dict[str, FileMetadata] | None
) -> None:
    from mofo.datasets.catalog_file import write_catalog, write_table

    if target.suffix.lower() == ".csv":
        write_table(target, rows, metadata=metadata)
    else:
        write_catalog(
            target, rows, classes=about.classes, flip=about.flip, metadata=metadata,
            apart=about.apart, distinct=True,
        )  # fmt: skip


def _has_format(source: str) -> bool:
    from mofo.datasets.formats.format import split_name
    from mofo.datasets.quarantine import EXCLUDE

    return source.startswith(EXCLUDE) or split_name(source)[0] is not None


def _probe(
    catalog: Catalog, args: argparse.Namespace
) -> tuple[dict[str, FileMetadata], list[tuple[str, str]]]:
    from tqdm import tqdm

    from mofo.datasets.inspect_file import probe
    from mofo.system.processes import usable_cpus
    from mofo.types import VideoError

    paths = list(dict.fromkeys(video.path for video in catalog))
    metadata: dict[str, FileMetadata] = {}
    unreadable = []
    results = probe(paths, args.workers or usable_cpus())
    bar = tqdm(results, total=len(paths), desc="probe", unit="file", disable=args.quiet)
    for path, result in bar:
        if isinstance(result, VideoError):
            unreadable.append((path, result.reason))
        else:
            metadata[path] = result
    return metadata, unreadable


def _print_summary(
    rows: Tally,
    about: Catalog | Listing,
    problems: Sequence[tuple[str, str]],
    excluded: int,
    target: Path,
) -> None:
    shown = 20
    if problems:
        print(f"cannot be used ({len(problems):,}):", file=sys.stderr)
        for name, reason in problems[:shown]:
            print(f"  {name}: {reason}", file=sys.stderr)
        if len(problems) > shown:
            print(f"  and {len(problems) - shown:,} more", file=sys.stderr)
    parts = [f"{rows.count:,} rows of {rows.files():,} files"]
    parts.append(", ".join(f"{count:,} {split}" for split, count in rows.splits.items()))
    for head, names in rows.names.items():
        known = about.classes.get(head)
        several = f"{len(names):,} of {len(known):,}" if known else f"{len(names):,}"
        parts.append(f"{head}: {several} classes")
    if excluded:
        parts.append(f"{excluded:,} in quarantine left out")
    print("; ".join(parts))
    if about.flip is False:
        print("labels know left from right: keep data.flip off")
    print(f"  {target}")
    print(f"next: mofo data check {shlex.quote(str(target))} --out check")
