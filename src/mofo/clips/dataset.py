"""Clips of a data set: from a row of the catalog to frames and motion area, ready for a batch."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch.utils.data import Dataset

from mofo.clips.batch import Samples, blank_frames
from mofo.clips.clip_files import ClipFiles, stretch_of
from mofo.clips.transforms import CropSettings, Geometry, centre_geometry, draw_geometry
from mofo.datasets.catalog import Video
from mofo.motion.store import AreaStore
from mofo.types import ClipSample, MofoError, SettingsError, TokenGrid, VideoError
from mofo.video.index import FrameIndex
from mofo.video.sampling import dense, segments

SAMPLINGS = ("dense", "segments")
AREAS = ("store", "codec", "dis", "none")
# Tags that keep the generators of one sample apart from each other, and from those that others make
# of the same seed. Never 0: NumPy takes [1, 2] and [1, 2, 0] for the same.
_PLACE, _VIEW, _OTHERS = 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """What a clip is.

    Attributes:
        grid: frames of a clip, their size, and how they are cut into tokens.
        sampling: "dense": every ``stride``-th frame from a place on; "segments": one frame from
            each of equal parts of the video.
        stride: frames of the file from one frame of the clip to the next ("dense" only).
        random: random place and crop; without, the middle of the video and of the frame.
        crop: how crops are drawn.
        areas: where motion areas come from: "store"; "codec" or "dis": found in the worker, in the
            stretch that the clip spans; "none": no frame has one.
        repeats: clips of each decoded stretch, each with its own crop and noise.
        tries: videos in a row that may be unusable.

    Raises:
        SettingsError: an unknown name, or a number under 1.
    """

    grid: TokenGrid = field(default_factory=lambda: TokenGrid(16, 224, 224))
    sampling: str = "dense"
    stride: int = 4
    random: bool = True
    crop: CropSettings = field(default_factory=CropSettings)
    areas: str = "store"
    repeats: int = 1
    tries: int = 10

    def __post_init__(self) -> None:
        for name, known in (("sampling", SAMPLINGS), ("areas", AREAS)):
            value = getattr(self, name)
            if value not in known:
                near = difflib.get_close_matches(str(value), known, n=1)
                hint = f", did you mean {near[0]!r}?" if near else ""
                raise SettingsError(f"{name} {value!r} is unknown: choose from {known}{hint}")
        for name in ("stride", "repeats", "tries"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}: expected 1 or more")


class ClipDataset(Dataset[ClipSample]):
    """Clips by ``(epoch, row)``: each is a function of these and the seed, whoever asks for it.

    A video that cannot be used is replaced by another one, drawn by the sample's own generator, and
    named in the sample's ``failures``. A ``DataLoader`` that is given a batch of keys gets
    ``settings.repeats`` clips for each of them, in order.

    Args:
        videos: rows of a catalog, see ``read_catalog``.
        settings: what a clip is.
        seed: of the run, 0 to 2**32 - 1.
        store: motion areas, for ``areas="store"``.

    Raises:
        SettingsError: no videos, or no store where one is needed.
        StoreError: the store lacks some of the videos.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        settings: ClipSettings,
        *,
        seed: int,
        store: AreaStore | None = None,
    ) -> None:
        if not 0 <= seed < 2**32:
            raise SettingsError(f"seed is {seed}: expected 0 to 2**32 - 1")
        self.videos, self.settings, self.seed = videos, settings, seed
        self.files = ClipFiles(videos, settings.areas, store)

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
        generators: list[np.random.Generator] = []

        def choose(index: FrameIndex) -> tuple[np.ndarray, list[Geometry]]:
            wanted_T = self._place(video, index, np.random.default_rng([*key, _PLACE]))
            # Made here: another index may mean another try.
            generators[:] = [
                np.random.default_rng([*key, _VIEW, k]) for k in range(settings.repeats)
            ]
            return wanted_T, [self._geometry(index, generator) for generator in generators]

        wanted_T, cuts = self.files.read(row, choose, into)
        samples = []
        for cut, generator in zip(cuts, generators, strict=True):
            noise_N = generator.random(settings.grid.tokens, dtype=np.float32)
            samples.append(ClipSample(*cut, noise_N, row, video.path, int(wanted_T[0]), failures))
            failures = ()  # told once
        return tuple(samples)

    def _place(self, video: Video, index: FrameIndex, rng: np.random.Generator) -> np.ndarray:
        start, stop = stretch_of(video, index)
        settings, frames = self.settings, self.settings.grid.frames
        generator = rng if settings.random else None
        if settings.sampling == "segments":
            return segments(frames, start, stop, generator)
        return dense(frames, settings.stride, start, stop, generator)

    def _geometry(self, index: FrameIndex, rng: np.random.Generator) -> Geometry:
        frame_size = (index.width, index.height)
        size = (self.settings.grid.width, self.settings.grid.height)
        if self.settings.random:
            return draw_geometry(self.settings.crop, frame_size, size, rng)
        return centre_geometry(frame_size, size)
