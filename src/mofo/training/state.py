"""What a checkpoint holds of a running model and optimiser, whatever engine wraps them.

Under DDP and FSDP every process must call these together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

_WHOLE = StateDictOptions(full_state_dict=True)
_WHOLE_ON_CPU = StateDictOptions(full_state_dict=True, cpu_offload=True)


def model_tensors(model: nn.Module, *, everywhere: bool = False) -> dict[str, Tensor]:
    """Whole weights by name, without the wrappers' prefixes.

    Args:
        model: wrapped or not.
        everywhere: give them to every process; else only process 0 gets them, on the CPU.
    """
    state: dict[str, Any] = get_model_state_dict(
        model, options=_WHOLE if everywhere else _WHOLE_ON_CPU
    )
    return state


def optimiser_tensors(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as tensors named "<what>/<weight>", in process 0."""
    state: Any = get_optimizer_state_dict(model, optimiser, options=_WHOLE_ON_CPU)
    return {
        f"{what}/{weight}": torch.as_tensor(value)
        for weight, values in state.get("state", {}).items()
        for what, value in values.items()
    }


def restore(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    weights: Mapping[str, Tensor],
    moments: Mapping[str, Tensor],
) -> None:
    """Puts back what ``model_tensors`` and ``optimiser_tensors`` gave; every process gives it."""
    set_model_state_dict(model, dict(weights), options=_WHOLE)
    if not moments:
        return
    current: dict[str, Any] = get_optimizer_state_dict(model, optimiser, options=_WHOLE)
    state: dict[str, Any] = {}
    for name, tensor in moments.items():
        what, _, weight = name.partition("/")
        state.setdefault(weight, {})[what] = tensor
    set_optimizer_state_dict(model, optimiser, {**current, "state": state}, options=_WHOLE)
