"""The motion area of one video: from the file to boxes in pixels of its upright frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mofo.motion.flow.backend import FLOWS, FlowFrame, FlowStream, FlowUnavailableError, Reader
from mofo.motion.presets import NO_MOVERS, PRESETS, DetectSettings, FrameMotion, Watch
from mofo.types import MotionArea
from mofo.video.inputs import VideoPath
from mofo.video.reader import VideoReader

Progress = Callable[[int], None]
_PROGRESS_EVERY = 32  # frames


def analyse(
    path: VideoPath,
    settings: DetectSettings,
    *,
    progress: Progress | None = None,
    watch: Watch | None = None,
    reader: Reader = VideoReader,
) -> MotionArea:
    """Finds the motion area of a video: flow of its frames, from which the preset finds movers.

    Memory does not grow with the length of the video, but for some hundred bytes a frame.

    Args:
        path: the video, or frames in memory.
        settings: backend, preset, size of the analysis.
        progress: called now and then with the number of frames done since the last call.
        watch: keeps flow and map of chosen frames.
        reader: opens the video; may show a part of it only.

    Raises:
        VideoError: the file cannot be read.
    """
    flow, warnings = settings.flow, list[str]()
    while True:
        try:
            preset, backend = PRESETS[settings.preset](), FLOWS[flow]()
            with backend.open(path, settings.short_side, cuts=preset.cuts, reader=reader) as stream:
                record = _Record(stream, progress)
                frames = list(preset.find(record, watch or Watch()))
                return record.area(frames, flow, warnings)
        except FlowUnavailableError as error:
            if not backend.fallback:
                raise
            warnings.append(f"{error}: flow by {backend.fallback} instead of {flow}")
            flow = backend.fallback


class _Record(FlowStream):
    """Passes a stream on, and notes of each frame what the area needs."""

    def __init__(self, stream: FlowStream, progress: Progress | None) -> None:
        self.reader, self.rotation = stream.reader, stream.rotation
        self.size, self.shape_hw, self.cell = stream.size, stream.shape_hw, stream.cell
        self.field_yx, self.every = stream.field_yx, stream.every
        self._stream = stream
        self._progress = progress or (lambda frames: None)
        self._frames: list[int] = []
        self._times: list[float] = []
        self._cuts: list[int] = []

    def __iter__(self) -> Iterator[FlowFrame]:
        for frame in self._stream:
            if frame.cut:
                self._cuts.append(len(self._frames))
            self._frames.append(frame.index)
            self._times.append(frame.time)
            if len(self._frames) % _PROGRESS_EVERY == 0:
                self._progress(_PROGRESS_EVERY)
            yield frame
        self._progress(len(self._frames) % _PROGRESS_EVERY)

    def area(self, frames: list[FrameMotion], flow: str, warnings: list[str]) -> MotionArea:
        """The area of all frames, in pixels of the full upright frame."""
        info = self.reader.info
        turned = self.rotation in (90, 270)
        size = self.size[::-1] if turned else self.size
        scale_2 = np.array([info.width / size[0], info.height / size[1]])
        movers = [_upright(frame.movers_K4, self.size, self.rotation) for frame in frames]
        full, box_T4, valid_T = full_size(movers, scale_2, info.width, info.height)
        return MotionArea(
            width=info.width,
            height=info.height,
            frame_T=np.array(self._frames, np.int64),
            time_T=np.array(self._times, np.float64),
            box_T4=box_T4,
            valid_T=valid_T,
            movers=full,
            cuts=tuple(self._cuts),
            flow=flow,
            warnings=(*warnings, *self.reader.warnings),
            field_Tyx=_upright_field([frame.field_yx for frame in frames], self.rotation),
        )


def full_size(
    movers: list[np.ndarray], scale_2: np.ndarray, width: int, height: int
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Movers of all frames in full pixels, the box around those of each frame, whether any.

    All at once: numpy's overhead a frame would count beside the codec's vectors.
    """
    count_T = np.array([len(boxes_K4) for boxes_K4 in movers], np.int64)
    end_T = np.cumsum(count_T)
    all_K4 = np.concatenate([NO_MOVERS, *movers]) * np.tile(scale_2, 2)
    all_K4 = np.clip(all_K4, 0, [width, height] * 2).astype(np.float32)
    box_T4 = np.zeros((len(movers), 4), np.float32)
    valid_T = count_T > 0
    if valid_T.any():
        first = (end_T - count_T)[valid_T]
        box_T4[valid_T, :2] = np.minimum.reduceat(all_K4[:, :2], first)
        box_T4[valid_T, 2:] = np.maximum.reduceat(all_K4[:, 2:], first)
    starts, ends = (end_T - count_T).tolist(), end_T.tolist()
    full = tuple(all_K4[start:end] for start, end in zip(starts, ends, strict=True))
    return full, box_T4, valid_T


def _upright_field(fields: list[np.ndarray | None], rotation: int) -> np.ndarray | None:
    """Fields of all frames, 0 to 1, as the uint8 stack of a ``MotionArea``; None if there are none.

    In 16 steps: more would double the bytes in a store and say nothing that is true.

    ``rotation``: degrees clockwise that make the frame upright.
    """
    given = [field_yx for field_yx in fields if field_yx is not None]
    if not given or len(given) < len(fields):
        return None
    field_Tyx = np.rint(np.clip(np.stack(given), 0, 1) * 15).astype(np.uint8) * np.uint8(17)
    return np.ascontiguousarray(np.rot90(field_Tyx, -rotation // 90, (1, 2)))


def _upright(boxes_K4: np.ndarray, size: tuple[int, int], rotation: int) -> np.ndarray:
    """Boxes of a frame of ``size`` in the frame turned clockwise by ``rotation``."""
    width, height = size
    x1, y1, x2, y2 = boxes_K4.T
    if rotation == 90:
        return np.stack([height - y2, x1, height - y1, x2], 1)
    if rotation == 180:
        return np.stack([width - x2, height - y2, width - x1, height - y1], 1)
    if rotation == 270:
        return np.stack([y1, width - x2, y2, width - x1], 1)
    return boxes_K4
