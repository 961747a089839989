"""Settings of models as plain data, for the JSON of a checkpoint, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mofo.models.classifier import ClassifierSettings
from mofo.models.model_settings import ModelSettings, settings_from


def plain_model(settings: ModelSettings) -> dict[str, Any]:
    """Numbers and words only; the grid is a part of its own."""
    return asdict(settings)


def model_settings(content: Mapping[str, Any]) -> ModelSettings:
    """What ``plain_model`` gave.

    Raises:
        SettingsError: it holds something else.
    """
    return settings_from(ModelSettings, content)


def plain_classifier(settings: ClassifierSettings) -> dict[str, Any]:
    """Numbers and words only; the encoder's settings are a part of their own."""
    return asdict(settings)


def classifier_settings(content: Mapping[str, Any]) -> ClassifierSettings:
    """What ``plain_classifier`` gave.

    Raises:
        SettingsError: it holds something else.
    """
    return settings_from(ClassifierSettings, content)
