"""How far optical flow can be trusted at a place: only where there is texture in two directions."""

from __future__ import annotations

import cv2
import numpy as np

# Smaller eigenvalue of the structure tensor, in squared grey levels a pixel, that gives 1/2.
_HALF = 1.0


def flow_confidence(half_HW: np.ndarray, shape_hw: tuple[int, int]) -> np.ndarray:
    """Confidence in flow from the smaller eigenvalue of the structure tensor (Shi and Tomasi).

    Args:
        half_HW: uint8 grey frame (at half the analysis size: its noise is averaged away).
        shape_hw: rows and columns wanted.

    Returns:
        float32 ``(h, w)`` in 0..1.
    """
    x_HW = cv2.Sobel(half_HW, cv2.CV_32F, 1, 0, scale=1 / 8)
    y_HW = cv2.Sobel(half_HW, cv2.CV_32F, 0, 1, scale=1 / 8)
    xx, yy, xy = (
        cv2.blur(cv2.resize(product, shape_hw[::-1], interpolation=cv2.INTER_AREA), (3, 3))
        for product in (x_HW * x_HW, y_HW * y_HW, x_HW * y_HW)
    )
    mean, half_gap = (xx + yy) * 0.5, (xx - yy) * 0.5
    smaller_hw = np.maximum(mean - np.sqrt(half_gap * half_gap + xy * xy), 0)
    return smaller_hw / (smaller_hw + np.float32(_HALF))
