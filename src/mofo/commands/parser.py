"""The argument parser of all verbs: help for a screen of 80 columns, errors in one line."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any, NoReturn

from mofo.registry import did_you_mean


class Parser(argparse.ArgumentParser):
    """Wrong usage is one line: what is wrong, then where to look."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=_Layout,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Prints ``message`` and ends with exit code 2."""
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")

    def parse(self, words: list[str]) -> dict[str, Any]:
        """Values of the options in ``words``, by parameter."""
        args, rest = self.parse_known_args(words)
        if rest:
            flags = [flag for action in self._actions for flag in action.option_strings]
            hint = did_you_mean(rest[0].partition("=")[0], flags)
            self.error(f"unknown option {rest[0]!r}{': ' + hint if hint else ''}")
        return vars(args)

    def parse_with_keys(self, words: list[str]) -> dict[str, Any]:
        """The same with ``--section.key value`` and ``--section.key=value`` as ``pairs``."""
        args, rest = self.parse_known_args(words)
        pairs = []
        while rest:
            word = rest.pop(0)
            if not word.startswith("--"):
                self.error(f"{word!r} is no option: settings are written --section.key value")
            key, is_pair, value = word[2:].partition("=")
            if not is_pair:
                if not rest or rest[0].startswith("--"):
                    self.error(f"{word} has no value")
                value = rest.pop(0)
            pairs.append((key, value))
        return vars(args) | {"pairs": pairs}


class _Layout(argparse.RawDescriptionHelpFormatter):
    """Prose is filled to the terminal's width; what is indented stays as it is.

    The usage line names what is required; options are listed below it anyway.
    """

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, **({"max_help_position": 26} | more))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.strip("\n").split("\n\n")
        return "\n\n".join(_filled(block, width) for block in blocks) + "\n"

    def add_usage(
        self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None
    ) -> None:
        """Options that may be left out are counted in as ``[options]``."""
        required = [action for action in actions if action.required or not action.option_strings]
        if usage is None:
            usage = self._format_usage(None, required, [], "").strip()
            if any(action not in required and not _is_help(action) for action in actions):
                usage = usage.replace(self._prog, f"{self._prog} [options]", 1)
        super().add_usage(usage, actions, groups, prefix)

    def add_argument(self, action: argparse.Action) -> None:
        """Who reads this knows --help."""
        if not _is_help(action):
            super().add_argument(action)


def _is_help(action: argparse.Action) -> bool:
    return isinstance(action, argparse._HelpAction)


def _filled(block: str, width: int) -> str:
    """One paragraph; a line that ends a sentence ends a line, indented ones stay as they are."""
    lines = block.splitlines()
    if any(line.startswith(" ") for line in lines):
        return block
    joined = [lines[0]]
    for line in lines[1:]:
        if joined[-1].endswith((".", ":", ")")):
            joined.append(line)
        else:
            joined[-1] += " " + line
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in joined)
