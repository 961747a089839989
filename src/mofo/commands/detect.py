"""Find motion areas: where things move in each frame of each video, whatever the camera does.

Writes a store of Parquet tables into the folder DIR. Run the same command again to go on after a
stop: finished videos are skipped.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mofo.motion.detect import DetectReport

EPILOG = """\
Several machines share a folder: --shard 1/4, 2/4 ...; then mofo areas merge areas

example:
  mofo detect videos/ --out areas --overlay
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo detect`` takes."""
    from mofo.motion.presets import FLOWS, PRESETS

    flows = [f"  --flow {name:12} {kind.line}" for name, kind in FLOWS.items()]
    presets = [f"  --preset {name:10} {kind.line}" for name, kind in PRESETS.items()]
    parser.epilog = "\n".join([*flows, *presets, "", EPILOG])
    add = parser.add_argument
    add(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="video, folder (searched through), glob, CSV list, data set; exclude:LIST",
    )
    add("--out", required=True, metavar="DIR", help="folder of the store")
    own = ", ".join(f"{kind.flow} for {name}" for name, kind in PRESETS.items())
    add("--flow", choices=FLOWS, default="", help=f"optical flow ({own})")
    add("--preset", choices=PRESETS, default="default", help="how movers are found (default)")
    add("--short-side", type=int, default=240, metavar="N", help="analysis size, pixels (240)")
    add("--workers", type=int, metavar="N", help="processes (default: all processors)")
    add("--shard", type=_shard, default=(1, 1), metavar="I/N", help="do only part I of N")
    add("--engine", choices=("local", "ray"), default="local", help="where to run (local)")
    add("--timeout", type=float, metavar="S", help="give up a video without progress for S s")
    add("--overlay", action="store_true", help="also write an mp4 and a picture per video")
    add("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Detect; 0 when every video is done, 1 when any failed."""
    from mofo.motion.detect import detect_many
    from mofo.motion.presets import DetectSettings

    report = detect_many(
        args.sources,
        args.out,
        settings=DetectSettings(preset=args.preset, flow=args.flow, short_side=args.short_side),
        workers=args.workers,
        shard=args.shard,
        overlay=args.overlay,
        engine=args.engine,
        timeout=args.timeout,
        progress=not args.quiet,
    )
    _tell(report, args)
    return 1 if report.failed else 0


def _tell(report: DetectReport, args: argparse.Namespace) -> None:
    for title, lines in (("warnings", report.warnings), ("failed", report.failures)):
        if lines:
            print(f"{title} ({len(lines)}):", file=sys.stderr)
            for name, text in lines:
                print(f"  {name}: {text}", file=sys.stderr)
    parts = [f"{report.done} done"]
    parts += [f"{report.skipped} finished before"] if report.skipped else []
    parts += [f"{report.failed} failed"] if report.failed else []
    line = f"{report.found} video{'s' if report.found != 1 else ''}: {', '.join(parts)}"
    if report.frames:
        line += f"; {report.frames:,} frames, {report.frames / report.seconds:,.0f} a second"
    print(line)
    for path in report.paths:
        print(f"  {path}")
    if args.shard != (1, 1):
        print(f"next, when all {args.shard[1]} shards are done: mofo areas merge {args.out}")
    elif report.done + report.skipped:
        print(f'next: mofo.AreaStore.open("{args.out}") in Python, or any Parquet reader')


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    numbers = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= numbers[0] <= numbers[1] <= 99999:
        raise argparse.ArgumentTypeError(f"{text!r} is no I/N such as 1/4 with I from 1 to N")
    return numbers
