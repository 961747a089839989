"""Views of videos for tests: which stretch of time, which crop, and whose motion area."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mofo.clips.batch import ClipBatch, collate
from mofo.clips.clip_files import ClipFiles, Cut, stretch_of
from mofo.clips.dataset import AREAS, SAMPLINGS
from mofo.clips.transforms import Geometry, view_geometries
from mofo.datasets.catalog import Video
from mofo.motion.store import AreaStore
from mofo.types import ClipSample, SettingsError, TokenGrid, VideoError
from mofo.video.index import FrameIndex
from mofo.video.sampling import segment_views, views

PROVENANCES = ("detected", "none", "shuffled", "centre", "truth")
_MIDDLE_4 = np.array([0.25, 0.25, 0.75, 0.75])  # shares of width and height


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """What the views of a video are.

    Attributes:
        grid: frames of a clip, their size, and how they are cut into tokens.
        sampling: "dense": every ``stride``-th frame, from places spread evenly over the video;
            "segments": a frame of each of equal parts, at places spread evenly within them.
        stride: of "dense".
        temporal, spatial: how many stretches of time, and how many crops of each; a video has
            ``temporal * spatial`` views.
        areas: where motion areas come from: "store", "codec", "dis", "none".
        provenance: whose area a clip is given. "detected" and "truth": its own (they differ in
            what the store holds); "shuffled": that of the same view of another video; "centre": the
            middle half of the frame's width and height, whatever moves; "none": none.
        seed: of "shuffled".

    Raises:
        SettingsError: an unknown name, or a number under 1.
    """

    grid: TokenGrid = field(default_factory=lambda: TokenGrid(16, 224, 224))
    sampling: str = "dense"
    stride: int = 4
    temporal: int = 2
    spatial: int = 3
    areas: str = "codec"
    provenance: str = "detected"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (
            ("sampling", SAMPLINGS), ("areas", AREAS), ("provenance", PROVENANCES),
        ):  # fmt: skip
            value = getattr(self, name)
            if value not in known:
                near = difflib.get_close_matches(str(value), known, n=1)
                hint = f", did you mean {near[0]!r}?" if near else ""
                raise SettingsError(f"{name} {value!r} is unknown: choose from {known}{hint}")
        for name in ("stride", "temporal", "spatial"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}: expected 1 or more")

    @property
    def views(self) -> int:
        """Views of each video."""
        return self.temporal * self.spatial


def parse_views(text: str) -> tuple[int, int]:
    """``2x3``: stretches of time and crops.

    Raises:
        SettingsError: anything else.
    """
    match = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})", text)
    if match is None:
        raise SettingsError(f"views {text!r}: expected TIMESxCROPS such as 2x3 or 1x1")
    return int(match[1]), int(match[2])


class View(NamedTuple):
    """One view, or why it could not be read.

    Attributes:
        row, view: of the catalog and of the video; ``view = time * spatial + place``.
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

    Nothing stands in for a video that cannot be used: it is left out, and told.

    Args:
        videos: rows of a catalog.
        settings: what the views are.
        store: motion areas, for ``areas="store"``.

    Raises:
        SettingsError: no videos; no store where one is needed; one video, and areas shuffled.
        StoreError: the store lacks some of the videos.
    """

    def __init__(
        self, videos: Sequence[Video], settings: ViewSettings, *, store: AreaStore | None = None
    ) -> None:
        self.videos, self.settings = videos, settings
        own = settings.provenance in ("detected", "truth")
        self.files = ClipFiles(videos, settings.areas, store) if own else ClipFiles(videos, "none")
        self._lenders: ClipFiles | None = None
        if settings.provenance == "shuffled":
            self._lenders = ClipFiles(videos, settings.areas, store)
            self._lender = _derangement(len(videos), settings.seed)

    def __len__(self) -> int:
        return len(self.videos) * self.settings.views

    def __getitem__(self, key: tuple[int, int]) -> View:
        """The view ``(row, view)``."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[View]:
        """Several views, in order; neighbours of one stretch of time are decoded together.

        Raises:
            IndexError: no such row or view.
        """
        for row, view in keys:
            if not (0 <= row < len(self.videos) and 0 <= view < self.settings.views):
                raise IndexError(f"view {view} of row {row}: {len(self.videos)} videos")
        spatial = self.settings.spatial
        found: list[View] = []
        for (row, time), group in itertools.groupby(keys, lambda key: (key[0], key[1] // spatial)):
            found += self._together(row, time, [view % spatial for _, view in group])
        return found

    def _together(self, row: int, time: int, places: list[int]) -> list[View]:
        first = time * self.settings.spatial
        try:
            start, cuts = self._cuts(row, time, places)
        except VideoError as error:
            return [View(row, first + place, None, error.reason) for place in places]
        noise_N = np.zeros(self.settings.grid.tokens, np.float32)  # nothing is masked in a test
        path = self.videos[row].path
        return [
            View(row, first + place, ClipSample(*cut, noise_N, row, path, start))
            for place, cut in zip(places, cuts, strict=True)
        ]

    def _cuts(self, row: int, time: int, places: list[int]) -> tuple[int, list[Cut]]:
        geometries: list[Geometry] = []
        frame_4 = np.zeros(4)  # its width and height, twice

        def choose(index: FrameIndex) -> tuple[np.ndarray, list[Geometry]]:
            frame_4[:] = (index.width, index.height) * 2
            wanted_T, geometries[:] = self._choose(self.videos[row], time, places, index)
            return wanted_T, geometries

        wanted_T, cuts = self.files.read(row, choose)
        if self.settings.provenance == "centre":
            box_T4 = np.tile(_MIDDLE_4 * frame_4, (len(wanted_T), 1))
            valid_T = np.ones(len(wanted_T), bool)
            boxes = [geometry.boxes(box_T4, valid_T) for geometry in geometries]
        elif self._lenders is not None:
            boxes = self._lent(row, time, places)
        else:
            return int(wanted_T[0]), cuts
        swapped = [Cut(cut.frames_THWC, *pair) for cut, pair in zip(cuts, boxes, strict=True)]
        return int(wanted_T[0]), swapped

    def _lent(self, row: int, time: int, places: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Boxes of the same views of another video: the next one that can be read."""
        assert self._lenders is not None
        other = int(self._lender[row])
        while other != row:
            try:
                choose = partial(self._choose, self.videos[other], time, places)
                return self._lenders.boxes(other, choose)
            except VideoError:
                other = int(self._lender[other])
        raise VideoError(self.videos[row].path, "there is no other video to take an area from")

    def _choose(
        self, video: Video, time: int, places: list[int], index: FrameIndex
    ) -> tuple[np.ndarray, list[Geometry]]:
        settings, grid = self.settings, self.settings.grid
        start, stop = stretch_of(video, index)
        if settings.sampling == "segments":
            clips = segment_views(grid.frames, start, stop, settings.temporal)
        else:
            clips = views(grid.frames, settings.stride, start, stop, settings.temporal)
        frame_size, size = (index.width, index.height), (grid.width, grid.height)
        crops = view_geometries(frame_size, size, settings.spatial)
        return clips[time], [crops[place] for place in places]


def collate_views(found: Sequence[View]) -> ViewBatch:
    """Put views together; ``collate_fn`` of a ``DataLoader``."""
    read = [view for view in found if view.clip is not None]
    clips = [view.clip for view in read if view.clip is not None]
    return ViewBatch(
        clips=collate(clips) if clips else None,
        view_B=torch.tensor([view.view for view in read], dtype=torch.int64),
        failures=tuple((view.row, view.reason) for view in found if view.clip is None),
    )


def _derangement(count: int, seed: int) -> np.ndarray:
    """One cycle through all rows in random order: whose area each of them gets."""
    if count < 2:
        raise SettingsError("areas can only be shuffled between 2 or more videos")
    order = np.random.default_rng([seed, count]).permutation(count)
    other = np.empty(count, np.int64)
    other[order] = np.roll(order, -1)
    return other
