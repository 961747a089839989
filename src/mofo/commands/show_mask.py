"""Show what a mask hides of a real clip: frame with its motion area, and the mask.

The clip is the middle of the video. A picture (PNG) has some moments; a video (mp4) all frames.
Strategies: tube, random, motion, visible_share, hide_motion, block.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = """\
example:
  mofo show mask clip.mp4 --all --out masks.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo show mask`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("video", metavar="VIDEO", help="video file")
    add("--strategy", default="motion", metavar="NAME", help="which mask (motion)")
    add("--all", action="store_true", help="all strategies side by side")
    add("--ratio", type=float, default=0.9, metavar="R", help="share that is hidden (0.9)")
    add("--inside-ratio", type=float, default=0.75, metavar="R", help="motion: of the area (0.75)")
    add("--visible-inside-ratio", type=float, default=0.5, metavar="R",
        help="visible_share: of what is visible, from the area (0.5)")  # fmt: skip
    add("--block", type=int, default=4, metavar="N", help="block: its side in patches (4)")
    add("--areas", default="dis", metavar="WHERE", help="dis, codec, none, or a store (dis)")
    add("--seed", type=int, default=0, metavar="N", help="another number, another mask (0)")
    add("--frames", type=int, default=16, metavar="N", help="frames of the clip (16)")
    add("--stride", type=int, default=2, metavar="N", help="every how many frames one (2)")
    add("--size", type=int, default=224, metavar="N", help="height and width, pixels (224)")
    add("--out", metavar="FILE", help=".png or .mp4 (default: VIDEO's name + .mask.png, here)")


def run(args: argparse.Namespace) -> int:
    """Draw; 0 when the picture is written."""
    from mofo.report.mask_figure import show_masks

    out = Path(args.out or f"{Path(args.video).stem}.mask.png")
    drawn = show_masks(
        args.video,
        out,
        strategies=None if args.all else (args.strategy,),
        ratio=args.ratio,
        inside_ratio=args.inside_ratio,
        visible_inside_ratio=args.visible_inside_ratio,
        block=args.block,
        areas=args.areas,
        seed=args.seed,
        frames=args.frames,
        stride=args.stride,
        size=args.size,
    )
    for note in drawn.notes:
        print(f"note: {note}")
    width = max(len(mask.settings.strategy) for mask in drawn.masks)
    for mask in drawn.masks:
        print(f"{mask.settings.strategy:{width}}  {', '.join(mask.text)}")
    print(f"{'video' if out.suffix.lower() == '.mp4' else 'picture'}: {out}")
    print("next: mofo pretrain --config RECIPE --mask.strategy NAME")
    return 0
