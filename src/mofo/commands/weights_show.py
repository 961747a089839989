"""Tell what is in a file or folder of weights: kind, size, grid, classes.

Takes a checkpoint or run of ours, a .pth file of VideoMAE or MOFO, or a folder of Hugging Face.
"""

from __future__ import annotations

import argparse
import shlex

EPILOG = """\
example:
  mofo weights show videomae-base/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo weights show`` takes."""
    parser.epilog = EPILOG
    parser.add_argument("source", metavar="SOURCE", help="file or folder")


def run(args: argparse.Namespace) -> int:
    """Print; 1 where a tensor is missing, too many, or of another shape."""
    from mofo.weights.looking import look_at_weights

    found = look_at_weights(args.source)
    print("\n".join(found.lines()))
    if found.problems:
        return 1
    if found.layout == "mofo":
        to = "hf --out DIR" if found.fusion in (None, "mean") else "onnx --out FILE"
        print(f"next: mofo weights export {shlex.quote(args.source)} --to {to}")
    else:
        print(f"next: mofo weights import {shlex.quote(args.source)} --out DIR")
    return 0
