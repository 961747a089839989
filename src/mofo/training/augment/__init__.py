"""Augmentation for fine-tuning: RandAugment, erasing, mixing, on frames and motion areas alike."""

from mofo.training.augment.augmentation import Augmentation, Augmented, Plan
from mofo.training.finetune_settings import AugmentSettings

__all__ = ["AugmentSettings", "Augmentation", "Augmented", "Plan"]
