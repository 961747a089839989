"""Which videos are learned from, and which are held out for a test."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mofo.datasets.video import Video
from mofo.types import SettingsError

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def held_out_splits(videos: Iterable[Video]) -> list[str]:
    """Splits with labelled videos that nothing is learned from: validation, test, then others."""
    splits = {video.split for video in videos if video.split and video.labels} - {TRAIN}
    known = [split for split in (VALIDATION, TEST) if split in splits]
    return [*known, *sorted(splits - {*known})]


def hold_out(videos: Sequence[Video], share: float, seed: int = 0) -> tuple[Video, ...]:
    """The same videos, each in split "train" or "validation".

    About ``share`` of each class is held out, one video at least where there are two or more. What
    belongs together (rows of one file, of one person or recording) stays together, and no class
    loses its last group for training. ``videos``: rows of a catalog; the first label of each is its
    class. ``share``: above 0, below 1.
    """
    if not 0 < share < 1:
        raise SettingsError(f"hold-out {share:g}: expected a share above 0, below 1, such as 0.25")
    told = Counter(video.split for video in videos if video.split)
    if told:
        raise SettingsError(
            f"the videos say their splits already ({', '.join(sorted(told))}): hold nothing out"
        )
    rows: dict[str, list[str]] = defaultdict(list)  # classes of the rows of each group
    for video in videos:
        rows[video.group or video.path].append(video.labels[0][1] if video.labels else "")
    count = Counter(name for names in rows.values() for name in names)
    groups = Counter(name for names in rows.values() for name in {*names})
    missing = {name: max(1, round(share * number)) for name, number in count.items()}
    held: set[str] = set()
    for group in np.random.default_rng(seed).permutation(sorted(rows)).tolist():
        names = {*rows[group]}
        if all(groups[name] > 1 for name in names) and any(missing[name] > 0 for name in names):
            held.add(group)
            groups.subtract(names)
            for name in rows[group]:
                missing[name] -= 1
    if not held:
        raise SettingsError("each class has one group only: there is nothing to hold out")
    return tuple(
        replace(video, split=VALIDATION if (video.group or video.path) in held else TRAIN)
        for video in videos
    )
