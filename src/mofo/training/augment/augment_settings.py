"""What a user can choose about the augmentation of a fine-tuning."""

from __future__ import annotations

from pydantic import Field

from mofo.training.recipe import Section


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
