"""What a checkpoint knows beside its tensors: ``checkpoint.json``, validated."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Sampling(BaseModel):
    """How clips are taken for a model, so that it sees what it was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sampling: str = "dense"
    """"dense" or "segments", see ``ClipSettings``."""
    stride: int = Field(4, ge=1)
    """Of "dense"."""
    seconds: float = Field(0.0, ge=0)
    """Length of a clip in time, in place of the above; 0: these count."""
    fit: str = "crop"
    """How a frame becomes a clip's shape: "crop", "pad" or "squeeze"."""
    areas: str = "codec"
    """"codec", "dis", "none" or "store"."""

    def cut(self) -> dict[str, Any]:
        """How clips are cut from videos: fields of ``ClipSettings`` and ``ViewSettings``."""
        return self.model_dump(exclude={"areas"})


class ValidationHistory(BaseModel):
    """What validations have found so far."""

    best: float | None = None
    since_best: int = 0
    last: dict[str, float] = {}

    def note(self, metrics: dict[str, float]) -> None:
        """Notes the metrics of one validation, "error" among them."""
        self.last = metrics
        if self.best is None or metrics["error"] < self.best:
            self.best, self.since_best = metrics["error"], 0
        else:
            self.since_best += 1


class Videos(BaseModel):
    """What a checkpoint remembers of the videos it was trained on."""

    count: int
    names: str
    """Digest of their names, in order."""


class Metadata(BaseModel):
    """Everything in a checkpoint but tensors. A task may add more of its own."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    task: str
    """Name of what was trained: "pretrain", "finetune" ..."""
    step: int = Field(0, ge=0)
    """Steps done."""
    loss: float | None = None
    """Mean over the steps since the last checkpoint that was due."""
    error: float | None = None
    """The lowest marks the best checkpoint."""
    settings: dict[str, Any] = {}
    """The recipe."""
    model: dict[str, Any] | None = None
    """Sizes of an autoencoder, see ``ModelSettings``."""
    classifier: dict[str, Any] | None = None
    """Sizes of a classifier, see ``ClassifierSettings``."""
    classes: dict[str, list[str]] = {}
    """By head, the names of the classes in the order of the logits."""
    sampling: Sampling = Sampling()
    """Of the clips it was trained on."""
    labels: str = ""
    """Digest of the training videos' labels."""
    validated: str = ""
    """Digest of the validation videos and their labels."""
    videos: Videos | None = None
    versions: dict[str, str] = {}
    validation: dict[str, float] = {}
    """Metrics of this checkpoint's validation."""
    history: ValidationHistory = ValidationHistory()
    recent_losses: list[float] = []
    """Those of the last line of the log."""
    losses_since_due: list[float] = []
    """After a stop between two checkpoints that were due: the losses since the first of them."""
    imported: dict[str, Any] | None = None
    """Where weights of others come from."""
    digests: dict[str, str] = {}
    """SHA-256 of each file beside, and of the rest of this one."""
