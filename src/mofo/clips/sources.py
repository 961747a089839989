"""Where the motion of clips comes from: one class a kind, by name in ``MOTION_SOURCES``.

    choice = MotionChoice.parse("codec")        # or the folder of a store
    source = choice.open(videos)
    motion = source.clip_motion(request)        # through the crops of ``request.plan``

A kind from outside needs ``frame_motion`` only:

    @MOTION_SOURCES.register("left")
    class LeftHalf(MotionSource):
        about = "the left half of the frame"

        def frame_motion(self, request):
            box_4 = [0, 0, request.index.width / 2, request.index.height]
            return FrameMotion.everywhere(box_4, request.plan.span)
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import av
import numpy as np

from mofo.clips.plan import ClipMotion, ClipPlan, FrameMotion, Planner
from mofo.datasets.video import Video
from mofo.motion.analyse import analyse
from mofo.motion.presets import DetectSettings
from mofo.registry import Registry, did_you_mean
from mofo.types import SettingsError, StoreError
from mofo.video.clip import Segment
from mofo.video.index import FrameIndex

MOTION_SOURCES: Registry[type[MotionSource]] = Registry(
    "motion source",
    lambda: [
        importlib.import_module(f"mofo.clips.{name}") for name in ("stored_motion", "controls")
    ],
)


@dataclass(frozen=True, kw_only=True)
class ClipRequest:
    """The frames of one video that a clip spans, before they are decoded.

    Attributes:
        planner: made the plan, and can make that of another video.
        on_frame: is to be shown each decoded frame and its number by a source that decodes all
            frames of the span, so that they need not be decoded again for the pictures.
    """

    row: int
    video: Video
    index: FrameIndex
    plan: ClipPlan
    planner: Planner
    on_frame: Callable[[int, av.VideoFrame], None] = lambda number, frame: None


class MotionSource:
    """Gives the clips of some videos their motion.

    Args:
        videos: rows of a catalog.
        choice: what was chosen, see ``MotionChoice``.

    Attributes:
        about: one line for lists and help.
        decodes: whether all frames of the span are shown to ``request.on_frame``.
        needs_store: whether ``choice.store`` must be given; if not, it must not be, but for
            sources ``of`` others.
        is_own: whether it is the motion of the clip itself, so that it may be drawn over it.
    """

    about: ClassVar[str] = ""
    decodes: ClassVar[bool] = False
    needs_store: ClassVar[bool] = False
    is_own: ClassVar[bool] = True

    def __init__(self, videos: Sequence[Video], choice: MotionChoice) -> None:
        self.videos, self.choice = videos, choice

    def frame_motion(self, request: ClipRequest) -> FrameMotion:
        """Motion in each frame that a clip spans.

        Raises:
            VideoError: the video cannot be used.
            IndexMismatchError: the index is wrong; the caller makes another one.
        """
        raise NotImplementedError

    def clip_motion(self, request: ClipRequest) -> list[ClipMotion]:
        """Motion in the frames of a clip, seen through each crop of its plan."""
        motion = self.frame_motion(request)
        return [request.plan.motion(crop, motion) for crop in request.plan.geometries]

    def moving(self, row: int) -> np.ndarray | None:
        """In which frames of a video anything moves, bool; None: not known before it is read."""
        return None

    @classmethod
    def describe(cls, choice: MotionChoice) -> str:
        """Where motion comes from, for a reader."""
        return cls.about


@dataclass(frozen=True)
class MotionChoice:
    """A motion source and what it needs.

    Attributes:
        source: a name in ``MOTION_SOURCES``.
        store: folder of a store of motion areas, for sources that need one.
        of: for "shuffled": the source of the motion that is given to other videos.
        seed: of "shuffled".
        note: what a reader should know beside.

    Raises:
        SettingsError: an unknown source, or a store missing or too many.
    """

    source: str = "none"
    store: str | None = None
    of: str | None = None
    seed: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        kind = MOTION_SOURCES[self.source]
        needs_store = kind.needs_store or (
            self.of is not None and MOTION_SOURCES[self.of].needs_store
        )
        if needs_store and self.store is None:
            raise SettingsError(
                f"motion {self.source!r} needs a store of motion areas: name its folder"
            )
        if not needs_store and self.store is not None:
            raise SettingsError(
                f"motion {self.source!r} needs no store, but {self.store} is given: leave one out"
            )

    @classmethod
    def parse(cls, text: str | Path | MotionChoice) -> MotionChoice:
        """The source of that name, or the store in that folder.

        Raises:
            SettingsError, StoreError: neither.
        """
        if isinstance(text, MotionChoice):
            return text
        name = str(text)
        if name in MOTION_SOURCES:
            return cls(name)
        if not Path(name).is_dir():
            hint = (
                did_you_mean(name, MOTION_SOURCES) or f"or choose from {', '.join(MOTION_SOURCES)}"
            )
            raise StoreError(f"{name}: no such folder: a store is what `mofo detect` makes; {hint}")
        return cls("store", store=name)

    def open(self, videos: Sequence[Video]) -> MotionSource:
        """The source, ready for the rows of ``videos``.

        Raises:
            SettingsError, StoreError: the store cannot be read, or lacks videos.
        """
        return MOTION_SOURCES[self.source](videos, self)

    def __str__(self) -> str:
        text = MOTION_SOURCES[self.source].describe(self)
        return f"{text}: {self.note}" if self.note else text


@MOTION_SOURCES.register("none")
class NoMotion(MotionSource):
    """No frame has any."""

    about = "none"
    is_own = False

    def frame_motion(self, request: ClipRequest) -> FrameMotion:
        """Nothing."""
        return FrameMotion.nowhere(request.plan.span)


class FoundMotion(MotionSource):
    """Found while the clip is decoded, in the frames that it spans, by one flow backend."""

    decodes = True
    flow: ClassVar[str]

    def __init__(self, videos: Sequence[Video], choice: MotionChoice) -> None:
        super().__init__(videos, choice)
        self._warned = False

    def frame_motion(self, request: ClipRequest) -> FrameMotion:
        """As the detection finds it in this part of the file alone."""
        path, span = request.video.path, request.plan.span
        reader = partial(
            Segment,
            index=request.index,
            start=span.start,
            stop=span.stop,
            on_frame=request.on_frame,
        )
        area = analyse(path, DetectSettings(flow=self.flow), reader=reader)
        if area.flow != self.flow and not self._warned:
            self._warned = True
            warnings.warn(
                f"{path}: no motion vectors that can be used ({request.index.codec}): motion of "
                f"such videos by {area.flow} instead of {self.flow}, which takes longer",
                stacklevel=2,
            )
        return FrameMotion(area.box_T4, area.valid_T, area.field_Tyx)

    @classmethod
    def describe(cls, choice: MotionChoice) -> str:
        """Where motion comes from."""
        return f"found by {cls.flow} in each clip"


@MOTION_SOURCES.register("codec")
class CodecMotion(FoundMotion):
    """Motion vectors that the file was coded with: nearly for free."""

    about = "the file's motion vectors"
    flow = "codec"


@MOTION_SOURCES.register("dis")
class FlowMotion(FoundMotion):
    """Optical flow."""

    about = "optical flow (DIS)"
    flow = "dis"
