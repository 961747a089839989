"""All that mofo does, on real video, in ten minutes on two processors; ends with a report page.

Motion areas, a generated set of labelled clips, pre-training, fine-tuning against a baseline,
evaluation, prediction. Nothing is downloaded. Stop it with Ctrl-C at any time: the same command
goes on from there, and does nothing twice.
"""

from __future__ import annotations

import argparse
import signal

EPILOG = """\
examples:
  mofo demo
  mofo demo --videos my_videos/ --out my_demo
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo demo`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--out", default="demo", metavar="DIR", help="folder for everything (demo)")
    add("--videos", nargs="+", default=[], metavar="DIR", help="videos of yours: folders, files")
    add("--quiet", action="store_true", help="no progress bars")


def run(args: argparse.Namespace) -> int:
    """Demonstrate; 0 when all stages are done."""
    # Libraries crash where Ctrl-C meets them half imported: it waits until they are there.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        from mofo.demo.demo import demo
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    report = demo(args.out, args.videos, progress=not args.quiet)
    print("next: mofo detect YOUR_VIDEOS --out areas --overlay")
    return 1 if report.found["areas"]["failures"] else 0
