"""Bars and colours, on a terminal and where there is none."""

import fcntl
import io
import os
import pty
import struct
import termios

import pytest

from mofo.commands.output import safe_output
from mofo.system.progress import Bar, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_in_a_file_a_bar_is_lines_and_no_states():
    file = io.StringIO()
    with Bar(total=4, unit="view", desc="test", file=file, every=1e-6) as bar:
        bar.update(2)
        bar.update(2)
    lines = file.getvalue().splitlines()
    assert all(line.startswith("test: ") and " views, " in line for line in lines)
    assert "\r" not in file.getvalue()
    silent = io.StringIO()
    with Bar(total=4, unit="view", file=silent, every=60) as bar:
        bar.update(4)
    assert silent.getvalue() == ""


def test_a_bar_that_was_never_made_closes_without_a_word():
    """A signal's exception can come before the first line of its constructor."""
    Bar.__new__(Bar).close()


def test_time_is_told_before_long_work(monkeypatch):
    now = iter([0.0, 1.0, 2.0, 6.0, 7.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    file = io.StringIO()
    progress = Progress(10, name="detect", stream=file, frames=10_000)
    for frames in (0, 100, 500, 600):  # at 1, 2, 6 and 7 s
        progress.beat(frames)
    assert file.getvalue() == "detect: about 1 min 35 s for some 10,000 frames\n"


@pytest.mark.parametrize(("columns", "width"), [(0, 80), (60, 60)])
def test_a_terminal_may_not_know_its_width(columns, width):
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 0, columns, 0, 0))
    with os.fdopen(there, "w") as terminal, Bar(total=3, unit="step", file=terminal) as bar:
        bar.update(1)
        bar.refresh()
        written = ""
        while "1/3" not in written:
            written += os.read(here, 4096).decode()
    os.close(here)
    shown = [line for line in written.split("\r") if line.strip()]
    assert all(len(line.rstrip("\n")) <= width for line in shown)


@pytest.mark.parametrize(
    ("text", "code"), [("next: mofo show", 1), ("mofo detect: no", 31), ("warnings (3):", 33)]
)
@pytest.mark.parametrize("plain", [False, True])
def test_colours_on_a_terminal_only_and_never_from_names(monkeypatch, text, code, plain):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    with safe_output():
        print(text)
        print("a\x1b[31mb.mp4")
    shown = stream.getvalue()
    assert shown.startswith("\x1b[") is not plain
    assert (f"\x1b[{code}m" in shown) is not plain
    assert r"a\x1b[31mb.mp4" in shown
