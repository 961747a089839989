"""The ``mofo`` command: one command, many verbs.

A verb's libraries are imported only when it runs. Exit codes: 0 done, 1 failed, 2 wrong usage, 75
stopped by SIGTERM or SIGUSR1 (the same command goes on), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence

from mofo.commands.output import safe_output
from mofo.commands.verb import GROUPS, VERBS
from mofo.registry import unknown, use_plugins
from mofo.types import MofoError, SettingsError, StoppedError

# What is wrong with a place or with the machine, rather than with our code.
_PLACES = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR,
    errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE,
    errno.EAGAIN, errno.ENOMEM, errno.EFBIG, errno.EIO, errno.EBUSY, errno.ETXTBSY, errno.ESTALE,
}  # fmt: skip
_LIMITS = {
    errno.EMFILE: "raise `ulimit -n`, or take fewer --workers",
    errno.EAGAIN: "raise `ulimit -u`, or take fewer --workers",
    errno.ENOMEM: "free some memory, or take fewer --workers",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (without the program's name) and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    with safe_output() as out:
        try:
            code = _with_plugins(words)
        except OSError as error:  # while plugins or verbs are looked for
            code = _misplaced("", error)
        except KeyboardInterrupt:  # while modules were imported
            code = _fail("", "stopped", 130)
        out.flush()
        if out.error is None:
            return code
        if not isinstance(out.error, BrokenPipeError):  # else the reader has had enough
            _fail("", f"output: {out.error.strerror}", 1)
        return code or 1


def _with_plugins(words: list[str]) -> int:
    """``--plugin NAME``, anywhere and as often as wanted, is not the verb's business."""
    names = []
    while (at := _index(words, "--plugin")) is not None:
        word = words.pop(at)
        name = word[len("--plugin=") :] if "=" in word else words.pop(at) if words[at:] else ""
        if not name:
            return _fail("", "--plugin needs the name of a module or a .py file", 2)
        names.append(name)
    with contextlib.ExitStack() as stack:
        try:
            if names:
                stack.enter_context(use_plugins(names))
        except SettingsError as error:
            return _fail(words[0] if words else "", str(error), 2)
        return _dispatch(words)


def _index(words: list[str], option: str) -> int | None:
    fits = (at for at, word in enumerate(words) if word.partition("=")[0] == option)
    return next(fits, None)


def _dispatch(words: list[str]) -> int:
    first, second = [*words, "", ""][:2]
    if first in ("", "-h", "--help"):
        print(overview(), end="")
        return 0 if words else 2
    if first in ("-V", "--version"):
        from importlib.metadata import version

        print(f"mofo {version('mofo')}")
        return 0
    if first in VERBS:
        return _run(first, VERBS[first], words[1:])
    if first not in GROUPS:
        noun = "option" if first.startswith("-") else "verb"
        return _fail("", unknown(noun, first, _first_words()), 2)
    if second in ("-h", "--help"):
        print(overview(first), end="")
        return 0
    name = f"{first} {second}"
    if name in VERBS:
        return _run(name, VERBS[name], words[2:])
    parts = [verb.partition(" ")[2] for verb in VERBS if verb.startswith(f"{first} ")]
    if not second:
        return _fail(first, f"needs one word more: {', '.join(parts)}", 2)
    return _fail(first, unknown("verb", second, parts), 2)


def _run(name: str, verb: Callable[[list[str]], int], words: list[str]) -> int:
    from mofo.system import group
    from mofo.system.processes import terminable

    try:
        with terminable():
            return verb(words)
    except SystemExit as stop:  # argparse has printed help or what is wrong
        return stop.code if isinstance(stop.code, int) else 2
    except (Exception, KeyboardInterrupt) as error:
        if not group.is_watching():
            return _failed(name, error)
        code = _failed(name, error) if group.is_first_to_fail(error) else _code(error)
    return group.end(code)


def _code(error: BaseException) -> int:
    from mofo.system.processes import INTERRUPTED, TRY_AGAIN, Terminated

    if isinstance(error, Terminated | StoppedError):
        return TRY_AGAIN
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return 2 if isinstance(error, SettingsError) else 1


def _failed(name: str, error: BaseException) -> int:
    from mofo.system import group
    from mofo.system.processes import Terminated

    if isinstance(error, OSError):
        return _misplaced(name, error)
    text = str(error)
    if isinstance(error, KeyboardInterrupt):
        text = f"stopped ({error})" if isinstance(error, Terminated) else text or "stopped"
    elif group.is_lost(error):
        text = "another process of this run is gone without a word: killed? out of memory?"
    elif not isinstance(error, MofoError):
        raise error  # a bug, to be seen in full
    return _fail(name, text, _code(error))


def _misplaced(name: str, error: OSError) -> int:
    if error.errno not in _PLACES:
        raise error  # a bug, to be seen in full
    named = isinstance(error.filename, str | bytes)  # else a number, or nothing
    where = f"{os.fsdecode(error.filename)}: " if named else ""
    if not where and _is_homeless():
        where = "the working folder is gone: "
    what_to_do = f": {_LIMITS[error.errno]}" if error.errno in _LIMITS else ""
    return _fail(name, f"{where}{error.strerror}{what_to_do}", 1)


def _is_homeless() -> bool:
    try:
        return not os.getcwd()  # noqa: PTH109 - the path is not wanted
    except OSError:
        return True


def _fail(name: str, text: str, code: int) -> int:
    line = " ".join(text.split())
    print(f"mofo {name}: {line}".replace("mofo :", "mofo:"), file=sys.stderr)
    return code


def _first_words() -> list[str]:
    return list(dict.fromkeys(name.partition(" ")[0] for name in VERBS))


def overview(group: str = "") -> str:
    """The text of ``mofo --help``, or of ``mofo GROUP --help``."""
    if group:
        about, prefix = GROUPS[group], f"{group} "
        summaries = {
            name.partition(" ")[2]: verb.summary
            for name, verb in VERBS.items()
            if name.startswith(prefix)
        }
    else:
        about, prefix = "Motion-focused self-supervised video learning.", ""
        summaries = {
            word: GROUPS[word].rstrip(".") if word in GROUPS else VERBS[word].summary
            for word in _first_words()
        }
    width = max(map(len, summaries)) + 2
    verbs = "".join(f"  {word:{width}}{text}\n" for word, text in summaries.items())
    example = next(iter(summaries))
    return (
        f"usage: mofo {prefix}VERB ...\n\n{about}\n\nverbs:\n{verbs}\n"
        f"`mofo {prefix}VERB --help` explains a verb; `mofo --version` prints the version.\n"
        "`--plugin MODULE or FILE.py`, with any verb, adds kinds of your own.\n\n"
        + ("example:\n  mofo detect videos/ --out areas\n" if not group else
           f"example:\n  mofo {prefix}{example} --help\n")
    )  # fmt: skip
