"""Optical flow from pictures: one interface, three backends (dis, farneback, tvl1).

The fourth backend, ``codec``, needs no pictures; see codec.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import cv2
import numpy as np

from mofo.types import SettingsError

# DIS needs some pyramid to stand on; smaller frames are scaled up before they come here.
LEAST_SIDE = 32


class Flow(Protocol):
    """Dense optical flow between grey frames.

    Attributes:
        batch: pairs worth giving at once (1 on a CPU).
    """

    batch: int

    def __call__(self, first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
        """Flow of each pair.

        Args:
            first, second: uint8 ``(H, W)`` frames, all of one size.

        Returns:
            For each pair float32 ``(H, W, 2)``: (u, v) in pixels, with which what is at (x, y) in
            ``first`` is found at (x + u, y + v) in ``second``.
        """
        ...


class DisFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016), OpenCV's.

    Between OpenCV's presets "fast" and "medium": the finest scale is 1/2 as in medium, since the
    outline of small movers depends on it, but with a patch every 5 pixels, 8 descent steps and 2
    rounds of variational refinement it takes a third of medium's time.
    """

    batch = 1

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._dis.setFinestScale(1)
        self._dis.setPatchStride(5)
        self._dis.setGradientDescentIterations(8)
        self._dis.setVariationalRefinementIterations(2)

    def __call__(self, first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
        """See ``Flow``."""
        return [self._dis.calc(a, b, None) for a, b in zip(first, second, strict=True)]


class FarnebackFlow:
    """Polynomial expansion (Farnebäck, SCIA 2003), OpenCV's."""

    batch = 1

    def __call__(self, first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
        """See ``Flow``."""
        return [
            cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 4, 15, 3, 5, 1.2, 0)
            for a, b in zip(first, second, strict=True)
        ]


class TVL1Flow:
    """TV-L1, the paper's; ours, on a GPU where there is one."""

    def __init__(self) -> None:
        import torch

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.batch = 32 if self._device == "cuda" else 1

    def __call__(self, first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
        """See ``Flow``."""
        import torch

        from mofo.motion.tvl1 import tvl1_flow

        first_BHW, second_BHW = (
            torch.from_numpy(np.stack(frames)).to(self._device) for frames in (first, second)
        )
        flow_B2HW = tvl1_flow(first_BHW, second_BHW)
        flow_BHW2 = flow_B2HW.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return list(flow_BHW2)


def flow_backend(name: str) -> Flow:
    """The backend of that name.

    Raises:
        SettingsError: no such backend works on pictures.
    """
    if name == "dis":
        return DisFlow()
    if name == "farneback":
        return FarnebackFlow()
    if name == "tvl1":
        return TVL1Flow()
    raise SettingsError(f"flow {name!r} cannot be computed from pictures")


def with_flow(
    frames: Iterable[tuple[np.ndarray, bool]], flow: Flow
) -> Iterator[tuple[np.ndarray, bool, np.ndarray | None]]:
    """Adds to each frame the flow that leads to it.

    Args:
        frames: uint8 ``(H, W)`` and whether the frame begins a shot.
        flow: the backend.

    Yields:
        The frame, whether it begins a shot, and the flow from the frame before, float32
        ``(H, W, 2)``; None at the beginning of a shot.
    """
    waiting: list[tuple[np.ndarray, np.ndarray | None, bool]] = []
    before: np.ndarray | None = None
    for grey_HW, begins in frames:
        waiting.append((grey_HW, None if begins else before, begins))
        before = grey_HW
        if len(waiting) >= flow.batch:
            yield from _solved(waiting, flow)
            waiting = []
    yield from _solved(waiting, flow)


def _solved(
    waiting: list[tuple[np.ndarray, np.ndarray | None, bool]], flow: Flow
) -> Iterator[tuple[np.ndarray, bool, np.ndarray | None]]:
    pairs = [(before, now) for now, before, _ in waiting if before is not None]
    solved = iter(flow([a for a, _ in pairs], [b for _, b in pairs]) if pairs else [])
    for now_HW, before_HW, begins in waiting:
        yield now_HW, begins, None if before_HW is None else next(solved)
