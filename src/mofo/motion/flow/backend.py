"""Flow backends: frames of one video in, the same frames and the flow that leads to each out.

``FLOWS`` holds the backends; each says about itself what the rest of the code asks. A backend that
computes flow from pictures derives from ``PictureFlow`` and has one method; see dis.py.
"""

from __future__ import annotations

import contextlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mofo.registry import Registry
from mofo.types import MofoError
from mofo.video.cuts import CutDetector
from mofo.video.inputs import VideoPath
from mofo.video.reader import VideoReader

# DIS needs some pyramid to stand on; smaller frames are scaled up.
LEAST_SIDE = 32

Reader = Callable[..., Any]
"""Makes a ``VideoReader``, or what can stand in for one."""


class FlowFrame(NamedTuple):
    """One frame and the flow that leads to it.

    Attributes:
        index, time: number in the file, and seconds.
        begins: nothing leads to the frame: what is known of earlier frames ends here.
        cut: a new shot begins with it.
        grey_HW: uint8, the picture at the size of the analysis, or half of that; None for frames
            between those that are looked at. A frame that begins a shot has one.
        chroma_yx2: uint8, Cb and Cr of the cells of the motion field.
        flow_hw2: float32 (u, v) in pixels of the analysis: what was at (x - u, y - v) in the frame
            before is at (x, y); None where nothing is known. Rows and columns are pixels of the
            analysis, or coarser cells.
        confidence_hw: float32, 0 to 1, how far the flow of a cell can be trusted; None if the
            backend does not say.
    """

    index: int  # type: ignore[assignment]  # also a method of tuples
    time: float
    begins: bool = False
    cut: bool = False
    grey_HW: np.ndarray | None = None
    chroma_yx2: np.ndarray | None = None
    flow_hw2: np.ndarray | None = None
    confidence_hw: np.ndarray | None = None


class FlowStream(ABC):
    """The frames of one video and their flow, once, in display order.

    Attributes:
        reader: the open video.
        size: width and height of the analysis in pixels.
        shape_hw: rows and columns of the flow.
        cell: pixels of the analysis that one of them spans.
        field_yx: rows and columns of the motion field, see ``field_cells``.
        every: of so many frames one is looked at.
        rotation: what is found in the analysis has to be turned clockwise by so many degrees (0,
            90, 180, 270) to be upright.
    """

    reader: VideoReader
    size: tuple[int, int]
    shape_hw: tuple[int, int]
    field_yx: tuple[int, int]
    cell: float = 1
    every: int = 1
    rotation: int = 0

    @abstractmethod
    def __iter__(self) -> Iterator[FlowFrame]:
        """The frames.

        Raises:
            FlowUnavailableError: at the end, if there was no flow in the whole file.
        """


class FlowUnavailableError(MofoError):
    """A backend can do nothing with this file; its ``fallback`` can."""


class FlowBackend(ABC):
    """A way to know the flow between frames.

    Attributes:
        line: one line about it, for help and docs.
        speed: milliseconds a frame at 320x240 on one core, beside decoding.
        fallback: backend for files with which this one raises ``FlowUnavailableError``.
    """

    line: ClassVar[str]
    speed: ClassVar[float]
    fallback: ClassVar[str] = ""

    @abstractmethod
    def open(
        self, path: VideoPath, short_side: int, *, cuts: bool, reader: Reader = VideoReader
    ) -> contextlib.AbstractContextManager[FlowStream]:
        """Opens a video.

        Args:
            path: the video.
            short_side: of the analysis, pixels.
            cuts: look for cuts; flow does not lead across them.
            reader: opens the file; may show a part of it only.

        Raises:
            VideoError: the file cannot be read.
            FlowUnavailableError: the file has no such flow.
        """


FLOWS: Registry[type[FlowBackend]] = Registry(
    "flow",
    lambda: [
        importlib.import_module(f"mofo.motion.flow.{name}")
        for name in ("dis", "farneback", "tvl1", "codec")
    ],
)


class PictureFlow(FlowBackend):
    """Dense flow between grey pictures.

    Attributes:
        batch: pairs worth giving at once (1 on a CPU).
    """

    batch: int = 1

    @abstractmethod
    def between(self, first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
        """Flow of each pair.

        Args:
            first, second: uint8 ``(H, W)`` frames, all of one size; at least one.

        Returns:
            For each pair float32 ``(H, W, 2)``: (u, v) in pixels, with which what is at (x, y) in
            ``first`` is found at (x + u, y + v) in ``second``.
        """

    @contextlib.contextmanager
    def open(
        self, path: VideoPath, short_side: int, *, cuts: bool, reader: Reader = VideoReader
    ) -> Iterator[FlowStream]:
        """See ``FlowBackend.open``."""
        with reader(path, colour=None) as probe:
            size = analysis_size(probe.info.width, probe.info.height, short_side)
        rows, columns = field_cells(size)
        with reader(path, colour="gray", size=size, chroma=(columns, rows)) as pictures:
            yield _PictureStream(pictures, size, self, cuts)


class _PictureStream(FlowStream):
    def __init__(
        self, reader: VideoReader, size: tuple[int, int], flow: PictureFlow, cuts: bool
    ) -> None:
        self.reader, self.size, self.shape_hw = reader, size, size[::-1]
        self.field_yx = field_cells(size)
        self._flow, self._cuts = flow, cuts

    def __iter__(self) -> Iterator[FlowFrame]:
        return with_flow(self._frames(), self._flow)

    def _frames(self) -> Iterator[FlowFrame]:
        detector = CutDetector()
        first = True
        for frame in self.reader:
            assert frame.image is not None
            cut = self._cuts and detector.step(frame.image)  # the first frame is never one
            begins = first or cut
            yield FlowFrame(frame.index, frame.time, begins, cut, frame.image, frame.chroma)
            first = False


def with_flow(frames: Iterable[FlowFrame], flow: PictureFlow) -> Iterator[FlowFrame]:
    """Adds to each frame the flow that leads to it, if it does not begin a shot."""
    waiting: list[tuple[FlowFrame, np.ndarray | None]] = []
    before: np.ndarray | None = None
    for frame in frames:
        waiting.append((frame, None if frame.begins else before))
        before = frame.grey_HW
        if len(waiting) >= flow.batch:
            yield from _solved(waiting, flow)
            waiting = []
    yield from _solved(waiting, flow)


def _solved(
    waiting: list[tuple[FlowFrame, np.ndarray | None]], flow: PictureFlow
) -> Iterator[FlowFrame]:
    pairs = [
        (before_HW, frame.grey_HW)
        for frame, before_HW in waiting
        if before_HW is not None and frame.grey_HW is not None
    ]
    flows = iter(flow.between([a for a, _ in pairs], [b for _, b in pairs]) if pairs else ())
    for frame, before_HW in waiting:
        yield frame if before_HW is None else frame._replace(flow_hw2=next(flows))


def analysis_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Size of the analysis: not larger than the frame (unless that is tiny), in whole cells.

    Whole cells spare every later stage the broken ones; the shape of the frame changes by less than
    2 % at 240.
    """
    scale = min(1.0, short_side / min(width, height))
    scale = max(scale, LEAST_SIDE / min(width, height))
    cell = _cell(min(width, height) * scale)
    columns, rows = (max(LEAST_SIDE, round(side * scale / cell) * cell) for side in (width, height))
    return columns, rows


def field_cells(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the motion field over a frame of ``size`` (width, height).

    Cells have 8 pixels of the analysis, 1/30 of its short side at 240, and 4 in small frames.
    """
    cell = _cell(min(size))
    return max(1, round(size[1] / cell)), max(1, round(size[0] / cell))


def _cell(short_side: float) -> int:
    return 8 if short_side >= 120 else 4
