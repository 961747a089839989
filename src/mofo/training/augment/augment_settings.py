"""What a user can choose about the augmentation of a fine-tuning."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mofo.types import SettingsError


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Section ``augment`` of a recipe. Defaults: VideoMAE's for Something-Something.

    Attributes:
        randaugment: operations drawn for a clip, each of which acts every other time; 0: none.
        magnitude, magnitude_std: how strong they are, of 10: mean and standard deviation.
        erasing: chance that a clip gets a rectangle erased, the same in all frames.
        mixup: alpha of the Beta distribution of a clip's weight; 0: none.
        cutmix: the same for rectangles of another clip; 0: none.
        mixing: chance that a clip is mixed at all.
        switch: chance of cutmix for a clip that is mixed, where both are on.

    Raises:
        SettingsError: one line with everything that is wrong.
    """

    randaugment: int = 4
    magnitude: float = 7.0
    magnitude_std: float = 0.5
    erasing: float = 0.25
    mixup: float = 0.8
    cutmix: float = 1.0
    mixing: float = 1.0
    switch: float = 0.5

    def __post_init__(self) -> None:
        problems = []
        count = self.randaugment
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            problems.append(f"randaugment {count!r} is not a whole number from 0 on")
        problems += [
            f"{name} {getattr(self, name)!r} is not {expected}"
            for name, most, expected in (
                ("magnitude", 10, "within 0 and 10"),
                ("magnitude_std", math.inf, "a number from 0 on"),
                ("erasing", 1, "a share: 0 to 1"),
                ("mixup", math.inf, "a number from 0 on"),
                ("cutmix", math.inf, "a number from 0 on"),
                ("mixing", 1, "a share: 0 to 1"),
                ("switch", 1, "a share: 0 to 1"),
            )
            if not _within(getattr(self, name), most)
        ]
        if problems:
            raise SettingsError("augment: " + "; ".join(problems))

    @property
    def mixes(self) -> bool:
        """Whether any clip may be mixed with another."""
        return self.mixing > 0 and (self.mixup > 0 or self.cutmix > 0)


def _within(value: object, most: float) -> bool:
    """Whether it is a finite number from 0 to ``most``."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return 0 <= value <= most and math.isfinite(value)
