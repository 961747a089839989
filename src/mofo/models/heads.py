"""Heads: features of a clip to the logits of each question asked about it, and back to a loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mofo.models.layers import empty_linear
from mofo.types import SettingsError

LABELS = ("single", "multi")
MISSING = -100  # in place of a class: the sample says nothing about this head
_SMALL = 0.001  # scale of the weights at the start: all classes begin as likely


class Heads(nn.Module):
    """A LayerNorm and, for each name, a linear layer to that many classes.

    ``norm_eps``: epsilon of the LayerNorm; None: there is none.
    """

    def __init__(self, width: int, classes: Mapping[str, int], norm_eps: float | None) -> None:
        super().__init__()
        self.norm = nn.Identity() if norm_eps is None else nn.LayerNorm(width, eps=norm_eps)
        self.linear = nn.ModuleDict(
            {name: empty_linear(width, count) for name, count in classes.items()}
        )

    def forward(self, features_BD: Tensor) -> dict[str, Tensor]:
        """Logits, float32 (B, classes), by name."""
        normed_BD = self.norm(features_BD)
        return {name: linear(normed_BD).float() for name, linear in self.linear.items()}

    @torch.no_grad()
    def shrink(self) -> None:
        """Scales freshly drawn weights (biases are 0) by 0.001."""
        for weight in self.linear.parameters():
            weight.mul_(_SMALL)


def check_classes(classes: Mapping[str, int], labels: str) -> list[str]:
    """What is wrong with the names and numbers of classes."""
    least = 2 if labels == "single" else 1
    taken = nn.ModuleDict()
    problems = [] if classes else ["classes is empty: name a head and its number of classes"]
    if labels not in LABELS:
        problems.append(f"labels {labels!r} is unknown: choose from {', '.join(LABELS)}")
    for name, count in classes.items():
        if not isinstance(name, str) or not name.isidentifier() or hasattr(taken, name):
            problems.append(f"head {name!r} cannot be a name: take another word, without dots")
        if not isinstance(count, int) or isinstance(count, bool) or count < least:
            problems.append(f"head {name!r} has {count!r} classes: {least} is the least")
    return problems


def label_loss(
    logits: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    labels: str = "single",
    smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy, a scalar: of each head the mean over the labelled samples, and their sum.

    Args:
        logits: (B, classes) by name.
        targets: by the same names. "single": int64 (B,), ``MISSING`` where there is no label; or
            float (B, classes), shares of mixed labels, all 0 where there is none. "multi": (B,
            classes), each in [0, 1]; below 0 where nothing is known.
        labels: "single": one class a sample; "multi": any number.
        smoothing: share of each label that is spread over all classes.
    """
    if set(targets) != set(logits):
        raise SettingsError(
            f"labels are for {', '.join(sorted(targets)) or 'no head'}, but the model's heads are "
            f"{', '.join(sorted(logits))}"
        )
    one = _single_loss if labels == "single" else _multi_loss
    losses = [one(values.float(), targets[name], smoothing) for name, values in logits.items()]
    return torch.stack(losses).sum()


def _single_loss(logits_BC: Tensor, target: Tensor, smoothing: float) -> Tensor:
    if target.ndim == 1:
        known_B = target != MISSING
        loss_B = F.cross_entropy(
            logits_BC, target, reduction="none", ignore_index=MISSING, label_smoothing=smoothing
        )
    else:
        known_B = target.sum(1) > 0
        loss_B = F.cross_entropy(logits_BC, target, reduction="none", label_smoothing=smoothing)
    return _mean_of_known(loss_B, known_B)


def _multi_loss(logits_BC: Tensor, target_BC: Tensor, smoothing: float) -> Tensor:
    known_BC = target_BC >= 0
    wanted_BC = target_BC.float().clamp(min=0) * (1 - smoothing) + smoothing / 2
    loss_BC = F.binary_cross_entropy_with_logits(logits_BC, wanted_BC, reduction="none")
    return _mean_of_known(loss_BC, known_BC)


def _mean_of_known(loss: Tensor, known: Tensor) -> Tensor:
    """0, with a gradient of 0, where nothing is known."""
    return torch.where(known, loss, 0.0).sum() / known.sum().clamp(min=1)
