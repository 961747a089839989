"""Make a checkpoint of ours out of weights of another program.

SOURCE: a .pth file of VideoMAE, VideoMAE V2 or the released MOFO program, pre-trained or
fine-tuned, or a folder of Hugging Face's VideoMAE. Nothing in a file is ever run. Every tensor must
be there, be known and fit; what is not is named, and can be allowed by name.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

EPILOG = """\
example:
  mofo weights import k400.pth --classes k400.json --out weights/k400
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo weights import`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("source", metavar="SOURCE", help=argparse.SUPPRESS)  # explained above
    add("--out", required=True, metavar="DIR", help="folder of the checkpoint")
    clips = parser.add_argument_group(
        "clips that the model is to take (default: as it was trained)"
    )
    clips.add_argument("--frames", type=_count, metavar="N", help="frames")
    clips.add_argument("--size", type=_count, metavar="N", help="pixels a side")
    expected = parser.add_argument_group("what the weights must be of (default: whatever they are)")
    expected.add_argument("--model", metavar="SIZE", help="small, base, large ...")
    expected.add_argument("--tubelet", type=_count, metavar="N", help="frames of a token")
    expected.add_argument("--patch", type=_count, metavar="N", help="pixels a side of a token")
    unsaid = parser.add_argument_group("what the file does not say")
    unsaid.add_argument("--made-for", type=_clip, metavar="FxP", help="frames x pixels (16x224)")
    unsaid.add_argument("--heads", type=_count, metavar="N", help="of the encoder (width / 64)")
    unsaid.add_argument("--decoder-heads", type=_count, metavar="N", help="the same of the decoder")
    unsaid.add_argument("--classes", metavar="FILE", help="names of classes: JSON, CSV, or lines")
    unsaid.add_argument("--head", default="label", metavar="NAME", help="the question (label)")
    unsaid.add_argument("--fusion", metavar="NAME", help="of the classifier (as it was trained)")
    unsaid.add_argument(
        "--sampling",
        choices=("dense", "segments"),
        metavar="HOW",
        help="dense or segments: how clips are taken",
    )
    unsaid.add_argument("--stride", type=_count, metavar="N", help="of dense clips")
    keys = parser.add_argument_group("tensors; patterns such as 'decoder.*', several times")
    for word in ("missing", "unexpected"):
        keys.add_argument(
            f"--allow-{word}", action="append", default=[], metavar="PAT",
            help=f"tensors that may be {word}",
        )  # fmt: skip
    keys.add_argument("--all-keys", action="store_true", help="show every tensor")
    keys.add_argument("--report", metavar="FILE", help="write all of it as JSON, too")


def run(args: argparse.Namespace) -> int:
    """Import; 0 when the checkpoint is written."""
    from mofo.weights.import_report import WeightsError
    from mofo.weights.importing import import_weights

    try:
        done = import_weights(
            args.source,
            args.out,
            size=args.size,
            frames=args.frames,
            tubelet=args.tubelet,
            patch=args.patch,
            model_size=args.model,
            made_for=args.made_for,
            heads=args.heads,
            decoder_heads=args.decoder_heads,
            classes=args.classes,
            head=args.head,
            fusion=args.fusion,
            sampling=args.sampling,
            stride=args.stride,
            allow_missing=args.allow_missing,
            allow_unexpected=args.allow_unexpected,
        )
    except WeightsError as error:
        if error.report is not None:
            print(error.report.table(everything=args.all_keys), file=sys.stderr)
            _write(args.report, error.report.plain())
        raise
    print(done.keys.table(everything=args.all_keys))
    _write(args.report, done.keys.plain())
    for note in done.notes:
        print(f"note: {note}")
    for head, names in done.classes.items():
        print(f"{len(names)} classes of {head!r}: {', '.join(names[:5])}")
    what = "classifier" if done.classes else "pre-training"
    print(f"{what} ({done.layout}): {done.path}")
    path = shlex.quote(str(done.path))
    if done.classes:
        print(f"next: mofo evaluate {path} SOURCE, or mofo predict {path} VIDEO")
    else:
        print(f"next: mofo show reconstruction {path} VIDEO, or a fine-tuning from it")
    return 0


def _write(path: str | None, content: Any) -> None:
    if path is None:
        return
    from mofo.system.files import replaced

    file = Path(path)
    file.absolute().parent.mkdir(parents=True, exist_ok=True)
    with replaced(file, flush=True) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    print(f"report: {file}", file=sys.stderr)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _clip(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not frames x pixels, such as 16x224")
    return int(match[1]), int(match[2])
