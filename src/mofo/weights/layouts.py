"""Layouts: whose names a file of weights has. ``LAYOUTS`` holds them; each is one class.

@LAYOUTS.register("mine")
class Mine(Layout): ...
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from mofo.models.classifier import ClassifierSettings
from mofo.models.model_settings import ModelSettings
from mofo.registry import Registry
from mofo.weights.loading import KeyReport, WeightsError, load_strictly
from mofo.weights.rules import Renaming, encoder_settings, make_rules
from mofo.weights.tensor_files import Opened

_MOFO_HEADS = 3  # of cross-attention, as published


@dataclass(frozen=True)
class Choices:
    """What the user says about a file, where it cannot say it itself.

    Attributes:
        fusion: of a classifier; None: what the file is made for.
        made_for: frames and pixels a side; None: what the file says, or 16 and 224.
        heads, decoder_heads: of the attention; None: one for each 64 channels.
    """

    head: str = "label"
    fusion: str | None = None
    made_for: tuple[int, int] | None = None
    heads: int | None = None
    decoder_heads: int | None = None


@dataclass(frozen=True)
class Plan:
    """How to take a file over.

    Attributes:
        settings: of our model; the grid is the one that the weights were made for.
        state: the file's tensors, by names without prefixes.
        allow_missing: patterns of our tensors that the file cannot have.
        class_names: None where the file does not say.
        options: that the program which wrote the file kept in it.
    """

    layout: str
    settings: ModelSettings | ClassifierSettings
    renaming: Renaming
    state: dict[str, Tensor]
    originals: dict[str, str]
    not_needed: dict[str, str] = field(default_factory=dict)
    allow_missing: tuple[str, ...] = ()
    class_names: list[str] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> ModelSettings:
        """Sizes; of a classifier, of its encoder."""
        return encoder_settings(self.settings)

    @property
    def classifier(self) -> ClassifierSettings | None:
        """Settings of a classifier; None: a pre-training."""
        return self.settings if isinstance(self.settings, ClassifierSettings) else None

    def load(
        self, allow_missing: Iterable[str] = (), allow_unexpected: Iterable[str] = ()
    ) -> tuple[dict[str, Tensor], KeyReport]:
        """The file's tensors as ours, and what became of each; see ``load_strictly``."""
        return load_strictly(
            self.state,
            make_rules(self.renaming, self.settings),
            originals=self.originals,
            not_needed=self.not_needed,
            allow_missing=(*self.allow_missing, *allow_missing),
            allow_unexpected=allow_unexpected,
        )


class Layout(ABC):
    """The names of one program.

    Attributes:
        description: whose, in one line.
    """

    description: ClassVar[str]

    @abstractmethod
    def matches(self, names: Sequence[str]) -> bool:
        """Whether the names in a file are this program's."""

    @abstractmethod
    def plan(self, opened: Opened, choices: Choices) -> Plan:
        """How to take the file over.

        Raises:
            WeightsError, SettingsError: a model that ours has no counterpart for.
        """


def _load() -> None:
    for module in ("hf_videomae", "mofo_release", "videomae", "vjepa2"):
        importlib.import_module(f"mofo.weights.{module}")


LAYOUTS: Registry[type[Layout]] = Registry("layout of weights", _load)


def make_plan(opened: Opened, choices: Choices) -> Plan:
    """The plan of the layout whose names these are; of several, of the most special class."""
    names = list(opened.tensors)
    kinds = [kind for kind in LAYOUTS.values() if kind().matches(names)]
    if not kinds:
        raise WeightsError(
            f"names such as {names[0]} are of no layout that can be imported "
            f"({', '.join(LAYOUTS)}); encoders of Hugging Face are used as they are: hf:PATH"
        )
    return max(kinds, key=lambda kind: len(kind.__mro__))().plan(opened, choices)


def with_fusion(classifier: ClassifierSettings, fusion: str | None) -> ClassifierSettings:
    """The same classifier with another fusion; None: as it is."""
    if not fusion or fusion == classifier.fusion:
        return classifier
    heads = _MOFO_HEADS if fusion == "cross_attention" else None
    return replace(classifier, fusion=fusion, fusion_heads=heads)
