"""Augmentation for fine-tuning: RandAugment, erasing, mixing, on frames and motion areas alike."""

from mofo.training.augment.augment_settings import AugmentSettings
from mofo.training.augment.augmentation import Augmentation, Augmented, Plan

__all__ = ["AugmentSettings", "Augmentation", "Augmented", "Plan"]
