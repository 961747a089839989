"""What is not explained by the camera: each frame against its neighbours, the camera taken out.

A pixel that belongs to a mover looks different at the same place of the background some frames
earlier *and* some frames later. Background that a mover uncovers or covers differs on one side
only, so the smaller of the two differences keeps movers and drops their trails. A difference that
half a pixel of misalignment could make is none: values are compared with the range of a pixel's
neighbourhood (after Birchfield and Tomasi, PAMI 1998).
"""

from __future__ import annotations

import cv2
import numpy as np

_CROSS = np.ones((3, 3), np.uint8)


def two_sided_change(
    now_HW: np.ndarray,
    others_HW: list[np.ndarray],
    to_others_33: list[np.ndarray],
    back_33: list[np.ndarray],
) -> np.ndarray:
    """Smallest grey-level difference to the camera-aligned other frames.

    Args:
        now_HW: uint8 grey frame.
        others_HW: one or more frames, earlier and later.
        to_others_33: for each, the homography from ``now`` to it, in pixels of these frames.
        back_33: the inverses of these.

    Returns:
        uint8 ``(H, W)``; 0 also where no other frame shows the place.
    """
    height, width = now_HW.shape
    # Half-way to the neighbourhood's extremes: what half a pixel of misalignment can explain.
    high_HW = cv2.addWeighted(cv2.dilate(now_HW, _CROSS), 0.5, now_HW, 0.5, 0)
    low_HW = cv2.addWeighted(cv2.erode(now_HW, _CROSS), 0.5, now_HW, 0.5, 0)
    seen_HW = np.zeros_like(now_HW)
    least_HW = np.full_like(now_HW, 255)
    for other_HW, matrix_33, inverse_33 in zip(others_HW, to_others_33, back_33, strict=True):
        # The border is repeated: blended with black it would be a change all around the frame as
        # soon as the camera moves by a fraction of a pixel.
        warped_HW = cv2.warpPerspective(
            other_HW,
            matrix_33,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        inside_HW = _frame_seen(inverse_33, width, height)
        change_HW = cv2.max(cv2.subtract(warped_HW, high_HW), cv2.subtract(low_HW, warped_HW))
        change_HW = cv2.bitwise_or(change_HW, cv2.bitwise_not(inside_HW))
        least_HW = cv2.min(least_HW, change_HW)
        seen_HW = cv2.bitwise_or(seen_HW, inside_HW)
    return cv2.bitwise_and(least_HW, seen_HW)


def at_scale(homography_T33: np.ndarray, scale: float) -> np.ndarray:
    """The same homographies in larger pixels.

    Args:
        homography_T33: in full-resolution pixels.
        scale: full-resolution pixels a pixel of the smaller frames.
    """
    offset = (scale - 1) / 2
    up_33 = np.array([[scale, 0, offset], [0, scale, offset], [0, 0, 1]])
    return np.linalg.inv(up_33) @ homography_T33 @ up_33


def _frame_seen(inverse_33: np.ndarray, width: int, height: int) -> np.ndarray:
    """255 where a homography leads into a frame of this size, else 0; given is its inverse."""
    right, bottom = width - 1, height - 1
    corners_34 = np.array([[0, right, right, 0], [0, 0, bottom, bottom], [1, 1, 1, 1]], float)
    back_34 = inverse_33 @ corners_34
    corners_42 = (back_34[:2] / back_34[2]).T
    seen_HW = np.zeros((height, width), np.uint8)
    # Far away corners (a wild homography) would overflow OpenCV's fixed point.
    corners_42 = np.clip(corners_42, -4 * width - 4 * height, 4 * width + 4 * height)
    cv2.fillConvexPoly(seen_HW, np.round(corners_42 * 16).astype(np.int32), 255, shift=4)
    return seen_HW
