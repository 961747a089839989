"""Scene cuts: which frames begin a new shot, judged on tiny pictures, one frame after the other."""

from __future__ import annotations

import cv2
import numpy as np

_GRID = 96  # side of the sampled picture that histograms are taken from
_THUMB = 32  # side of the picture that is compared under shifts; divides _GRID
_BINS = 32
_MEMORY = 3  # frames back that a frame may look like without being a cut


class CutDetector:
    """Tells at each frame whether a new shot begins there.

    Two pictures of 32x32 pixels are compared twice: by the correlation r that is left after the
    best shift of up to an eighth of the frame (1 - r, so that a pan or a shaken camera counts
    little, and a change of brightness or contrast not at all), and by their grey histograms, which
    decide how much of that counts: all of it when 30 % of the pixels changed their grey level, half
    of it when none did. The score, 0 to about 1, must exceed a fixed level and also stand out from
    the running level of the scores before, which is high during a whip pan. No number depends on
    the size, the brightness or the frame rate of the video.

    What to expect:
        * Fades and dissolves are not cuts. Nearly uniform frames (black, white, standard deviation
          under 3 grey levels) never begin a shot: what follows is compared with what came before.
        * A flash that leaves the scene visible, or whites it out, gives nothing. A frame or two of
          something else (torn frames) give one false cut at most, none at the return.
        * The second frame of a video is never a cut: nothing is known yet about its motion.

    ``threshold``: smallest score of a cut. Real cuts score 0.3 to 1.1, fast motion up to 0.25.
    ``contrast``: how many times the running level the score must reach.
    """

    def __init__(self, threshold: float = 0.28, contrast: float = 2.5) -> None:
        self.threshold = threshold
        self.contrast = contrast
        self.reset()

    def reset(self) -> None:
        """Forget all frames, for another video."""
        self.score = 0.0
        self._past: list[tuple[np.ndarray, np.ndarray]] = []
        self._level: float | None = None

    def step(self, grey_HW: np.ndarray) -> bool:
        """Take the next frame.

        ``grey_HW``: uint8, any size that stays the same.

        Returns:
            Whether this frame begins a new shot. ``score`` then holds the frame's score.
        """
        look = _look(grey_HW)
        if look is None:
            return False
        past = self._past
        self.score = score = _difference(past[-1], look) if past else 0.0
        cut = False
        if self._level is None:
            # Start from the first difference: a video may well begin in the middle of a pan.
            self._level = score if past else None
        else:
            needed = max(self.threshold, self.contrast * self._level + 0.05)
            cut = score > needed and all(
                _difference(old, look) > self.threshold for old in past[:-1]
            )
            if not cut:
                self._level += 0.2 * (score - self._level)
        past.append(look)
        if len(past) > _MEMORY:
            del past[0]
        return cut


def _look(grey_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Thumbnail and histogram of a frame; None for a frame that shows nothing."""
    # Sampling first: averaging a whole frame down would cost more than all the rest.
    grid = cv2.resize(grey_HW, (_GRID, _GRID), interpolation=cv2.INTER_NEAREST)
    thumb = cv2.resize(grid, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).astype(np.float32)
    if thumb.std() < 3:
        return None
    histogram = cv2.calcHist([grid], [0], None, [_BINS], [0, 256]).ravel() / _GRID**2
    # Smoothed, so that grey levels may drift across the border of a bin.
    return thumb, np.convolve(histogram, [0.25, 0.5, 0.25], "same")


def _difference(old: tuple[np.ndarray, np.ndarray], new: tuple[np.ndarray, np.ndarray]) -> float:
    """The score of a change from ``old`` to ``new``, 0 (same) to about 1."""
    margin = _THUMB // 8
    inner = new[0][margin:-margin, margin:-margin]
    correlation = float(cv2.matchTemplate(old[0], inner, cv2.TM_CCOEFF_NORMED).max())
    changed = 0.5 * float(np.abs(old[1] - new[1]).sum())
    return (1 - correlation) * (0.5 + 0.5 * min(1.0, changed / 0.3))
