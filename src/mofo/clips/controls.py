"""Controls: motion that is not what a detection finds in the clip, to see what a model needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mofo.clips.plan import ClipMotion, FrameMotion
from mofo.clips.reading import ClipReader
from mofo.clips.sources import MOTION_SOURCES, ClipRequest, MotionChoice, MotionSource
from mofo.clips.stored_motion import StoredMotion
from mofo.datasets.video import Video
from mofo.types import SettingsError, VideoError

_MIDDLE_4 = np.array([0.25, 0.25, 0.75, 0.75])  # shares of width and height


@MOTION_SOURCES.register("shuffled")
class ShuffledMotion(MotionSource):
    """That of the same view of another video, which the source ``choice.of`` gives.

    All videos are put on one ring by ``choice.seed``; each gets the motion of the next one that can
    be read.
    """

    about = "of another video"
    is_own = False

    def __init__(self, videos: Sequence[Video], choice: MotionChoice) -> None:
        super().__init__(videos, choice)
        if len(videos) < 2:
            raise SettingsError("motion can only be shuffled between 2 or more videos")
        self._others = ClipReader(videos, MotionChoice(choice.of or "dis", store=choice.store))
        order = np.random.default_rng([choice.seed, len(videos)]).permutation(len(videos))
        self._next = np.empty(len(videos), np.int64)
        self._next[order] = np.roll(order, -1)

    def clip_motion(self, request: ClipRequest) -> list[ClipMotion]:
        """Motion of the other video's clip, planned in the same way."""
        other = int(self._next[request.row])
        while other != request.row:
            try:
                return self._others.motion(other, request.planner)
            except VideoError:
                other = int(self._next[other])
        raise VideoError(request.video.path, "there is no other video to take motion from")

    def frame_motion(self, request: ClipRequest) -> FrameMotion:
        """Another video's frames have another size and length."""
        raise SettingsError("a motion crop is cut around the clip's own motion, not a shuffled one")

    @classmethod
    def describe(cls, choice: MotionChoice) -> str:
        """Where motion comes from."""
        of = MotionChoice(choice.of or "dis", store=choice.store)
        return f"of another video, shuffled with seed {choice.seed}; {of}"


@MOTION_SOURCES.register("centre")
class CentreMotion(MotionSource):
    """The middle half of the frame's width and height."""

    about = "the middle of the frame, whatever moves"
    is_own = False

    def frame_motion(self, request: ClipRequest) -> FrameMotion:
        """The same box in every frame."""
        index = request.index
        box_4 = _MIDDLE_4 * ((index.width, index.height) * 2)
        return FrameMotion.everywhere(box_4, request.plan.span)


@MOTION_SOURCES.register("truth")
class TrueMotion(StoredMotion):
    """Exact motion, as generated sets have it in a store."""

    about = "exact motion, from a store"

    @classmethod
    def describe(cls, choice: MotionChoice) -> str:
        """Where motion comes from."""
        return f"the truth; store {choice.store}"
