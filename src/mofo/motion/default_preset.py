"""Preset ``default``: motion that the camera does not explain, and that lasts."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from mofo.motion.codec_movers import CodecMoverFinder
from mofo.motion.flow.backend import CELL, FlowFrame, FlowStream
from mofo.motion.movers import FrameMovers, MoverFinder, MoverSettings
from mofo.motion.presets import PRESETS, FrameMotion, Preset, Watch
from mofo.motion.texture import flow_confidence
from mofo.motion.tracks import lasting_movers

_AT_ONCE = 128  # frames without pictures that are worked on together


@PRESETS.register("default")
class DefaultPreset(Preset):
    """Movers against a model of the camera; pictures, where there are any, sharpen outlines."""

    line = "ours: motion that the camera does not explain, and that lasts"
    flow = "dis"

    def find(self, stream: FlowStream, watch: Watch) -> Iterator[FrameMotion]:
        """See ``Preset.find``. Frames come out shot by shot: what lasts is known at its end."""
        finder: _Finder | None = None
        for position, frame in enumerate(stream):
            watch.flow(position, frame.flow_hw2)
            if frame.begins and finder is not None:
                yield from _lasting(finder, stream)
                finder = None
            if finder is None:
                kind = _ByVectors if frame.grey_HW is None else _ByPictures
                finder = kind(frame, stream, watch, position)
            finder.step(frame)
        if finder is not None:
            yield from _lasting(finder, stream)


def _lasting(finder: _Finder, stream: FlowStream) -> Iterator[FrameMotion]:
    for boxes_K4 in lasting_movers(finder.finish(), *stream.size):
        yield FrameMotion(boxes_K4)


class _ByPictures:
    """Candidates of one shot, by dense flow and the pictures themselves."""

    def __init__(self, frame: FlowFrame, stream: FlowStream, watch: Watch, position: int) -> None:
        width, height = stream.size
        self._shape_hw = (height // CELL, width // CELL)
        self._half_size = (width // 2, height // 2)
        self._confidence_hw: np.ndarray | None = None
        self._finder = MoverFinder(
            self._shape_hw,
            CELL,
            MoverSettings(),
            lambda number, score_hw: watch.map(position + number, score_hw),
        )
        self._candidates: list[FrameMovers] = []

    def step(self, frame: FlowFrame) -> None:
        """Takes the next frame."""
        assert frame.grey_HW is not None
        half_HW = cv2.resize(frame.grey_HW, self._half_size, interpolation=cv2.INTER_AREA)
        flow_hw2 = None
        if frame.flow_hw2 is not None:
            size = self._shape_hw[::-1]
            flow_hw2 = cv2.resize(frame.flow_hw2, size, interpolation=cv2.INTER_AREA)
        self._candidates.extend(self._finder.step(flow_hw2, self._confidence_hw, half_HW))
        self._confidence_hw = flow_confidence(half_HW, self._shape_hw)

    def finish(self) -> list[FrameMovers]:
        """Candidates of all frames."""
        self._candidates.extend(self._finder.finish())
        return self._candidates


class _ByVectors:
    """Candidates of one shot, by a coarse field alone, many frames at once."""

    def __init__(self, frame: FlowFrame, stream: FlowStream, watch: Watch, position: int) -> None:
        self._finder = CodecMoverFinder(stream.shape_hw, stream.cell)
        self._shape_hw = stream.shape_hw
        self._watch, self._position = watch, position
        self._waiting: list[FlowFrame] = []
        self._candidates: list[FrameMovers] = []

    def step(self, frame: FlowFrame) -> None:
        """Takes the next frame."""
        self._waiting.append(frame)
        if len(self._waiting) >= _AT_ONCE:
            self._work()

    def finish(self) -> list[FrameMovers]:
        """Candidates of all frames."""
        if self._waiting:
            self._work()
        return self._candidates

    def _work(self) -> None:
        count = len(self._waiting)
        flow_Thw2 = np.zeros((count, *self._shape_hw, 2), np.float32)
        confidence_Thw = np.zeros((count, *self._shape_hw), np.float32)
        for t, frame in enumerate(self._waiting):
            if frame.flow_hw2 is not None:
                flow_Thw2[t] = frame.flow_hw2
                confidence_Thw[t] = 1 if frame.confidence_hw is None else frame.confidence_hw
        movers, score_Thw = self._finder.find(flow_Thw2, confidence_Thw)
        for t, score_hw in enumerate(score_Thw):
            self._watch.map(self._position + t, score_hw)
        self._candidates.extend(movers)
        self._position += count
        self._waiting = []


_Finder = _ByPictures | _ByVectors
