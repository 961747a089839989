"""Test a fine-tuned model on labelled videos: several views of each, averaged.

Prints the measures with 95 % intervals and a table of classes; --out writes results.json and
pictures. CHECKPOINT is a checkpoint's folder, or that of a run: then its best one.
"""

from __future__ import annotations

import argparse
import sys
from shlex import quote

EPILOG = """\
--areas says what motion areas the model is given: detected (its own; from --store, or found now as
in training), none, shuffled (another video's), centre (the middle of the frame), truth (exact ones,
from --store); or codec, dis, or the folder of a store.
Several processes: torchrun --nproc-per-node 2 -m mofo evaluate ...

examples:
  mofo evaluate runs/fine test.csv --store areas --out results
  mofo evaluate runs/ek100 epic-kitchens/ --split test --submission ek100.zip
"""
_TOLD = 20  # videos that are left out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo evaluate`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="its folder, or that of a run: then the best")
    add("sources", nargs="+", metavar="SOURCE", help="labelled videos: CSV list, data set, folder")
    add("--split", metavar="NAME", help="train, validation, test or all (validation, if told)")
    add("--views", default="2x3", metavar="TxS", help="stretches of time x crops (2x3)")
    add("--areas", default="detected", metavar="WHAT", help="motion areas, see below (detected)")
    add("--store", metavar="DIR", help="store of motion areas, as `mofo detect` makes it")
    add("--batch", type=int, default=12, metavar="N", help="views at once (12)")
    add("--workers", type=int, metavar="N", help="processes that read (default: all processors)")
    add("--precision", default="auto", metavar="P", help="fp32, bf16 or auto: bf16 on a GPU (auto)")
    add("--seed", type=int, default=0, metavar="N", help="of intervals and shuffled areas (0)")
    add(
        "--max-unreadable", type=float, default=0.05, metavar="SHARE",
        help="of the videos; more end the test (0.05)",
    )  # fmt: skip
    add("--out", metavar="DIR", help="folder for results.json and pictures")
    add("--submission", metavar="FILE", help="also write the EPIC-KITCHENS challenge's .zip")
    add("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Test; 0 also where a few videos could not be read, see --max-unreadable."""
    from mofo.clips.view_clips import parse_views
    from mofo.evaluation.evaluate import evaluate, is_main

    results = evaluate(
        args.checkpoint,
        args.sources,
        split=args.split,
        views=parse_views(args.views),
        areas=args.areas,
        store=args.store,
        batch=args.batch,
        workers=args.workers,
        precision=args.precision,
        seed=args.seed,
        max_unreadable=args.max_unreadable,
        submission=args.submission,
        progress=not args.quiet,
    )
    if not is_main():
        return 0
    from mofo.report.recognised import results_table, write_evaluation

    if results.left_out:
        print(f"left out ({len(results.left_out)}):", file=sys.stderr)
        for path, reason in results.left_out[:_TOLD]:
            print(f"  {path}: {reason}", file=sys.stderr)
        if len(results.left_out) > _TOLD:
            print("  ... all of them are in results.json, see --out", file=sys.stderr)
    print(results_table(results))
    if args.submission:
        print(f"\n  {args.submission}")
    if args.out:
        print()
        for file in write_evaluation(results, args.out):
            print(f"  {file}")
    print(f"next: mofo predict {quote(str(args.checkpoint))} VIDEO")
    return 0
