"""Results of a recognition test: plain numbers, written as ``results.json`` and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from mofo.evaluation.measures import EvaluationError, Interval
from mofo.system.files import read_json, write_json
from mofo.types import Displayed

FORMAT = 1  # of the file; goes up when older code could no longer read it
FEW_VIDEOS = 20  # fewer say nothing about others


@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        name: of the class.
        count: videos of this class.
        predicted: videos taken for this class.
        correct: videos of this class that were taken for it.
        precision: correct / predicted; None if nothing was taken for it.
        recall: correct / count, the accuracy of the class; None if it has no video.
        average_precision: where a video may have several classes; None if the class has no video.
    """

    name: str
    count: int
    predicted: int
    correct: int
    precision: float | None
    recall: float | None
    average_precision: float | None = None


@dataclass(frozen=True)
class VideoRow:
    """One video; these rows make runs comparable.

    Attributes:
        name: of the video.
        group: what it belongs to: itself, or a recording that several stretches come from.
        label, predicted: numbers of rows in the table of classes.
        rank: how many other classes score as high as the label or higher; 0 is a hit.
    """

    name: str
    group: str
    label: int
    predicted: int
    rank: int


@dataclass(frozen=True)
class Recognition:
    """Results for one kind of label.

    Attributes:
        count: videos.
        measures: "top1", "top5" (with more than five classes) and "mean_class_accuracy"; or
            "mean_average_precision" where a video may have several classes. All in 0..1.
        classes: a row each; of actions only those that a video has or was taken for.
        confusion: ``(label, predicted, videos)`` wherever there are any.
        videos: a row each; none where a video may have several classes.
    """

    count: int
    measures: dict[str, Interval]
    classes: tuple[ClassRow, ...]
    confusion: tuple[tuple[int, int, int], ...] = ()
    videos: tuple[VideoRow, ...] = ()

    @property
    def is_few(self) -> bool:
        """Whether these are too few videos to say something about others."""
        return self.count < FEW_VIDEOS

    def confusion_matrix(self) -> np.ndarray:
        """Counts, int64 ``(C, C)``: rows are labels, columns are predictions."""
        counts_CC = np.zeros((len(self.classes), len(self.classes)), np.int64)
        for label, predicted, count in self.confusion:
            counts_CC[label, predicted] = count
        return counts_CC


@dataclass(frozen=True)
class Results(Displayed):
    """What ``results.json`` holds.

    Attributes:
        heads: "label", or "verb", "noun" and "action".
        views: of each video.
        about: what was evaluated: checkpoint, data, where areas came from ...
        format: of the file.
        left_out: ``(path, reason)`` of the videos that cannot be read.
        motion: name in ``MOTION_SOURCES`` of what the model was given.
    """

    heads: dict[str, Recognition]
    views: int
    about: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT
    left_out: tuple[tuple[str, str], ...] = ()
    motion: str = ""


def write_results(results: Results, path: str | Path) -> None:
    """Writes results as JSON, whole or not at all; the folder is made.

    Raises:
        OSError: it cannot be written.
    """
    write_json(Path(path), _plain(results))


def read_results(path: str | Path) -> Results:
    """Results as ``write_results`` wrote them, equal in every number.

    Raises:
        EvaluationError: the file cannot be read, or holds something else.
    """
    content = read_json(Path(path), EvaluationError)
    if not isinstance(content, Mapping) or "heads" not in content:
        raise EvaluationError(f"{path}: holds no results of an evaluation")
    if content.get("format") != FORMAT:
        raise EvaluationError(
            f"{path}: has format {content.get('format')!r}, this version reads {FORMAT}: evaluate "
            "again"
        )
    try:
        return TypeAdapter(Results).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EvaluationError(f"{path}: {where}: {first['msg'].lower()}") from None


def _plain(value: Any) -> Any:
    """For JSON, with the names of fields, also those of intervals."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Interval):
        return value._asdict()
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value
