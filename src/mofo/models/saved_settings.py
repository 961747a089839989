"""Settings of models as plain data, for the JSON of a checkpoint, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from mofo.models.classifier import ClassifierSettings
from mofo.models.model_settings import ModelSettings
from mofo.types import SettingsError, TokenGrid


def plain_model(settings: ModelSettings) -> dict[str, Any]:
    """Numbers and words only; the grid is a part of its own."""
    return asdict(settings)


def model_settings(content: Mapping[str, Any]) -> ModelSettings:
    """What ``plain_model`` gave.

    Raises:
        SettingsError: it holds something else.
    """
    return _built(ModelSettings, content, grid=lambda part: _built(TokenGrid, part))


def plain_classifier(settings: ClassifierSettings) -> dict[str, Any]:
    """Numbers and words only; the encoder's settings are a part of their own."""
    return asdict(settings)


def classifier_settings(content: Mapping[str, Any]) -> ClassifierSettings:
    """What ``plain_classifier`` gave.

    Raises:
        SettingsError: it holds something else.
    """
    return _built(ClassifierSettings, content, model=model_settings)


def _built(kind: Any, content: Mapping[str, Any], **parts: Callable[[Any], Any]) -> Any:
    name = kind.__name__
    if not isinstance(content, Mapping):
        raise SettingsError(f"{name}: {content!r} instead of keys with values")
    unknown = sorted(set(content) - {field.name for field in fields(kind)})
    if unknown:
        raise SettingsError(f"{name}: unknown key {unknown[0]!r}: written by a newer version?")
    try:
        return kind(**{key: parts.get(key, _same)(value) for key, value in content.items()})
    except TypeError as error:
        raise SettingsError(f"{name}: {error}") from None


def _same(value: Any) -> Any:
    return value
