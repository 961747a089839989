"""Views of videos for tests: which segment of time, and which crop."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mofo.clips.batch import ClipBatch, ClipSample, collate
from mofo.clips.dataset import SAMPLINGS
from mofo.clips.plan import ClipPlan, frames_of
from mofo.clips.reading import ClipReader
from mofo.clips.sources import MotionChoice
from mofo.clips.transforms import FITS, Geometry, MotionCrop, view_geometries
from mofo.datasets.video import Video
from mofo.registry import choice
from mofo.types import SettingsError, TokenGrid, VideoError
from mofo.video.index import FrameIndex
from mofo.video.sampling import segment_views, timed
from mofo.video.sampling import views as dense_views


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """What the views of a video are.

    Attributes:
        grid: frames of a clip, their size, and how they are cut into tokens.
        sampling: "dense": every ``stride``-th frame, from places spread evenly over the video;
            "segments": a frame of each of equal parts, at places spread evenly within them.
        seconds: length of a clip in time, in place of sampling and stride; 0: these count.
        fit: how a frame becomes a clip's shape, see ``FITS``.
        temporal, spatial: how many segments of time, and how many crops of each.
        motion_crop: one more crop of each: around what moves, see ``MotionCrop``; with
            ``spatial`` 0 the only one.
        motion: where motion comes from, see ``ClipSettings``.
    """

    grid: TokenGrid = field(default_factory=lambda: TokenGrid(16, 224, 224))
    sampling: str = "dense"
    stride: int = 4
    seconds: float = 0.0
    fit: str = "crop"
    temporal: int = 2
    spatial: int = 3
    motion_crop: bool = False
    motion: MotionChoice | str = "codec"

    def __post_init__(self) -> None:
        choice("sampling", self.sampling, SAMPLINGS)
        choice("fit", self.fit, FITS)
        object.__setattr__(self, "motion", MotionChoice.parse(self.motion))
        for name in ("stride", "temporal", "spatial"):
            least = 0 if name == "spatial" and self.motion_crop else 1
            if getattr(self, name) < least:
                raise SettingsError(f"{name} is {getattr(self, name)}: expected {least} or more")

    @property
    def crops(self) -> int:
        """Crops of each segment of time."""
        return self.spatial + self.motion_crop

    @property
    def views(self) -> int:
        """Views of each video."""
        return self.temporal * self.crops


class View(NamedTuple):
    """One view, or why it could not be read.

    Attributes:
        row, view: of the catalog and of the video; ``view = time * crops + place``.
        clip: None if the video cannot be used.
        reason: why; else empty.
    """

    row: int
    view: int
    clip: ClipSample | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class ViewBatch:
    """Views put together.

    Attributes:
        clips: those that could be read; None if there are none.
        view_B: int64, which views these are; the videos are ``clips.index_B``.
        failures: ``(row, reason)`` of the others.
    """

    clips: ClipBatch | None
    view_B: Tensor
    failures: tuple[tuple[int, str], ...]

    def pin_memory(self) -> ViewBatch:
        """The batch in page-locked memory; ``DataLoader(pin_memory=True)`` calls it."""
        clips = None if self.clips is None else self.clips.pin_memory()
        return ViewBatch(clips, self.view_B, self.failures)


class ViewDataset(Dataset[View]):
    """Views by ``(row, view)``: each is a function of these and the settings, whoever asks.

    Nothing stands in for a video that cannot be used: the view says why.
    """

    def __init__(self, videos: Sequence[Video], settings: ViewSettings) -> None:
        self.videos, self.settings = videos, settings
        self.reader = ClipReader(videos, MotionChoice.parse(settings.motion))

    def __len__(self) -> int:
        return len(self.videos) * self.settings.views

    def __getitem__(self, key: tuple[int, int]) -> View:
        """The view ``(row, view)``."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[View]:
        """Several views, in order; neighbours of one segment of time are decoded together."""
        for row, view in keys:
            if not (0 <= row < len(self.videos) and 0 <= view < self.settings.views):
                raise IndexError(f"view {view} of row {row}: {len(self.videos)} videos")
        crops = self.settings.crops
        groups = itertools.groupby(keys, lambda key: (key[0], key[1] // crops))
        return [
            view
            for (row, time), group in groups
            for view in self._read(row, time, [view % crops for _, view in group])
        ]

    def _read(self, row: int, time: int, places: list[int]) -> list[View]:
        first, path = time * self.settings.crops, self.videos[row].path
        try:
            plan, clips = self.reader.read(row, _ViewPlan(self.settings, time, places))
        except VideoError as error:
            return [View(row, first + place, None, error.reason) for place in places]
        tokens = self.settings.grid.tokens
        start = int(plan.frame_T[0])
        return [
            View(
                row,
                first + place,
                ClipSample(
                    clip.frames_THWC,
                    clip.box_T4,
                    clip.valid_T,
                    # Nothing is masked in a test; tokens may be kept at random.
                    np.random.default_rng([row, first + place]).random(tokens, np.float32),
                    row,
                    path,
                    start,
                    motion_tyx=clip.motion_tyx,
                ),
            )
            for place, clip in zip(places, clips, strict=True)
        ]


@dataclass(frozen=True)
class _ViewPlan:
    """Plans the crops ``places`` of a video's segment ``time``."""

    settings: ViewSettings
    time: int
    places: list[int]

    def __call__(self, video: Video, index: FrameIndex) -> ClipPlan:
        """Frames and crops."""
        settings, grid = self.settings, self.settings.grid
        start, stop = frames_of(video, index)
        if settings.seconds:
            places = [0.5] if settings.temporal == 1 else np.linspace(0, 1, settings.temporal)
            times_T = index.seconds_of(start, stop)
            clips = tuple(
                timed(grid.frames, settings.seconds, times_T, start, place=place)
                for place in places
            )
        elif settings.sampling == "segments":
            clips = segment_views(grid.frames, start, stop, settings.temporal)
        else:
            clips = dense_views(grid.frames, settings.stride, start, stop, settings.temporal)
        frame_size, size = (index.width, index.height), (grid.width, grid.height)
        few = settings.spatial
        even = view_geometries(frame_size, size, few, settings.fit) if few else ()
        crops: list[Geometry | MotionCrop] = [*even, MotionCrop(size)]
        chosen = tuple(crops[place] for place in self.places)
        return ClipPlan(clips[self.time], chosen, grid, frame_size)


def collate_views(views: Sequence[View]) -> ViewBatch:
    """Put views together; ``collate_fn`` of a ``DataLoader``."""
    read = [view for view in views if view.clip is not None]
    clips = [view.clip for view in read if view.clip is not None]
    return ViewBatch(
        clips=collate(clips) if clips else None,
        view_B=torch.tensor([view.view for view in read], dtype=torch.int64),
        failures=tuple((view.row, view.reason) for view in views if view.clip is None),
    )
