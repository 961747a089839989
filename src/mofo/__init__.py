"""Motion-focused self-supervised video learning.

    import mofo
    area = mofo.detect("walk.mp4")

Names are imported when they are first used: ``import mofo`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mofo.motion.detect import DetectReport, detect, detect_many
    from mofo.motion.settings import DetectSettings
    from mofo.motion.store import AreaStore
    from mofo.training.checkpoint import open_checkpoint
    from mofo.training.finetune import finetune
    from mofo.training.pretrain import pretrain
    from mofo.training.recipe import load_settings
    from mofo.training.task import RunReport
    from mofo.types import MofoError, MotionArea, VideoError
    from mofo.video.catalog import read_catalog
    from mofo.video.reader import VideoReader

    __version__: str

__all__ = [
    "AreaStore",
    "DetectReport",
    "DetectSettings",
    "MofoError",
    "MotionArea",
    "RunReport",
    "VideoError",
    "VideoReader",
    "__version__",
    "detect",
    "detect_many",
    "finetune",
    "load_settings",
    "open_checkpoint",
    "pretrain",
    "read_catalog",
]

_HOMES = {
    "AreaStore": "mofo.motion.store",
    "DetectReport": "mofo.motion.detect",
    "DetectSettings": "mofo.motion.settings",
    "MofoError": "mofo.types",
    "MotionArea": "mofo.types",
    "RunReport": "mofo.training.task",
    "VideoError": "mofo.types",
    "VideoReader": "mofo.video.reader",
    "detect": "mofo.motion.detect",
    "detect_many": "mofo.motion.detect",
    "finetune": "mofo.training.finetune",
    "load_settings": "mofo.training.recipe",
    "open_checkpoint": "mofo.training.checkpoint",
    "pretrain": "mofo.training.pretrain",
    "read_catalog": "mofo.video.catalog",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("mofo")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'mofo' has no attribute {name!r}")
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
