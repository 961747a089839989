"""A video with what was recognised in it: motion area, class and probability in each frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from mofo.evaluation.predict import ClassScore, Prediction
from mofo.report.figures.layout import PAPER, QUIET, beside, make_folder, stacked, text_block
from mofo.report.figures.marks import draw_area
from mofo.types import MotionArea, VideoError
from mofo.video.reader import VideoInfo, VideoReader
from mofo.video.writer import VideoWriter

_BAR, _BAR_PAPER = (76, 143, 214), (236, 238, 241)
_PAD, _ROW, _BAR_HEIGHT, _PERCENT, _CLOCK = 10, 26, 14, 74, 160  # pixels
_MIN_WIDTH, _MIN_HEIGHT, _MAX_HEIGHT, _MAX_ASPECT = 400, 240, 360, 2.4
_SHOWN = 3  # classes of each head


def write_annotated(
    path: str | Path,
    predictions: Sequence[Prediction],
    mp4: str | Path,
    *,
    area: MotionArea | None = None,
) -> None:
    """Writes the video with its motion area drawn in, and the likeliest classes below.

    Frames are read and written one by one. Where windows overlap, a frame shows the one whose
    middle is nearest.

    Args:
        predictions: of it: one for the whole, or one for each window.
        mp4: target; its folder is made.
        area: of all frames; None: none is drawn.
        height: frames are scaled down to this height, pixels.
    """
    if not predictions:
        raise VideoError(path, "nothing was recognised in it that could be drawn")
    make_folder(mp4)
    with VideoReader(path, colour="rgb") as reader:
        size, duration = _fit(reader.info), reader.info.duration or 0.0
    ends = [duration if each.end is None else each.end for each in predictions]
    middle_P = np.array(
        [((each.start or 0) + end) / 2 for each, end in zip(predictions, ends, strict=True)]
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
                writer.write(_composed(picture_HW3, shown, clock), seconds)


def _fit(info: VideoInfo) -> tuple[int, int]:
    """Even size: small, but large enough to be looked at."""
    scale = min(_MAX_HEIGHT / info.height, _MAX_ASPECT * _MAX_HEIGHT / info.width)
    scale = min(scale, max(1.0, _MIN_HEIGHT / info.height))
    width, high = (max(32, 2 * round(side * scale / 2)) for side in (info.width, info.height))
    return width, high


def _composed(picture_HW3: np.ndarray, prediction: Prediction, clock: str) -> np.ndarray:
    """The picture above the classes and the time."""
    width = max(_MIN_WIDTH, picture_HW3.shape[1])
    left = (width - picture_HW3.shape[1]) // 2
    right = width - picture_HW3.shape[1] - left
    whole = prediction.start is None and prediction.end is None
    when = "whole video" if whole else prediction.when
    panel_HW3 = _panel(prediction_rows(prediction), when, width).copy()
    clock_HW3 = text_block(clock, _CLOCK, size=14, colour=QUIET)
    panel_HW3[_PAD : _PAD + len(clock_HW3), width - _CLOCK :] = clock_HW3
    wide_HW3 = np.pad(picture_HW3, ((0, 0), (left, right), (0, 0)))
    return stacked([wide_HW3, panel_HW3], 0)


def prediction_rows(prediction: Prediction) -> tuple[tuple[str, ClassScore], ...]:
    """Returns what is written below the picture: heads with their likeliest classes."""
    several = len(prediction.heads) > 1
    return tuple(
        (head if several else "", guess)
        for head, guesses in prediction.heads.items()
        for guess in guesses[: 2 if several else _SHOWN]
    )


@lru_cache(maxsize=32)
def _panel(rows: tuple[tuple[str, ClassScore], ...], when: str, width: int) -> np.ndarray:
    """Names, bars and percentages; the same for all frames of a window."""
    inner = width - 2 * _PAD
    name_width = inner // 2
    bar_width = inner - name_width - _PERCENT - _PAD
    lines = [text_block(when, inner - _CLOCK, size=14, colour=QUIET)]
    for k, (head, guess) in enumerate(rows):
        name = f"{head}: {guess.name}" if head else guess.name
        name_HW3 = text_block(name, name_width, bold=not k, height=_ROW)
        bar_HW3 = np.full((len(name_HW3), bar_width, 3), PAPER, np.uint8)
        top = (len(name_HW3) - _BAR_HEIGHT) // 2
        bar_HW3[top : top + _BAR_HEIGHT] = _BAR_PAPER
        bar_HW3[top : top + _BAR_HEIGHT, : max(1, round(bar_width * guess.probability))] = _BAR
        percent = f"{100 * guess.probability:.1f} %"
        percent_HW3 = text_block(percent, _PERCENT, height=len(name_HW3))
        lines.append(beside([beside([name_HW3, bar_HW3], 0), percent_HW3], _PAD))
    body_HW3 = stacked(lines, 0)
    below = _PAD + len(body_HW3) % 2
    right = width - _PAD - body_HW3.shape[1]
    panel_HW3 = np.pad(body_HW3, ((_PAD, below), (_PAD, right), (0, 0)), constant_values=255)
    panel_HW3.setflags(write=False)  # the cache hands out the same array again
    return panel_HW3
