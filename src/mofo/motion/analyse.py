"""The motion area of one video: the chain from file to boxes, a frame at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mofo.motion.codec import VectorField, has_vectors
from mofo.motion.codec_movers import CodecMoverFinder
from mofo.motion.detect_settings import DetectSettings
from mofo.motion.flow import LEAST_SIDE, flow_backend, with_flow
from mofo.motion.motion_map import motion_maps
from mofo.motion.movers import FrameMovers, MoverFinder, MoverSettings
from mofo.motion.paper import frame_box, settled_boxes
from mofo.motion.texture import flow_confidence
from mofo.motion.tracks import lasting_movers
from mofo.motion.watch import Watch
from mofo.types import MotionArea
from mofo.video.cuts import CutDetector
from mofo.video.reader import VideoReader

_CELL = 4  # pixels of the analysis a cell of the flow grid
_AT_ONCE = 128  # frames whose vectors are worked on together

Progress = Callable[[int], None]
Reader = Callable[..., Any]  # makes a ``VideoReader``, or what can stand in for one
# Frame, whether it begins a shot, flow from the frame before.
Stream = Iterator[tuple[np.ndarray, bool, np.ndarray | None]]
# Whether the frame begins a shot, its vectors, how many frames back they point.
VectorStream = Iterator[tuple[bool, np.ndarray | None, int]]


def analyse(
    path: str | Path,
    settings: DetectSettings,
    *,
    progress: Progress | None = None,
    watch: Watch | None = None,
    reader: Reader | None = None,
) -> MotionArea:
    """Finds the motion area of a video.

    Memory does not grow with the length of the video, but for some hundred bytes a frame.

    Args:
        path: the video.
        settings: backend, preset, size of the analysis.
        progress: called now and then with the number of frames done since the last call.
        watch: keeps flow and map of chosen frames.
        reader: opens the video, ``VideoReader`` if None; may show a part of it only.

    Raises:
        VideoError: the file cannot be read.
    """
    log = _Log(progress, watch)
    if settings.flow == "codec":
        area = _from_vectors(path, settings, log, reader or VideoReader)
        if area is not None:
            return area
        log = _Log(progress, watch)
        log.warnings.append("no motion vectors that can be used: flow by dis instead of codec")
    flow = "dis" if settings.flow == "codec" else settings.flow
    return _from_pictures(path, settings, flow, log, reader or VideoReader)


class _Log:
    """What is noted of each frame while it passes."""

    def __init__(self, progress: Progress | None, watch: Watch | None) -> None:
        self.frames: list[int] = []
        self.times: list[float] = []
        self.cuts: list[int] = []
        self.warnings: list[str] = []
        self._progress = progress
        self.watch = watch or Watch(frozenset())

    def note(self, index: int, time: float, begins: bool) -> None:
        if begins and self.frames:
            self.cuts.append(len(self.frames))
        self.frames.append(index)
        self.times.append(time)
        if self._progress and len(self.frames) % 32 == 0:
            self._progress(32)

    def area(
        self, movers: list[np.ndarray], reader: VideoReader, to_full_2: np.ndarray, flow: str
    ) -> MotionArea:
        """Boxes from pixels of the analysis to pixels of the full upright frame."""
        if self._progress:
            self._progress(len(self.frames) % 32)
        width, height = reader.info.width, reader.info.height
        full, box_T4, valid_T = _full_size(movers, to_full_2, width, height)
        return MotionArea(
            width=width,
            height=height,
            frame_T=np.array(self.frames, np.int64),
            time_T=np.array(self.times, np.float64),
            box_T4=box_T4,
            valid_T=valid_T,
            movers=full,
            cuts=tuple(self.cuts),
            flow=flow,
            warnings=tuple(self.warnings + reader.warnings),
        )


def _full_size(
    movers: list[np.ndarray], to_full_2: np.ndarray, width: int, height: int
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Movers of all frames in full pixels, the box around those of each frame, whether any.

    All at once: numpy's overhead a frame would count beside the codec's vectors.
    """
    count_T = np.array([len(boxes_K4) for boxes_K4 in movers], np.int64)
    end_T = np.cumsum(count_T)
    all_K4 = np.concatenate([np.zeros((0, 4), np.float32), *movers]) * np.tile(to_full_2, 2)
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


def _from_pictures(
    path: str | Path, settings: DetectSettings, flow: str, log: _Log, opened: Reader
) -> MotionArea:
    with opened(path, colour=None) as probe:
        size = analysis_size(probe.info.width, probe.info.height, settings.short_side)
    with opened(path, colour="gray", size=size) as reader:
        stream = with_flow(
            _frames(reader, log, cuts=settings.preset != "paper"), flow_backend(flow)
        )
        boxes_of = _paper_boxes if settings.preset == "paper" else _default_boxes
        movers = boxes_of(stream, size, log)
        to_full_2 = np.array([reader.info.width / size[0], reader.info.height / size[1]])
        return log.area(movers, reader, to_full_2, flow)


def analysis_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Size of the analysis: not larger than the frame (unless that is tiny), multiples of 4.

    Multiples of the flow grid's cell spare every later stage the half cells; the shape of the frame
    changes by less than 2 % at 240.
    """
    scale = min(1.0, short_side / min(width, height))
    scale = max(scale, LEAST_SIDE / min(width, height))
    columns, rows = (
        max(LEAST_SIDE, round(side * scale / _CELL) * _CELL) for side in (width, height)
    )
    return columns, rows


def _frames(reader: VideoReader, log: _Log, *, cuts: bool) -> Iterator[tuple[np.ndarray, bool]]:
    detector = CutDetector()
    for frame in reader:
        assert frame.image is not None
        cut = cuts and detector.step(frame.image)  # the first frame is never one
        begins = cut or not log.frames
        log.note(frame.index, frame.time, begins)
        yield frame.image, begins


def _default_boxes(stream: Stream, size: tuple[int, int], log: _Log) -> list[np.ndarray]:
    shape_hw = (size[1] // _CELL, size[0] // _CELL)
    half_size = (size[0] // 2, size[1] // 2)
    shots = _Shots(size, log, shape_hw, _CELL, MoverSettings())
    confidence_hw: np.ndarray | None = None
    for position, (grey_HW, begins, flow_HW2) in enumerate(stream):
        log.watch.flow(position, flow_HW2)
        half_HW = cv2.resize(grey_HW, half_size, interpolation=cv2.INTER_AREA)
        flow_hw2 = None
        if flow_HW2 is not None:
            flow_hw2 = cv2.resize(flow_HW2, shape_hw[::-1], interpolation=cv2.INTER_AREA)
        shots.step(begins, flow_hw2, confidence_hw, half_HW)
        confidence_hw = flow_confidence(half_HW, shape_hw)
    return shots.end()


class _Shots:
    """Finds the movers of one shot after the other."""

    def __init__(
        self,
        size: tuple[int, int],
        log: _Log,
        shape_hw: tuple[int, int],
        cell: float,
        settings: MoverSettings,
    ) -> None:
        self._size, self._log = size, log
        self._new = lambda: MoverFinder(shape_hw, cell, settings, self._watch)
        self._finder: MoverFinder = self._new()
        self._boxes: list[np.ndarray] = []
        self._candidates: list[FrameMovers] = []

    def _watch(self, number: int, score_hw: np.ndarray) -> None:
        self._log.watch.map(len(self._boxes) + number, score_hw)

    def step(
        self,
        begins: bool,
        flow_hw2: np.ndarray | None,
        confidence_hw: np.ndarray | None,
        half_HW: np.ndarray,
    ) -> None:
        """Takes a frame, see ``MoverFinder.step``."""
        if begins:
            self.end()
        self._candidates.extend(self._finder.step(flow_hw2, confidence_hw, half_HW))

    def end(self) -> list[np.ndarray]:
        """Ends the shot; gives the boxes of all frames so far."""
        self._candidates.extend(self._finder.finish())
        self._boxes.extend(lasting_movers(self._candidates, *self._size))
        self._candidates = []
        self._finder = self._new()
        return self._boxes


def _paper_boxes(stream: Stream, size: tuple[int, int], log: _Log) -> list[np.ndarray]:
    frames = 0

    def flows() -> Iterator[np.ndarray | None]:
        nonlocal frames
        for _, _, flow_HW2 in stream:
            log.watch.flow(frames, flow_HW2)
            frames += 1
            yield flow_HW2

    boxes: list[np.ndarray | None] = []
    for map_HW in motion_maps(flows()):
        log.watch.map(len(boxes), map_HW)
        boxes.append(frame_box(map_HW))
    boxes += [None] * (frames - len(boxes))  # a clip of one frame has no flow
    return [box_4[None] for box_4 in settled_boxes(boxes, *size)]


def _from_vectors(
    path: str | Path, settings: DetectSettings, log: _Log, opened: Reader
) -> MotionArea | None:
    """The codec's own motion; None if the file carries none."""
    with opened(path, colour=None, motion_vectors=True) as reader:
        info = reader.info
        if not has_vectors(info.codec) or info.mirrored:
            return None
        turned = info.rotation in (90, 270)
        coded = (info.height, info.width) if turned else (info.width, info.height)
        scale = min(1.0, settings.short_side / min(coded))
        field = VectorField(*coded, scale)
        vectors = _vectors(reader, field, log)
        size = (round(coded[0] * scale), round(coded[1] * scale))
        if settings.preset == "paper":
            movers, seen = _paper_from_vectors(vectors, field, size, log)
        else:
            movers, seen = _default_from_vectors(vectors, field, size, log)
        if not seen:
            return None
        movers = [_upright(boxes_K4, size, info.rotation) for boxes_K4 in movers]
        full_2 = np.array([info.width, info.height])
        small_2 = np.array(size[::-1] if turned else size)
        return log.area(movers, reader, full_2 / small_2, "codec")


def _vectors(
    reader: VideoReader, field: VectorField, log: _Log
) -> Iterator[tuple[bool, np.ndarray | None, int]]:
    """Per frame: whether nothing leads to it, vectors, their distance.

    Nothing is known across an I-frame, be it a scene cut or not; so no cuts are noted.
    """
    for frame in reader:
        begins = not log.frames or frame.kind == "I"
        log.note(frame.index, frame.time, False)
        yield begins, frame.vectors, field.distance(frame.kind, frame.order, frame.referred)


def _default_from_vectors(
    stream: VectorStream, field: VectorField, size: tuple[int, int], log: _Log
) -> tuple[list[np.ndarray], bool]:
    boxes: list[np.ndarray] = []
    candidates: list[FrameMovers] = []
    held: list[tuple[np.ndarray | None, int]] = []
    seen = False
    finder = CodecMoverFinder(field.shape_hw, field.cell)

    def work() -> None:
        position = len(boxes) + len(candidates)
        flow_Thw2, confidence_Thw = field.fields([v for v, _ in held], [d for _, d in held])
        for t in range(len(held)):
            log.watch.flow(position + t, flow_Thw2[t])
        found, score_Thw = finder.find(flow_Thw2, confidence_Thw)
        for t in range(len(held)):
            log.watch.map(position + t, score_Thw[t])
        candidates.extend(found)
        held.clear()

    for begins, vectors, distance in stream:
        if held and (begins or len(held) >= _AT_ONCE):
            work()
        if begins:
            boxes.extend(lasting_movers(candidates, *size))
            candidates.clear()
        seen = seen or vectors is not None
        held.append((vectors, distance))
    if held:
        work()
    boxes.extend(lasting_movers(candidates, *size))
    return boxes, seen


def _paper_from_vectors(
    vectors: VectorStream, field: VectorField, size: tuple[int, int], log: _Log
) -> tuple[list[np.ndarray], bool]:
    seen = False

    def stream() -> Stream:
        nonlocal seen
        last_HW2 = np.zeros((size[1], size[0], 2), np.float32)
        first = True
        for begins, found, distance in vectors:
            if found is not None:
                seen = True
                flow_Thw2, _ = field.fields([found], [distance])
                last_HW2 = cv2.resize(flow_Thw2[0], size, interpolation=cv2.INTER_LINEAR)
            # An I-frame in the middle has no vectors: the last ones stand in.
            yield last_HW2[..., 0], begins, None if first else last_HW2
            first = False

    return _paper_boxes(stream(), size, log), seen


def _upright(boxes_K4: np.ndarray, size: tuple[int, int], rotation: int) -> np.ndarray:
    """Boxes of the coded frame of ``size`` in the frame turned clockwise by ``rotation``."""
    width, height = size
    x1, y1, x2, y2 = boxes_K4.T
    if rotation == 90:
        return np.stack([height - y2, x1, height - y1, x2], 1)
    if rotation == 180:
        return np.stack([width - x2, height - y2, width - x1, height - y1], 1)
    if rotation == 270:
        return np.stack([y1, width - x2, y2, width - x1], 1)
    return boxes_K4
