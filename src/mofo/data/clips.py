"""Clips of a data set: from a row of the catalog to frames and motion area, ready for a batch."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import av
import numpy as np
from torch.utils.data import Dataset

from mofo.data.area_table import AreaTable
from mofo.data.transforms import CropSettings, Geometry, centre_geometry, draw_geometry
from mofo.motion.analyse import analyse
from mofo.motion.settings import DetectSettings
from mofo.motion.store import AreaStore
from mofo.types import ClipSample, MofoError, SettingsError, TokenGrid, VideoError
from mofo.video.catalog import Video
from mofo.video.clip import IndexMismatchError, read_frames
from mofo.video.container import reason_of
from mofo.video.index import FrameIndex, IndexCache, Source
from mofo.video.picture import crop_picture
from mofo.video.sampling import dense, segments
from mofo.video.stretch import Stretch

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
        if len(videos) == 0:
            raise SettingsError("no videos to take clips from")
        if (store is None) == (settings.areas == "store"):
            raise SettingsError(f'areas are "{settings.areas}": a store is for "store", and only')
        if not 0 <= seed < 2**32:
            raise SettingsError(f"seed is {seed}: expected 0 to 2**32 - 1")
        self.videos, self.settings, self.seed = videos, settings, seed
        self._table = None if store is None else AreaTable(store, videos)
        self._indexes = IndexCache()
        self._told = False

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: tuple[int, int]) -> ClipSample:
        """The (first) clip of ``(epoch, row)``; see ``clips``."""
        return self.clips(*key)[0]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[ClipSample]:
        """All clips of several keys; a ``DataLoader`` fetches a batch by it."""
        return [sample for key in keys for sample in self.clips(*key)]

    def clips(self, epoch: int, row: int) -> tuple[ClipSample, ...]:
        """The ``settings.repeats`` clips of one epoch and row, from one stretch of video.

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
                return self._usable(chosen, (self.seed, epoch, row, attempt), tuple(failures))
            except VideoError as error:
                failures.append((error.path, error.reason))
            chosen = int(others.integers(len(self)))
        path, reason = failures[-1]
        raise MofoError(
            f"{path}: {reason}; all {self.settings.tries} videos drawn for one clip fail: look at "
            "the files with `mofo detect`"
        )

    def _usable(
        self, row: int, key: tuple[int, ...], failures: tuple[tuple[str, str], ...]
    ) -> tuple[ClipSample, ...]:
        """The clips of one video, by a more reliable index if one proves to be wrong."""
        path = self.videos[row].path
        least = Source.TABLE
        while True:
            # Each sample begins with the least: what it is must not depend on earlier ones.
            index = self._indexes.get(path, least)
            try:
                return self._clips(row, index, key, failures)
            except IndexMismatchError:
                least = Source(index.source + 1)
            except av.FFmpegError as error:
                raise VideoError(path, reason_of(error)) from None

    def _clips(
        self,
        row: int,
        index: FrameIndex,
        key: tuple[int, ...],
        failures: tuple[tuple[str, str], ...],
    ) -> tuple[ClipSample, ...]:
        settings, video = self.settings, self.videos[row]
        wanted_T = self._place(video, index, np.random.default_rng([*key, _PLACE]))
        generators = [np.random.default_rng([*key, _VIEW, k]) for k in range(settings.repeats)]
        geometries = [self._geometry(index, generator) for generator in generators]
        canvas = _Canvas(index, wanted_T, geometries)
        box_F4, valid_F = self._boxes(row, index, canvas)
        samples = []
        for geometry, frames_THWC, generator in zip(
            geometries, canvas.frames, generators, strict=True
        ):
            # Cut to the crop first, frame by frame: the hull of what is seen, not what is seen of
            # the hull.
            box_T4, valid_T = hulls(*geometry.boxes(box_F4, valid_F), wanted_T - wanted_T[0])
            noise_N = generator.random(settings.grid.tokens, dtype=np.float32)
            samples.append(
                ClipSample(
                    frames_THWC, box_T4, valid_T, noise_N, row, video.path, int(wanted_T[0]),
                    failures,
                )
            )  # fmt: skip
            failures = ()  # told once
        return tuple(samples)

    def _place(self, video: Video, index: FrameIndex, rng: np.random.Generator) -> np.ndarray:
        start, stop = index.stretch(video.start, video.end)
        if start >= stop:
            end = index.seconds_T[-1] - index.seconds_T[0]
            raise VideoError(
                video.path,
                f"no frame from {video.start or 0:g} s to {video.end or end:g} s: its last one is "
                f"at {end:g} s",
            )
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

    def _boxes(self, row: int, index: FrameIndex, canvas: _Canvas) -> tuple[np.ndarray, np.ndarray]:
        """Decodes the clip; gives the boxes of all frames that it spans, in upright pixels."""
        path, areas = self.videos[row].path, self.settings.areas
        first, stop = int(canvas.wanted_T[0]), int(canvas.wanted_T[-1]) + 1
        if areas in ("codec", "dis"):
            reader = partial(Stretch, index=index, start=first, stop=stop, look=canvas.draw)
            area = analyse(path, DetectSettings(flow=areas), reader=reader)
            if area.flow != areas and not self._told:
                self._told = True
                warnings.warn(
                    f"{path}: no motion vectors that can be used ({index.codec}): motion areas of "
                    f"such videos by {area.flow} instead of {areas}, which takes longer",
                    stacklevel=2,
                )
            return area.box_T4, area.valid_T
        if self._table is None:
            found = np.zeros((stop - first, 4), np.float32), np.zeros(stop - first, bool)
        else:
            stored = self._table[row]
            if len(stored.valid_T) != len(index):
                if index.source is not Source.FRAMES:
                    raise IndexMismatchError(path)
                raise VideoError(
                    path,
                    f"has {len(index)} frames, but the store of motion areas has "
                    f"{len(stored.valid_T)}: run `mofo detect` again",
                )
            scale_2 = np.array([index.width / stored.width, index.height / stored.height])
            found = stored.box_T4[first:stop] * np.tile(scale_2, 2), stored.valid_T[first:stop]
        for number, frame in read_frames(path, index, canvas.wanted_T):
            canvas.draw(number, frame)
        return found


class _Canvas:
    """The pictures of a clip, one set for each geometry, drawn while its frames are decoded."""

    def __init__(self, index: FrameIndex, wanted_T: np.ndarray, geometries: list[Geometry]) -> None:
        self.wanted_T = wanted_T
        self._index, self._geometries = index, geometries
        self._slots: dict[int, list[int]] = {}
        for t, number in enumerate(wanted_T.tolist()):
            self._slots.setdefault(number, []).append(t)
        self.frames = [
            np.empty((len(wanted_T), geometry.size[1], geometry.size[0], 3), np.uint8)
            for geometry in geometries
        ]

    def draw(self, number: int, frame: av.VideoFrame) -> None:
        """Draws a frame wherever the clip has it."""
        index = self._index
        slots = self._slots.get(number)
        if slots is None:
            return
        t, *again = slots
        for geometry, frames_THWC in zip(self._geometries, self.frames, strict=True):
            crop_picture(
                frame,
                geometry.crop,
                geometry.size,
                upright=(index.width, index.height),
                rotation=index.rotation,
                mirrored=index.mirrored,
                flip=geometry.flip,
                out=frames_THWC[t],
            )
            frames_THWC[again] = frames_THWC[t]


def hulls(
    box_F4: np.ndarray, valid_F: np.ndarray, start_T: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Box around the boxes of each stretch of frames that begins at ``start_T``.

    Args:
        box_F4: float32, all frames from the first to the last one of a clip.
        valid_F: bool; other boxes do not count.
        start_T: int64, never falling: the stretch ``t`` goes on up to ``start_T[t + 1]``, the last
            one to the end; it holds its own frame at least.

    Returns:
        float32 ``(T, 4)``, zeros where not valid, and bool ``(T,)``: any box there.
    """
    low_F2 = np.where(valid_F[:, None], box_F4[:, :2], np.inf)
    high_F2 = np.where(valid_F[:, None], box_F4[:, 2:], -np.inf)
    # Where two stretches begin at the same frame, reduceat gives that frame alone.
    box_T4 = np.concatenate(
        [np.minimum.reduceat(low_F2, start_T), np.maximum.reduceat(high_F2, start_T)], 1
    )
    valid_T = np.isfinite(box_T4[:, 0])
    return np.where(valid_T[:, None], box_T4, 0).astype(np.float32), valid_T
