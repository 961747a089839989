"""Show what a pre-trained model makes of the hidden parts of clips.

Frame with its motion area, what the encoder sees, and the reconstruction. Nothing is taken from
what is hidden. The usual picture of such models is there, too (--leak): it adds back the true mean
and variance of each hidden patch, and so looks good whatever was learned.

Each clip is the middle of its video. A picture (PNG) has some moments; a video (mp4) all frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = """\
example:
  mofo show reconstruction runs/tiny clip.mp4 --out reconstruction.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo show reconstruction`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="its folder, or that of a run: then the newest")
    add("videos", nargs="+", metavar="VIDEO", help="video files, folders, patterns, CSV lists")
    add("--leak", action="store_true", help="add the usual picture, which leaks the answer")
    add("--clips", type=int, default=4, metavar="N", help="how many at most (4)")
    add("--seed", type=int, default=0, metavar="N", help="another number, other masks (0)")
    add(
        "--out",
        metavar="FILE",
        help=".png or .mp4 (default: first VIDEO's name + .reconstruction.png, here)",
    )


def run(args: argparse.Namespace) -> int:
    """Draw; 0 when the picture is written."""
    from mofo.report.reconstruction import show_reconstruction
    from mofo.report.reconstruction_figure import flat

    out = Path(args.out or f"{Path(args.videos[0]).stem}.reconstruction.png")
    drawn = show_reconstruction(
        args.checkpoint, args.videos, out, leak=args.leak, seed=args.seed, clips=args.clips
    )
    for note in drawn.notes:
        print(f"note: {note}")
    found = drawn.found
    width = max(map(len, found.names))
    for name, error, least in zip(found.names, found.error_B, found.flat_error_B, strict=True):
        print(f"{name:{width}}  error {error:.3f}; {least:.3f} with {flat(found.normalised)}")
    print(f"{'video' if out.suffix.lower() == '.mp4' else 'picture'}: {out}")
    if not args.leak and found.normalised:
        print("next: the same with --leak shows how much the usual picture flatters")
    return 0
