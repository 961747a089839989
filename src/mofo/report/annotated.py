"""A video with what was recognised in it: motion area, class and probability in each frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from mofo.evaluation.predict import Guess, Prediction
from mofo.report.lettering import INK, PAPER, QUIET, text_block
from mofo.report.overlays import draw_area
from mofo.report.sheet import make_folder
from mofo.types import MotionArea, VideoError
from mofo.video.reader import VideoInfo, VideoReader
from mofo.video.writer import VideoWriter

_BAR, _BAR_PAPER = (76, 143, 214), (236, 238, 241)
_PAD, _ROW, _SIZE, _CLOCK = 10, 26, 16, 160  # pixels: margin, row of a class, letters, time
_LEAST_WIDTH, _LEAST_HEIGHT, _WIDEST = 400, 240, 2.4
_SHOWN = 3  # classes of each head


def write_annotated(
    path: str | Path,
    predictions: Sequence[Prediction],
    mp4: str | Path,
    *,
    area: MotionArea | None = None,
    height: int = 360,
) -> None:
    """Writes the video with its motion area drawn in, and the likeliest classes below.

    Frames are read and written one by one. Where windows overlap, a frame shows the one whose
    middle is nearest.

    Args:
        path: the video.
        predictions: of it: one for the whole, or one for each window.
        mp4: target; its folder is made.
        area: of all frames; None: none is drawn.
        height: frames are scaled down to this height, pixels.

    Raises:
        VideoError: the video cannot be read or the target not written.
    """
    if not predictions:
        raise VideoError(path, "nothing was recognised in it that could be drawn")
    make_folder(mp4)
    with VideoReader(path, colour="rgb") as reader:
        size, duration = _fit(reader.info, height), reader.info.duration or 0.0
    middle_P = np.array(
        [((one.start or 0) + (duration if one.end is None else one.end)) / 2 for one in predictions]
    )
    with VideoReader(path, colour="rgb", size=size) as reader:
        fps = float(np.clip(reader.info.fps or 25.0, 1, 120))
        with VideoWriter(mp4, fps=fps) as writer:
            first = None
            for t, frame in enumerate(reader):
                assert frame.image is not None
                first = frame.time if first is None else first
                seconds = frame.time - first
                shown = predictions[int(np.abs(middle_P - seconds).argmin())]
                picture_HW3, clock = frame.image, f"{seconds:.1f} s"
                if area is not None and t < len(area):
                    picture_HW3 = draw_area(picture_HW3, area, t)
                    clock += "" if area.valid_T[t] else " · no motion"
                writer.write(_composed(picture_HW3, shown, clock))


def _fit(info: VideoInfo, height: int) -> tuple[int, int]:
    """Even size: not above the height, but large enough to be looked at."""
    scale = min(height / info.height, _WIDEST * height / info.width)
    scale = min(scale, max(1.0, _LEAST_HEIGHT / info.height))
    width, high = (max(32, 2 * round(side * scale / 2)) for side in (info.width, info.height))
    return width, high


def _composed(picture_HW3: np.ndarray, prediction: Prediction, clock: str) -> np.ndarray:
    """The picture above the classes and the time."""
    width = max(_LEAST_WIDTH, picture_HW3.shape[1])
    left = (width - picture_HW3.shape[1]) // 2
    right = width - picture_HW3.shape[1] - left
    wide_HW3 = np.pad(picture_HW3, ((0, 0), (left, right), (0, 0)))
    panel_HW3 = _panel(prediction_rows(prediction), _when(prediction), width).copy()
    clock_HW3 = text_block(clock, _CLOCK, size=14, colour=QUIET)
    panel_HW3[_PAD : _PAD + len(clock_HW3), width - _CLOCK :] = clock_HW3
    return np.vstack([wide_HW3, panel_HW3])


def prediction_rows(prediction: Prediction) -> tuple[tuple[str, Guess], ...]:
    """What is written below the picture: heads with their likeliest classes."""
    several = len(prediction.heads) > 1
    return tuple(
        (head if several else "", guess)
        for head, guesses in prediction.heads.items()
        for guess in guesses[: 2 if several else _SHOWN]
    )


def _when(prediction: Prediction) -> str:
    whole = prediction.start is None and prediction.end is None
    return "whole video" if whole else prediction.when


@lru_cache(maxsize=32)
def _panel(rows: tuple[tuple[str, Guess], ...], when: str, width: int) -> np.ndarray:
    """Names, bars and percentages; the same for all frames of a window."""
    head_HW3 = text_block(when, width - 2 * _PAD - _CLOCK, size=14, colour=QUIET)
    top = _PAD + len(head_HW3) + 4
    letters, number = int(0.5 * (width - 2 * _PAD)), 74
    bar = width - 2 * _PAD - letters - number - 10
    blocks = [
        text_block(
            f"{head}: {guess.name}" if head else guess.name, letters,
            size=_SIZE, bold=not k, colour=INK, height=_ROW,
        )
        for k, (head, guess) in enumerate(rows)
    ]  # fmt: skip
    high = top + sum(len(block) for block in blocks) + _PAD
    panel_HW3 = np.full((high + high % 2, width, 3), PAPER, np.uint8)
    panel_HW3[_PAD : _PAD + len(head_HW3), _PAD : _PAD + head_HW3.shape[1]] = head_HW3
    for block_HW3, (_, guess) in zip(blocks, rows, strict=True):
        end = top + len(block_HW3)
        panel_HW3[top:end, _PAD : _PAD + letters] = block_HW3
        middle, begin = (top + end) // 2, _PAD + letters
        panel_HW3[middle - 7 : middle + 7, begin : begin + bar] = _BAR_PAPER
        full = begin + max(1, round(bar * guess.probability))
        panel_HW3[middle - 7 : middle + 7, begin:full] = _BAR
        text_HW3 = text_block(
            f"{100 * guess.probability:.1f} %", number, size=_SIZE, height=len(block_HW3)
        )
        panel_HW3[top:end, begin + bar + 10 : begin + bar + 10 + number] = text_HW3
        top = end
    panel_HW3.setflags(write=False)  # shared by the cache
    return panel_HW3
