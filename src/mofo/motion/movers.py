"""Movers in each frame of one shot, seen as the frames stream by (preset ``default``).

Two witnesses must agree. The *flow* left over when the camera's motion is taken out, averaged over
a few frames and judged in units of the background's own noise, says that something moves. The
*change* against the camera-aligned neighbours (see change.py) says exactly where: flow leaks over
an object's outline by several pixels, the change does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mofo.motion.camera import CameraFitter
from mofo.motion.change import at_scale, two_sided_change

_AT_ONCE = 32  # frames worked on together


@dataclass(frozen=True, kw_only=True)
class MoverSettings:
    """Constants of the default preset, chosen on generated clips of the tuning split.

    Attributes:
        window: flows on each side of a frame whose residuals are averaged.
        reach: frames between a frame and the earlier and later one it is compared with.
        low, high: thresholds on the residual in units of the noise: a mover's cells are above low
            and at least one is above high.
        least_noise: pixels a frame; motion finer than this is never trusted.
        least_area: smallest mover, share of the frame.
        change_noise: a change counts from this many times the frame's own noise in grey levels.
        least_change: grey levels under which the noise is not believed to be.
        changed_share: least share of changed pixels within a mover.
        trim: share of the changed pixels that may stick out of the box at each side.
    """

    window: int = 2
    reach: int = 5
    low: float = 2.0
    high: float = 4.0
    least_noise: float = 0.12
    least_area: float = 0.0012
    change_noise: float = 2.3
    least_change: float = 2.0
    changed_share: float = 0.01
    trim: float = 0.005


@dataclass(frozen=True, eq=False)
class FrameMovers:
    """Candidates of one frame.

    Attributes:
        box_K4: float32 boxes in pixels of the analysed frame.
        own_K2: mean motion of each against the background, pixels a frame.
        camera_K2: motion of the background at the same place, pixels a frame.
    """

    box_K4: np.ndarray
    own_K2: np.ndarray
    camera_K2: np.ndarray


class MoverFinder:
    """Finds the movers of one shot.

    Frames are worked on some dozens at a time, since one alone would be all numpy's overhead; the
    result does not come before that.

    Args:
        shape_hw: rows and columns of the flow grid.
        cell: pixels a cell.
        settings: constants.
        watch: called with the number of a frame in the shot and its score, float32 ``(h, w)``: the
            motion that the camera does not explain, in units of the background's noise.
    """

    def __init__(
        self,
        shape_hw: tuple[int, int],
        cell: float,
        settings: MoverSettings | None = None,
        watch: Callable[[int, np.ndarray], None] | None = None,
    ) -> None:
        self._watch = watch
        self._settings = settings or MoverSettings()
        self._cell = cell
        self._fitter = CameraFitter(shape_hw, cell)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        # Of the frames from number self._first on, and of the flows that leave them.
        self._first = 0
        self._greys: list[np.ndarray] = []
        self._residual_Thw2 = np.zeros((0, *shape_hw, 2), np.float32)  # times the weight
        self._weight_Thw = np.zeros((0, *shape_hw), np.float32)
        self._shift_Thw2 = np.zeros((0, *shape_hw, 2), np.float32)
        self._noise_T = np.zeros(0, np.float32)
        self._ways_T33 = np.zeros((0, 3, 3))
        self._next = 0  # frame to be answered next

    def step(
        self,
        flow_hw2: np.ndarray | None,
        confidence_hw: np.ndarray | None,
        half_HW: np.ndarray,
    ) -> Iterator[FrameMovers]:
        """Takes a frame; gives the movers of the frames that are ready.

        Args:
            flow_hw2: from the previous frame to this one, None for the first.
            confidence_hw: 0..1, how far that flow can be trusted.
            half_HW: uint8, this frame in grey at half size.
        """
        if flow_hw2 is not None and confidence_hw is not None:
            self._waiting.append((flow_hw2, confidence_hw))
        self._greys.append(half_HW)
        if len(self._waiting) >= _AT_ONCE:
            yield from self._answers(self._first + len(self._greys) - self._settings.reach)

    def finish(self) -> Iterator[FrameMovers]:
        """Gives the movers of the remaining frames; the shot has ended."""
        yield from self._answers(self._first + len(self._greys))

    def _answers(self, stop: int) -> Iterator[FrameMovers]:
        """Movers of the frames up to ``stop`` (excluded)."""
        self._fit()
        s = self._settings
        if stop > self._next:
            frames = range(self._next - self._first, stop - self._first)
            mean_Thw2, shift_Thw2, noise_T = self._around(frames)
            score_Thw = np.hypot(mean_Thw2[..., 0], mean_Thw2[..., 1]) / noise_T[:, None, None]
            toward_T33, back_T33 = self._toward()
            for i, t in enumerate(frames):
                score_hw = cv2.GaussianBlur(score_Thw[i], (0, 0), 0.7)
                if self._watch and len(self._noise_T):
                    self._watch(self._first + t, score_hw)
                if not score_hw.max() >= s.high:
                    yield _nothing()
                    continue
                change_HW = self._change(t, toward_T33, back_T33)
                yield self._movers(score_hw, mean_Thw2[i], shift_Thw2[i], change_HW)
            self._next = stop
        self._forget(max(0, self._next - s.reach - self._first))

    def _fit(self) -> None:
        if not self._waiting:
            return
        weight_Thw = np.stack([weight_hw for _, weight_hw in self._waiting])
        motion = self._fitter.fit(np.stack([flow_hw2 for flow_hw2, _ in self._waiting]), weight_Thw)
        self._waiting = []
        weighted_Thw2 = motion.residual_Thw2 * weight_Thw[..., None]
        self._residual_Thw2 = np.concatenate([self._residual_Thw2, weighted_Thw2])
        self._weight_Thw = np.concatenate([self._weight_Thw, weight_Thw])
        self._shift_Thw2 = np.concatenate([self._shift_Thw2, motion.shift_Thw2])
        self._noise_T = np.concatenate([self._noise_T, motion.noise_T])
        self._ways_T33 = np.concatenate([self._ways_T33, motion.homography_T33])

    def _forget(self, count: int) -> None:
        """Drops the first frames, which no frame to come is compared with."""
        self._first += count
        del self._greys[:count]
        self._residual_Thw2 = self._residual_Thw2[count:]
        self._weight_Thw = self._weight_Thw[count:]
        self._shift_Thw2 = self._shift_Thw2[count:]
        self._noise_T = self._noise_T[count:]
        self._ways_T33 = self._ways_T33[count:]

    def _around(self, frames: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean residual, mean camera and noise over the flows around each frame."""
        s = self._settings
        first, last = frames[0] - s.window, frames[-1] + s.window  # flows, last one excluded
        low, high = max(first, 0), min(last, len(self._noise_T))
        ends = (low - first, last - high)

        def around(values_T: np.ndarray) -> np.ndarray:
            rest = [(0, 0)] * (values_T.ndim - 1)
            padded_T = np.pad(values_T[low:high], [ends, *rest])
            parts = [padded_T[k : k + len(frames)] for k in range(2 * s.window)]
            return np.add.reduce(parts)

        one_T = np.ones(len(self._noise_T), np.float32)
        count_T = np.maximum(around(one_T), 1)[:, None, None]
        # The constant pulls cells without texture to "no motion".
        weight_Thw = around(self._weight_Thw) + np.float32(0.15) * count_T
        mean_Thw2 = around(self._residual_Thw2) / weight_Thw[..., None]
        # Over the same frames as the mean, so that one can be held against the other.
        shift_Thw2 = around(self._shift_Thw2) / count_T[..., None]
        padded_T = np.full(last - first, np.nan, np.float32)
        padded_T[ends[0] : len(padded_T) - ends[1]] = self._noise_T[low:high]
        noise_T = _median_of_known(sliding_window_view(padded_T, 2 * s.window))[: len(frames)]
        return mean_Thw2, shift_Thw2, np.maximum(noise_T, np.float32(s.least_noise))

    def _toward(self) -> tuple[np.ndarray, np.ndarray]:
        """From the first frame kept to each: homographies at half size, and their inverses."""
        ways = [np.eye(3)]
        for way_33 in at_scale(self._ways_T33, 2.0):
            ways.append(way_33 @ ways[-1])
        toward_T33 = np.stack(ways)
        return toward_T33, np.linalg.inv(toward_T33)

    def _change(self, t: int, toward_T33: np.ndarray, back_T33: np.ndarray) -> np.ndarray | None:
        """Bool (H, W) at half size: changed on both sides; None in a shot too short to tell."""
        s = self._settings
        earlier, later = max(t - s.reach, 0), min(t + s.reach, len(self._greys) - 1)
        others = [j for j in (earlier, later) if abs(j - t) >= 2]
        if not others:
            return None
        change_HW = two_sided_change(
            self._greys[t],
            [self._greys[j] for j in others],
            [toward_T33[j] @ back_T33[t] for j in others],
            [toward_T33[t] @ back_T33[j] for j in others],
        )
        # Mean of the small values: the sensor's and the codec's noise, not the movers.
        mean, _ = cv2.meanStdDev(change_HW, mask=cv2.compare(change_HW, 20, cv2.CMP_LT))
        noise = max(s.least_change, 1.0 + 1.5 * float(mean[0, 0]))
        return change_HW > s.change_noise * noise

    def _movers(
        self,
        score_hw: np.ndarray,
        mean_hw2: np.ndarray,
        shift_hw2: np.ndarray,
        change_HW: np.ndarray | None,
    ) -> FrameMovers:
        """Candidates: regions of high score that hold a change."""
        s = self._settings
        boxes, own, camera = [], [], []
        for window, inside_hw in regions(score_hw, s.low, s.high, s.least_area):
            y, x = window[0].start, window[1].start
            box = self._box(change_HW, inside_hw, x, y)
            if box is None:
                continue
            boxes.append(box)
            own.append(mean_inside(mean_hw2[window], inside_hw))
            camera.append(mean_inside(shift_hw2[window], inside_hw))
        if not boxes:
            return _nothing()
        return FrameMovers(np.array(boxes, np.float32), np.array(own), np.array(camera))

    def _box(
        self, change_HW: np.ndarray | None, inside_hw: np.ndarray, x: int, y: int
    ) -> tuple[float, float, float, float] | None:
        """Box in pixels around one component; x, y, inside: its place on the flow grid."""
        s, cell = self._settings, self._cell
        rows, columns = inside_hw.shape
        if change_HW is None:
            return x * cell, y * cell, (x + columns) * cell, (y + rows) * cell
        # One more cell around, since the change may reach a little beyond the flow.
        grown_hw = cv2.dilate(np.pad(inside_hw.astype(np.uint8), 1), np.ones((3, 3), np.uint8))
        half = int(cell) // 2
        mask_HW = np.repeat(np.repeat(grown_hw, half, 0), half, 1)
        left, top = (x - 1) * half, (y - 1) * half
        x0, y0 = max(left, 0), max(top, 0)
        patch_HW = change_HW[y0 : top + mask_HW.shape[0], x0 : left + mask_HW.shape[1]]
        mask_HW = mask_HW[y0 - top :, x0 - left :][: patch_HW.shape[0], : patch_HW.shape[1]]
        hit_HW = patch_HW & mask_HW.view(bool)
        total = int(np.count_nonzero(hit_HW))
        if total < max(6, s.changed_share * half * half * np.count_nonzero(inside_hw)):
            return None
        x1, x2 = _extent(np.count_nonzero(hit_HW, axis=0), s.trim)
        y1, y2 = _extent(np.count_nonzero(hit_HW, axis=1), s.trim)
        return 2.0 * (x0 + x1), 2.0 * (y0 + y1), 2.0 * (x0 + x2), 2.0 * (y0 + y2)


def regions(
    score_hw: np.ndarray, low: float, high: float, least_area: float
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Connected regions above ``low`` that reach ``high`` and cover a share of the field.

    Yields:
        The window around a region (rows, columns), and bool of its shape: what is inside.
    """
    _, label_hw, stats, _ = cv2.connectedComponentsWithStats(
        (score_hw > low).view(np.uint8), connectivity=8
    )
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= least_area * score_hw.size) + 1
    for k in large.tolist():
        x, y, width, height, _ = stats[k].tolist()
        window = (slice(y, y + height), slice(x, x + width))
        inside_hw = label_hw[window] == k
        if (score_hw[window] * inside_hw).max() >= high:
            yield window, inside_hw


def mean_inside(values_hw2: np.ndarray, inside_hw: np.ndarray) -> np.ndarray:
    """Mean of the vectors where ``inside`` is true."""
    inside = inside_hw.ravel().astype(np.float32)
    return inside / inside.sum() @ values_hw2.reshape(-1, 2)


def _nothing() -> FrameMovers:
    return FrameMovers(np.zeros((0, 4), np.float32), np.zeros((0, 2)), np.zeros((0, 2)))


def _median_of_known(values_TK: np.ndarray) -> np.ndarray:
    """Median of each row without its NaNs; 0 in a row that has no others."""
    count_T1 = np.count_nonzero(~np.isnan(values_TK), axis=1)[:, None]
    ordered_TK = np.nan_to_num(np.sort(values_TK, axis=1))  # NaNs go last
    middle = np.take_along_axis(
        ordered_TK, np.concatenate([(count_T1 - 1) // 2, count_T1 // 2], 1).clip(0), 1
    )
    return middle.mean(1)


def _extent(counts: np.ndarray, trim: float) -> tuple[int, int]:
    """Half-open range that holds all but ``trim`` of the counts at each end."""
    heap = np.cumsum(counts) / counts.sum()
    return int(np.searchsorted(heap, trim)), int(np.searchsorted(heap, 1 - trim)) + 1
