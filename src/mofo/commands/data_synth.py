"""Generate a labelled set of videos in which only motion tells the classes apart.

Things cut out of real photographs move over other photographs: left, right, towards, away, turning,
stopping, dropping, meeting, pushing ... A single frame does not tell the class. DIR gets videos/,
videos.csv (path, label, split, group), areas/ (exact motion areas) and about.json. Run the same
command again to go on after a stop, or with more clips to enlarge the set.
"""

from __future__ import annotations

import argparse
from shlex import quote

EPILOG = """\
levels: easy (8 classes, one large thing, still camera), medium (16), hard (20, moving camera)

example:
  mofo data synth --level easy --clips 2000 --out actions
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo data synth`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--recipe", choices=("motion-actions",), default="motion-actions", help="which set")
    add("--level", choices=("easy", "medium", "hard"), default="easy", help="difficulty (easy)")
    add("--clips", type=int, required=True, metavar="N", help="clips in all (70/15/15 %% a split)")
    add("--out", required=True, metavar="DIR", help="folder of the set")
    add("--seed", type=int, default=0, metavar="N", help="another number, other clips (0)")
    add("--size", type=int, default=112, metavar="N", help="height and width, pixels (112)")
    add("--frames", type=int, default=16, metavar="N", help="frames a clip (16)")
    add("--workers", type=int, metavar="N", help="processes (default: all processors)")
    add("--masks", action="store_true", help="also write exact masks of what moves")
    add("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Generate; 0 when the set is complete."""
    from tqdm import tqdm

    from mofo.synth.actions.dataset_writer import ActionSetSettings, write_action_set

    settings = ActionSetSettings(
        level=args.level,
        clips=args.clips,
        seed=args.seed,
        size=args.size,
        frames=args.frames,
        masks=args.masks,
    )
    with tqdm(total=args.clips, unit="clip", disable=args.quiet) as bar:
        report = write_action_set(args.out, settings, workers=args.workers, progress=bar.update)
        bar.total = report.done
    counts = ", ".join(f"{count} {split}" for split, count in report.counts.items())
    before = f", {report.skipped} finished before" if report.skipped else ""
    print(f"{report.done + report.skipped} clips ({counts}): {report.done} made{before}")
    print(f"  {report.table}")
    print(f"  {report.folder / 'areas'}")
    table, areas = (quote(str(path)) for path in (report.table, report.folder / "areas"))
    print(f"next: mofo pretrain --config RECIPE --data.source {table} --data.areas {areas}")
    return 0
