"""One page about runs, tests and motion areas: a single HTML file that can be sent to anybody.

RUN is a folder made by `mofo pretrain`, `finetune`, `evaluate`, `probe` or `detect`, or one that
has such folders in it. Several runs are shown side by side.
"""

from __future__ import annotations

import argparse
import sys

EPILOG = """\
example:
  mofo report runs/first runs/second areas --out report.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo report`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="folders: runs, tests, stores of motion areas")
    add("--out", default="report.html", metavar="FILE", help="the page (report.html)")
    add("--title", default="", metavar="TEXT", help="heading (default: names of the folders)")
    add("--clips", type=int, default=6, metavar="N", help="clips in a section at most (6); 0: none")
    add("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Write the page; 0 when it is there."""
    from mofo.report.page.build import report

    made = report(args.runs, args.out, title=args.title, clips=args.clips, progress=not args.quiet)
    for problem in made.problems:
        print(f"note: {problem}", file=sys.stderr)
    print(f"page: {made.path} ({made.size / 1e6:.1f} MB)")
    print(f"next: open {made.path} in a browser, or send it: it needs nothing else")
    return 0
