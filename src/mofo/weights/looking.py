"""What is in a file or folder of weights: what ``mofo weights show`` tells."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mofo.models.model_settings import ModelSettings
from mofo.models.saved_settings import classifier_settings
from mofo.training.checkpoint import CheckpointError, open_checkpoint
from mofo.training.saved_models import FINETUNE, PRETRAIN, pretrained_settings
from mofo.types import SettingsError
from mofo.weights.import_plan import Asked, make_plan
from mofo.weights.import_report import WeightsError, key_report
from mofo.weights.importing import size_name
from mofo.weights.key_rules import translate
from mofo.weights.tensor_files import CONFIG, open_weights


class Found(NamedTuple):
    """What is there.

    Attributes:
        kind: "pretrain" or "finetune".
        layout: whose names it has; "mofo" for a checkpoint of ours.
        model: sizes; the grid as far as the file says it.
        fusion: of a classifier; None for a pre-training.
        classes: by head, how many, and their names where they are known.
        problems: phrases about tensors that are missing, unexpected or of another shape.
    """

    kind: str
    layout: str
    model: ModelSettings
    fusion: str | None
    classes: dict[str, tuple[int, tuple[str, ...]]]
    problems: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For people."""
        model, grid = self.model, self.model.grid
        text = [
            f"{'classifier' if self.fusion else 'pre-training'} ({self.layout})",
            f"size: {size_name(model)}: encoder {model.width} wide, {model.depth} blocks, "
            f"{model.heads} heads",
            f"grid: {grid.frames} frames of {grid.width}x{grid.height}, tokens of {grid.tubelet}x"
            f"{grid.patch}x{grid.patch}: {grid.t}x{grid.h}x{grid.w} of them",
        ]
        if self.fusion:
            text.append(f"fusion: {self.fusion}")
        else:
            text.append(
                f"decoder: {model.decoder_width} wide, {model.decoder_depth} blocks, "
                f"{model.decoder_heads} heads"
            )
        for head, (count, names) in self.classes.items():
            some = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
            text.append(f"classes of {head!r}: {count}" + (f": {some}" if names else ""))
        return text + [f"problem: {problem}" for problem in self.problems]


def look_at_weights(source: str | Path) -> Found:
    """Looks at a checkpoint or a run of ours, a ``.pth`` file or a folder of Hugging Face.

    Raises:
        WeightsError, CheckpointError: nothing of the kind, or damaged.
    """
    path = Path(source)
    if path.is_dir() and not (path / CONFIG).is_file():
        return _own(path)
    try:
        plan = make_plan(open_weights(path), Asked())
    except WeightsError as error:
        text = str(error)
        raise WeightsError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    keys = key_report(translate(plan.state, plan.rules), plan.originals, plan.not_needed)
    problems = tuple(keys.problems())
    if plan.classifier is None:
        return Found(PRETRAIN, plan.layout, plan.model, None, {}, problems)
    names = tuple(plan.class_names or ())
    classes = {head: (count, names) for head, count in plan.classifier.classes.items()}
    return Found(FINETUNE, plan.layout, plan.model, plan.classifier.fusion, classes, problems)


def _own(path: Path) -> Found:
    opened = open_checkpoint(path, best=True)
    metadata = opened.metadata
    try:
        if metadata.classifier is not None:
            settings = classifier_settings(metadata.classifier)
            names = metadata.classes
            classes = {
                head: (count, tuple(names.get(head, ())))
                for head, count in settings.classes.items()
            }
            return Found(FINETUNE, "mofo", settings.model, settings.fusion, classes)
    except SettingsError as error:
        raise CheckpointError(f"{opened.path}: is not a whole checkpoint: {error}") from None
    return Found(PRETRAIN, "mofo", pretrained_settings(opened), None, {})
