"""A look inside a detection: the flow and the map of chosen frames, for pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(eq=False)
class Watch:
    """What to keep while a video is analysed.

    Attributes:
        wanted: positions of the frames to keep.
        flows: flow that leads to the frame, float32 ``(h, w, 2)``, pixels of the analysis.
        maps: float32 ``(h, w)``: the paper's motion map, or the motion that the camera does not
            explain in units of the background's noise (default preset).
    """

    wanted: frozenset[int]
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
