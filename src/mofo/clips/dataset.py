"""Clips of a data set: from a row of the catalog to frames and motion, ready for a batch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch.utils.data import Dataset

from mofo.clips.batch import ClipSample, Samples, blank_frames
from mofo.clips.plan import ClipPlan, frames_of
from mofo.clips.reading import ClipReader
from mofo.clips.sources import MotionChoice
from mofo.clips.transforms import (
    CROP_DRAWS,
    CropSettings,
    Geometry,
    MotionCrop,
    centre_geometry,
    draw_geometry,
)
from mofo.datasets.video import Video
from mofo.registry import choice
from mofo.types import MofoError, SettingsError, TokenGrid, VideoError
from mofo.video.index import FrameIndex
from mofo.video.sampling import dense, moving_first, segments, timed

SAMPLINGS = ("dense", "segments")
# Tags that keep the generators of one sample apart from each other and from those that others make
# of the same seed. Never 0: NumPy takes [1, 2] and [1, 2, 0] for the same.
_PLACE, _VIEW, _OTHERS, _AROUND = 1, 2, 3, 4
_MARGIN = 0.5  # the largest one that is drawn


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """What a clip is.

    Attributes:
        grid: frames of a clip, their size, and how they are cut into tokens.
        sampling: "dense": every ``stride``-th frame from a place on; "segments": one frame from
            each of equal parts of the video.
        stride: frames of the file from one frame of the clip to the next ("dense" only).
        seconds: length of a clip in time, whatever the frame rate, in place of sampling and stride;
            0: these count.
        moving: how much "dense" clips and those by ``seconds`` prefer parts of the video in which
            anything moves: 0 not at all, 1 in proportion to the moving frames. It needs a store.
        random: random place and crop; without, the middle of the video and of the frame.
        crop: how crops are drawn.
        motion_crop: chance of a crop around what moves, with a margin that is drawn.
        motion: where motion comes from: a name in ``MOTION_SOURCES``, the folder of a store, or a
            ``MotionChoice``.
        repeats: clips of each decoded segment, each with its own crop and noise.
        tries: videos in a row that may be unusable.

    Raises:
        SettingsError, StoreError: an unknown name, or a number under 1.
    """

    grid: TokenGrid = field(default_factory=lambda: TokenGrid(16, 224, 224))
    sampling: str = "dense"
    stride: int = 4
    seconds: float = 0.0
    moving: float = 0.0
    random: bool = True
    crop: CropSettings = field(default_factory=CropSettings)
    motion_crop: float = 0.0
    motion: MotionChoice | str = "none"
    repeats: int = 1
    tries: int = 10

    def __post_init__(self) -> None:
        choice("sampling", self.sampling, SAMPLINGS)
        object.__setattr__(self, "motion", MotionChoice.parse(self.motion))
        for name in ("stride", "repeats", "tries"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}: expected 1 or more")
        if self.moving and not MotionChoice.parse(self.motion).store:
            raise SettingsError(
                "clips are to prefer what moves (moving), which only a store of motion areas "
                "knows: run `mofo detect` and name its folder"
            )


class ClipDataset(Dataset[ClipSample]):
    """Clips by ``(epoch, row)``: each is a function of these and the seed, whoever asks for it.

    A video that cannot be used is replaced by another one, drawn by the sample's own generator, and
    named in the sample's ``failures``. A ``DataLoader`` that is given a batch of keys gets
    ``settings.repeats`` clips for each of them, in order.

    Args:
        videos: rows of a catalog, see ``read_catalog``.
        settings: what a clip is.
        seed: of the run, 0 to 2**32 - 1.

    Raises:
        SettingsError: no videos, or an impossible seed.
        StoreError: the store lacks some of the videos.
    """

    def __init__(self, videos: Sequence[Video], settings: ClipSettings, *, seed: int) -> None:
        if not 0 <= seed < 2**32:
            raise SettingsError(f"seed is {seed}: expected 0 to 2**32 - 1")
        self.videos, self.settings, self.seed = videos, settings, seed
        self.reader = ClipReader(videos, MotionChoice.parse(settings.motion))

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: tuple[int, int]) -> ClipSample:
        """The (first) clip of ``(epoch, row)``; see ``clips``."""
        return self.clips(*key)[0]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[ClipSample]:
        """All clips of several keys, in one memory; a ``DataLoader`` fetches a batch by it."""
        grid, repeats = self.settings.grid, self.settings.repeats
        shape = (repeats, grid.frames, grid.height, grid.width, 3)
        frames = blank_frames(len(keys), *shape)
        places = frames.numpy()
        drawn = (self.clips(*key, into) for key, into in zip(keys, places, strict=True))
        return Samples(itertools.chain.from_iterable(drawn), frames.flatten(0, 1))

    def clips(self, epoch: int, row: int, into: np.ndarray | None = None) -> tuple[ClipSample, ...]:
        """The ``settings.repeats`` clips of one epoch and row, from one stretch of video.

        Args:
            epoch, row: the key.
            into: uint8 ``(repeats, T, H, W, 3)``: memory for the frames; None: memory of their own.

        Raises:
            IndexError: no such row.
            MofoError: too many videos in a row cannot be used; the last one's reason is told.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} videos")
        failures: list[tuple[str, str]] = []
        others = np.random.default_rng([self.seed, epoch, row, _OTHERS])
        chosen = row
        for attempt in range(self.settings.tries):
            try:
                key = (self.seed, epoch, row, attempt)
                return self._usable(chosen, key, tuple(failures), into)
            except VideoError as error:
                failures.append((error.path, error.reason))
            chosen = int(others.integers(len(self)))
        path, reason = failures[-1]
        raise MofoError(
            f"{path}: {reason}; all {self.settings.tries} videos drawn for one clip fail: look at "
            "the files with `mofo detect`"
        )

    def _usable(
        self,
        row: int,
        key: tuple[int, ...],
        failures: tuple[tuple[str, str], ...],
        into: np.ndarray | None,
    ) -> tuple[ClipSample, ...]:
        """The clips of one video."""
        settings, video = self.settings, self.videos[row]
        moving_F = self.reader.source.moving(row) if settings.moving else None
        planner = _RandomPlan(settings, key, moving_F)
        plan, clips = self.reader.read(row, planner, into)
        samples = []
        for number, clip in enumerate(clips):
            noise_N = planner.noise(number)
            start = int(plan.frame_T[0])
            samples.append(
                ClipSample(
                    clip.frames_THWC, clip.box_T4, clip.valid_T, noise_N, row, video.path, start,
                    failures, clip.motion_tyx,
                )
            )  # fmt: skip
            failures = ()  # told once
        return tuple(samples)


@dataclass(frozen=True)
class _RandomPlan:
    """Plans the clips of one epoch and row: everything that is drawn is a function of the key."""

    settings: ClipSettings
    key: tuple[int, ...]
    moving_F: np.ndarray | None = None

    def __call__(self, video: Video, index: FrameIndex) -> ClipPlan:
        """Frames and crops; without ``settings.random`` the middle of video and frame."""
        settings, grid = self.settings, self.settings.grid
        start, stop = frames_of(video, index)
        rng = np.random.default_rng([*self.key, _PLACE]) if settings.random else None
        if rng is not None and self.moving_F is not None and len(self.moving_F) >= stop:
            start, stop = self._moving_part(index, start, stop, rng)
        if settings.seconds:
            times_T = index.seconds_of(start, stop)
            frame_T = timed(grid.frames, settings.seconds, times_T, start, rng)
        elif settings.sampling == "segments":
            frame_T = segments(grid.frames, start, stop, rng)
        else:
            frame_T = dense(grid.frames, settings.stride, start, stop, rng)
        frame_size, size = (index.width, index.height), (grid.width, grid.height)
        crops = (
            self._around(
                number, draw_geometry(settings.crop, frame_size, size, self._generator(number))
            )
            if settings.random
            else centre_geometry(frame_size, size, settings.crop.fit)
            for number in range(settings.repeats)
        )
        return ClipPlan(frame_T, tuple(crops), grid, frame_size)

    def _around(self, number: int, drawn: Geometry) -> Geometry | MotionCrop:
        """The crop that was drawn, or one around what moves."""
        if not self.settings.motion_crop:
            return drawn
        chance, margin = np.random.default_rng([*self.key, _AROUND, number]).random(2)
        if chance >= self.settings.motion_crop:
            return drawn
        return MotionCrop(drawn.size, _MARGIN * margin, drawn.flip)

    def _moving_part(
        self, index: FrameIndex, start: int, stop: int, rng: np.random.Generator
    ) -> tuple[int, int]:
        """The frames of one clip in the stretch, drawn by what moves in them."""
        settings, frames = self.settings, self.settings.grid.frames
        if settings.seconds:
            own_T = np.maximum.accumulate(index.seconds_of(start, stop))
            length = settings.seconds * (frames - 1) / frames
            count = max(1, np.searchsorted(own_T, own_T[-1] - length, side="right"))
            stop_S = np.searchsorted(own_T, own_T[:count] + length + 1e-6, side="right")
        else:
            span = (frames - 1) * settings.stride + 1
            count = max(1, stop - start - span + 1)
            stop_S = np.minimum(np.arange(count) + span, stop - start)
        assert self.moving_F is not None
        first = moving_first(self.moving_F[start:stop], stop_S, settings.moving, rng)
        return start + first, start + int(stop_S[first])

    def noise(self, number: int) -> np.ndarray:
        """Of the clip ``number``, float32 ``(N,)`` in [0, 1)."""
        rng = self._generator(number)
        if self.settings.random:
            rng.random(CROP_DRAWS)  # those of the crop come first
        return rng.random(self.settings.grid.tokens, dtype=np.float32)

    def _generator(self, number: int) -> np.random.Generator:
        return np.random.default_rng([*self.key, _VIEW, number])
