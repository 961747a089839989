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

from collections import Counter
from dataclasses import replace

from mofo.datasets.formats.documents import SPLITS
from mofo.datasets.formats.format import FORMATS, Format
from mofo.datasets.formats.source import Source
from mofo.datasets.listing import Listing, video_files
from mofo.datasets.video import LABEL


@FORMATS.register("folder")
class ClassFolders(Format):
    """Folders named after classes, or a folder of videos."""

    about = "a folder for each class"
    rank = 3
    may_be_empty = True

    def recognises(self, source: Source) -> bool:
        """Any folder: whether its folders are classes shows once its videos are listed."""
        return source.is_folder

    def read(self, source: Source) -> Listing:
        """All videos below the folder, with the classes and splits that their folders are named by.

        A tree whose folders are no classes, since more than a tenth of the videos lie at other
        depths than one (below the folders of the splits), or all in one folder, or in one each,
        gives no classes, unless the user has named this format. Videos that lie astray have none.
        """
        listing = Listing(str(source.path))
        for path in video_files(source.path, source.problems):
            listing.add(path, source.problems)
        label_by_folders(listing, is_named=source.is_named)
        return listing


def label_by_folders(listing: Listing, *, is_named: bool = False) -> None:
    """Gives videos the classes and splits that their folders are named by, if they are.

    ``listing``: its videos are changed.
    """
    names = [_folders(video.key) for video in listing.videos]
    meaning = FolderNames(Counter(names), is_named=is_named)
    for row, (video, folders) in enumerate(zip(listing.videos, names, strict=True)):
        labels, split = meaning(folders)
        if labels or split:
            listing.videos[row] = replace(video, labels=labels, split=split)


class FolderNames:
    """What the folders of a tree mean: classes, splits, both or nothing; see ``ClassFolders``.

    ``folders``: the folders that each video lies in, from the top, and how many do.
    """

    def __init__(self, folders: Counter[tuple[str, ...]], *, is_named: bool = False) -> None:
        total, self._is_named = folders.total(), is_named
        strays = max(1, total // 10)  # videos that may lie elsewhere
        outside = sum(n for f, n in folders.items() if not f or f[0].lower() not in SPLITS)
        self._in_splits = outside <= strays
        self._in_splits &= total > strays or all(f[:1] for f in folders)
        self._depth = depth = 1 if self._in_splits else 0
        counts: Counter[str] = Counter()
        for names, count in folders.items():
            if len(names) == depth + 1:
                counts[names[depth]] += count
        is_even = total - counts.total() <= strays
        is_likely = is_even and 1 < len(counts) <= counts.total() / 2
        self._is_labelled = is_likely or is_named

    def __call__(self, names: tuple[str, ...]) -> tuple[tuple[tuple[str, str], ...], str | None]:
        """Labels and split of a video that lies in these folders."""
        depth = self._depth
        is_stray = len(names) != depth + 1 and not self._is_named
        has_label = self._is_labelled and len(names) > depth and not is_stray
        split = SPLITS.get(names[0].lower()) if self._in_splits and names else None
        return ((LABEL, names[depth]),) if has_label else (), split


def _folders(key: str) -> tuple[str, ...]:
    return tuple(key.split("/")[:-1])
