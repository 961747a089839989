"""Everything a user can choose about a fine-tuning, in the sections of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field

from mofo.clips.dataset import SAMPLINGS
from mofo.clips.token_area import SPANS
from mofo.datasets.video import LABEL
from mofo.models.fusion import FUSIONS
from mofo.models.heads import LABELS
from mofo.training.augment.augment_settings import AugmentSettings
from mofo.training.pretrain_settings import OptimSettings, RunSettings, check_section
from mofo.types import TokenGrid


@dataclass(frozen=True, kw_only=True)
class LabelledDataSettings:
    """Section ``data``: which clips, and what is asked about them.

    Attributes:
        source: videos with labels: CSV lists, catalogs, data sets in a known format. Of a source
            that tells its splits only "train" is trained on.
        validation: videos to validate on; empty: those of ``source`` in the split "validation".
        heads: kinds of labels: "label", or "verb" and "noun".
        areas: where motion comes from: folder of a store made by ``mofo detect``; or found while
            loading: "codec" (the file's motion vectors), "dis" (optical flow); "none"; or another
            one of ``MOTION_SOURCES``.
        sampling: "segments": one frame from each of equal parts of the video; "dense": every
            ``stride``-th frame from some place on.
        frames: frames of a clip.
        stride: see ``sampling``.
        size: height and width of a clip in pixels.
        flip: mirror half of the clips; not where labels know left from right.
        repeats: clips that are cut from each stretch of video once it is decoded.
        per_class: take so many training videos of each class, drawn by the seed; 0: all. With
            several heads, of the classes of the first.
        balance: 0: videos are seen equally often, 1: classes are; between: in between.
        max_unreadable: the run stops when more than this share of the videos cannot be read.
    """

    source: tuple[str, ...]
    validation: tuple[str, ...] = ()
    heads: tuple[str, ...] = (LABEL,)
    areas: str = "codec"
    sampling: str = "segments"
    frames: int = 16
    stride: int = 4
    size: int = 224
    flip: bool = False
    repeats: int = 1
    per_class: int = 0
    balance: float = 0.0
    max_unreadable: float = 0.05

    def __post_init__(self) -> None:
        check_section(
            "data",
            (bool(self.source), "source is empty: name a CSV list, a catalog or a data set"),
            (bool(self.heads), "heads is empty: name the kinds of labels, such as label"),
            (
                self.sampling in SAMPLINGS,
                f"sampling {self.sampling!r}: choose from {', '.join(SAMPLINGS)}",
            ),
            *(
                (getattr(self, name) >= 1, f"{name} {getattr(self, name)} is not above 0")
                for name in ("frames", "stride", "size", "repeats")
            ),
            (self.per_class >= 0, f"per_class {self.per_class} is below 0"),
            (0 <= self.balance <= 1, f"balance {self.balance} is not within 0 and 1"),
            (0 <= self.max_unreadable <= 1, "max_unreadable is a share: 0 to 1"),
        )


@dataclass(frozen=True, kw_only=True)
class ClassifierChoice:
    """Section ``model``.

    Attributes:
        init: checkpoint (or run) whose encoder to begin with; empty: from scratch.
        size: "nano", "tiny", "small", "base" or "large"; empty: as in ``init``, else "base".
        tubelet, patch: frames and pixels a side of a token; 0: as in ``init``, else 2 and 16.
        fusion: "cross_attention" (MOFO), "mean" (VideoMAE), "weighted_mean" or "attentive".
        fusion_heads: of its attention; 0: 3, or 4 where the width is no multiple of 3.
        per: the motion area of a token is that of the whole "clip", or of its "tubelet".
        drop_path: chance that the last block is skipped for a sample.
        freeze: "encoder", or how many of its first blocks do not train.
        activation_checkpointing: less memory for more time.
    """

    init: str = ""
    size: str = ""
    tubelet: int = 0
    patch: int = 0
    fusion: str = "cross_attention"
    fusion_heads: int = 0
    per: str = "clip"
    drop_path: float = 0.1
    freeze: int | str = "0"
    activation_checkpointing: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "freeze", str(self.freeze))  # 1 and "1" are the same
        check_section(
            "model",
            (
                self.fusion in FUSIONS,
                f"fusion {self.fusion!r}: choose from {', '.join(FUSIONS)}",
            ),
            (self.per in SPANS, f"per {self.per!r}: choose from {', '.join(SPANS)}"),
            *(
                (getattr(self, name) >= 0, f"{name} {getattr(self, name)} is below 0")
                for name in ("tubelet", "patch", "fusion_heads")
            ),
            (
                self.freeze == "encoder" or str(self.freeze).isdecimal(),
                f"freeze {self.freeze!r}: say encoder, or a number of blocks",
            ),
            (0 <= self.drop_path < 1, f"drop_path {self.drop_path} is not in [0, 1)"),
        )


@dataclass(frozen=True, kw_only=True)
class LabelLossSettings:
    """Section ``loss``.

    Attributes:
        labels: "single": a video has one class of each head; "multi": any number of them.
        smoothing: share of each label that is spread over all classes.
    """

    labels: str = "single"
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        check_section(
            "loss",
            (self.labels in LABELS, f"labels {self.labels!r}: choose from {', '.join(LABELS)}"),
            (0 <= self.smoothing < 1, f"smoothing {self.smoothing} is not in [0, 1)"),
        )


@dataclass(frozen=True, kw_only=True)
class FinetuneOptimSettings(OptimSettings):
    """Section ``optim``: as in pre-training, and rates that fall from the head to the pixels.

    Attributes:
        layer_decay: factor from each layer to the one below it; 1: all learn as fast.
        average: decay of a running average of the weights, which is then what is validated and
            used; 0: none.
        patience: validations without a new best after which the run ends; 0: never.
    """

    batch: int = 128
    epochs: float = 50
    warmup_epochs: float = 5
    lr: float = 5e-4
    min_lr: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float = 0.75
    average: float = 0.0
    patience: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_section(
            "optim",
            (0 < self.layer_decay <= 1, f"layer_decay {self.layer_decay} is not in (0, 1]"),
            (0 <= self.average < 1, f"average {self.average} is not in [0, 1)"),
            (self.patience >= 0, f"patience {self.patience} is below 0"),
        )


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """A whole recipe."""

    data: LabelledDataSettings
    run: RunSettings
    model: ClassifierChoice = field(default_factory=ClassifierChoice)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LabelLossSettings = field(default_factory=LabelLossSettings)
    optim: FinetuneOptimSettings = field(default_factory=FinetuneOptimSettings)

    def grid(self, tubelet: int, patch: int) -> TokenGrid:
        """The tokens of a clip."""
        return TokenGrid(self.data.frames, self.data.size, self.data.size, tubelet, patch)
