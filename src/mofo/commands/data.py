"""Data sets: look at every file, read the official formats, generate a labelled set.

Each has its own help: mofo data synth --help
"""

from __future__ import annotations

import argparse
import importlib

EPILOG = """\
example:
  mofo data synth --recipe motion-actions --level easy --clips 2000 --out actions
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
    whats = parser.add_subparsers(dest="what", required=True, metavar="WHAT", title="what to do")
    for what, text in _DONE.items():
        module = importlib.import_module(f"mofo.commands.data_{what}")
        one = whats.add_parser(
            what,
            help=text,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(one)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code is that of the part."""
    return int(importlib.import_module(f"mofo.commands.data_{args.what}").run(args))
