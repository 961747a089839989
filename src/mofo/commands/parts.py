"""Verbs of two words: ``mofo show mask`` is in the module ``mofo.commands.show_mask``."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from typing import Any


def add_parts(
    parser: argparse.ArgumentParser, verb: str, parts: Mapping[str, str], title: str
) -> None:
    """Declare the second words of a verb, each with the line of help that is given."""
    words = parser.add_subparsers(dest="part", required=True, metavar="WHAT", title=title)
    for word, text in parts.items():
        module = _module(verb, word)
        one = words.add_parser(
            word,
            help=text,
            description=module.__doc__,
            formatter_class=parser.formatter_class,
            allow_abbrev=False,
        )
        module.add_arguments(one)


def run_part(verb: str, args: argparse.Namespace) -> int:
    """Runs the part that was named; gives its exit code."""
    return int(_module(verb, args.part).run(args))


def _module(verb: str, word: str) -> Any:
    return importlib.import_module(f"mofo.commands.{verb}_{word}")
