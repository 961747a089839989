from __future__ import annotations

import itertools

import numpy as np
import pytest

from mofo.evaluation.predict import window_spans
from mofo.types import SettingsError


def test_written_out():
    assert window_spans(10, 4, 2) == [(0, 4), (2, 6), (4, 8), (6, 10)]
    assert window_spans(10.5, 4, 2) == [(0, 4), (2, 6), (4, 8), (6, 10), (6.5, 10.5)]
    # Less than a tenth of a hop is left: no window of its own for it.
    assert window_spans(10.1, 4, 2) == [(0, 4), (2, 6), (4, 8), (6, 10.1)]
    assert window_spans(3, 4, 2) == [(0, 3)]


def test_nothing_is_left_out():
    rng = np.random.default_rng(0)
    for _ in range(200):
        duration, window = rng.uniform(0.1, 60), rng.uniform(0.5, 8)
        hop = window * rng.uniform(0.1, 1)
        spans = window_spans(duration, window, hop)
        assert spans[0][0] == 0
        assert spans[-1][1] == pytest.approx(duration)
        assert all(later[0] <= earlier[1] for earlier, later in itertools.pairwise(spans))
        assert all(0 <= start < end for start, end in spans)


def test_impossible_windows():
    for window, hop in ((0, 1), (2, 0), (float("nan"), 1), (2, -1)):
        with pytest.raises(SettingsError, match="more than 0"):
            window_spans(10, window, hop)
    with pytest.raises(SettingsError, match="leaves gaps"):
        window_spans(10, 2, 3)
