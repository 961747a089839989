"""How the help of a verb is laid out: so that it fits a screen of 80 columns."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any


class HelpLayout(argparse.RawDescriptionHelpFormatter):
    """Prose is filled to the terminal's width; what is indented stays as it is.

    The usage line names what has to be given; options are listed below it anyway.
    """

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, **({"max_help_position": 26} | more))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.strip("\n").split("\n\n")
        return "\n\n".join(_filled(block, width) for block in blocks) + "\n"

    def add_usage(
        self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None
    ) -> None:
        """Options that may be left out are only counted in."""
        needed = [action for action in actions if action.required or not action.option_strings]
        if usage is None:
            usage = self._format_usage(None, needed, [], "").strip()
            if any(action not in needed and not _is_help(action) for action in actions):
                usage = usage.replace(self._prog, f"{self._prog} [options]", 1)
        super().add_usage(usage, actions, groups, prefix)

    def add_argument(self, action: argparse.Action) -> None:
        """Who reads this has found --help."""
        if not _is_help(action):
            super().add_argument(action)


def _is_help(action: argparse.Action) -> bool:
    return isinstance(action, argparse._HelpAction)


def _filled(block: str, width: int) -> str:
    """One paragraph; each line for itself where some are indented or end a list's entry."""
    lines = block.splitlines()
    if any(line.startswith(" ") for line in lines):
        return block
    joined: list[str] = []
    for line in lines:
        goes_on = joined and not joined[-1].endswith((".", ":", ")"))
        if goes_on:
            joined[-1] += " " + line
        else:
            joined.append(line)
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in joined)
