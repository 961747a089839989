"""Stores of motion areas: merge the shards of a detection, exchange boxes as JSON."""

from __future__ import annotations

import argparse
import sys
from shlex import quote

EPILOG = """\
The JSON is that of the released MOFO code: {file stem: [{"labels": [{"box2d": {"x1": ..., "y1":
..., "x2": ..., "y2": ...}, "gt_annotation": "union"}]}, ...]}, an entry a frame.

examples:
  mofo areas merge areas
  mofo areas export areas --to boxes.json
  mofo areas import boxes.json --videos videos/ --out imported
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo areas`` takes."""
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    merge = actions.add_parser(
        "merge", help="merge shards into one table", epilog="example: mofo areas merge areas"
    )
    merge.add_argument("store", metavar="DIR", help="folder of the store")
    leave = actions.add_parser(
        "export",
        help="boxes of a store to a JSON file",
        epilog="example: mofo areas export areas --to boxes.json",
    )
    leave.add_argument("store", metavar="DIR", help="folder of the store")
    leave.add_argument("--to", required=True, metavar="FILE", help="JSON file to write")
    leave.add_argument(
        "--clip-union", action="store_true", help="one box a video, repeated in every frame"
    )
    enter = actions.add_parser(
        "import",
        help="boxes of a JSON file to a store",
        epilog="example: mofo areas import boxes.json --videos videos/ --out imported",
    )
    enter.add_argument("boxes", metavar="FILE", help="JSON file to read")
    enter.add_argument(
        "--videos",
        required=True,
        nargs="+",
        metavar="SOURCE",
        help="the videos: sizes and times come from them",
    )
    enter.add_argument("--out", required=True, metavar="DIR", help="folder of the store")


def run(args: argparse.Namespace) -> int:
    """Merge, export or import; 1 when an import left something out."""
    actions = {"merge": _merge, "export": _export, "import": _import}
    return actions[args.action](args)


def _merge(args: argparse.Namespace) -> int:
    from mofo.motion.detect import merge_shards

    pair = merge_shards(args.store)
    print(f"  {pair.areas}\n  {pair.videos}")
    print(f'next: mofo.AreaStore.open("{args.store}") in Python, or any Parquet reader')
    return 0


def _export(args: argparse.Namespace) -> int:
    from mofo.motion.boxes_json import export_boxes
    from mofo.motion.store import AreaStore

    with AreaStore.open(args.store) as store:
        videos = export_boxes(store, args.to, clip_union=args.clip_union)
    print(f"{videos} videos\n  {args.to}")
    print(
        f"next: mofo areas import {quote(str(args.to))} --videos SOURCE --out DIR brings them back"
    )
    return 0


def _import(args: argparse.Namespace) -> int:
    from mofo.motion.boxes_json import import_boxes

    report = import_boxes(args.boxes, args.videos, args.out)
    if report.failures:
        print(f"left out ({len(report.failures)}):", file=sys.stderr)
        for name, reason in report.failures:
            print(f"  {name}: {reason}", file=sys.stderr)
    print(f"{report.done} videos\n  {args.out}")
    print(f'next: mofo.AreaStore.open("{args.out}") in Python, or any Parquet reader')
    return 1 if report.failures else 0
