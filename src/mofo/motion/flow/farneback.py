"""Polynomial expansion, OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np

from mofo.motion.flow.backend import FLOWS, PictureFlow


@FLOWS.register("farneback")
class FarnebackFlow(PictureFlow):
    """Polynomial expansion (Farnebäck, SCIA 2003), OpenCV's."""

    line = "polynomial expansion: smooth, slower"
    speed = 14

    def between(self, first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
        """See ``PictureFlow.between``."""
        return [
            cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 4, 15, 3, 5, 1.2, 0)
            for a, b in zip(first, second, strict=True)
        ]
