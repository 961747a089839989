"""Forms in which boxes leave a store for other programs; one class a form.

@EXPORTS.register("mine")
class MyForm(AreaExport):
    line = "what others call it"

    def write(self, store, file, *, clip_union=False): ...
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from mofo.motion.store import AreaStore
from mofo.registry import Registry


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
    "form", lambda: importlib.import_module("mofo.motion.boxes_json")
)


def export_areas(
    store: str | Path, to: str | Path, *, form: str = "mofo", clip_union: bool = False
) -> int:
    """Writes the boxes of a store in a form that other programs read.

    Args:
        store: folder of the store.
        to: what to write.
        form: of ``EXPORTS``.
        clip_union: one box a video, repeated in every frame.

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
