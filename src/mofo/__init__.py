"""Motion-focused self-supervised video learning.

    import mofo
    area = mofo.detect("walk.mp4")

Names are imported when they are first used: ``import mofo`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mofo.clips.dataset import ClipDataset, ClipSettings
    from mofo.clips.loader import clip_batches
    from mofo.curation.score_files import score_many
    from mofo.curation.scores import VideoScore
    from mofo.curation.selection import filter_scores
    from mofo.curation.single import score
    from mofo.datasets.catalog import read_catalog
    from mofo.evaluation.embed import Embedding, embed
    from mofo.evaluation.evaluate import evaluate
    from mofo.evaluation.predict import Prediction, VideoClassifier, load
    from mofo.evaluation.probe import ProbeReport, probe
    from mofo.evaluation.results import Results
    from mofo.evaluation.search import search
    from mofo.masking import MaskSettings, TokenSettings, make_mask
    from mofo.models.classifier import Classifier, ClassifierSettings
    from mofo.models.mae import MaskedAutoencoder
    from mofo.models.model_settings import ModelSettings
    from mofo.motion.detect import DetectReport, detect, detect_many
    from mofo.motion.live import LiveFrame, stream
    from mofo.motion.presets import DetectSettings
    from mofo.motion.store import AreaStore
    from mofo.report.notebook import show
    from mofo.report.page.build import report
    from mofo.report.page.score_page import score_page
    from mofo.report.training_pictures import finetune, pretrain
    from mofo.training.callbacks import Callback, RunReport
    from mofo.training.checkpoint import open_checkpoint
    from mofo.training.finetune_settings import FinetuneSettings
    from mofo.training.finetune_task import FinetuneTask
    from mofo.training.pretrain_settings import PretrainSettings
    from mofo.training.pretrain_task import PretrainTask
    from mofo.training.tasks import StepOutput, Task, load_settings
    from mofo.training.trainer import Trainer
    from mofo.types import MofoError, MotionArea, TokenGrid, VideoError
    from mofo.video.reader import VideoReader
    from mofo.weights.exporting import ExportReport, export_weights
    from mofo.weights.importing import ImportReport, import_weights

    __version__: str

__all__ = [
    "AreaStore",
    "Callback",
    "Classifier",
    "ClassifierSettings",
    "ClipDataset",
    "ClipSettings",
    "DetectReport",
    "DetectSettings",
    "Embedding",
    "ExportReport",
    "FinetuneSettings",
    "FinetuneTask",
    "ImportReport",
    "LiveFrame",
    "MaskSettings",
    "MaskedAutoencoder",
    "ModelSettings",
    "MofoError",
    "MotionArea",
    "Prediction",
    "PretrainSettings",
    "PretrainTask",
    "ProbeReport",
    "Results",
    "RunReport",
    "StepOutput",
    "Task",
    "TokenGrid",
    "TokenSettings",
    "Trainer",
    "VideoClassifier",
    "VideoError",
    "VideoReader",
    "VideoScore",
    "__version__",
    "clip_batches",
    "detect",
    "detect_many",
    "embed",
    "evaluate",
    "export_weights",
    "filter_scores",
    "finetune",
    "import_weights",
    "load",
    "load_settings",
    "make_mask",
    "open_checkpoint",
    "pretrain",
    "probe",
    "read_catalog",
    "report",
    "score",
    "score_many",
    "score_page",
    "search",
    "show",
    "stream",
]

_HOMES = {
    "AreaStore": "mofo.motion.store",
    "Callback": "mofo.training.callbacks",
    "Classifier": "mofo.models.classifier",
    "ClassifierSettings": "mofo.models.classifier",
    "ClipDataset": "mofo.clips.dataset",
    "ClipSettings": "mofo.clips.dataset",
    "DetectReport": "mofo.motion.detect",
    "DetectSettings": "mofo.motion.presets",
    "Embedding": "mofo.evaluation.embed",
    "ExportReport": "mofo.weights.exporting",
    "FinetuneSettings": "mofo.training.finetune_settings",
    "FinetuneTask": "mofo.training.finetune_task",
    "ImportReport": "mofo.weights.importing",
    "LiveFrame": "mofo.motion.live",
    "MaskSettings": "mofo.masking",
    "TokenSettings": "mofo.masking",
    "MaskedAutoencoder": "mofo.models.mae",
    "ModelSettings": "mofo.models.model_settings",
    "MofoError": "mofo.types",
    "MotionArea": "mofo.types",
    "Prediction": "mofo.evaluation.predict",
    "PretrainSettings": "mofo.training.pretrain_settings",
    "PretrainTask": "mofo.training.pretrain_task",
    "ProbeReport": "mofo.evaluation.probe",
    "Results": "mofo.evaluation.results",
    "RunReport": "mofo.training.callbacks",
    "StepOutput": "mofo.training.tasks",
    "Task": "mofo.training.tasks",
    "TokenGrid": "mofo.types",
    "Trainer": "mofo.training.trainer",
    "VideoClassifier": "mofo.evaluation.predict",
    "VideoError": "mofo.types",
    "VideoReader": "mofo.video.reader",
    "VideoScore": "mofo.curation.scores",
    "clip_batches": "mofo.clips.loader",
    "detect": "mofo.motion.detect",
    "detect_many": "mofo.motion.detect",
    "embed": "mofo.evaluation.embed",
    "evaluate": "mofo.evaluation.evaluate",
    "export_weights": "mofo.weights.exporting",
    "filter_scores": "mofo.curation.selection",
    "finetune": "mofo.report.training_pictures",
    "import_weights": "mofo.weights.importing",
    "load": "mofo.evaluation.predict",
    "load_settings": "mofo.training.tasks",
    "make_mask": "mofo.masking",
    "open_checkpoint": "mofo.training.checkpoint",
    "pretrain": "mofo.report.training_pictures",
    "probe": "mofo.evaluation.probe",
    "read_catalog": "mofo.datasets.catalog",
    "report": "mofo.report",
    "score": "mofo.curation.single",
    "score_many": "mofo.curation.score_files",
    "score_page": "mofo.report.page.score_page",
    "search": "mofo.evaluation.search",
    "show": "mofo.report.notebook",
    "stream": "mofo.motion.live",
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
