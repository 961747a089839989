"""Show what the system sees: frame, optical flow, motion map and motion area side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = """\
example:
  mofo show motion clip.mp4 --out stages.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo show`` takes."""
    from mofo.motion.settings import FLOWS, PRESETS

    parser.epilog = EPILOG
    add = parser.add_argument
    add("what", choices=("motion",), help="what to draw")
    add("video", metavar="VIDEO", help="video file")
    add("--out", metavar="PNG", help="picture to write (default: VIDEO's name + .motion.png, here)")
    add("--frames", type=int, nargs="+", metavar="N", help="frame numbers (default: 4 of them)")
    add("--flow", choices=FLOWS, default="", help="optical flow (default: dis; tvl1 for paper)")
    add("--preset", choices=PRESETS, default="default", help="ours (default), or the paper's")
    add("--short-side", type=int, default=240, metavar="N", help="analysis size, pixels (240)")


def run(args: argparse.Namespace) -> int:
    """Draw; 0 when the picture is written."""
    from mofo.motion.settings import DetectSettings
    from mofo.report.figures import write_stages
    from mofo.types import SettingsError

    out = Path(args.out or f"{Path(args.video).stem}.motion.png")
    if out.suffix.lower() != ".png":
        raise SettingsError(f"{out}: the picture is a PNG, so its name must end in .png")
    if args.frames and min(args.frames) < 0:
        raise SettingsError(f"--frames {min(args.frames)}: frames are counted from 0")
    settings = DetectSettings(preset=args.preset, flow=args.flow, short_side=args.short_side)
    area = write_stages(args.video, settings, out, frames=args.frames)
    if args.frames and min(args.frames) >= len(area):
        raise SettingsError(f"{args.video} has {len(area)} frames: --frames must be under that")
    for warning in area.warnings:
        print(f"warning: {args.video}: {warning}")
    print(f"{100 * area.valid_T.mean():.0f} % of {len(area)} frames show motion")
    print(f"picture: {out}")
    print(f"next: mofo detect {args.video} --out areas --overlay")
    return 0
