"""Show what a fine-tuned model looks at: attention and relevance, beside the motion area.

Attention is what the tokens inside the motion area look at outside; relevance (in the manner of
Grad-CAM) is which tokens speak for the predicted class. The clip is the middle of the video.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

EPILOG = """\
example:
  mofo show attention runs/fine clip.mp4 --out attention.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo show attention`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="its folder, or that of a run: then the best")
    add("video", metavar="VIDEO", help="video file")
    add(
        "--areas", default="detected", metavar="WHAT",
        help="motion area: codec, dis, none, centre, or a store's folder (default: as in training)",
    )  # fmt: skip
    add("--class", dest="wanted", metavar="NAME", help="relevance of this class (the likeliest)")
    add("--out", metavar="FILE", help=".png or .mp4 (default: VIDEO's name + .attention.png, here)")


def run(args: argparse.Namespace) -> int:
    """Draw; 0 when the picture is written."""
    from mofo.report.attention import show_attention

    out = Path(args.out or f"{Path(args.video).stem}.attention.png")
    found = show_attention(args.checkpoint, args.video, out, areas=args.areas, wanted=args.wanted)
    print(f"{found.head}: {found.name}, {100 * found.probability:.1f} %")
    print(f"{100 * found.inside_thw.mean():.0f} % of the tokens are inside the motion area")
    print(f"{'video' if out.suffix.lower() == '.mp4' else 'picture'}: {out}")
    words = shlex.join([str(args.checkpoint), str(args.video)])
    print(f"next: mofo predict {words} --annotate seen")
    return 0
