"""Show how motion is found: frame, optical flow, motion map and motion area side by side.

A picture (PNG) has a row for each of some moments; a video (mp4) has all frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import quote

EPILOG = """\
example:
  mofo show motion clip.mp4 --out stages.mp4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo show motion`` takes."""
    from mofo.motion.presets import FLOWS, PRESETS

    parser.epilog = EPILOG
    add = parser.add_argument
    add("video", metavar="VIDEO", help="video file")
    add("--out", metavar="FILE", help=".png or .mp4 (default: VIDEO's name + .motion.png, here)")
    add("--frames", type=int, nargs="+", metavar="N", help="frame numbers (PNG; default: 4)")
    add("--flow", choices=FLOWS, default="", help="optical flow (default: dis; tvl1 for paper)")
    add("--preset", choices=PRESETS, default="default", help="ours (default), or the paper's")
    add("--short-side", type=int, default=240, metavar="N", help="analysis size, pixels (240)")


def run(args: argparse.Namespace) -> int:
    """Draw; 0 when the picture is written."""
    from mofo.motion.presets import DetectSettings
    from mofo.report.sheet import picture_kind
    from mofo.report.stages import write_stages, write_stages_video
    from mofo.types import SettingsError

    out = Path(args.out or f"{Path(args.video).stem}.motion.png")
    kind = picture_kind(out)
    if args.frames and kind == "mp4":
        raise SettingsError(f"--frames: {out} will show all frames; choose some for a .png")
    if args.frames and min(args.frames) < 0:
        raise SettingsError(f"--frames {min(args.frames)}: frames are counted from 0")
    settings = DetectSettings(preset=args.preset, flow=args.flow, short_side=args.short_side)
    if kind == "mp4":
        area = write_stages_video(args.video, settings, out)
    else:
        area = write_stages(args.video, settings, out, frames=args.frames)
    if args.frames and min(args.frames) >= len(area):
        raise SettingsError(f"{args.video} has {len(area)} frames: --frames must be under that")
    for warning in area.warnings:
        print(f"warning: {args.video}: {warning}")
    print(f"{100 * area.valid_T.mean():.0f} % of {len(area)} frames show motion")
    print(f"{'video' if kind == 'mp4' else 'picture'}: {out}")
    print(f"next: mofo detect {quote(str(args.video))} --out areas --overlay")
    return 0
