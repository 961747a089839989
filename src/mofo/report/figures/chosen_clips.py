"""Clips to make pictures of: the middle of each of a few videos, with their motion areas."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mofo.clips.batch import ClipBatch, ClipSample, collate
from mofo.clips.dataset import ClipDataset, ClipSettings
from mofo.clips.sources import MotionChoice
from mofo.clips.transforms import CropSettings
from mofo.datasets.catalog import Video, read_catalog
from mofo.motion.store import AreaStore
from mofo.report.figures.films import moments
from mofo.types import MofoError, SettingsError, StoreError, TokenGrid
from mofo.video.reader import VideoReader

_FALLBACK = "dis"


class ChosenClips(NamedTuple):
    """Clips for a picture.

    ``batch``: the clips, in the order of the videos.
    ``notes``: what a viewer has to know, a line each.
    """

    batch: ClipBatch
    areas: str
    notes: tuple[str, ...]


def choose_clips(
    sources: Sequence[str | Path],
    grid: TokenGrid,
    *,
    stride: int,
    areas: str,
    seconds: float = 0.0,
    fit: str = "crop",
    seed: int = 0,
    clips: int = 4,
    need_areas: bool = True,
) -> ChosenClips:
    """Reads the clip in the middle of each video: the middle of its frames, too, and not mirrored.

    Args:
        sources: videos, folders, patterns or CSV lists, see ``read_catalog``.
        stride: every how many frames of the video one is taken.
        areas: where motion areas come from, see ``ClipSettings``.
        seconds: length of a clip in time, in place of ``stride``; 0: not used.
        fit: see ``CropSettings``.
        seed: decides the noise that makes the masks, and nothing else.
        clips: how many at most; they are spread evenly over the videos.
        need_areas: whether a store must have the videos. Otherwise the areas of those that it
            does not have, or all, if it is gone, are found now by optical flow, with a note.
    """
    catalog = read_catalog(sources)
    if not catalog.videos:
        name, reason = catalog.problems[0]
        raise MofoError(f"{name}: {reason}")
    if clips < 1:
        raise SettingsError(f"clips is {clips}: expected 1 or more")
    videos = [catalog[k] for k in moments(len(catalog), clips)]
    drawn = f"{len(videos)} of {len(catalog)} videos are drawn"
    notes = [] if len(videos) == len(catalog) else [drawn]
    for path in {video.path for video in videos}:
        with VideoReader(path, colour=None):
            pass  # says what is wrong with it; a data set would try another one
    settings = ClipSettings(
        grid=grid,
        stride=stride,
        seconds=seconds,
        crop=CropSettings(fit=fit),
        random=False,
        motion=_FALLBACK,
        tries=1,
    )
    try:
        choice = MotionChoice.parse(areas)
        if choice.store is not None and not need_areas:
            with AreaStore.open(choice.store) as store:
                missing = [video for video in videos if not has_video(store, video)]
            if missing:
                names = ", ".join(Path(video.path).name for video in missing)
                raise StoreError(f"the store {areas} lacks {names}")
    except StoreError as error:
        if need_areas:
            raise
        notes.append(f"motion areas found now by {_FALLBACK}, as {error}")
        return _read(videos, settings, seed, notes)
    return _read(videos, replace(settings, motion=choice), seed, notes)


def has_video(store: AreaStore, video: Video) -> bool:
    """Returns whether a store has the areas of a video, by its key or its path."""
    try:
        return video.key in store or bool(store.find(video.path))
    except StoreError:
        return False


def _read(
    videos: list[Video],
    settings: ClipSettings,
    seed: int,
    notes: list[str],
) -> ChosenClips:
    dataset = ClipDataset(videos, settings, seed=seed)
    samples: list[ClipSample] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        samples += (dataset[0, row] for row in range(len(videos)))
    texts = (str(warning.message) for warning in caught if warning.category is UserWarning)
    notes = [*notes, *dict.fromkeys(texts)]
    return ChosenClips(collate(samples), str(settings.motion), tuple(notes))
