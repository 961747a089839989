"""Clips and pictures as data inside the page, never more of them than it may hold."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from mofo.system.files import temporary_folder
from mofo.video.writer import VideoWriter

MAX_BYTES = 9_000_000  # of all media; as text in the page they take a third more
_CRF, _POSTER_QUALITY, _PICTURE_QUALITY = 26, 72, 82


@dataclass(frozen=True)
class Clip:
    """A clip, or a picture where there is no room for more.

    Attributes:
        poster: a frame as data URI.
        video: mp4 as data URI; empty: only the poster.
        width, height: pixels.
    """

    poster: str
    video: str
    width: int
    height: int
    seconds: float = 0.0


class ClipMaker:
    """Makes clips until there is no more room.

    ``room``: bytes for all of them. ``left_out``: clips that have become pictures, or were dropped,
    for want of room.
    """

    def __init__(self, room: int = MAX_BYTES) -> None:
        self._room = room
        self.left_out = 0

    def clip(self, frames: Iterable[np.ndarray], fps: float, poster_at: float = 0.5) -> Clip | None:
        """Makes a clip of frames.

        Args:
            frames: uint8 RGB of one size, at least one; taken one by one.
            fps: frames a second, 1 to 120.
            poster_at: which frame stands for the clip, 0 to 1.

        Returns:
            The clip; None if there is no room even for a picture, or there is no frame.
        """
        kept: list[np.ndarray] = []
        with temporary_folder() as folder:
            file = folder / "clip.mp4"
            with VideoWriter(file, fps=fps, crf=_CRF) as writer:
                for frame_HW3 in frames:
                    writer.write(_even(frame_HW3))
                    kept.append(frame_HW3)
                if not kept:
                    writer.abort()
                    return None
            data = file.read_bytes()
        poster_HW3 = kept[min(int(poster_at * len(kept)), len(kept) - 1)]
        poster = self.picture(poster_HW3, quality=_POSTER_QUALITY)
        if poster is None or not self._takes(data):
            return poster
        video = _uri("video/mp4", data)
        return Clip(poster.poster, video, poster.width, poster.height, len(kept) / fps)

    def picture(self, picture_HW3: np.ndarray, quality: int = _PICTURE_QUALITY) -> Clip | None:
        """Makes a picture (uint8 RGB); None if there is no room."""
        height, width = picture_HW3.shape[:2]
        bgr_HW3 = cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2BGR)
        done, code = cv2.imencode(".webp", bgr_HW3, [cv2.IMWRITE_WEBP_QUALITY, quality])
        assert done
        data = code.tobytes()
        return Clip(_uri("image/webp", data), "", width, height) if self._takes(data) else None

    def _takes(self, data: bytes) -> bool:
        if len(data) > self._room:
            self.left_out += 1
            return False
        self._room -= len(data)
        return True


def _even(frame_HW3: np.ndarray) -> np.ndarray:
    """Videos have even sides."""
    height, width = frame_HW3.shape[:2]
    return frame_HW3[: height - height % 2, : width - width % 2]


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
