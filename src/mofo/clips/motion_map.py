"""The motion field of a clip: how much of each cell of its frames moves, one map a time slot.

The field of a file (``MotionArea.field_Tyx``) is averaged over the frames that a slot spans, those
left out between the clip's frames among them, and over each of the clip's cells, through the same
crop, resize and flip as the frames. Boxes go the same way: what of a cell they cover.
"""

from __future__ import annotations

import numpy as np

from mofo.clips.transforms import Geometry
from mofo.types import TokenGrid

_CELLS = 4  # along a side of a token, where its pixels can be divided so


def cells_of(grid: TokenGrid) -> int:
    """Cells of the map along a side of a token: enough for a token's share after a rotation."""
    return next(cells for cells in (_CELLS, 2, 1) if grid.patch % cells == 0)


def map_shape(grid: TokenGrid) -> tuple[int, int, int]:
    """Slots, rows and columns of a clip's map."""
    cells = cells_of(grid)
    return grid.t, grid.h * cells, grid.w * cells


def field_map(
    field_Fyx: np.ndarray,
    frame_size: tuple[int, int],
    crop: Geometry,
    start_T: np.ndarray,
    grid: TokenGrid,
) -> np.ndarray:
    """The map of a clip from the field of its file.

    Args:
        field_Fyx: uint8, 0 to 255, of all frames from the first to the last one of the clip; cells
            of equal size over the upright frame.
        frame_size: ``(width, height)`` of that frame, pixels.
        crop: where the clip's pixels come from.
        start_T: int64, never falling: places of the clip's frames in ``field_Fyx``, 0 the first.

    Returns:
        uint8 ``(t, h * cells, w * cells)``, see ``map_shape``.
    """
    _, rows, columns = map_shape(grid)
    x1, y1, x2, y2 = crop.crop
    mean_tyx = _slot_means(field_Fyx.astype(np.float32), start_T, grid)
    down_yr = _overlap(y1, y2, rows, frame_size[1], field_Fyx.shape[1])
    across_xc = _overlap(x1, x2, columns, frame_size[0], field_Fyx.shape[2])
    map_tyx = down_yr @ mean_tyx @ across_xc.T
    return _bytes(map_tyx[:, :, ::-1] if crop.flip else map_tyx)


def box_map(
    box_F4: np.ndarray,
    valid_F: np.ndarray,
    crop: Geometry,
    start_T: np.ndarray,
    grid: TokenGrid,
) -> np.ndarray:
    """The map of a clip from boxes: the share of each cell that they cover.

    Args:
        box_F4: float32, pixels of the upright frame, of all frames that the clip spans.
        valid_F: bool; other boxes do not count.
        crop, start_T, grid: as in ``field_map``.

    Returns:
        As ``field_map``.
    """
    _, rows, columns = map_shape(grid)
    if not valid_F.any():
        return np.zeros((grid.t, rows, columns), np.uint8)
    seen_F4, seen_F = crop.boxes(box_F4, valid_F)
    width, height = crop.size
    across_Fx = _cover(seen_F4[:, 0], seen_F4[:, 2], width, columns)
    down_Fy = _cover(seen_F4[:, 1], seen_F4[:, 3], height, rows) * seen_F[:, None]
    map_tyx = np.empty((grid.t, rows, columns), np.float32)
    for slot, frames in enumerate(_slots(start_T, len(seen_F), grid)):
        map_tyx[slot] = down_Fy[frames].T @ across_Fx[frames] / (frames.stop - frames.start)
    return _bytes(255 * map_tyx)


def _slots(start_T: np.ndarray, frames: int, grid: TokenGrid) -> list[slice]:
    """The frames of each time slot, up to the next one; at least one."""
    first_t = start_T[:: grid.tubelet]
    stop_t = [*first_t[1:], frames]
    return [
        slice(int(first), max(int(stop), int(first) + 1))
        for first, stop in zip(first_t, stop_t, strict=True)
    ]


def _slot_means(field_Fyx: np.ndarray, start_T: np.ndarray, grid: TokenGrid) -> np.ndarray:
    slots = _slots(start_T, len(field_Fyx), grid)
    return np.stack([field_Fyx[frames].mean(0) for frames in slots])


def _overlap(start: float, stop: float, parts: int, size: int, cells: int) -> np.ndarray:
    """What each cell of a line contributes to the mean over each part, float32 (parts, cells).

    ``start``, ``stop``: the line that is divided into equal ``parts``.
    ``size``: length of the line that is divided into ``cells``, from 0.
    """
    edge = np.linspace(start, stop, parts + 1) * (cells / size)
    cell = np.arange(cells)
    low, high = edge[:-1, None], edge[1:, None]
    shared = np.minimum(high, cell + 1) - np.maximum(low, cell)
    return (np.maximum(shared, 0) / (high - low)).astype(np.float32)


def _cover(low_F: np.ndarray, high_F: np.ndarray, size: int, parts: int) -> np.ndarray:
    """Share of each of ``parts`` of a line that a stretch covers, float32 (F, parts)."""
    part, low_F1, high_F1 = np.arange(parts), low_F[:, None], high_F[:, None]
    scale = parts / size
    shared = np.minimum(high_F1 * scale, part + 1) - np.maximum(low_F1 * scale, part)
    return np.maximum(shared, 0).astype(np.float32)


def _bytes(map_tyx: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(map_tyx, 0, 255)).astype(np.uint8)
