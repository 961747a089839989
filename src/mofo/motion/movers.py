"""Movers in each frame of one shot, seen as the frames stream by (preset ``default``).

Two witnesses must agree. The *flow* left over when the camera's motion is taken out, averaged over
a few frames and judged in units of the background's own noise, says that something moves. The
*change* against the camera-aligned neighbours (see change.py) says exactly where: flow leaks over
an object's outline by several pixels, the change does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mofo.motion.camera import CameraFitter, CameraMotion
from mofo.motion.change import two_sided_change


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


@dataclass(eq=False)
class _Step:
    grey_HW: np.ndarray  # the frame at half size
    motion: CameraMotion | None  # from this frame to the next
    weight_hw: np.ndarray | None


class MoverFinder:
    """Finds the movers of one shot.

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
        self._steps: deque[_Step] = deque()
        self._first = 0  # frame number of self._steps[0]
        self._next = 0  # frame to be answered next
        self._count = 0  # frames seen

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
            last = self._steps[-1]
            last.motion, last.weight_hw = self._fitter.fit(flow_hw2, confidence_hw), confidence_hw
        self._steps.append(_Step(half_HW, None, None))
        self._count += 1
        if self._next + self._settings.reach < self._count:
            yield self._answer()

    def finish(self) -> Iterator[FrameMovers]:
        """Gives the movers of the remaining frames; the shot has ended."""
        while self._next < self._count:
            yield self._answer()

    def _answer(self) -> FrameMovers:
        t = self._next - self._first
        found = self._movers(t)
        self._next += 1
        if t >= self._settings.reach:
            self._steps.popleft()
            self._first += 1
        return found

    def _movers(self, t: int) -> FrameMovers:
        s, steps = self._settings, self._steps
        around = [
            (step.motion, step.weight_hw)
            for step in list(steps)[max(0, t - s.window) : t + s.window]
            if step.motion is not None and step.weight_hw is not None
        ]
        if not around:
            return _nothing()
        weight_hw = np.sum([w for _, w in around], axis=0)
        mean_hw2 = np.sum([m.residual_hw2 * w[..., None] for m, w in around], axis=0)
        # The constant pulls cells without texture to "no motion".
        mean_hw2 = mean_hw2 / (weight_hw + np.float32(0.15 * len(around)))[..., None]
        noise = max(s.least_noise, float(np.median([m.noise for m, _ in around])))
        score_hw = cv2.magnitude(mean_hw2[..., 0], mean_hw2[..., 1])
        score_hw = cv2.GaussianBlur(score_hw, (0, 0), 0.7) / noise
        if self._watch:
            self._watch(self._next, score_hw)
        if not score_hw.max() >= s.high:
            return _nothing()
        change_HW = self._change(t)
        count, label_hw, stats, _ = cv2.connectedComponentsWithStats(
            (score_hw > s.low).view(np.uint8), connectivity=8
        )
        boxes, own, camera = [], [], []
        # Over the same frames as the mean, so that one can be held against the other.
        shift_hw2 = np.mean([m.shift_hw2 for m, _ in around], axis=0)
        for k in range(1, count):
            x, y, width, height, area = stats[k]
            window = np.s_[y : y + height, x : x + width]
            inside_hw = label_hw[window] == k
            if area < s.least_area * score_hw.size or score_hw[window][inside_hw].max() < s.high:
                continue
            box = self._box(change_HW, inside_hw, x, y)
            if box is None:
                continue
            boxes.append(box)
            own.append(mean_hw2[window][inside_hw].mean(0))
            camera.append(shift_hw2[window][inside_hw].mean(0))
        if not boxes:
            return _nothing()
        return FrameMovers(np.array(boxes, np.float32), np.array(own), np.array(camera))

    def _change(self, t: int) -> np.ndarray | None:
        """Bool (H, W) at half size: changed on both sides; None in a shot too short to tell."""
        s, steps = self._settings, self._steps
        others, ways = [], []
        for j in (max(t - s.reach, 0), min(t + s.reach, len(steps) - 1)):
            if abs(j - t) < 2:
                continue
            way_33 = np.eye(3)
            for i in range(min(t, j), max(t, j)):
                motion = steps[i].motion
                assert motion is not None  # only the last step has none
                way_33 = motion.homography_33 @ way_33
            others.append(steps[j].grey_HW)
            ways.append(way_33 if j > t else np.linalg.inv(way_33))
        if not others:
            return None
        change_HW = two_sided_change(steps[t].grey_HW, others, ways, 2.0)
        # Mean of the small values: the sensor's and the codec's noise, not the movers.
        mean, _ = cv2.meanStdDev(change_HW, mask=cv2.compare(change_HW, 20, cv2.CMP_LT))
        noise = max(s.least_change, 1.0 + 1.5 * float(mean[0, 0]))
        return change_HW > s.change_noise * noise

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


def _nothing() -> FrameMovers:
    return FrameMovers(np.zeros((0, 4), np.float32), np.zeros((0, 2)), np.zeros((0, 2)))


def _extent(counts: np.ndarray, trim: float) -> tuple[int, int]:
    """Half-open range that holds all but ``trim`` of the counts at each end."""
    heap = np.cumsum(counts) / counts.sum()
    return int(np.searchsorted(heap, trim)), int(np.searchsorted(heap, 1 - trim)) + 1
