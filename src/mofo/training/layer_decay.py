"""What trains how fast: rates that fall from the head to the pixels, and parts that do not train.

Layer-wise decay as in BEiT (Bao et al., arXiv 2106.08254) and VideoMAE: what was pre-trained moves
the less the nearer it is to the pixels.
"""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from mofo.models.classifier import Classifier
from mofo.types import SettingsError

# What DDP, torch.compile and FSDP put before a parameter's name.
_WRAPPERS = re.compile(r"\b(?:module|_orig_mod|_fsdp_wrapped_module)\.")
_BLOCK = re.compile(r"encoder\.blocks\.(\d+)\.")


def layer_of(name: str, depth: int) -> int:
    """Layer of a parameter: 0 patch projection, 1 to ``depth`` blocks, ``depth + 1`` the rest."""
    if name.startswith("encoder.embed."):
        return 0
    block = _BLOCK.match(name)
    return int(block[1]) + 1 if block else depth + 1


def layer_groups(
    model: nn.Module, *, depth: int, decay: float = 0.75, weight_decay: float = 0.05
) -> list[dict[str, Any]]:
    """Groups of parameters for an optimiser, from the pixels up; only those that train.

    Each has, beside "params" and "weight_decay" (0 for vectors: norms, biases, the query), its
    "scale" and the "names" of its parameters. The scale is ``decay`` to the number of layers above:
    1 for fusion and heads, ``decay`` for the last block, ``decay ** (depth + 1)`` for the patch
    projection. ``set_rate`` applies it.

    Args:
        model: a ``Classifier``, whatever engine wraps it.
        depth: blocks of its encoder.
        decay: factor from each layer to the one below it.
        weight_decay: of matrices.

    Raises:
        SettingsError: a decay that is not in (0, 1], a weight decay below 0.
    """
    if not 0 < decay <= 1:
        raise SettingsError(f"layer decay {decay} is not above 0 and at most 1")
    if weight_decay < 0:
        raise SettingsError(f"weight decay {weight_decay} is below 0")
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for wrapped, parameter in model.named_parameters():
        name = _WRAPPERS.sub("", wrapped)
        if not parameter.requires_grad:
            continue
        layer, vector = layer_of(name, depth), parameter.ndim <= 1
        group = groups.setdefault(
            (layer, vector),
            {
                "params": [],
                "names": [],
                "scale": decay ** (depth + 1 - layer),
                "weight_decay": 0.0 if vector else weight_decay,
            },
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return [groups[key] for key in sorted(groups)]


def freeze(model: Classifier, what: str | int) -> int:
    """Stops the training of the encoder, or of its patch projection and first blocks.

    To be called before the optimiser is made.

    Args:
        model: is changed.
        what: "encoder", or how many blocks (a number, or its digits); 0: nothing.

    Returns:
        The number of parameters that do not train.

    Raises:
        SettingsError: another word, or more blocks than there are.
    """
    depth = model.settings.model.depth
    text = str(what)
    blocks = depth if text == "encoder" else int(text) if text.isdecimal() else -1
    if not 0 <= blocks <= depth:
        raise SettingsError(
            f"freeze {text!r}: say encoder, or a number of blocks from 0 to {depth}"
        )
    if blocks:
        model.freeze(blocks)
    return sum(p.numel() for p in model.parameters() if not p.requires_grad)
