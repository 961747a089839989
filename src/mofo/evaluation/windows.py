"""Windows that slide over a long video: pure functions of numbers."""

from __future__ import annotations

import numpy as np

from mofo.types import SettingsError
from mofo.video.index import FrameIndex

_LEFT = 0.1  # of a hop


def window_spans(duration: float, window: float, hop: float) -> list[tuple[float, float]]:
    """Begin and end of each window, in seconds since the first frame.

    Windows begin every ``hop`` seconds; the last one ends with the video, so that nothing is left
    out: it begins earlier, or is a little longer where less than a tenth of a hop is left. A video
    that is not longer than a window is one window.

    Args:
        duration: of the video.
        window: length of a window.
        hop: from one beginning to the next.

    Raises:
        SettingsError: a length that is not above 0, or a hop that leaves gaps between windows.
    """
    if not (0 < window < float("inf") and 0 < hop < float("inf")):
        raise SettingsError(f"window {window} s, hop {hop} s: expected more than 0")
    if hop > window:
        raise SettingsError(f"hop {hop:g} s is longer than the window of {window:g} s: leaves gaps")
    if duration <= window:
        return [(0.0, duration)]
    steps = int((duration - window) / hop + _LEFT)
    spans = [(step * hop, step * hop + window) for step in range(steps + 1)]
    if duration - spans[-1][1] > _LEFT * hop:
        spans.append((duration - window, duration))
    else:
        spans[-1] = (spans[-1][0], duration)
    return spans


def duration_of(index: FrameIndex) -> float:
    """Seconds from the first frame to the end of the last one, which lasts as long as most do."""
    seconds_T = index.seconds_T
    steps_T = np.diff(seconds_T)
    last = float(np.median(steps_T)) if len(steps_T) else 1 / 25
    return float(seconds_T[-1] - seconds_T[0]) + last
