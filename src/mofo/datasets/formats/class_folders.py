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
from collections.abc import Iterable
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
        folders = [video.key.split("/")[:-1] for video in listing.videos]
        strays = max(1, len(folders) // 10)  # videos that may lie elsewhere
        in_splits = _few(strays, (not f or f[0].lower() not in SPLITS for f in folders))
        in_splits &= len(folders) > strays or all(f[:1] for f in folders)
        depth = 1 if in_splits else 0
        counts = Counter(names[depth] for names in folders if len(names) == depth + 1)
        is_even = _few(strays, (len(names) != depth + 1 for names in folders))
        is_likely = is_even and 1 < len(counts) <= counts.total() / 2
        is_labelled = is_likely or source.is_named
        if is_labelled or in_splits:
            for row, (video, names) in enumerate(zip(listing.videos, folders, strict=True)):
                is_stray = len(names) != depth + 1 and not source.is_named
                has_label = is_labelled and len(names) > depth and not is_stray
                listing.videos[row] = replace(
                    video,
                    labels=((LABEL, names[depth]),) if has_label else (),
                    split=SPLITS.get(names[0].lower()) if in_splits and names else None,
                )
        return listing


def _few(limit: int, faults: Iterable[bool]) -> bool:
    return sum(faults) <= limit
