"""Forms in which movers leave a store for other programs; one class and file a form.

@EXPORTS.register("mine")
class MyForm(AreaExport):
    line = "what others call it"

    def write(self, store, file, *, clip_union=False): ...
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from mofo.motion.store import AreaStore
from mofo.registry import Registry
from mofo.types import MotionArea


class AreaExport(ABC):
    """A form of boxes.

    Attributes:
        line: one line about it, for help and docs.
    """

    line: ClassVar[str]

    @abstractmethod
    def write(self, store: AreaStore, file: Path, *, clip_union: bool = False) -> int:
        """Writes the boxes of a store; returns the number of videos.

        Args:
            store: the store.
            file: what to write, a file or a folder; the folder that it is in exists.
            clip_union: every frame gets the one box around all motion of its video.

        Raises:
            StoreError: the form cannot hold what is in the store.
        """


EXPORTS: Registry[type[AreaExport]] = Registry(
    "form",
    lambda: [
        importlib.import_module(f"mofo.motion.{name}")
        for name in (
            "boxes_json",
            "exports.coco",
            "exports.cvat",
            "exports.eta",
            "exports.label_studio",
            "exports.mask_images",
            "exports.mot",
            "exports.mover_table",
            "exports.sam2",
            "exports.yolo",
        )
    ],
)


class VideoExport(AreaExport):
    """A form that has a file or folder of its own for each video, in one folder."""

    @abstractmethod
    def write_video(
        self, key: str, path: str, area: MotionArea, stem: Path, *, clip_union: bool
    ) -> None:
        """Writes one video.

        Args:
            key, path: of the video.
            area: its motion area.
            stem: where: the folder, and the video's key without its ending.
            clip_union: as in ``write``.
        """

    def write(self, store: AreaStore, file: Path, *, clip_union: bool = False) -> int:
        """See ``AreaExport.write``; ``file`` becomes a folder."""
        for (key, path), stem in zip(paths_of(store), stems(store), strict=True):
            target = file / stem
            target.parent.mkdir(parents=True, exist_ok=True)
            self.write_video(key, path, store[key], target, clip_union=clip_union)
        return len(store)


def paths_of(store: AreaStore) -> Iterator[tuple[str, str]]:
    """Key and file of each video."""
    videos = store.videos()
    return zip(videos["video"].to_pylist(), videos["path"].to_pylist(), strict=True)


def stems(store: AreaStore) -> list[str]:
    """Names of the videos for other programs: keys without endings, where that keeps them apart."""
    names = [
        "/".join(part for part in PurePosixPath(key).parts if part not in ("/", ".."))
        for key in store
    ]
    short = [str(PurePosixPath(name).with_suffix("")) for name in names]
    times = Counter(short)
    return [s if times[s] == 1 else name for s, name in zip(short, names, strict=True)]


def numbers(box_4: np.ndarray) -> list[float]:
    """A box as JSON has it: the fewest digits that bring back the same float32."""
    return [float(str(side)) for side in box_4]


def export_areas(
    store: str | Path, to: str | Path, *, form: str = "mofo", clip_union: bool = False
) -> int:
    """Writes the boxes of a store in a form that other programs read.

    Args:
        store: folder of the store.
        to: what to write.
        form: of ``EXPORTS``.
        clip_union: one box a video, repeated in every frame, instead of movers.

    Returns:
        The number of videos.

    Raises:
        SettingsError: the form is unknown.
        StoreError: no store, or the form cannot hold what is in it.
    """
    writer, file = EXPORTS[form](), Path(to)
    with AreaStore.open(store) as opened:
        file.parent.mkdir(parents=True, exist_ok=True)
        return writer.write(opened, file, clip_union=clip_union)
