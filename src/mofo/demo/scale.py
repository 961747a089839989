"""How much the demonstration does: enough to learn something in ten minutes on two processors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mofo.types import SettingsError


@dataclass(frozen=True, kw_only=True)
class DemoScale:
    """Sizes of everything.

    Attributes:
        clips: generated, over all splits.
        size: height and width of a generated clip, pixels.
        batch: clips a step.
        pretrain_steps, finetune_steps: of each of the two models.
        save_every: steps between checkpoints.
        seconds: of given video in all; more is left out, with a word about it.
        draws: resamplings for an interval.
        seed: of the clips and the trainings.

    Raises:
        SettingsError: too few clips for a split or a batch.
    """

    clips: int = 1600
    size: int = 64
    batch: int = 32
    pretrain_steps: int = 400
    finetune_steps: int = 1200
    save_every: int = 200
    seconds: float = 240.0
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clips < 20 or self.training_clips < self.batch:
            raise SettingsError(
                f"{self.clips} clips are too few for batches of {self.batch}: 20 are the least, "
                "and 70 % of them are for training"
            )

    @property
    def training_clips(self) -> int:
        """So many clips, at least, are in the split "train"."""
        return 14 * (self.clips // 20)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
