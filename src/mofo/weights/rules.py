"""Names of tensors: another program's and ours, as one list of renaming rules a layout.

A rule is a pair of templates: our name, and theirs. ``{n}`` stands for a number, ``{p}`` for weight
or bias, ``{head}`` for the name of a classifier's head, ``{rest}`` for anything. Theirs may be
several parts, joined along the first axis (``a + b``), each with several names, the present one
first (``a | b``). Shapes come from our model. Two tensors have another shape there: the patch
embedding is a convolution's kernel, (D, c, p0, p1, p2), ours (D, (p0 p1 p2 c)); the mask token is
(1, 1, D), ours (D,).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import CHANNELS, ModelSettings
from mofo.types import SettingsError, TokenGrid

Shape = tuple[int, ...]
Renaming = Sequence[tuple[str, str]]
Settings = ModelSettings | ClassifierSettings

_POSITIONS = "positions.made_for"
_COMPUTED = (_POSITIONS, ".scale_C", ".shift_C")  # from settings, in no file
_KERNEL, _MASK_TOKEN = "encoder.embed.proj.weight", "decoder.mask_token"
_FIELDS = {
    "{n}": r"(?P<n>\d+)",
    "{p}": r"(?P<p>weight|bias)",
    "{head}": r"(?P<head>\w+)",
    "{rest}": r"(?P<rest>.+)",
}


@dataclass(frozen=True)
class Rule:
    """Where one of our tensors comes from.

    ``theirs``: of each part the names that it may have, the present one first.
    """

    ours: str
    shape: Shape
    theirs: tuple[tuple[str, ...], ...]
    their_shape: Shape

    @property
    def part_shape(self) -> Shape:
        """Shape of each part in their file."""
        return (self.their_shape[0] // len(self.theirs), *self.their_shape[1:])

    def take(self, parts: Sequence[Tensor]) -> Tensor:
        """Their tensors as ours."""
        tensor = torch.cat(list(parts)) if len(parts) > 1 else parts[0]
        if len(self.their_shape) > len(self.shape) > 1:
            tensor = tensor.movedim(1, -1)
        return tensor.reshape(self.shape)

    def give(self, tensor: Tensor) -> dict[str, Tensor]:
        """Ours as their tensors, by their present names."""
        if len(self.their_shape) > len(self.shape) > 1:
            width, channels, *block = self.their_shape
            tensor = tensor.reshape(width, *block, channels).movedim(-1, 1)
        parts = tensor.reshape(self.their_shape).chunk(len(self.theirs))
        return {
            names[0]: part.clone(memory_format=torch.contiguous_format)
            for names, part in zip(self.theirs, parts, strict=True)
        }


def make_rules(renaming: Renaming, settings: Settings) -> list[Rule]:
    """A rule for each tensor of our model, but for what positions remember."""
    grid = encoder_settings(settings).grid
    patterns = [(re.compile(_pattern(ours)), theirs) for ours, theirs in renaming]
    rules = []
    for name, shape in model_shapes(settings).items():
        matches = ((pattern.fullmatch(name), theirs) for pattern, theirs in patterns)
        match, theirs = next((m, text) for m, text in matches if m is not None)
        for field, value in match.groupdict().items():
            theirs = theirs.replace(f"{{{field}}}", value)
        parts = tuple(tuple(part.split(" | ")) for part in theirs.split(" + "))
        rules.append(Rule(name, shape, parts, _their_shape(name, shape, grid)))
    return rules


def encoder_settings(settings: Settings) -> ModelSettings:
    """Sizes; of a classifier, of its encoder."""
    return settings.model if isinstance(settings, ClassifierSettings) else settings


def check_vit(settings: Settings) -> None:
    """Raises a SettingsError if the model is not our ViT on pixels: the layouts know no other."""
    if isinstance(settings, ModelSettings) and settings.target_width:
        raise SettingsError(
            "predicts features of another encoder, but other programs' pre-trainings predict "
            "pixels: fine-tune it and export the classifier"
        )
    encoder = encoder_settings(settings).encoder
    if encoder != "vit":
        raise SettingsError(
            f"encoder {encoder!r} has no counterpart in VideoMAE: ONNX and torch.export take "
            "classifiers with any encoder"
        )


def give_back(state: Mapping[str, Tensor], rules: Iterable[Rule]) -> dict[str, Tensor]:
    """Our tensors as theirs, by their present names."""
    tensors: dict[str, Tensor] = {}
    for rule in rules:
        tensors |= rule.give(state[rule.ours])
    return tensors


def model_shapes(settings: Settings) -> dict[str, Shape]:
    """Shapes of our model's tensors; none is made."""
    with torch.device("meta"):
        state = new_model(settings).state_dict()
    return {n: tuple(t.shape) for n, t in state.items() if not n.endswith(_COMPUTED)}


def new_model(settings: Settings) -> Classifier | MaskedAutoencoder:
    """A model of these settings with weights as at the start of a training (seed 0)."""
    if isinstance(settings, ClassifierSettings):
        return Classifier(settings)
    return MaskedAutoencoder(settings)


def made_for(settings: Settings) -> dict[str, Tensor]:
    """What is in no file: the grid (t, h, w) of positions, the scales of an encoder's pixels."""
    model = encoder_settings(settings)
    if model.encoder != "vit":
        state = new_model(settings).state_dict()
        return {name: tensor for name, tensor in state.items() if name.endswith(_COMPUTED)}
    grid = model.grid
    parts = ("encoder",) if isinstance(settings, ClassifierSettings) else ("encoder", "decoder")
    return {f"{part}.{_POSITIONS}": torch.tensor([grid.t, grid.h, grid.w]) for part in parts}


def _pattern(template: str) -> str:
    pattern = re.escape(template)
    for field, expression in _FIELDS.items():
        pattern = pattern.replace(re.escape(field), expression)
    return pattern


def _their_shape(name: str, shape: Shape, grid: TokenGrid) -> Shape:
    if name == _KERNEL:
        return (shape[0], CHANNELS, grid.tubelet, grid.patch, grid.patch)
    return (1, 1, *shape) if name == _MASK_TOKEN else shape
