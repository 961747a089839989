"""Motion-focused self-supervised video learning.

    import mofo
    area = mofo.detect("walk.mp4")

Names are imported when they are first used: ``import mofo`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mofo.datasets.catalog import read_catalog
    from mofo.evaluation.embed import Embedding, embed
    from mofo.evaluation.evaluate import evaluate
    from mofo.evaluation.predict import Prediction, VideoClassifier, load
    from mofo.evaluation.probe import ProbeReport, probe
    from mofo.evaluation.results import Results
    from mofo.motion.detect import DetectReport, detect, detect_many
    from mofo.motion.presets import DetectSettings
    from mofo.motion.store import AreaStore
    from mofo.report.page.build import report
    from mofo.report.training_pictures import finetune, pretrain
    from mofo.training.callbacks import Callback, RunReport
    from mofo.training.checkpoint import open_checkpoint
    from mofo.training.finetune_settings import FinetuneSettings
    from mofo.training.pretrain_settings import PretrainSettings
    from mofo.training.trainer import Trainer
    from mofo.types import MofoError, MotionArea, VideoError
    from mofo.video.reader import VideoReader
    from mofo.weights.exporting import ExportReport, export_weights
    from mofo.weights.importing import ImportReport, import_weights

    __version__: str

__all__ = [
    "AreaStore",
    "Callback",
    "DetectReport",
    "DetectSettings",
    "Embedding",
    "ExportReport",
    "FinetuneSettings",
    "ImportReport",
    "MofoError",
    "MotionArea",
    "Prediction",
    "PretrainSettings",
    "ProbeReport",
    "Results",
    "RunReport",
    "Trainer",
    "VideoClassifier",
    "VideoError",
    "VideoReader",
    "__version__",
    "detect",
    "detect_many",
    "embed",
    "evaluate",
    "export_weights",
    "finetune",
    "import_weights",
    "load",
    "open_checkpoint",
    "pretrain",
    "probe",
    "read_catalog",
    "report",
]

_HOMES = {
    "AreaStore": "mofo.motion.store",
    "Callback": "mofo.training.callbacks",
    "DetectReport": "mofo.motion.detect",
    "DetectSettings": "mofo.motion.presets",
    "Embedding": "mofo.evaluation.embed",
    "ExportReport": "mofo.weights.exporting",
    "FinetuneSettings": "mofo.training.finetune_settings",
    "ImportReport": "mofo.weights.importing",
    "MofoError": "mofo.types",
    "MotionArea": "mofo.types",
    "Prediction": "mofo.evaluation.predict",
    "PretrainSettings": "mofo.training.pretrain_settings",
    "ProbeReport": "mofo.evaluation.probe",
    "VideoClassifier": "mofo.evaluation.predict",
    "Results": "mofo.evaluation.results",
    "RunReport": "mofo.training.callbacks",
    "Trainer": "mofo.training.trainer",
    "VideoError": "mofo.types",
    "VideoReader": "mofo.video.reader",
    "detect": "mofo.motion.detect",
    "detect_many": "mofo.motion.detect",
    "embed": "mofo.evaluation.embed",
    "evaluate": "mofo.evaluation.evaluate",
    "export_weights": "mofo.weights.exporting",
    "finetune": "mofo.report.training_pictures",
    "import_weights": "mofo.weights.importing",
    "load": "mofo.evaluation.predict",
    "open_checkpoint": "mofo.training.checkpoint",
    "pretrain": "mofo.report.training_pictures",
    "probe": "mofo.evaluation.probe",
    "read_catalog": "mofo.datasets.catalog",
    "report": "mofo.report",
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
