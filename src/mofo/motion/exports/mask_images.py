"""Masks of movers: the motion field inside their boxes, as pictures or runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mofo.motion.exports import EXPORTS, VideoExport
from mofo.motion.identities import Mover, movers_of
from mofo.types import MofoError, MotionArea

_HALF = 127.5  # of 255: more than half of a pixel's cell moves


@EXPORTS.register("masks")
class MaskImages(VideoExport):
    """A grey PNG a frame; a pixel's value is the number of the mover, 0 where nothing moves."""

    line = "folders of PNG: each pixel the number of its mover, from the motion field"

    def write_video(
        self, key: str, path: str, area: MotionArea, stem: Path, *, clip_union: bool
    ) -> None:
        """Writes VIDEO/000000.png ..., of 16 bits where there are more than 255 movers."""
        stem.mkdir(exist_ok=True)
        rows: dict[int, list[Mover]] = {}
        for mover in movers_of(area, clip_union=clip_union):
            rows.setdefault(mover.row, []).append(mover)
        last = max((mover.number for several in rows.values() for mover in several), default=0)
        for t, frame in enumerate(area.frame_T.tolist()):
            label_HW = np.zeros((area.height, area.width), np.uint8 if last < 256 else np.uint16)
            for mover in rows.get(t, ()):
                label_HW[mover_mask(area, mover)] = mover.number
            file = stem / f"{frame:06d}.png"
            if not cv2.imwrite(str(file), label_HW):
                raise MofoError(f"{file}: cannot be written")


def mover_mask(area: MotionArea, mover: Mover) -> np.ndarray:
    """Bool ``(H, W)``: where there is motion inside the mover's box; without a field all of it."""
    x1, y1, x2, y2 = mover.box_4
    columns, rows = (
        slice(int(np.floor(low)), int(np.ceil(high))) for low, high in ((x1, x2), (y1, y2))
    )
    mask_HW = np.zeros((area.height, area.width), bool)
    if area.field_Tyx is None:
        mask_HW[rows, columns] = True
        return mask_HW
    field_HW = cv2.resize(
        area.field_Tyx[mover.row].astype(np.float32),
        (area.width, area.height),
        interpolation=cv2.INTER_LINEAR,
    )
    mask_HW[rows, columns] = field_HW[rows, columns] > _HALF
    return mask_HW


def column_runs(mask_HW: np.ndarray) -> list[int]:
    """COCO's run lengths: column by column, zeros first."""
    flat = mask_HW.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], changes, [len(flat)]])).tolist()
    return [0, *counts] if len(flat) and flat[0] else counts
