"""Preset ``default``: the motion field, and the movers in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import cv2
import numpy as np

from mofo.motion.camera import CameraFitter
from mofo.motion.evidence import flow_confidence, shot_evidence
from mofo.motion.field import motion_field
from mofo.motion.flow.backend import FlowFrame, FlowStream
from mofo.motion.movers import frame_movers
from mofo.motion.presets import PRESETS, FrameMotion, Look, Preset, Watch
from mofo.motion.thin import thin_traces, with_thin

_BLOCK = 256  # frames of a shot that are worked on together, and
_CONTEXT = 24  # before and after them, if there is time
_DOUBTFUL = 15  # tenths of the noise that a pixel may have changed by


@PRESETS.register("default")
class DefaultPreset(Preset):
    """Motion that the camera does not explain, completed along the flow and by colour."""

    line = "ours: motion that the camera does not explain, as a field and as movers in it"
    flow = "dis"

    def find(self, stream: FlowStream, watch: Watch) -> Iterator[FrameMotion]:
        """See ``Preset.find``. Frames come out block by block."""
        context = _CONTEXT if self.delay is None else self.delay // 2
        block = _BLOCK if self.delay is None else self.delay - context
        shot = _Shot(stream, watch, block, context)
        for position, frame in enumerate(stream):
            watch.flow(position, frame.flow_hw2)
            if frame.begins:
                yield from shot.finish()
                shot = _Shot(stream, watch, block, context, position)
            yield from shot.step(frame)
        yield from shot.finish()


class _Shot:
    """The frames of one shot on the cells of the field, as far as they are needed.

    Args:
        stream: where they come from.
        watch: is offered the field.
        block: frames that are worked on together.
        context: frames before and after them that are looked at, too.
        position: of the shot's first frame in the video.
    """

    def __init__(
        self, stream: FlowStream, watch: Watch, block: int, context: int, position: int = 0
    ) -> None:
        self._watch, self._position = watch, position
        self._block, self._context = block, context
        width, height = stream.size
        self._size, self._field_yx, self._every = stream.size, stream.field_yx, stream.every
        self._half_size = (max(1, width // 2), max(1, height // 2))
        rows, columns = stream.field_yx
        self._cell_2 = np.array([width / columns, height / rows], np.float32)
        self._fitter = CameraFitter(self._field_yx, tuple(self._cell_2.tolist()))
        # Centres of the field's cells in those of a coarser flow.
        y_yx, x_yx = np.mgrid[0:rows, 0:columns].astype(np.float32)
        to_flow_2 = self._cell_2 / np.float32(stream.cell)
        self._place_yx2 = (np.stack([x_yx, y_yx], -1) + np.float32(0.5)) * to_flow_2
        self._place_yx2 -= np.float32(0.5)
        self._texture_yx: np.ndarray | None = None
        self._steps: list[FlowFrame] = []  # since the last frame that was looked at
        self._looks: list[_Look] = []
        self._answered = 0  # of the looks held
        self._last: tuple[int, FrameMotion] | None = None  # that was answered, and its number
        self._count = 0  # frames so far

    def step(self, frame: FlowFrame) -> Iterator[FrameMotion]:
        """Takes a frame; gives those that are ready."""
        self._steps.append(frame)
        self._count += 1
        if frame.grey_HW is None:
            return
        half_HW = frame.grey_HW
        if half_HW.shape[::-1] != self._half_size:
            half_HW = cv2.resize(half_HW, self._half_size, interpolation=cv2.INTER_AREA)
        flow_yx2, confidence_yx = self._cells()
        picture_yx3 = self._picture(half_HW, frame.chroma_yx2)
        look = _Look(
            self._count - 1, len(self._steps), flow_yx2, confidence_yx, half_HW, picture_yx3
        )
        self._looks.append(look)
        self._steps = []
        self._texture_yx = None
        if frame.confidence_hw is None:
            self._texture_yx = flow_confidence(half_HW, self._field_yx)
        if len(self._looks) >= self._answered + self._block + self._context:
            yield from self._answers(self._answered + self._block)

    def finish(self) -> Iterator[FrameMotion]:
        """Gives the remaining frames; the shot has ended."""
        if self._answered < len(self._looks):
            yield from self._answers(len(self._looks))
        if self._last is not None:
            number, motion = self._last
            yield from (self._shown(n, motion) for n in range(number + 1, self._count))

    def _cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Flow from the last look, and confidence, by cells of the field."""
        given = [f for f in self._steps if f.flow_hw2 is not None]
        if not given:
            return np.zeros((*self._field_yx, 2), np.float32), np.zeros(self._field_yx, np.float32)
        flow_hw2, confidence_hw = given[-1].flow_hw2, given[-1].confidence_hw
        assert flow_hw2 is not None
        if confidence_hw is None:
            flow_yx2 = cv2.resize(flow_hw2, self._field_yx[::-1], interpolation=cv2.INTER_AREA)
            texture_yx = self._texture_yx  # of the frame that the flow comes from
            return flow_yx2, (
                np.ones(self._field_yx, np.float32) if texture_yx is None else texture_yx
            )
        # Where some frames are unknown, the mean of the others stands for them.
        weights_hw1 = [cast("np.ndarray", f.confidence_hw)[..., None] for f in given]
        total_hw1 = np.add.reduce(weights_hw1)
        flow_hw2 = np.add.reduce([f.flow_hw2 * w for f, w in zip(given, weights_hw1, strict=True)])
        flow_hw2 *= len(self._steps) / np.maximum(total_hw1, 1e-6)
        both_hw3 = np.concatenate([flow_hw2, total_hw1 / len(self._steps)], -1, dtype=np.float32)
        both_yx3 = cv2.remap(
            both_hw3, self._place_yx2, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return both_yx3[..., :2].copy(), both_yx3[..., 2].copy()

    def _picture(self, half_HW: np.ndarray, chroma_yx2: np.ndarray | None) -> np.ndarray:
        """Colours of the cells in Lab, whose distances are about what the eye sees; (y, x, 3)."""
        size = self._field_yx[::-1]
        luma_yx = cv2.resize(half_HW, size, interpolation=cv2.INTER_AREA)
        if chroma_yx2 is None:
            chroma_yx2 = np.full((*self._field_yx, 2), 128, np.uint8)
        ycc_yx3 = cv2.merge([luma_yx, chroma_yx2[..., 1], chroma_yx2[..., 0]])
        return cv2.cvtColor(cv2.cvtColor(ycc_yx3, cv2.COLOR_YCrCb2RGB), cv2.COLOR_RGB2LAB)

    def _answers(self, stop: int) -> Iterator[FrameMotion]:
        """Motion up to look ``stop`` (excluded); drops what is not needed again."""
        first = max(self._answered - self._context, 0)
        last = min(stop + self._context, len(self._looks))
        looks = self._looks[first:last]
        flow_Tyx2 = np.stack([look.flow_yx2 for look in looks])
        evidence = shot_evidence(
            flow_Tyx2,
            np.stack([look.confidence_yx for look in looks]),
            [look.half_HW for look in looks],
            self._fitter,
            np.array([look.span for look in looks]),
        )
        picture_Tyx3 = np.stack([look.picture_yx3 for look in looks]).astype(np.float32)
        flow_Tyx2 /= self._cell_2
        field_Tyx = motion_field(evidence, flow_Tyx2, picture_Tyx3, self._every)
        traces: list[np.ndarray] = []
        if self._every == 1:  # pictures that are farther apart lose what is thin
            doubtful = [tenths_HW > _DOUBTFUL for tenths_HW in evidence.changed]
            traces = thin_traces(field_Tyx, flow_Tyx2, doubtful)
        for t in range(self._answered - first, stop - first):
            self._watch.look(
                Look(
                    self._position + looks[t].number,
                    looks[t].span,
                    looks[t].half_HW,
                    self._size,
                    field_Tyx[t],
                    evidence.motion_Thw[t],
                    evidence.homography_T33[t],
                )
            )
            movers_K4 = frame_movers(field_Tyx[t], evidence.changed[t], self._size)
            if traces and len(movers_K4):
                movers_K4 = with_thin(movers_K4, field_Tyx[t], traces[t], self._size)
            yield from self._between(looks[t].number, FrameMotion(movers_K4, field_Tyx[t]))
        drop = max(stop - self._context, 0)
        del self._looks[:drop]
        self._answered = stop - drop

    def _between(self, number: int, motion: FrameMotion) -> Iterator[FrameMotion]:
        """The frames since the last answer, and frame ``number`` itself."""
        if self._last is not None:
            before, last = self._last
            for n in range(before + 1, number):
                share = (n - before) / (number - before)
                yield self._shown(n, _blend(last, motion, share))
        self._last = number, motion
        yield self._shown(number, motion)

    def _shown(self, number: int, motion: FrameMotion) -> FrameMotion:
        assert motion.field_yx is not None
        self._watch.map(self._position + number, motion.field_yx)
        return motion


class _Look(NamedTuple):
    """A frame that is looked at, on the cells of the field.

    ``number`` in its shot; ``span`` frames since the last look, over which the flow leads.
    """

    number: int
    span: int
    flow_yx2: np.ndarray
    confidence_yx: np.ndarray
    half_HW: np.ndarray
    picture_yx3: np.ndarray


def _blend(first: FrameMotion, second: FrameMotion, share: float) -> FrameMotion:
    """Motion between two frames, ``share`` of the way to the second."""
    assert first.field_yx is not None
    assert second.field_yx is not None
    field_yx = first.field_yx + np.float32(share) * (second.field_yx - first.field_yx)
    one_K4, other_K4 = first.movers_K4, second.movers_K4
    if len(one_K4) == len(other_K4) > 0:
        middle_K2, other_K2 = ((b_K4[:, :2] + b_K4[:, 2:]) / 2 for b_K4 in (one_K4, other_K4))
        nearest_K = np.linalg.norm(middle_K2[:, None] - other_K2, axis=2).argmin(1)
        if len(set(nearest_K.tolist())) == len(one_K4):
            movers_K4 = one_K4 + np.float32(share) * (other_K4[nearest_K] - one_K4)
            return FrameMotion(movers_K4, field_yx)
    return FrameMotion(one_K4 if share < 0.5 else other_K4, field_yx)
