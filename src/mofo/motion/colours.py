"""Colours of what moves and of what does not, learnt over some seconds of a shot."""

from __future__ import annotations

import numpy as np

_BINS = 16  # along each of three channels
_WINDOW, _EVERY = 24, 8  # frames on each side that are learnt from, and frames that share a model
_FLOOR = 1e-4  # share of all cells under which a colour is as good as unseen
# A quarter of each bin goes to either neighbour.
_SPREAD = (np.eye(_BINS) / 2 + (np.eye(_BINS, k=1) + np.eye(_BINS, k=-1)) / 4).astype(np.float32)


def colour_odds(picture_Thw3: np.ndarray, moving_Thw: np.ndarray) -> np.ndarray:
    """Log of how much more often a cell's colour is seen among what moves.

    Args:
        picture_Thw3: float32 in 0..255, colours of the cells.
        moving_Thw: float32, 0 to 1, what moves as far as is known.

    Returns:
        float32 ``(T, h, w)``; 0 says nothing.
    """
    frames = len(picture_Thw3)
    bin_Thw3 = (picture_Thw3 * (_BINS / 256)).astype(np.int32).clip(0, _BINS - 1)
    bin_TP = (bin_Thw3 @ np.array([_BINS * _BINS, _BINS, 1], np.int32)).reshape(frames, -1)
    # Counts of stretches of frames, of which windows are then put together.
    starts = range(0, frames, _EVERY)
    size = _BINS**3
    all_S, moving_S = (np.empty((len(starts), size), np.float32) for _ in range(2))
    for s, start in enumerate(starts):
        part = np.s_[start : start + _EVERY]
        all_S[s] = np.bincount(bin_TP[part].ravel(), minlength=size)
        moving_S[s] = np.bincount(bin_TP[part].ravel(), moving_Thw[part].ravel(), minlength=size)
    reach = _WINDOW // _EVERY
    odds_Thw = np.empty(moving_Thw.shape, np.float32)
    for s, start in enumerate(starts):
        window = np.s_[max(0, s - reach) : s + reach + 1]
        moving = moving_S[window].sum(0)
        still = all_S[window].sum(0) - moving
        odds = np.log(_shares(moving) + _FLOOR) - np.log(_shares(still) + _FLOOR)
        part = np.s_[start : start + _EVERY]
        odds_Thw[part] = odds[bin_TP[part]].reshape(odds_Thw[part].shape)
    return odds_Thw


def _shares(counts: np.ndarray) -> np.ndarray:
    """Counts as shares of their sum, each spread a little over the neighbouring bins."""
    cube = (_SPREAD @ counts.reshape(_BINS, -1)).reshape(_BINS, _BINS, _BINS)
    return (_SPREAD @ cube @ _SPREAD).ravel() / max(float(counts.sum()), 1e-6)
