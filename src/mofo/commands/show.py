"""Draw what the system sees: motion areas, masks, reconstructions, attention.

Pictures, or videos.

Each has its own help: mofo show motion --help
"""

from __future__ import annotations

import argparse

from mofo.commands.parts import add_parts, run_part

EPILOG = """\
examples:
  mofo show motion clip.mp4
  mofo show mask clip.mp4 --all --out masks.png
  mofo show reconstruction runs/tiny clip.mp4 --out reconstruction.mp4
  mofo show attention runs/fine clip.mp4 --out attention.png
"""

# What is drawn -> one line about it; the module is mofo.commands.show_<what>.
_DRAWN = {
    "motion": "frame, optical flow, motion map and motion area of a video",
    "mask": "which parts of a clip a mask strategy hides, and where its motion area is",
    "reconstruction": "what a pre-trained model makes of the hidden parts of a clip",
    "attention": "what a fine-tuned model looks at, beside the motion area",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo show`` takes."""
    parser.epilog = EPILOG
    add_parts(parser, "show", _DRAWN, "what to draw")


def run(args: argparse.Namespace) -> int:
    """Draw; 0 when the picture is written."""
    return run_part("show", args)
