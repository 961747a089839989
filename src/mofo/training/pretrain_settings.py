"""Everything a user can choose about a pre-training, in the sections of a recipe.

The text below a field is its help: ``mofo pretrain --keys`` prints it.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from mofo.clips.token_area import MotionSettings
from mofo.clips.transforms import FITS
from mofo.masking import MaskSettings
from mofo.models.encoder import ENCODERS
from mofo.models.model_settings import SIZES, ModelSettings
from mofo.system.environment import PATIENCE, PRECISIONS
from mofo.training.recipe import Names, OneOf, Section, Settings
from mofo.types import SettingsError, TokenGrid


class ClipDataSettings(Section):
    """What all trainings choose about their clips."""

    source: Annotated[Names, Field(min_length=1)]
    """Videos: files, folders (searched through), globs, CSV lists, catalogs, known data sets."""
    areas: str = "codec"
    """Where motion comes from: folder of a store made by ``mofo detect``; or found while loading:
    "codec" (the file's motion vectors), "dis" (optical flow); "none"; or another one of
    ``MOTION_SOURCES``."""
    frames: int = Field(16, ge=1)
    """Frames of a clip."""
    stride: int = Field(2, ge=1)
    """Every how many frames of the video one is taken."""
    seconds: float = Field(0.0, ge=0)
    """Length of a clip in seconds, whatever the frame rate, in place of ``stride``; 0: not used."""
    fit: Annotated[str, OneOf("fit", FITS)] = "crop"
    """"crop": a part of the frame in the clip's shape; "pad": all of it, with black bars;
    "squeeze": all of it, its shape changed."""
    size: int = Field(224, ge=1)
    """Height and width of a clip in pixels."""
    flip: bool = False
    """Mirror half of the clips; not where labels know left from right."""
    clips_per_video: int = Field(1, ge=1)
    """Clips that are cut from each segment of video once it is decoded."""
    max_unreadable: float = Field(0.05, ge=0, le=1)
    """The run stops when more than this share of the videos cannot be read."""

    def cut(self) -> dict[str, Any]:
        """How clips are cut from videos, as checkpoints remember it."""
        return self.model_dump(include={"stride", "seconds", "fit", "sampling", "areas"})


class DataSettings(ClipDataSettings):
    """Section ``data``: which clips."""

    split: str = ""
    """Take only videos of this split ("train"), where the source tells; empty: all."""
    moving: float = Field(0.0, ge=0, le=1)
    """Prefer parts of videos in which something moves, which a store of areas knows: 0 not at all,
    1 in proportion to the moving frames."""
    prefer: str = ""
    """See videos in proportion to a column of their scores, such as scores.parquet:moving."""


class ModelChoice(Section):
    """Section ``model``."""

    encoder: Annotated[str, OneOf("encoder", ENCODERS)] = "vit"
    """Kind of encoder; "vit" is VideoMAE's vision transformer."""
    size: Annotated[str, OneOf("model size", SIZES)] = "base"
    """Width and depth of encoder and decoder."""
    tubelet: int = Field(2, ge=1)
    """Frames of a token."""
    patch: int = Field(16, ge=1)
    """Pixels along a side of a token."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Chance that the last block skips one of its branches for a sample; 0 in pre-training."""
    activation_checkpointing: bool = False
    """Less memory for more time."""


class LossSettings(Section):
    """Section ``loss``."""

    decode: float = Field(1.0, gt=0, le=1)
    """Share of the hidden tokens that is predicted; 0.5 saves a third of a step."""
    outside: float = Field(1.0, ge=0)
    """Weight of the tokens outside the motion area; inside it is 1."""
    normalise: bool = True
    """Targets with mean and deviation of each token taken out."""


class OptimSettings(Section):
    """Section ``optim``: AdamW, cosine per step after a linear warm-up.

    The one rule about learning rates: both are given for 256 clips a step and scaled linearly,
    ``lr * batch / 256``. ``batch`` counts the clips of a whole step, over all processes and
    accumulated passes, so that a recipe means the same on any hardware.
    """

    batch: int = Field(2048, ge=1)
    """Clips a step, over all processes and accumulated passes; of fewer clips all are taken."""
    epochs: float = Field(800, gt=0)
    """Passes over the videos (``data.clips_per_video`` clips of each)."""
    warmup_epochs: float = Field(40, ge=0)
    """Epochs until the peak rate is reached."""
    lr: float = Field(1.5e-4, gt=0)
    """Peak learning rate for 256 clips a step; it is scaled linearly with ``batch``."""
    min_lr: float = Field(1e-5, ge=0)
    """Last learning rate for 256 clips a step."""
    weight_decay: float = Field(0.05, ge=0)
    """On matrices; none on vectors."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.95,
    )
    """Of AdamW."""
    clip_grad_norm: float = Field(0.0, ge=0)
    """Largest norm of the gradient; 0: not clipped."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.warmup_epochs > self.epochs:
            raise SettingsError(
                f"optim: warmup_epochs {self.warmup_epochs:g} is above epochs {self.epochs:g}"
            )
        if self.min_lr > self.lr:
            raise SettingsError(f"optim: min_lr {self.min_lr:g} is above lr {self.lr:g}")
        return self


class RunSettings(Section):
    """Section ``run``: where and how. Nothing in it changes what is computed but ``seed``."""

    out: str = Field(min_length=1)
    """Folder of the run; the same command continues what is there."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Of weights, order, crops and masks."""
    precision: Annotated[str, OneOf("precision", PRECISIONS)] = "auto"
    """Of products; "auto": bf16 on a GPU, fp32 elsewhere."""
    micro_batch: int = Field(32, ge=1)
    """Clips that a process takes at once; a step accumulates as many as it needs."""
    workers: int = Field(8, ge=0)
    """Processes that read videos, for each process that trains; at most one a processor."""
    compile: bool = False
    """Let torch compile the model."""
    shard: bool = False
    """Divide weights, gradients and moments among the processes (FSDP2), as
    ``accelerate launch --use_fsdp`` does; for models that are too large for one GPU."""
    patience: float = Field(PATIENCE, ge=0)
    """Seconds after which a process that others wait for ends the run, with a line that names it;
    0: never."""
    log_every: int = Field(20, ge=1)
    """Steps between the lines of the log."""
    save_every: int = Field(1000, ge=0)
    """Steps between checkpoints; 0: twenty in the whole run."""
    keep_last: int = Field(3, ge=1)
    """Last checkpoints that are kept, the best one besides."""
    pictures_every: int = Field(0, ge=0)
    """Steps between pictures of what the model gets and predicts; 0: none."""
    stop_at: int = Field(0, ge=0)
    """Step after which the run ends for now, as if stopped by hand; 0: none."""
    trackers: Names = ("tensorboard",)
    """Of accelerate: "tensorboard", "wandb" ..."""


class TrainingSettings(Settings):
    """What the settings of all tasks have: the sections ``data``, ``model``, ``optim``, ``run``."""

    task: str
    """What is trained: a name of ``mofo.training.tasks.TASKS``."""
    data: ClipDataSettings
    run: RunSettings
    model: Section
    optim: OptimSettings


class PretrainSettings(TrainingSettings):
    """A whole recipe of ``mofo pretrain``."""

    task: str = "pretrain"
    data: DataSettings
    run: RunSettings
    model: ModelChoice = ModelChoice()
    motion: MotionSettings = Field(default_factory=MotionSettings)
    mask: MaskSettings = Field(default_factory=MaskSettings)
    loss: LossSettings = LossSettings()
    optim: OptimSettings = OptimSettings()

    def grid(self) -> TokenGrid:
        """The tokens of a clip."""
        data, model = self.data, self.model
        return TokenGrid(data.frames, data.size, data.size, model.tubelet, model.patch)

    def model_settings(self) -> ModelSettings:
        """What the autoencoder is built from."""
        return ModelSettings.named(
            self.model.size,
            grid=self.grid(),
            encoder=self.model.encoder,
            drop_path=self.model.drop_path,
            activation_checkpointing=self.model.activation_checkpointing,
            normalise_target=self.loss.normalise,
        )
