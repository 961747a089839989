"""Preset ``default``: the motion field, and the movers in it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from mofo.motion.camera import CameraFitter
from mofo.motion.evidence import shot_evidence
from mofo.motion.field import motion_field
from mofo.motion.flow.backend import FlowFrame, FlowStream
from mofo.motion.movers import frame_movers
from mofo.motion.presets import PRESETS, FrameMotion, Preset, Watch
from mofo.motion.texture import flow_confidence

_BLOCK = 256  # frames of a shot that are worked on together
_CONTEXT = 24  # frames before and after them that are looked at, too


@PRESETS.register("default")
class DefaultPreset(Preset):
    """Motion that the camera does not explain, completed along the flow and by colour."""

    line = "ours: motion that the camera does not explain, as a field and as movers in it"
    flow = "dis"

    def find(self, stream: FlowStream, watch: Watch) -> Iterator[FrameMotion]:
        """See ``Preset.find``. Frames come out block by block."""
        shot = _Shot(stream, watch)
        for position, frame in enumerate(stream):
            watch.flow(position, frame.flow_hw2)
            if frame.begins:
                yield from shot.finish()
                shot = _Shot(stream, watch, position)
            yield from shot.step(frame)
        yield from shot.finish()


class _Shot:
    """The frames of one shot on the cells of the field, as far as they are needed.

    Args:
        stream: where they come from.
        watch: is offered the field.
        position: of the shot's first frame in the video.
    """

    def __init__(self, stream: FlowStream, watch: Watch, position: int = 0) -> None:
        self._watch, self._position = watch, position
        width, height = stream.size
        self._size, self._field_yx = stream.size, stream.field_yx
        self._half_size = (max(1, width // 2), max(1, height // 2))
        rows, columns = stream.field_yx
        self._cell_2 = np.array([width / columns, height / rows], np.float32)
        self._fitter = CameraFitter(self._field_yx, tuple(self._cell_2.tolist()))
        # Centres of the field's cells in those of a coarser flow.
        y_yx, x_yx = np.mgrid[0 : self._field_yx[0], 0 : self._field_yx[1]].astype(np.float32)
        to_flow_2 = self._cell_2 / np.float32(stream.cell)
        self._place_yx2 = (np.stack([x_yx, y_yx], -1) + np.float32(0.5)) * to_flow_2
        self._place_yx2 -= np.float32(0.5)
        self._texture_yx: np.ndarray | None = None
        self._flows: list[np.ndarray] = []
        self._confidences: list[np.ndarray] = []
        self._halves: list[np.ndarray] = []
        self._pictures: list[np.ndarray] = []
        self._answered = 0  # of the frames held

    def step(self, frame: FlowFrame) -> Iterator[FrameMotion]:
        """Takes a frame; gives those that are ready."""
        assert frame.grey_HW is not None
        half_HW = frame.grey_HW
        if half_HW.shape[::-1] != self._half_size:
            half_HW = cv2.resize(half_HW, self._half_size, interpolation=cv2.INTER_AREA)
        flow_yx2, confidence_yx = self._cells(frame)
        self._flows.append(flow_yx2)
        self._confidences.append(confidence_yx)
        self._halves.append(half_HW)
        self._pictures.append(self._picture(half_HW, frame.chroma_yx2))
        self._texture_yx = None
        if frame.confidence_hw is None:
            self._texture_yx = flow_confidence(half_HW, self._field_yx)
        if len(self._flows) >= self._answered + _BLOCK + _CONTEXT:
            yield from self._answers(self._answered + _BLOCK)

    def finish(self) -> Iterator[FrameMotion]:
        """Gives the remaining frames; the shot has ended."""
        if self._answered < len(self._flows):
            yield from self._answers(len(self._flows))

    def _cells(self, frame: FlowFrame) -> tuple[np.ndarray, np.ndarray]:
        """Flow and confidence of a frame, by cells of the field."""
        if frame.flow_hw2 is None:
            return np.zeros((*self._field_yx, 2), np.float32), np.zeros(self._field_yx, np.float32)
        if frame.confidence_hw is None:
            size = self._field_yx[::-1]
            flow_yx2 = cv2.resize(frame.flow_hw2, size, interpolation=cv2.INTER_AREA)
            texture_yx = self._texture_yx  # of the frame that the flow comes from
            return flow_yx2, np.ones(self._field_yx, np.float32) if texture_yx is None else (
                texture_yx
            )
        flow_yx2, confidence_yx = (
            cv2.remap(
                values, self._place_yx2, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            for values in (frame.flow_hw2, frame.confidence_hw)
        )
        return flow_yx2, confidence_yx

    def _picture(self, half_HW: np.ndarray, chroma_yx2: np.ndarray | None) -> np.ndarray:
        """Colours of the cells in Lab, whose distances are about what the eye sees; (y, x, 3)."""
        size = self._field_yx[::-1]
        luma_yx = cv2.resize(half_HW, size, interpolation=cv2.INTER_AREA)
        if chroma_yx2 is None:
            chroma_yx2 = np.full((*self._field_yx, 2), 128, np.uint8)
        ycc_yx3 = cv2.merge([luma_yx, chroma_yx2[..., 1], chroma_yx2[..., 0]])
        return cv2.cvtColor(cv2.cvtColor(ycc_yx3, cv2.COLOR_YCrCb2RGB), cv2.COLOR_RGB2LAB)

    def _answers(self, stop: int) -> Iterator[FrameMotion]:
        """Motion of the frames held up to ``stop`` (excluded); drops what is not needed again."""
        first, last = max(self._answered - _CONTEXT, 0), min(stop + _CONTEXT, len(self._flows))
        flow_Tyx2 = np.stack(self._flows[first:last])
        halves = self._halves[first:last]
        evidence = shot_evidence(
            flow_Tyx2, np.stack(self._confidences[first:last]), halves, self._fitter
        )
        picture_Tyx3 = np.stack(self._pictures[first:last]).astype(np.float32)
        field_Tyx = motion_field(evidence, flow_Tyx2 / self._cell_2, picture_Tyx3)
        for t in range(self._answered - first, stop - first):
            self._watch.map(self._position + first + t, field_Tyx[t])
            movers_K4 = frame_movers(field_Tyx[t], evidence.changed[t], self._size)
            yield FrameMotion(movers_K4, field_Tyx[t])
        drop = max(stop - _CONTEXT, 0)
        for held in (self._flows, self._confidences, self._halves, self._pictures):
            del held[:drop]
        self._answered = stop - drop
        self._position += drop
