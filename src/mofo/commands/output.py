"""What the command prints: its streams may be closed or full, or a terminal that obeys names."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

# Control characters that a file's name may hold and a terminal may obey. Bars write returns and
# move the cursor up, and so may we.
_CONTROLS = re.compile("\x1b\\[A|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_STARTS = re.compile(r"next:|mofo[\w ]*:|failed \(|(?:warnings|left out|cannot be used) \(|note:")


class SafeStream:
    """A text stream whose failures never stop the work.

    What cannot be encoded and control characters are written as escapes.

    Attributes:
        error: the first error of the stream, None while there was none.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb"
        self._colours = not plain and stream.isatty()
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Writes, or notes why not."""
        safe = self._coloured(_CONTROLS.sub(_escaped, text))
        encoding = self._stream.encoding or "utf-8"
        with self._noted():
            self._stream.write(safe.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flushes, or notes why not."""
        with self._noted():
            self._stream.flush()

    def _coloured(self, text: str) -> str:
        """On a terminal: what is wrong in red, what is doubtful in yellow, what comes next bold."""
        match = _STARTS.match(text) if self._colours else None
        if match is None:
            return text
        colour = {"n": "1", "m": "31", "f": "31"}.get(text[0], "33")
        return f"\x1b[{colour}m{match[0]}\x1b[0m{text[match.end() :]}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error
        except ValueError:  # the stream was closed
            self.error = self.error or BrokenPipeError()


def _escaped(match: re.Match[str]) -> str:
    text = match[0]
    return text if len(text) > 1 else text.encode("unicode_escape").decode()


@contextlib.contextmanager
def safe_output() -> Iterator[SafeStream]:
    """Inside the block, output goes through safe streams; gives that of stdout.

    Where the process was started with closed streams, nothing is written, and no file that is
    opened later gets their numbers.
    """
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            continue
        os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        # Opened only if need be: there may be no descriptor left.
        missing = [stack.enter_context(_nowhere()) for stream in before if stream is None]
        out, err = (SafeStream(stream or missing[0]) for stream in before)
        sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
        try:
            yield out
        finally:
            for stream in (out, err):
                stream.flush()
                if stream.error is not None:
                    # Python would complain once more when it flushes at its end.
                    with contextlib.suppress(OSError, ValueError), _nowhere() as nowhere:
                        os.dup2(nowhere.fileno(), stream.fileno())
            sys.stdout, sys.stderr = before


def _nowhere() -> TextIO:
    return open(os.devnull, "w")  # noqa: PTH123
