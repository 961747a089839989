"""Progress of a long run: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

LINE_EVERY = 30.0  # seconds
_MEASURED = 3.0  # seconds, before the time of the whole is told
_SHORT = 10.0  # seconds that need no warning
_LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s, {rate_fmt}, {remaining} left{postfix}"


class Bar(tqdm):  # type: ignore[type-arg]
    """A bar of tqdm on stderr; where that is no terminal, a line now and then.

    ``every``: seconds between the lines. ``options``: of tqdm: total, unit, desc, initial, leave.
    """

    monitor_interval = 0  # no thread of its own
    is_line = disable = True  # until it is made: a signal may end that, and tqdm closes it then

    def __init__(self, *, show: bool = True, every: float = LINE_EVERY, **options: Any) -> None:
        stream = options.setdefault("file", sys.stderr)
        self.is_line = not (show and stream is not None and stream.isatty())
        if self.is_line or stream is None:
            options |= {"mininterval": every, "delay": every, "miniters": 1, "bar_format": _LINE}
            options["desc"] = options.get("desc") or "progress"
        else:  # a terminal may not know its width
            options["ncols"] = _columns(stream) or 80
        super().__init__(disable=not show or stream is None, **options)
        if self.is_line and not self.disable:  # nothing that other output has to be written around
            self._decr_instances(self)

    def close(self) -> None:
        """Leaves a bar as it is."""
        if self.is_line:
            self.disable = True
        super().close()

    def status_printer(self, file: TextIO) -> Any:  # type: ignore[override]
        """Where states of the bar go."""
        if not self.is_line:
            return tqdm.status_printer(file)
        return lambda text: text.strip() and print(text, file=file, flush=True)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


class Progress:
    """Counts videos and frames, and tells rate and time left on ``stream``.

    ``stream``: stderr, if None.
    ``frames``: of all videos, about; with it the time is told soon after the beginning.
    """

    def __init__(
        self,
        total: int,
        *,
        show: bool = True,
        name: str = "detect",
        stream: TextIO | None = None,
        frames: float = 0,
    ) -> None:
        self._stream = stream or sys.stderr
        self._show = show and self._stream is not None
        self._name = name
        self._total = total
        self._done = 0
        self._frames = 0
        self._expected = frames
        self._first: tuple[float, int] | None = None  # when frames came, and how many
        self._start = self._last = time.monotonic()
        self._bar: Bar | None = None
        if self._show and total and self._stream.isatty():
            self._bar = Bar(total=total, desc=name, unit="video", file=self._stream)

    @property
    def frames(self) -> int:
        """Frames of finished videos."""
        return self._frames

    def finished(self, frames: int) -> None:
        """One more video is done."""
        self._done += 1
        self._frames += frames
        if self._bar is not None:
            self._bar.update(1)

    def beat(self, frames_running: int = 0) -> None:
        """Time has passed; ``frames_running`` frames of unfinished videos are done."""
        now = time.monotonic()
        if not self._show:
            return
        frames = self._frames + frames_running
        if self._expected and frames:
            self._estimate(now, frames)
        rate = frames / max(now - self._start, 1e-9)
        if self._bar is not None:
            self._bar.set_postfix_str(f"{rate:,.0f} frames/s", refresh=False)
            self._bar.refresh()
        elif now - self._last >= LINE_EVERY:
            self._last = now
            self._line(now - self._start, rate)

    def _estimate(self, now: float, frames: int) -> None:
        """Tells once how long the whole takes, as soon as that can be known."""
        began, before = self._first = self._first or (now, frames)
        if now - began >= _MEASURED and frames > before:
            left = (self._expected - frames) * (now - began) / (frames - before)
            if left > _SHORT:
                self.say(f"{self._name}: about {clock(left)} for some {self._expected:,.0f} frames")
            self._expected = 0

    def say(self, text: str) -> None:
        """A line for the user, without breaking the bar."""
        if not self._show:
            return
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """The last state stays on the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, seconds: float, rate: float) -> None:
        videos = f"{self._done} of {self._total} videos"
        speed = self._done / seconds
        left = f"{clock((self._total - self._done) / speed)} left" if speed else "? left"
        self.say(f"{self._name}: {videos}, {speed:.2f} videos/s, {rate:,.0f} frames/s, {left}")


def clock(seconds: float) -> str:
    """``"42 s"``, ``"3 min 05 s"``, ``"2 h 10 min"``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
