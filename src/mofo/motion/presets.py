"""Presets: how the movers of each frame are found from flow; and the settings of a detection.

``PRESETS`` holds the ways; each is one class. The chain around them (files, flow, full-size boxes,
stores) is the same for all; see analyse.py.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from mofo.motion.flow.backend import FLOWS, LEAST_SIDE, FlowStream
from mofo.registry import Registry
from mofo.types import SettingsError

NO_MOVERS = np.zeros((0, 4), np.float32)


class FrameMotion(NamedTuple):
    """What moves in one frame.

    Attributes:
        movers_K4: float32, a box for each mover, pixels of the analysis; none: nothing moves.
        field_yx: float32, 0 to 1, share of each cell of a grid over the frame that moves; None if
            the preset makes no field. All frames of a video have one grid.
    """

    movers_K4: np.ndarray = NO_MOVERS
    field_yx: np.ndarray | None = None


class Look(NamedTuple):
    """A frame that the default preset has looked at; with ``codec`` it looks at some only.

    Attributes:
        position: of the frame in the video.
        span: frames since the last one that was looked at.
        grey_HW: uint8, the picture at half the size of the analysis.
        size: width and height of the analysis in pixels.
        field_yx: float32, 0 to 1, share of each cell that moves.
        motion_yx: float32, motion of a cell against the camera, pixels of the analysis a frame.
        homography_33: the camera: pixels of the last frame looked at to those of this one.
    """

    position: int
    span: int
    grey_HW: np.ndarray
    size: tuple[int, int]
    field_yx: np.ndarray
    motion_yx: np.ndarray
    homography_33: np.ndarray


@dataclass(eq=False)
class Watch:
    """What to keep of chosen frames while a video is analysed, for pictures.

    Attributes:
        wanted: positions of the frames to keep.
        flows: flow that leads to the frame, float32 ``(h, w, 2)``, pixels of the analysis.
        maps: float32 ``(h, w)``: the paper's motion map, or the motion field (default preset).
    """

    wanted: frozenset[int] = frozenset()
    flows: dict[int, np.ndarray] = field(default_factory=dict)
    maps: dict[int, np.ndarray] = field(default_factory=dict)

    def flow(self, position: int, flow_hw2: np.ndarray | None) -> None:
        """Offers the flow that leads to a frame."""
        if flow_hw2 is not None and position in self.wanted:
            self.flows[position] = flow_hw2.copy()

    def map(self, position: int, map_hw: np.ndarray) -> None:
        """Offers the map of a frame."""
        if position in self.wanted:
            self.maps[position] = map_hw.copy()

    def look(self, look: Look) -> None:
        """Offers what is known of a frame that was looked at (default preset); it is not kept."""


class Preset(ABC):
    """A way to find movers. One object serves one video.

    Attributes:
        line: one line about it, for help and docs.
        flow: the backend that it is meant for.
        cuts: whether the flow is to look for cuts.
        delay: what moves in a frame is to be said when so many later ones were read, at the latest;
            None: when it is known best. Not every preset can.
    """

    line: ClassVar[str]
    flow: ClassVar[str]
    cuts: ClassVar[bool] = True
    delay: int | None = None

    @abstractmethod
    def find(self, stream: FlowStream, watch: Watch) -> Iterator[FrameMotion]:
        """What moves in each frame, in order, as soon or as late as it is known.

        Memory must not grow with the video's pictures: it may have hours.

        Args:
            stream: to be read once.
            watch: is offered the map of each frame.
        """


PRESETS: Registry[type[Preset]] = Registry(
    "preset",
    lambda: [
        importlib.import_module(f"mofo.motion.{name}") for name in ("default_preset", "paper")
    ],
)


@dataclass(frozen=True, kw_only=True)
class DetectSettings:
    """Choices that change the result of a detection, and so the identity of a store.

    Attributes:
        preset: "default" (ours) or "paper" (arXiv 2308.12447, without the released defects).
        flow: backend of the optical flow; empty means the preset's own ("dis" for default, "tvl1"
            for paper).
        short_side: frames are scaled down (never up) to this short side for the analysis, pixels.

    Raises:
        SettingsError: unknown preset or flow, short side under 32.
    """

    preset: str = "default"
    flow: str = ""
    short_side: int = 240

    def __post_init__(self) -> None:
        PRESETS.check(self.preset)
        if not self.flow:
            object.__setattr__(self, "flow", PRESETS[self.preset].flow)
        FLOWS.check(self.flow)
        if self.short_side < LEAST_SIDE:
            raise SettingsError(
                f"short_side is {self.short_side}: {LEAST_SIDE} pixels are the least"
            )
