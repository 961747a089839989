"""Rules that say which tensors of another program's file are which of ours, both ways.

A ``Layout`` holds the names of a program once; from it and a model's sizes follow the rules, one
for each of our tensors. Whatever a file has beside them, lacks, or has in another shape, is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mofo.models.model_settings import CHANNELS, ModelSettings

Shape = tuple[int, ...]
POSITIONS = ("encoder.positions.made_for", "decoder.positions.made_for")
_MLP = 4


@dataclass(frozen=True)
class Rule:
    """Where one of our tensors comes from.

    Attributes:
        ours, shape: its name and shape.
        theirs: of each part the names that it may have, the present one first. Parts are joined
            along the first axis.
        their_shape: of the whole before it is brought into ours; None: the same. A convolution's
            kernel is (D, c, p0, p1, p2), ours (D, (p0 p1 p2 c)).
    """

    ours: str
    shape: Shape
    theirs: tuple[tuple[str, ...], ...]
    their_shape: Shape | None = None

    def part_shape(self) -> Shape:
        """Shape of each part in their file."""
        first, *rest = self.their_shape or self.shape
        return (first // len(self.theirs), *rest)

    def take(self, parts: Sequence[Tensor]) -> Tensor:
        """Their tensors as ours."""
        tensor = torch.cat(list(parts)) if len(parts) > 1 else parts[0]
        if self.their_shape is not None and len(self.their_shape) == 5:
            tensor = tensor.movedim(1, -1)
        return tensor.reshape(self.shape)

    def give(self, tensor: Tensor) -> dict[str, Tensor]:
        """Ours as their tensors, by their present names."""
        if self.their_shape is not None and len(self.their_shape) == 5:
            width, channels, *block = self.their_shape
            tensor = tensor.reshape(width, *block, channels).movedim(-1, 1)
        elif self.their_shape is not None:
            tensor = tensor.reshape(self.their_shape)
        parts = tensor.chunk(len(self.theirs))
        return {
            names[0]: part.clone(memory_format=torch.contiguous_format)
            for names, part in zip(self.theirs, parts, strict=True)
        }


@dataclass(frozen=True)
class Layout:
    """The names of one program.

    Attributes:
        kernel: the patch embedding's convolution.
        encoder, decoder: the blocks, before their number.
        inside: in a block, of our layers with weight and bias, theirs.
        qkv: in a block, the matrix of queries, keys and values, or the three.
        q_bias, v_bias: in a block, names they may have, the present one first.
        outside: of our layers outside the blocks, theirs.
    """

    kernel: str
    encoder: str
    decoder: str
    inside: Mapping[str, str]
    qkv: tuple[str, ...]
    q_bias: tuple[str, ...]
    v_bias: tuple[str, ...]
    outside: Mapping[str, str]


class Match(NamedTuple):
    """One of our tensors that was found.

    Attributes:
        ours, theirs: its name, and theirs of all parts.
        shape, their_shape: of ours, and of each part.
    """

    ours: str
    theirs: tuple[str, ...]
    shape: Shape
    their_shape: Shape

    @property
    def reshaped(self) -> bool:
        """Whether it has another shape here than there."""
        return self.shape != self.their_shape


class Translation(NamedTuple):
    """What became of a file.

    Attributes:
        tensors: ours, by name.
        matched: one for each of them.
        missing: our and their name.
        misfits: their name, its shape, the shape it should have.
        unexpected: their names that no rule asks for.
    """

    tensors: dict[str, Tensor]
    matched: tuple[Match, ...]
    missing: tuple[tuple[str, str], ...]
    misfits: tuple[tuple[str, Shape, Shape], ...]
    unexpected: tuple[str, ...]


def translate(state: Mapping[str, Tensor], rules: Iterable[Rule]) -> Translation:
    """Their tensors as ours; what does not work out is listed, not raised."""
    found = Translation({}, (), (), (), ())
    matched: list[Match] = []
    missing: list[tuple[str, str]] = []
    misfits: list[tuple[str, Shape, Shape]] = []
    used: set[str] = set()
    for rule in rules:
        names = [next((name for name in part if name in state), None) for part in rule.theirs]
        present = [name for name in names if name is not None]
        again = used.intersection(present)  # two of ours from one of theirs: each its own memory
        used.update(present)
        missing += [
            (rule.ours, part[0])
            for name, part in zip(names, rule.theirs, strict=True)
            if name is None
        ]
        wanted = rule.part_shape()
        wrong = [
            (name, tuple(state[name].shape), wanted)
            for name in present
            if tuple(state[name].shape) != wanted
        ]
        misfits += wrong
        if len(present) == len(names) and not wrong:
            parts = [state[name].clone() if again else state[name] for name in present]
            found.tensors[rule.ours] = rule.take(parts)
            matched.append(Match(rule.ours, tuple(present), rule.shape, wanted))
    unexpected = tuple(sorted(state.keys() - used))
    return Translation(found.tensors, tuple(matched), tuple(missing), tuple(misfits), unexpected)


def give_back(state: Mapping[str, Tensor], rules: Iterable[Rule]) -> dict[str, Tensor]:
    """Our tensors as theirs."""
    theirs: dict[str, Tensor] = {}
    for rule in rules:
        theirs |= rule.give(state[rule.ours])
    return theirs


def encoder_rules(layout: Layout, settings: ModelSettings, *, final_norm: bool) -> list[Rule]:
    """For an ``Encoder`` under the name ``encoder``."""
    grid, width = settings.grid, settings.width
    kernel = (width, CHANNELS, grid.tubelet, grid.patch, grid.patch)
    pixels = settings.token_pixels
    weight = Rule(
        "encoder.embed.proj.weight", (width, pixels), ((f"{layout.kernel}.weight",),), kernel
    )
    rules = [weight, Rule("encoder.embed.proj.bias", (width,), ((f"{layout.kernel}.bias",),))]
    for number in range(settings.depth):
        stacks = (f"encoder.blocks.{number}", f"{layout.encoder}.{number}")
        rules += block_rules(layout, *stacks, width)
    if final_norm:
        rules += norm_rules("encoder.norm", layout.outside["encoder.norm"], width)
    return rules


def decoder_rules(layout: Layout, settings: ModelSettings) -> list[Rule]:
    """For a ``Decoder`` under the name ``decoder``."""
    width, outside = settings.decoder_width, layout.outside
    embed, token = outside["decoder.embed"], outside["decoder.mask_token"]
    rules = [
        Rule("decoder.embed.weight", (width, settings.width), ((f"{embed}.weight",),)),
        Rule("decoder.mask_token", (width,), ((token,),), (1, 1, width)),
    ]
    for number in range(settings.decoder_depth):
        stacks = (f"decoder.blocks.{number}", f"{layout.decoder}.{number}")
        rules += block_rules(layout, *stacks, width)
    rules += norm_rules("decoder.norm", outside["decoder.norm"], width)
    head = (settings.token_pixels, width)
    return rules + linear_rules("decoder.head", outside["decoder.head"], *head)


def head_rules(layout: Layout, width: int, head: str, classes: int) -> list[Rule]:
    """For ``Heads`` with one question, under the name ``head``."""
    norm, linear = layout.outside["head.norm"], layout.outside["head.linear"]
    rules = norm_rules("head.norm", norm, width)
    return rules + linear_rules(f"head.linear.{head}", linear, classes, width)


def block_rules(layout: Layout, ours: str, theirs: str, width: int) -> list[Rule]:
    """For one ``Block``."""

    def names(parts: Iterable[str]) -> tuple[str, ...]:
        return tuple(f"{theirs}.{part}" for part in parts)

    inside = {our: f"{theirs}.{their}" for our, their in layout.inside.items()}
    matrices = tuple((name,) for name in names(layout.qkv))
    return [
        *norm_rules(f"{ours}.attention.norm", inside["attention.norm"], width),
        Rule(f"{ours}.attention.qkv.weight", (3 * width, width), matrices),
        Rule(f"{ours}.attention.q_bias", (width,), (names(layout.q_bias),)),
        Rule(f"{ours}.attention.v_bias", (width,), (names(layout.v_bias),)),
        *linear_rules(f"{ours}.attention.proj", inside["attention.proj"], width, width),
        *mlp_rules(ours, inside, width),
    ]


def mlp_rules(ours: str, inside: Mapping[str, str], width: int) -> list[Rule]:
    """For an ``Mlp`` under the name ``mlp``; ``inside``: their full names of its layers."""
    return [
        *norm_rules(f"{ours}.mlp.norm", inside["mlp.norm"], width),
        *linear_rules(f"{ours}.mlp.fc1", inside["mlp.fc1"], _MLP * width, width),
        *linear_rules(f"{ours}.mlp.fc2", inside["mlp.fc2"], width, _MLP * width),
    ]


def norm_rules(ours: str, theirs: str, width: int) -> list[Rule]:
    """For a LayerNorm."""
    return [Rule(f"{ours}.{kind}", (width,), ((f"{theirs}.{kind}",),)) for kind in _BOTH]


def linear_rules(ours: str, theirs: str, outputs: int, inputs: int) -> list[Rule]:
    """For a linear layer with a bias."""
    shapes = ((outputs, inputs), (outputs,))
    return [
        Rule(f"{ours}.{kind}", shape, ((f"{theirs}.{kind}",),))
        for kind, shape in zip(_BOTH, shapes, strict=True)
    ]


_BOTH = ("weight", "bias")
