"""Dense inverse search, OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np

from mofo.motion.flow.backend import FLOWS, PictureFlow


@FLOWS.register("dis")
class DisFlow(PictureFlow):
    """Dense inverse search (Kroeger et al., ECCV 2016), OpenCV's.

    Between OpenCV's presets "fast" and "medium": the finest scale is 1/2 as in medium, since the
    outline of small movers depends on it, but with a patch every 5 pixels, 8 descent steps and 2
    rounds of variational refinement it takes a third of medium's time.
    """

    line = "dense inverse search: accurate and fast"
    speed = 2.4

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._dis.setFinestScale(1)
        self._dis.setPatchStride(5)
        self._dis.setGradientDescentIterations(8)
        self._dis.setVariationalRefinementIterations(2)

    def between(self, first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
        """See ``PictureFlow.between``."""
        return [self._dis.calc(a, b, None) for a, b in zip(first, second, strict=True)]
