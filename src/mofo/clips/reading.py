"""From a plan to clips: one decoding of a file for the pictures of all crops and for motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import av
import numpy as np

from mofo.clips.plan import ClipMotion, ClipPlan, Planner
from mofo.clips.sources import ClipRequest, MotionChoice
from mofo.datasets.video import Video
from mofo.types import SettingsError, VideoError
from mofo.video.clip import IndexMismatchError, read_frames
from mofo.video.container import reason_of
from mofo.video.index import FrameIndex, IndexCache, Source
from mofo.video.picture import crop_picture

_Result = TypeVar("_Result")


class Clip(NamedTuple):
    """Pictures and motion through one crop; see ``ClipSample`` for the names."""

    frames_THWC: np.ndarray
    box_T4: np.ndarray
    valid_T: np.ndarray
    motion_tyx: np.ndarray


class ClipReader:
    """Reads clips of the videos of a catalog; remembers where the frames of their files are."""

    def __init__(self, videos: Sequence[Video], motion: MotionChoice) -> None:
        if len(videos) == 0:
            raise SettingsError("no videos to take clips from")
        self.videos, self.source = videos, motion.open(videos)
        self.indexes = IndexCache()

    def read(
        self, row: int, planner: Planner, into: np.ndarray | None = None
    ) -> tuple[ClipPlan, list[Clip]]:
        """The plan and a clip for each of its crops.

        ``planner``: frames and crops, from the index of the file.
        ``into``: uint8 ``(crops, T, H, W, 3)``: memory for the frames; None: of their own.
        """

        def work(index: FrameIndex) -> tuple[ClipPlan, list[Clip]]:
            video = self.videos[row]
            plan = planner(video, index)
            request = ClipRequest(row=row, video=video, index=index, plan=plan, planner=planner)
            drawn = False
            motions: list[ClipMotion] = []
            if plan.needs_motion:
                plan, motions = self._around(request)
            canvas = _Canvas(index, plan, into)
            if not motions:
                motions = self.source.clip_motion(replace(request, on_frame=canvas.draw))
                drawn = self.source.decodes
            if not drawn:
                for number, frame in read_frames(video.path, index, plan.frame_T):
                    canvas.draw(number, frame)
            pairs = zip(canvas.frames, motions, strict=True)
            return plan, [Clip(frames_THWC, *motion) for frames_THWC, motion in pairs]

        return self._with_index(row, work)

    def motion(self, row: int, planner: Planner) -> list[ClipMotion]:
        """The motion of ``read``'s clips, without pictures."""

        def work(index: FrameIndex) -> list[ClipMotion]:
            video = self.videos[row]
            plan = planner(video, index)
            request = ClipRequest(row=row, video=video, index=index, plan=plan, planner=planner)
            return self._around(request)[1] if plan.needs_motion else (
                self.source.clip_motion(request)
            )  # fmt: skip

        return self._with_index(row, work)

    def _around(self, request: ClipRequest) -> tuple[ClipPlan, list[ClipMotion]]:
        """A plan of which a crop follows from the motion: motion first, pictures afterwards."""
        motion = self.source.frame_motion(request)
        plan = request.plan.settled(motion)
        return plan, [plan.motion(crop, motion) for crop in plan.geometries]

    def _with_index(self, row: int, work: Callable[[FrameIndex], _Result]) -> _Result:
        """Works with the file's index, by a more reliable one if it proves to be wrong."""
        path = self.videos[row].path
        least = Source.TABLE
        while True:
            # Each clip begins with the least: what it is must not depend on earlier ones.
            index = self.indexes.get(path, least)
            try:
                return work(index)
            except IndexMismatchError:
                least = Source(index.source + 1)
            except av.FFmpegError as error:
                raise VideoError(path, reason_of(error)) from None


class _Canvas:
    """The pictures of a plan, one set for each crop, drawn as their frames are decoded."""

    def __init__(self, index: FrameIndex, plan: ClipPlan, into: np.ndarray | None) -> None:
        self._index, self._plan = index, plan
        self._slots: dict[int, list[int]] = {}
        for t, number in enumerate(plan.frame_T.tolist()):
            self._slots.setdefault(number, []).append(t)
        self.frames = [
            np.empty((len(plan.frame_T), crop.size[1], crop.size[0], 3), np.uint8)
            if into is None
            else into[number]
            for number, crop in enumerate(plan.geometries)
        ]

    def draw(self, number: int, frame: av.VideoFrame) -> None:
        """Draws a frame wherever the clip has it."""
        if number not in self._slots:
            return
        index = self._index
        t, *repeated = self._slots[number]
        for crop, frames_THWC in zip(self._plan.geometries, self.frames, strict=True):
            crop_picture(
                frame,
                crop.crop,
                crop.size,
                upright=(index.width, index.height),
                rotation=index.rotation,
                mirrored=index.mirrored,
                flip=crop.flip,
                out=frames_THWC[t],
            )
            frames_THWC[repeated] = frames_THWC[t]
