"""What a score is made of: a few numbers of each frame that the detection looks at."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from mofo.motion.presets import Look, Watch

_BLACK, _WHITE = 16, 235  # grey levels of video
DARK = _BLACK + 12  # brightest grey level that counts as black
_BRIGHT_SHARE = 0.02  # of the pixels of a row that may be brighter in a bar (logos, noise)
_SAME, _SAME_ANYWHERE = 0.15, 12.0  # mean and largest change of a picture that stands, grey levels
_THUMB = (32, 24)  # of a picture that is compared with the next one
_MOVES, _RESTS = 0.5, 0.3  # share of a cell that moves from which on it does, up to which it rests
_PULL = 0.5  # cells that stand still, beside those that move: a trace of motion is not much motion
_UNIT = 240  # short side in whose pixels motion is told


class LookNumbers(NamedTuple):
    """Numbers of the N frames of a video that were looked at.

    Attributes:
        position_N: of the frame in the video.
        area_N: share of the frame that moves by itself, 0 to 1.
        speed_N: of what moves, against the camera, short sides a frame; NaN where nothing does.
        pace_N: mean motion of what moves, against the camera, pixels a frame at a short side of
            240; near 0 where hardly anything does.
        rest_N: the same of the rest, which the camera's model leaves over there: parallax, ripples.
        camera_N4: motion of the camera since the last look, each as the mean length of the flow
            that it makes over the frame, short sides; positive: right, down, closer, clockwise.
        light_N: mean brightness, 0 (black) to 1.
        still_N: bool, the picture is that of the last look.
        row_NH, column_NW: uint8, grey level of each row and column, but for a few bright pixels.
    """

    position_N: np.ndarray
    area_N: np.ndarray
    speed_N: np.ndarray
    pace_N: np.ndarray
    rest_N: np.ndarray
    camera_N4: np.ndarray
    light_N: np.ndarray
    still_N: np.ndarray
    row_NH: np.ndarray
    column_NW: np.ndarray


class LookRecorder(Watch):
    """Keeps some hundred bytes of each look: a video may have hours."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[object, ...]] = []
        self._last_hw: np.ndarray | None = None

    def look(self, look: Look) -> None:
        """See ``Watch.look``."""
        motion_yx, field_yx = look.motion_yx * (_UNIT / min(look.size)), look.field_yx
        moves_yx, rests_yx = field_yx > _MOVES, field_yx < _RESTS
        speed = np.percentile(motion_yx[moves_yx], 75) / _UNIT if moves_yx.any() else np.nan
        self._rows.append(
            (
                look.position,
                field_yx.mean(),
                speed,
                (motion_yx * field_yx).sum() / (field_yx.sum() + _PULL),
                np.percentile(motion_yx[rests_yx], 75) if rests_yx.any() else motion_yx.max(),
                _camera(look.homography_33, look.size),
                np.clip((look.grey_HW.mean() - _BLACK) / (_WHITE - _BLACK), 0, 1),
                self._is_still(look.grey_HW),
                _brightness(look.grey_HW),
                _brightness(look.grey_HW.T),
            )
        )

    def numbers(self) -> LookNumbers:
        """All looks so far, at least one."""
        return LookNumbers(*map(np.array, zip(*self._rows, strict=True)))

    def _is_still(self, grey_HW: np.ndarray) -> bool:
        thumb_hw = cv2.resize(grey_HW, _THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)
        last_hw, self._last_hw = self._last_hw, thumb_hw
        if last_hw is None:
            return False
        change_hw = np.abs(thumb_hw - last_hw)
        return bool(change_hw.mean() < _SAME and change_hw.max() < _SAME_ANYWHERE)


def _brightness(grey_HW: np.ndarray) -> np.ndarray:
    """Grey level of each row, but for its few brightest pixels."""
    rank = int((1 - _BRIGHT_SHARE) * (grey_HW.shape[1] - 1))
    return np.partition(grey_HW, rank, axis=1)[:, rank]


def _camera(homography_33: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Motion of a camera right, down, closer, clockwise; see ``LookNumbers.camera_N4``."""
    middle_2 = np.array(size) / 2
    x, y, w = homography_33 @ [*middle_2, 1]
    moved_2 = np.array([x, y]) / w
    linear_22 = (homography_33[:2, :2] - np.outer(moved_2, homography_33[2, :2])) / w
    growth = np.log(max(abs(np.linalg.det(linear_22)), 1e-6)) / 2
    turn = np.arctan2(linear_22[1, 0] - linear_22[0, 1], np.trace(linear_22))
    right, down = (middle_2 - moved_2) / min(size)
    arm = 0.27 * np.hypot(*size) / min(size)  # mean distance of a pixel from the middle
    return np.array([right, down, growth * arm, -turn * arm])
