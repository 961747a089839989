"""What cells say, gathered along the flow: a moment's evidence lasts as long as its thing does."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

_ALIKE = 12.0  # grey levels between the pictures of two cells that may be one thing (sigma)


class FlowPaths:
    """The ways of cells through the frames of one shot.

    Args:
        flow_Thw2: float32, flow that leads to each frame, cells a frame. The first entry is not
            looked at.
        picture_Thw3: float32, colours of the cells. A way that leads to another colour is lost.
    """

    def __init__(self, flow_Thw2: np.ndarray, picture_Thw3: np.ndarray) -> None:
        rows, columns = flow_Thw2.shape[1:3]
        self._place_hw2 = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(
            np.float32
        )
        self._ahead: list[np.ndarray] = []  # where the cells of frame t are found in t + 1
        self._back: list[np.ndarray] = []  # where those of t + 1 are found in t
        for flow_hw2 in flow_Thw2[1:]:
            flow_hw2 = cv2.medianBlur(flow_hw2, 3) if min(rows, columns) > 2 else flow_hw2
            self._ahead.append(self._place_hw2 + flow_hw2)
            self._back.append(self._place_hw2 - self._before(flow_hw2))
        steps = range(len(self._ahead))
        self._ahead_like = self._alike(
            picture_Thw3[:-1], [_at(picture_Thw3[t + 1], self._ahead[t]) for t in steps]
        )
        self._back_like = self._alike(
            picture_Thw3[1:], [_at(picture_Thw3[t], self._back[t]) for t in steps]
        )

    def mean(self, values_Thw: np.ndarray, decay: float) -> np.ndarray:
        """Mean of what the cells say at all frames, along their ways.

        Args:
            values_Thw: float32.
            decay: what a frame's say is worth one frame later and earlier, 0 to 1.
        """
        values_Thw2 = np.stack([values_Thw, np.ones_like(values_Thw)], -1)  # and their weight
        total_Thw2 = values_Thw2.copy()
        frames = len(values_Thw)
        for steps, ways, alike, onto in (
            (range(frames - 1), self._back, self._back_like, 1),
            (range(frames - 2, -1, -1), self._ahead, self._ahead_like, 0),
        ):
            carried_hw2 = np.zeros_like(values_Thw2[0])
            for step in steps:
                carried_hw2 += values_Thw2[step + 1 - onto]
                moved_hw2 = cv2.remap(carried_hw2, ways[step], None, cv2.INTER_LINEAR)
                carried_hw2 = moved_hw2 * (np.float32(decay) * alike[step])
                total_Thw2[step + onto] += carried_hw2
        return total_Thw2[..., 0] / total_Thw2[..., 1]

    def _before(self, flow_hw2: np.ndarray) -> np.ndarray:
        """The flow at the places where cells come *from*, by fixed point."""
        shift_hw2 = flow_hw2
        for _ in range(2):
            shift_hw2 = _at(flow_hw2, self._place_hw2 - shift_hw2)
        return shift_hw2

    @staticmethod
    def _alike(picture_Thw3: np.ndarray, seen: Iterable[np.ndarray]) -> np.ndarray:
        """0 to 1, how alike pictures and what is found at the end of the way are, (T, h, w, 1)."""
        gap_Thw3 = picture_Thw3 - np.array(list(seen), np.float32).reshape(picture_Thw3.shape)
        gap_Thw = np.einsum("thwc,thwc->thw", gap_Thw3, gap_Thw3)
        return np.exp(gap_Thw * np.float32(-0.5 / _ALIKE**2))[..., None]


def _at(values_hwc: np.ndarray, place_hw2: np.ndarray) -> np.ndarray:
    return cv2.remap(values_hwc, place_hw2, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
