"""Clips to make pictures of: the middle of each of a few videos, with their motion areas."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mofo.clips.batch import ClipBatch, collate
from mofo.clips.dataset import AREAS, ClipDataset, ClipSettings
from mofo.datasets.catalog import Video, read_catalog
from mofo.motion.store import AreaStore
from mofo.types import ClipSample, MofoError, SettingsError, StoreError, TokenGrid
from mofo.video.reader import VideoReader

_FALLBACK = "dis"
_WITHOUT_STORE = tuple(name for name in AREAS if name != "store")


class ChosenClips(NamedTuple):
    """Clips for a picture.

    Attributes:
        batch: the clips, in the order of the videos.
        areas: where their motion areas come from.
        notes: what a viewer has to know, a line each.
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
    seed: int = 0,
    clips: int = 4,
    need_areas: bool = True,
) -> ChosenClips:
    """Reads the clip in the middle of each video: the middle of its frames, too, and not mirrored.

    Args:
        sources: videos, folders, patterns or CSV lists, see ``read_catalog``.
        grid: frames of a clip, and their size.
        stride: every how many frames of the video one is taken.
        areas: where motion areas come from: folder of a store; "dis" or "codec": found now;
            "none".
        seed: decides the noise that makes the masks, and nothing else.
        clips: how many at most; they are spread evenly over the videos.
        need_areas: whether a store must have the videos. Otherwise the areas of those that it
            does not have, or all, if it is gone, are found now by optical flow, with a note.

    Raises:
        VideoError: a video cannot be read.
        StoreError: the store cannot be read, or lacks a video.
        MofoError: a source does not exist, or a number is impossible.
    """
    found = read_catalog(sources)
    if not found.videos:
        name, reason = found.problems[0]
        raise MofoError(f"{name}: {reason}")
    if clips < 1:
        raise SettingsError(f"clips is {clips}: expected 1 or more")
    count = min(clips, len(found))
    videos = [found[(2 * k + 1) * len(found) // (2 * count)] for k in range(count)]
    notes = [] if count == len(found) else [f"{count} of {len(found)} videos are drawn"]
    for path in {video.path for video in videos}:
        with VideoReader(path, colour=None):
            pass  # says what is wrong with it; a data set would try another one
    settings = ClipSettings(grid=grid, stride=stride, random=False, areas=_FALLBACK, tries=1)
    if areas in _WITHOUT_STORE:
        return _read(videos, replace(settings, areas=areas), seed, None, notes)
    try:
        store = AreaStore.open(areas)
    except StoreError as error:
        if need_areas:
            near = difflib.get_close_matches(areas, _WITHOUT_STORE, n=1)
            hint = f"; or did you mean {near[0]!r}?" if near else ""
            raise StoreError(f"{error}{hint}") from None
        notes.append(f"motion areas found now by {_FALLBACK}, as {error}")
        return _read(videos, settings, seed, None, notes)
    with store:
        stored = replace(settings, areas="store")
        missing = [video for video in videos if not _has(store, video)]
        if need_areas or not missing:
            return _read(videos, stored, seed, store, notes)
        notes.append(
            f"motion areas found now by {_FALLBACK}, not by the store {areas}, which lacks "
            + ", ".join(Path(video.path).name for video in missing)
        )
        return _read(videos, settings, seed, None, notes)


def _has(store: AreaStore, video: Video) -> bool:
    try:
        return video.key in store or bool(store.find(video.path))
    except StoreError:
        return False


def _read(
    videos: list[Video],
    settings: ClipSettings,
    seed: int,
    store: AreaStore | None,
    notes: list[str],
) -> ChosenClips:
    dataset = ClipDataset(videos, settings, seed=seed, store=store)
    samples: list[ClipSample] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        samples += (dataset[0, row] for row in range(len(videos)))
    told = (str(warning.message) for warning in caught if warning.category is UserWarning)
    notes = [*notes, *dict.fromkeys(told)]
    areas = settings.areas if store is None else f"store {store.folder}"
    return ChosenClips(collate(samples), areas, tuple(notes))
