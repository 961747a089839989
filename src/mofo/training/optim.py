"""The optimiser: AdamW with weight decay on matrices only."""

from __future__ import annotations

import torch
from torch import nn

from mofo.training.pretrain_settings import OptimSettings


def adamw(model: nn.Module, settings: OptimSettings) -> torch.optim.AdamW:
    """AdamW over the parameters that train; vectors (norms, biases, the mask token) do not decay.

    The learning rate is set at each step from the schedule.
    """
    training = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in training if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in training if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=settings.betas)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of all groups: ``rate`` times the group's "scale", if it has one."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
