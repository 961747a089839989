"""The ``mofo`` command: one command, many verbs.

A verb's module is imported only when the verb is used, and heavy libraries only when it runs.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from mofo.commands.layout import HelpLayout

# Verb -> what it does; the module is mofo.commands.<verb>.
VERBS = {
    "detect": "find motion areas in videos",
    "areas": "merge, export and import stores of motion areas",
    "data": "check and convert data sets, generate a labelled one",
    "pretrain": "motion-focused pre-training on videos without labels",
    "finetune": "a classifier that knows where things move",
    "evaluate": "test a fine-tuned model: several views of each video, with intervals",
    "probe": "how much a frozen model knows: kNN, linear, attentive; areas alone",
    "embed": "features of videos as Parquet or npz",
    "weights": "weights of VideoMAE, MOFO and Hugging Face in, and ours out",
    "predict": "say what videos show, with probabilities; long ones window by window",
    "show": "draw what the system sees: motion, masks, reconstructions",
    "app": "a local gallery in the browser: drop a video, see what moves in it",
    "report": "one HTML page about runs, tests and motion areas",
    "demo": "all of this on real video, in ten minutes, with a report page",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (without the program's name) and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _with_plugins(words)
        sys.stdout.flush()  # a closed pipe is to show here, not at the interpreter's end
        return code
    except BrokenPipeError:
        # The reader of our output (such as head) has had enough. Python would complain once more
        # when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _with_plugins(words: list[str]) -> int:
    """``--plugin NAME``, anywhere and as often as wanted, is not the verb's business."""
    names = []
    while (at := _index(words, "--plugin")) is not None:
        word = words.pop(at)
        name = word[len("--plugin=") :] if "=" in word else words.pop(at) if words[at:] else ""
        if not name:
            print("mofo: --plugin needs the name of a module or a .py file", file=sys.stderr)
            return 2
        names.append(name)
    if not names:
        return _main(words)
    from mofo.registry import use_plugins
    from mofo.types import SettingsError

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(use_plugins(names))
        except SettingsError as error:
            return _fail(words[0] if words else "", str(error), 2)
        return _main(words)


def _index(words: list[str], option: str) -> int | None:
    fits = (at for at, word in enumerate(words) if word.partition("=")[0] == option)
    return next(fits, None)


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(overview(), end="")
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"mofo {version('mofo')}")
        return 0
    verb = words[0]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(VERBS)}"
        what = "option" if verb.startswith("-") else "verb"
        print(f"mofo: there is no {what} {verb!r}: {hint}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"mofo.commands.{verb}")
    parser = _Parser(
        prog=f"mofo {verb}",
        description=module.__doc__,
        formatter_class=HelpLayout,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    try:
        if getattr(module, "TAKES_SETTINGS", False):
            args, rest = parser.parse_known_args(words[1:])
            args.settings = _pairs(rest, parser)
        else:
            args = parser.parse_args(words[1:])
    except SystemExit as stop:  # argparse has printed help or what is wrong
        return stop.code if isinstance(stop.code, int) else 2
    return _run(verb, module.run, args)


def _pairs(words: list[str], parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """``--section.key value`` and ``--section.key=value`` as pairs."""
    pairs, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            parser.error(f"{word!r} belongs to no option: settings are written --section.key value")
        key, is_pair, value = word[2:].partition("=")
        if not is_pair:
            if not rest or rest[0].startswith("--"):
                parser.error(f"{word} has no value")
            value = rest.pop(0)
        pairs.append((key, value))
    return pairs


def _run(verb: str, run: object, args: argparse.Namespace) -> int:
    from mofo.types import MofoError, SettingsError

    try:
        code = run(args)  # type: ignore[operator]
        return int(code)
    except SettingsError as error:
        return _fail(verb, str(error), 2)
    except MofoError as error:
        return _fail(verb, str(error), 1)
    except KeyboardInterrupt as error:
        return _fail(verb, str(error) or "stopped", 130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise  # BrokenPipeError is for main; the rest are bugs, to be seen in full
        where = f"{error.filename}: " if error.filename else ""
        return _fail(verb, f"{where}{error.strerror}", 1)


def _fail(verb: str, text: str, code: int) -> int:
    line = " ".join(text.split())
    print(f"mofo {verb}: {line}", file=sys.stderr)
    return code


def overview() -> str:
    """The text of ``mofo --help``."""
    width = max(map(len, VERBS)) + 2
    verbs = "".join(f"  {verb:{width}}{text}\n" for verb, text in VERBS.items())
    return (
        "usage: mofo VERB ...\n\n"
        "Motion-focused self-supervised video learning.\n\n"
        f"verbs:\n{verbs}\n"
        "`mofo VERB --help` explains a verb; `mofo --version` tells the version.\n"
        "`--plugin MODULE or FILE.py`, with any verb, adds kinds of your own.\n\n"
        "example:\n  mofo detect videos/ --out areas\n"
    )


class _Parser(argparse.ArgumentParser):
    """Wrong usage: what is wrong first, then where to look; the whole usage text hides it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")
