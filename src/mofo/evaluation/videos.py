"""The videos of an evaluation: which split, what they are called, what belongs together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mofo.datasets.catalog import Catalog
from mofo.datasets.row_table import where
from mofo.datasets.splits import TRAIN, held_out_splits
from mofo.datasets.video import Video
from mofo.evaluation.measures import EvaluationError

ALL = "all"
"""Instead of a split: every video."""


def held_out(catalog: Catalog) -> str:
    """The split to test on, where none is named: validation, else test; ``ALL`` without splits."""
    splits = held_out_splits(catalog)
    if splits:
        return splits[0]
    others = {video.split for video in catalog if video.split}
    if others == {TRAIN}:
        raise EvaluationError(f"all videos are of the split {TRAIN!r}: name others to test on")
    return min(others - {TRAIN}, default=ALL)  # without labels, as will be said


def read_split(catalog: Catalog, split: str | None) -> Sequence[Video]:
    """The videos of a split; every video with "all" or None."""
    if split in (None, ALL):
        if not len(catalog):
            name, reason = catalog.problems[0]
            raise EvaluationError(f"{name}: {reason}; there is no other video")
        return catalog.videos
    videos = where(catalog.videos, lambda video: video.split == split)
    if videos:
        return videos
    counts = Counter(video.split for video in catalog if video.split)
    splits = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
    raise EvaluationError(
        f"no video of the split {split!r}: the sources have "
        + (splits or "no splits; add a column split (train, validation, test)")
        + f"; --split {ALL} takes every video"
    )


def video_names(videos: Sequence[Video]) -> list[str]:
    """A name for each row, all different: rows may be segments of one file."""
    names = [video.key for video in videos]
    count = Counter(names)
    for row, video in enumerate(videos):
        if count[video.key] > 1:
            end = "end" if video.end is None else f"{video.end:g}"
            names[row] = f"{video.key} {video.start or 0:g}-{end} s"
    repeats: Counter[str] = Counter()
    for row, name in enumerate(names):
        repeats[name] += 1
        if repeats[name] > 1:
            names[row] = f"{name} ({repeats[name]})"
    return names


def group_of(video: Video) -> str:
    """What a video is not independent of: its recording or person, or its own file."""
    return video.group or video.key
