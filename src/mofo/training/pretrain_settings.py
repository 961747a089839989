"""Everything a user can choose about a pre-training, in the sections of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from mofo.masking import MaskSettings
from mofo.models.model_settings import ModelSettings
from mofo.types import SettingsError, TokenGrid

PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Section ``data``: which clips.

    Attributes:
        source: videos: files, folders (searched through), globs, CSV lists.
        split: take only videos of this split ("train"), where the source tells; empty: all.
        areas: where motion comes from: folder of a store made by ``mofo detect``; or found while
            loading: "codec" (the file's motion vectors), "dis" (optical flow); "none"; or another
            one of ``MOTION_SOURCES``.
        frames: frames of a clip.
        stride: every how many frames of the video one is taken.
        size: height and width of a clip in pixels.
        flip: mirror half of the clips; not where labels know left from right.
        repeats: clips that are cut from each stretch of video once it is decoded.
        max_unreadable: the run stops when more than this share of the videos cannot be read.
    """

    source: tuple[str, ...]
    split: str = ""
    areas: str = "codec"
    frames: int = 16
    stride: int = 2
    size: int = 224
    flip: bool = False
    repeats: int = 1
    max_unreadable: float = 0.05

    def __post_init__(self) -> None:
        check_section(
            "data",
            (bool(self.source), "source is empty: name files, folders or a CSV list"),
            (self.frames >= 1, f"frames {self.frames} is not above 0"),
            (self.stride >= 1, f"stride {self.stride} is not above 0"),
            (self.size >= 1, f"size {self.size} is not above 0"),
            (self.repeats >= 1, f"repeats {self.repeats} is not above 0"),
            (0 <= self.max_unreadable <= 1, "max_unreadable is a share: 0 to 1"),
        )


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Section ``model``.

    Attributes:
        size: "nano", "tiny", "small", "base" or "large".
        tubelet, patch: frames and pixels a side of a token.
        drop_path: see ``ModelSettings``; 0 in pre-training.
        activation_checkpointing: less memory for more time.
    """

    size: str = "base"
    tubelet: int = 2
    patch: int = 16
    drop_path: float = 0.0
    activation_checkpointing: bool = False


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Section ``loss``.

    Attributes:
        decode: share of the hidden tokens that is predicted; 0.5 saves a third of a step.
        outside: weight of the tokens outside the motion area; inside it is 1.
        normalise: targets with mean and deviation of each token taken out.
    """

    decode: float = 1.0
    outside: float = 1.0
    normalise: bool = True

    def __post_init__(self) -> None:
        check_section(
            "loss",
            (0 < self.decode <= 1, f"decode {self.decode} is not above 0 and at most 1"),
            (self.outside >= 0, f"outside {self.outside} is below 0"),
        )


@dataclass(frozen=True, kw_only=True)
class OptimSettings:
    """Section ``optim``: AdamW, cosine per step after a linear warm-up.

    The one rule about learning rates: both are given for 256 clips a step and scaled linearly,
    ``lr * batch / 256``. ``batch`` counts the clips of a whole step, over all processes and
    accumulated passes, so that a recipe means the same on any hardware.

    Attributes:
        batch: clips a step.
        epochs: passes over the videos (``repeats`` clips of each).
        warmup_epochs: until the peak rate is reached.
        lr, min_lr: peak and last learning rate for 256 clips a step.
        weight_decay: on matrices; none on vectors.
        betas: of AdamW.
        clip: largest norm of the gradient; 0: not clipped.
    """

    batch: int = 2048
    epochs: float = 800
    warmup_epochs: float = 40
    lr: float = 1.5e-4
    min_lr: float = 1e-5
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 0.0

    def __post_init__(self) -> None:
        check_section(
            "optim",
            (self.batch >= 1, f"batch {self.batch} is not above 0"),
            (self.epochs > 0, f"epochs {self.epochs} is not above 0"),
            (0 <= self.warmup_epochs <= self.epochs, "warmup_epochs is not within 0 and epochs"),
            (self.lr > 0, f"lr {self.lr} is not above 0"),
            (0 <= self.min_lr <= self.lr, f"min_lr {self.min_lr} is not within 0 and lr"),
            (self.weight_decay >= 0, f"weight_decay {self.weight_decay} is below 0"),
            (all(0 <= beta < 1 for beta in self.betas), f"betas {self.betas} are not in [0, 1)"),
            (self.clip >= 0, f"clip {self.clip} is below 0"),
        )


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Section ``run``: where and how. Nothing in it changes what is computed but ``seed``.

    Attributes:
        out: folder of the run; the same command goes on with what is there.
        seed: of weights, order, crops and masks.
        precision: "fp32", "bf16", or "auto": bf16 on a GPU.
        micro_batch: clips that a process takes at once; a step accumulates as many as it needs.
        workers: processes that read videos, for each process that trains; at most one a processor.
        compile: let torch compile the model.
        log_every: steps between the lines of the log.
        save_every: steps between checkpoints.
        keep: last checkpoints that are kept, the best one besides.
        pictures_every: steps between pictures of masks and reconstructions; 0: none.
        stop_at: step after which the run ends for now, as if stopped by hand; 0: none.
        trackers: of accelerate: "tensorboard", "wandb" ...
    """

    out: str
    seed: int = 0
    precision: str = "auto"
    micro_batch: int = 32
    workers: int = 8
    compile: bool = False
    log_every: int = 20
    save_every: int = 1000
    keep: int = 3
    pictures_every: int = 0
    stop_at: int = 0
    trackers: tuple[str, ...] = ("tensorboard",)

    def __post_init__(self) -> None:
        check_section(
            "run",
            (bool(self.out), "out is empty: name a folder"),
            (self.seed >= 0, f"seed {self.seed} is below 0"),
            (
                self.precision in PRECISIONS,
                f"precision {self.precision!r}: choose from {', '.join(PRECISIONS)}",
            ),
            *(
                (getattr(self, name) >= 1, f"{name} {getattr(self, name)} is not above 0")
                for name in ("micro_batch", "log_every", "save_every", "keep")
            ),
            *(
                (getattr(self, name) >= 0, f"{name} {getattr(self, name)} is below 0")
                for name in ("workers", "pictures_every", "stop_at")
            ),
        )


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """A whole recipe."""

    data: DataSettings
    run: RunSettings
    model: ModelChoice = field(default_factory=ModelChoice)
    mask: MaskSettings = field(default_factory=MaskSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)

    def grid(self) -> TokenGrid:
        """The tokens of a clip."""
        data, model = self.data, self.model
        return TokenGrid(data.frames, data.size, data.size, model.tubelet, model.patch)

    def model_settings(self) -> ModelSettings:
        """What the autoencoder is built from."""
        return ModelSettings.named(
            self.model.size,
            grid=self.grid(),
            drop_path=self.model.drop_path,
            activation_checkpointing=self.model.activation_checkpointing,
            normalise_target=self.loss.normalise,
        )


class CommonData(Protocol):
    """What any run asks of its section ``data``."""

    @property
    def areas(self) -> str: ...  # noqa: D102
    @property
    def repeats(self) -> int: ...  # noqa: D102
    @property
    def max_unreadable(self) -> float: ...  # noqa: D102


class CommonModel(Protocol):
    """What any run asks of its section ``model``."""

    @property
    def size(self) -> str: ...  # noqa: D102


class Settings(Protocol):
    """What the settings of all runs have in common."""

    @property
    def data(self) -> CommonData: ...  # noqa: D102
    @property
    def model(self) -> CommonModel: ...  # noqa: D102
    @property
    def optim(self) -> OptimSettings: ...  # noqa: D102
    @property
    def run(self) -> RunSettings: ...  # noqa: D102


def check_section(section: str, *conditions: tuple[bool, str]) -> None:
    """Raises a SettingsError that lists the texts of all conditions that do not hold."""
    problems = [text for holds, text in conditions if not holds]
    if problems:
        raise SettingsError(f"{section}: " + "; ".join(problems))
