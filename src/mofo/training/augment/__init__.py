"""Augmentation for fine-tuning: RandAugment, erasing, mixing, on frames and motion areas alike."""

from mofo.training.augment.augment import Augmentation, Augmented, Plan
from mofo.training.augment.settings import AugmentSettings

__all__ = ["AugmentSettings", "Augmentation", "Augmented", "Plan"]
