"""Pre-train a masked video autoencoder whose mask is drawn with the motion area.

A recipe (YAML) says everything; each of its keys can be changed as --section.key value. The same
command goes on after a stop, from the last checkpoint in run.out.
"""

from __future__ import annotations

import argparse
import sys
from shlex import quote

TAKES_SETTINGS = True

EPILOG = """\
Ctrl-C and SIGTERM finish the step, save, and say how to go on.
Several GPUs: accelerate launch -m mofo pretrain --config ... (or torchrun).
All keys with their defaults: mofo pretrain --keys

example:
  mofo pretrain --config recipes/tiny.yaml \\
      --data.source videos/ --run.out runs/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo pretrain`` takes besides settings."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--config", metavar="FILE", help="recipe; see recipes/")
    add("--keys", action="store_true", help="print all settings with their defaults, and end")
    add("--replay", metavar="FILE", help="run a captured batch whose loss was no number again")
    add("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Train; 0 at the end of the run, 1 when it was stopped before."""
    if args.keys:
        from mofo.training.recipe import explain_keys

        print(explain_keys())
        return 0
    if args.replay:
        from mofo.training.replay import replay

        print("\n".join(replay(args.replay)))
        return 0
    from mofo.training.pretrain_task import pretrain
    from mofo.training.recipe import load_settings

    report = pretrain(load_settings(args.config, args.settings), progress=not args.quiet)
    if not report.main:
        return 0 if report.finished else 1
    if report.unreadable:
        print(f"{report.unreadable} videos cannot be read: {report.unreadable_file}")
    print(f"{report.steps:,} of {report.of:,} steps, loss {report.loss:.4f}: {report.checkpoint}")
    if report.finished:
        print(f"next: mofo show reconstruction {quote(str(report.checkpoint))} VIDEO")
        return 0
    why = f"stopped by {report.stopped_by}" if report.stopped_by else "stopped at run.stop_at"
    print(f"{why}; the same command goes on from here", file=sys.stderr)
    return 1
