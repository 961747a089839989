"""A folder for each class, perhaps inside a folder for each split.

::

    my_videos/          my_videos/
        jump/ *.mp4         train/  jump/ *.mp4   run/ *.mp4
        run/  *.mp4         val/    jump/ *.mp4   run/ *.mp4

Such a folder is recognised where all videos lie exactly one folder deep, in two folders or more
that hold two videos or more on average (``folder:PATH`` takes the first folder as the class,
however deep videos lie, and however few). Splits are called train, val, validation, test and so on,
in any mixture of upper and lower case.
"""

from __future__ import annotations

from dataclasses import replace

from mofo.datasets.folders import Found, video_files
from mofo.datasets.formats.source import Source
from mofo.datasets.table import SPLITS
from mofo.datasets.video import LABEL, Video


def recognises(source: Source) -> bool:
    """Never by itself: ``with_labels`` looks at the videos once they are listed."""
    return False


def read(source: Source) -> Found:
    """All videos below the folder, with classes and splits."""
    found = Found(str(source.path))
    for path in video_files(source.path, source.problems):
        found.add(path, source.problems)
    return with_labels(found, strict=False)


def with_labels(found: Found, *, strict: bool = True) -> Found:
    """The same videos, with the classes and splits that the names of their folders tell.

    Args:
        found: videos with keys.
        strict: leave a tree alone whose folders are no classes: where videos lie at other depths
            than one (below the folders of the splits), in one folder only, or in one each.
    """
    folders = [video.key.split("/")[:-1] for video in found.videos]
    in_splits = bool(folders) and all(f and f[0].lower() in SPLITS for f in folders)
    skip = 1 if in_splits else 0
    classes = {f[skip] for f in folders if len(f) > skip}
    even = all(len(f) == skip + 1 for f in folders)
    likely = even and 1 < len(classes) <= len(folders) / 2
    is_labelled = bool(classes) and (likely or not strict)
    if not is_labelled and not in_splits:
        return found

    def told(video: Video, names: list[str]) -> Video:
        label = names[skip] if is_labelled and len(names) > skip else None
        return replace(
            video,
            labels=((LABEL, label),) if label else (),
            split=SPLITS[names[0].lower()] if in_splits else None,
        )

    videos = [told(video, names) for video, names in zip(found.videos, folders, strict=True)]
    return replace(found, videos=videos)
