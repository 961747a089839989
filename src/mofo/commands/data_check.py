"""Inspect every file of a data set, and its labels, and list what is wrong.

Opens each file and decodes its first, middle and last frame (all with --full), side by side. Run
the same command again to go on after a stop; files that have not changed are not opened again.
Ends with 1 if there is anything that cannot be used, else with 0.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mofo.datasets.check import CheckReport

EPILOG = """\
DIR has quarantine.csv (what is of no use), check.json (everything), check.png (a page with
pictures). Other verbs leave out what is in quarantine if they are given it as one more source:

examples:
  mofo data check videos/ --out check
  mofo detect videos/ exclude:check/quarantine.csv --out areas
"""
_SHOWN = 10  # problems of a kind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo data check`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="videos, folder, pattern, list or data set")
    add("--out", default="check", metavar="DIR", help="folder for what is found (check)")
    add("--full", action="store_true", help="decode all frames")
    add("--workers", type=int, metavar="N", help="processes (default: all processors)")
    add("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Check; 0 if everything can be used, 1 if not."""
    from mofo.datasets.check import check
    from mofo.report.check_sheet import save_check_sheet
    from mofo.types import SettingsError

    if args.workers is not None and args.workers < 0:
        raise SettingsError(f"--workers {args.workers}: 0 (this process) is the least")
    report = check(
        args.sources, args.out, full=args.full, workers=args.workers, progress=not args.quiet
    )
    save_check_sheet(report, report.out / "check.png")
    _print_summary(report, args)
    return 1 if report.quarantined or report.catalog.problems else 0


def _print_summary(report: CheckReport, args: argparse.Namespace) -> None:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for row in report.problems():
        by_kind[str(row["kind"])].append(f"{row['what']}: {row['reason']}")
    for kind, lines in by_kind.items():
        print(f"{kind} ({len(lines):,}):", file=sys.stderr)
        for line in lines[:_SHOWN]:
            print(f"  {line}", file=sys.stderr)
        if len(lines) > _SHOWN:
            print(f"  and {len(lines) - _SHOWN:,} more", file=sys.stderr)
    files = report.inspected + report.skipped
    before = f" ({report.skipped:,} known from before)" if report.skipped else ""
    count = sum(map(len, by_kind.values()))
    print(
        f"{len(report.catalog):,} rows of {files:,} files{before}, {report.frames:,} frames: "
        f"{count:,} problem{'s' if count != 1 else ''}, {len(report.quarantined):,} in quarantine"
    )
    for name in ("check.png", "check.json", "quarantine.csv"):
        print(f"  {report.out / name}")
    sources = list(args.sources)
    if report.quarantined:
        sources.append(f"exclude:{report.out / 'quarantine.csv'}")
    print(f"next: mofo detect {shlex.join(sources)} --out areas")
