"""What a checkpoint holds of a running model and optimiser, whatever engine wraps them.

Under DDP and FSDP every process must call these; process 0 gets or gives whole tensors.
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


def _whole() -> StateDictOptions:
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return StateDictOptions(full_state_dict=True, cpu_offload=True, broadcast_from_rank0=together)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Weights by name, without the wrappers' prefixes."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_model_state_dict(model, options=options)


def optimiser_tensors(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as tensors named "<what>/<weight>"."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_optimizer_state_dict(model, optimiser, options=options)
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
    """Puts back what ``model_tensors`` and ``optimiser_tensors`` gave."""
    set_model_state_dict(model, dict(weights), options=_whole())
    if not moments:
        return
    current: dict[str, Any] = get_optimizer_state_dict(model, optimiser, options=_whole())
    state: dict[str, dict[str, Tensor]] = {}
    for name, tensor in moments.items():
        what, _, weight = name.partition("/")
        state.setdefault(weight, {})[what] = tensor
    set_optimizer_state_dict(model, optimiser, {**current, "state": state}, options=_whole())
