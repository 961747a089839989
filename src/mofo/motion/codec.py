"""Flow for free: the motion vectors that H.264 and MPEG-4 files carry, as a coarse field.

Vectors serve compression, not truth: they are noisy where there is little texture. They come with
decoding at almost no cost, and the pixels themselves are not needed.
"""

from __future__ import annotations

import cv2
import numpy as np

# FFmpeg's names of codecs whose decoders export vectors.
_EXPORTING = ("h264", "mpeg4", "msmpeg4", "mpeg1video", "mpeg2video", "h263", "wmv", "flv1")


def has_vectors(codec: str) -> bool:
    """Whether FFmpeg can export motion vectors of this codec."""
    return codec.startswith(_EXPORTING)


class VectorField:
    """Turns the vectors of each frame into a field on a grid.

    Args:
        width, height: of the coded frame in pixels.
        scale: coded pixels are multiplied by this to give pixels of the analysis.

    Attributes:
        shape_hw: rows and columns of the grid.
        cell: side of a cell in pixels of the analysis.
    """

    def __init__(self, width: int, height: int, scale: float) -> None:
        # Small partitions are worth keeping in small frames only.
        self._side = 8 if min(width, height) <= 400 else 16
        self.shape_hw = (-(-height // self._side), -(-width // self._side))
        self.cell = self._side * scale
        self._scale = scale
        self._since_anchor = 0

    def step(
        self, vectors: np.ndarray | None, kind: str
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Field of one frame.

        Args:
            vectors: as ``video.reader.Frame.vectors``.
            kind: "I", "P", "B" or "?".

        Returns:
            Flow float32 ``(h, w, 2)`` from the frame before to this one in pixels of the analysis,
            and confidence ``(h, w)`` in 0..1; None for a frame without vectors.
        """
        # FFmpeg does not say which frame a vector refers to. The frame before the last anchor (I
        # or P) is the usual one; the vectors are divided by that distance.
        distance = self._since_anchor + 1
        self._since_anchor = self._since_anchor + 1 if kind == "B" else 0
        if vectors is None or len(vectors) == 0:
            return None
        past = vectors[vectors["source"] < 0]
        rows, columns = self.shape_hw
        factor = -self._scale / distance
        u = past["motion_x"] * (factor / np.maximum(past["motion_scale"], 1))
        v = past["motion_y"] * (factor / np.maximum(past["motion_scale"], 1))
        left = past["dst_x"].astype(np.int32) - (past["w"] >> 1)
        top = past["dst_y"].astype(np.int32) - (past["h"] >> 1)
        places, who = [], []
        for dy in range(0, 16, self._side):
            for dx in range(0, 16, self._side):
                inside = np.flatnonzero((past["w"] > dx) & (past["h"] > dy))
                x, y = (left[inside] + dx) // self._side, (top[inside] + dy) // self._side
                # Cropped or over-hanging blocks count at the border.
                np.clip(x, 0, columns - 1, out=x)
                np.clip(y, 0, rows - 1, out=y)
                places.append(y * columns + x)
                who.append(inside)
        place, index = np.concatenate(places), np.concatenate(who)
        size = rows * columns
        count = np.bincount(place, minlength=size)
        filled = np.maximum(count, 1)
        flow_hw2 = np.stack(
            [np.bincount(place, part[index], size) / filled for part in (u, v)], -1
        ).astype(np.float32).reshape(rows, columns, 2)
        if min(rows, columns) > 2:
            flow_hw2 = cv2.medianBlur(flow_hw2, 3)
        confidence_hw = (count > 0).astype(np.float32).reshape(rows, columns)
        return flow_hw2, confidence_hw
