"""Fine-tune a classifier whose tokens inside the motion area attend to those outside.

A recipe (YAML) says everything; each of its keys can be changed as --section.key value. The same
command goes on after a stop, from the last checkpoint in run.out.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys

TAKES_SETTINGS = True

EPILOG = """\
Labels: a CSV with the columns path,label[,split], folders named after classes, or a known data set.
Ctrl-C and SIGTERM finish the step, save, and say how to go on.
Several GPUs: accelerate launch -m mofo finetune --config ... (or torchrun).
All keys with their defaults: mofo finetune --keys

example:
  mofo finetune --config recipes/tiny-finetune.yaml --init runs/tiny \\
      --data.source videos.csv --run.out runs/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo finetune`` takes besides settings."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--config", metavar="FILE", help="recipe; see recipes/")
    add("--init", metavar="CHECKPOINT", help="checkpoint or run to begin with (model.init)")
    add("--freeze", metavar="WHAT", help="encoder, or a number of blocks (model.freeze)")
    add("--keys", action="store_true", help="print all settings with their defaults, and end")
    add("--replay", metavar="FILE", help="run a captured batch whose loss was no number again")
    add("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Train; 0 at the end of the run, 1 when it was stopped before."""
    if args.replay:
        from mofo.training.replay import replay

        print("\n".join(replay(args.replay)))
        return 0
    from mofo.training.finetune_settings import FinetuneSettings
    from mofo.training.recipe import explain_keys, load_settings

    if args.keys:
        print(explain_keys(FinetuneSettings))
        return 0
    from mofo.clips.sources import MotionChoice
    from mofo.training.finetune_task import finetune

    init = json.dumps(args.init) if args.init is not None else None  # a path as it is
    short = {"model.init": init, "model.freeze": args.freeze}
    pairs = [(key, value) for key, value in short.items() if value is not None]
    settings = load_settings(args.config, [*pairs, *args.settings], FinetuneSettings)
    report = finetune(settings, progress=not args.quiet)
    if not report.main:
        return 0 if report.finished else 1
    if report.unreadable:
        print(f"{report.unreadable} videos cannot be read: {report.unreadable_file}")
    print(f"{report.steps:,} of {report.of:,} steps, loss {report.loss:.4f}: {report.checkpoint}")
    if report.best is not None:
        found = ", ".join(f"{name} {value:.4g}" for name, value in report.validation.items())
        print(f"last validation: {found}; the best checkpoint is that of step {report.best:,}")
    if report.finished:
        if report.steps < report.of:
            print(f"ended early: {settings.optim.patience} validations without a new best")
        store = MotionChoice.parse(settings.data.areas).store
        given = ["--store", store] if store else []
        words = shlex.join([settings.run.out, *settings.data.source, *given])
        print(f"next: mofo evaluate {words}")
        return 0
    why = f"stopped by {report.stopped_by}" if report.stopped_by else "stopped at run.stop_at"
    print(f"{why}; the same command goes on from here", file=sys.stderr)
    return 1
