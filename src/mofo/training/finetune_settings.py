"""Everything a user can choose about a fine-tuning, in the sections of a recipe."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from mofo.clips.dataset import SAMPLINGS
from mofo.clips.token_area import SPANS, MotionSettings
from mofo.datasets.video import LABEL
from mofo.masking.kept_tokens import TokenSettings
from mofo.models.encoder import ENCODERS
from mofo.models.fusion import FUSIONS
from mofo.models.heads import LABELS
from mofo.models.model_settings import SIZES
from mofo.training.pretrain_settings import (
    ClipDataSettings,
    OptimSettings,
    RunSettings,
    TrainingSettings,
)
from mofo.training.recipe import Names, OneOf, Section
from mofo.types import SettingsError, TokenGrid


class LabelledDataSettings(ClipDataSettings):
    """Section ``data``: which clips, and which labels.

    Of a source that tells its splits only "train" is trained on.
    """

    validation: Names = ()
    """Videos to validate on; empty: those of ``source`` in the split "validation"."""
    heads: Annotated[Names, Field(min_length=1)] = (LABEL,)
    """Kinds of labels: "label", or "verb" and "noun"."""
    sampling: Annotated[str, OneOf("sampling", SAMPLINGS)] = "segments"
    """"segments": one frame from each of equal parts of the video; "dense": every ``stride``-th
    frame from some place on; with ``seconds`` all clips are so long."""
    stride: int = Field(4, ge=1)
    """Of "dense": every how many frames of the video one is taken."""
    per_class: int = Field(0, ge=0)
    """Take so many training videos of each class, drawn by the seed; 0: all. With several heads,
    of the classes of the first."""
    motion_crop: float = Field(0.0, ge=0, le=1)
    """Chance of a crop around what moves, at full resolution, in place of one at any place."""
    balance: float = Field(0.0, ge=0, le=1)
    """0: videos are seen equally often, 1: classes are; between: in between."""


class ClassifierChoice(Section):
    """Section ``model``."""

    init: str = ""
    """Checkpoint, run, or hf:PATH whose encoder to begin with; empty: from scratch."""
    encoder: Annotated[str, OneOf("encoder", ENCODERS, also="")] = ""
    """Kind of encoder; empty: as in ``init``, else "vit"."""
    size: Annotated[str, OneOf("model size", SIZES, also="")] = ""
    """Width and depth of an encoder from scratch; empty: "base". With ``init`` its own count."""
    tubelet: int = Field(0, ge=0)
    """Frames of a token; 0: as in ``init``, else 2."""
    patch: int = Field(0, ge=0)
    """Pixels along a side of a token; 0: as in ``init``, else 16."""
    fusion: Annotated[str, OneOf("fusion", FUSIONS)] = "cross_attention"
    """How the tokens of a clip become one vector; "cross_attention" is MOFO, "mean" VideoMAE."""
    fusion_heads: int = Field(0, ge=0)
    """Of the fusion's attention; 0: 3, or 4 where the width is no multiple of 3."""
    motion_threshold: float = Field(0.5, gt=0, le=1)
    """With a motion field: motion from which on a token is inside."""
    area_span: Annotated[str, OneOf("area_span", SPANS)] = "clip"
    """The motion area of a token is that of the whole clip, or of its own tubelet."""
    drop_path: float = Field(0.1, ge=0, lt=1)
    """Chance that the last block skips one of its branches for a sample."""
    freeze: str = "0"
    """"encoder", or how many of its first blocks do not train."""
    lora: int = Field(0, ge=0)
    """Rank of new matrices beside the encoder's, which then stays as it is (LoRA); 0: none."""
    activation_checkpointing: bool = False
    """Less memory for more time."""

    @field_validator("freeze", mode="before")
    @classmethod
    def _check_freeze(cls, value: Any) -> str:
        text = str(value)
        if text != "encoder" and not text.isdecimal():
            raise SettingsError(f"freeze {text!r}: say encoder, or a number of blocks")
        return text


class AugmentSettings(Section):
    """Section ``augment`` of a recipe. Defaults: VideoMAE's for Something-Something."""

    randaugment: int = Field(4, ge=0)
    """Operations drawn for a clip, each of which acts every other time; 0: none."""
    magnitude: float = Field(7.0, ge=0, le=10)
    """How strong they are, of 10: the mean."""
    magnitude_std: float = Field(0.5, ge=0)
    """Its standard deviation."""
    erasing: float = Field(0.25, ge=0, le=1)
    """Chance that a clip gets a rectangle erased, the same in all frames."""
    mixup: float = Field(0.8, ge=0)
    """Alpha of the Beta distribution of a clip's weight; 0: none."""
    cutmix: float = Field(1.0, ge=0)
    """The same for rectangles of another clip; 0: none."""
    mixing: float = Field(1.0, ge=0, le=1)
    """Chance that a clip is mixed at all."""
    switch: float = Field(0.5, ge=0, le=1)
    """Chance of cutmix for a clip that is mixed, where both are on."""

    @property
    def mixes(self) -> bool:
        """Whether any clip may be mixed with another."""
        return self.mixing > 0 and (self.mixup > 0 or self.cutmix > 0)


class LabelLossSettings(Section):
    """Section ``loss``."""

    labels: Annotated[str, OneOf("labels", LABELS)] = "single"
    """"single": a video has one class of each head; "multi": any number of them."""
    smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of each label that is spread over all classes."""


class FinetuneOptimSettings(OptimSettings):
    """Section ``optim``: as in pre-training, and rates that fall from the head to the pixels."""

    batch: int = Field(128, ge=1)
    """Clips a step, over all processes and accumulated passes; of fewer clips all are taken."""
    epochs: float = Field(50, gt=0)
    """Passes over the videos (``data.clips_per_video`` clips of each)."""
    warmup_epochs: float = Field(5, ge=0)
    """Epochs until the peak rate is reached."""
    lr: float = Field(5e-4, gt=0)
    """Peak learning rate for 256 clips a step; it is scaled linearly with ``batch``."""
    min_lr: float = Field(1e-6, ge=0)
    """Last learning rate for 256 clips a step."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.999,
    )
    """Of AdamW."""
    layer_decay: float = Field(0.75, gt=0, le=1)
    """Factor of the rate from each layer to the one below it; 1: all learn alike."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Decay of a running average of the weights, which is then validated and used; 0: none."""
    early_stop_patience: int = Field(0, ge=0)
    """Validations without a new best after which the run ends; 0: never."""


class FinetuneSettings(TrainingSettings):
    """A whole recipe of ``mofo finetune``."""

    task: str = "finetune"
    data: LabelledDataSettings
    run: RunSettings
    model: ClassifierChoice = ClassifierChoice()
    motion: MotionSettings = Field(default_factory=MotionSettings)
    tokens: TokenSettings = Field(default_factory=TokenSettings)
    augment: AugmentSettings = AugmentSettings()
    loss: LabelLossSettings = LabelLossSettings()
    optim: FinetuneOptimSettings = FinetuneOptimSettings()

    def grid(self, tubelet: int, patch: int) -> TokenGrid:
        """The tokens of a clip."""
        return TokenGrid(self.data.frames, self.data.size, self.data.size, tubelet, patch)
