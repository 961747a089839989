"""Data sets: look at every file, read the official formats, generate a labelled set.

Each has its own help: mofo data synth --help
"""

from __future__ import annotations

import argparse

from mofo.commands.parts import add_parts, run_part

EPILOG = """\
example:
  mofo data synth --level easy --clips 2000 --out actions
"""

# What is done -> one line about it; the module is mofo.commands.data_<what>.
_DONE = {
    "check": "look at every file and label, and list what is wrong",
    "convert": "read a data set in its published layout, write down what it holds as one file",
    "synth": "generate a labelled set in which only motion tells the classes apart",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo data`` takes."""
    parser.epilog = EPILOG
    add_parts(parser, "data", _DONE, "what to do")


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code is that of the part."""
    return run_part("data", args)
