"""Verbs of the command line: their registry, and how a verb becomes a parser and a call."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mofo.commands.options import (
    Option,
    described,
    merged,
    read_options,
    resolve,
    with_kinds,
)
from mofo.commands.parser import Parser
from mofo.commands.remote_output import RemotePath, with_upload
from mofo.registry import Registry

Run = Callable[..., int]
_PARTS = (
    "motion",
    "curation",
    "data",
    "training",
    "model",
    "predict",
    "weights",
    "show",
    "page",
    "demo",
)


class Verb:
    """A function of the command line with the options of the function that it calls.

    The docstring of ``run`` is the help: a line, prose, ``Args:`` for the options of its own (and
    for better texts of others), then examples.

    Args:
        name: one word, or two: ``weights import``.
        run: ``run(call, **own options)``; ``call()`` calls the function of ``calls`` with what the
            user gave. It returns the exit code.
        calls: ``module:function`` whose parameters are options.
        settings: parameter of that function -> ``module:SettingsClass`` whose fields are options;
            the fields of ``**`` are passed as keywords.
        skip: parameters that are no options.
        keys: ``--section.key value`` is passed to ``run`` as ``pairs``.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        *,
        calls: str = "",
        settings: Mapping[str, str] | None = None,
        skip: Iterable[str] = (),
        keys: bool = False,
    ) -> None:
        self.name, self.run, self.calls, self.keys = name, run, calls, keys
        self.settings = dict(settings or {})
        self.skip = {*skip, *self.settings}

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return _help_of(self.run)[0].splitlines()[0].rstrip(".")

    def __call__(self, words: list[str]) -> int:
        """Runs the verb; returns the exit code. Raises SystemExit as ``parse``."""
        values = self.parse(words)
        own = inspect.signature(self.run).parameters
        mine = {name: values.pop(name) for name in own if name in values}
        call = [functools.partial(self._call, values)] if self.calls else []
        for name, value in mine.items():
            if isinstance(value, RemotePath):
                return with_upload(value, lambda here: self.run(*call, **mine | {name: here}))  # noqa: B023
        return self.run(*call, **mine)

    def parse(self, words: list[str]) -> dict[str, Any]:
        """Values of the options that are given in ``words``, by parameter.

        Raises:
            SystemExit: help was printed (0), or what is wrong with ``words`` (2).
        """
        parser = Parser(f"mofo {self.name}", *_help_of(self.run))
        for option in sorted(self.options(), key=lambda option: not option.positional):
            option.add_to(parser)
        return parser.parse_with_keys(words) if self.keys else parser.parse(words)

    def _call(self, values: Mapping[str, Any], *first: Any, **more: Any) -> Any:
        """Calls the function of ``calls``; this imports the libraries that it needs."""
        rest = dict(values) | more
        if isinstance(rest.get("sources"), list):  # told before libraries are imported for seconds
            from mofo.datasets.catalog import check_sources

            check_sources(rest["sources"])
        function = resolve(self.calls)
        for parameter, where in self.settings.items():
            chosen = {name: rest.pop(name) for name in self._fields(where) if name in rest}
            rest |= chosen if parameter == "**" else {parameter: resolve(where)(**chosen)}
        return function(*first, **rest)

    def _fields(self, where: str) -> dict[str, Option]:
        """Fields of settings; a parameter of the function with the same name goes before."""
        parameters = {option.name for option in read_options(self.calls)}
        return {o.name: o for o in read_options(where) if o.name not in parameters}

    def options(self) -> list[Option]:
        """All options, positional or not."""
        own = read_options(f"{self.run.__module__}:{self.run.__name__}")
        own = [option for option in own if option.name not in ("call", "pairs")]
        called = read_options(self.calls) if self.calls else []
        called += [o for where in self.settings.values() for o in self._fields(where).values()]
        kept = [option for option in called if option.name not in self.skip]
        texts = described(inspect.cleandoc(self.run.__doc__ or ""))
        return [
            replace(option, help=with_kinds(texts.get(option.name, option.help)))
            for option in merged(kept, own)
        ]


VERBS: Registry[Verb] = Registry(
    "verb", lambda: [importlib.import_module(f"mofo.commands.{part}_verbs") for part in _PARTS]
)
GROUPS = {
    "probe": "How much a frozen model knows: kNN, linear, attentive; areas alone.",
    "areas": "Merge, export and import stores of motion areas.",
    "data": "Check and convert data sets, generate a labelled one.",
    "show": "Draw what the system sees: motion, masks, reconstructions, attention.",
    "weights": "Weights of VideoMAE, MOFO and Hugging Face in, and ours out.",
}  # first words of verbs of two words


def verb(name: str, **options: Any) -> Callable[[Run], Run]:
    """Registers a function as the verb ``name``; see ``Verb``."""

    def decorate(run: Run) -> Run:
        VERBS.register(name)(Verb(name, run, **options))
        return run

    return decorate


def _help_of(run: Run) -> tuple[str, str]:
    """Text above the options, and below them."""
    above, has_options, rest = inspect.cleandoc(run.__doc__ or "").partition("\nArgs:\n")
    if not has_options:
        above, found, rest = above.partition("\nexample")
        return above, found.strip("\n") + rest
    lines = rest.splitlines()
    below = next((n for n, line in enumerate(lines) if line[:1].strip()), len(lines))
    return above, "\n".join(lines[below:])


def print_rows(title: str, rows: Sequence[tuple[str, str]], shown: int = 1000) -> None:
    """Prints names with their reasons to stderr, below a title with their number."""
    from mofo.datasets.listing import problem_lines

    if rows:
        print(f"{title} ({len(rows):,}):", file=sys.stderr)
    lines = problem_lines(rows)
    for line in lines[:shown]:
        print(f"  {line}", file=sys.stderr)
    if len(lines) > shown:
        print(f"  and {len(lines) - shown:,} more", file=sys.stderr)
