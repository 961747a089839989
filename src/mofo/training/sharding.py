"""Models whose tensors are divided over processes, and whole tensors out of them and back.

Checkpoints hold whole tensors by the model's own names, whatever trains it: one process, DDP, FSDP,
compiled or not. So a run goes on with any number of processes, and its weights load anywhere.
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
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

_WHOLE = StateDictOptions(full_state_dict=True)
_WHOLE_ON_CPU = StateDictOptions(full_state_dict=True, cpu_offload=True)


def shard(model: nn.Module, device: torch.device) -> None:
    """Divides a model's tensors over all processes (FSDP2), in place, and moves it to the device.

    Each layer, an entry of a ``ModuleList``, is a unit: its weights are whole only while it
    computes. Gradients and the moments of an optimiser that is made afterwards are divided, too.
    """
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    lists = [part for part in model.modules() if isinstance(part, nn.ModuleList)]
    for layers in reversed(lists):  # inner ones first
        for layer in layers:
            if not isinstance(layer, nn.ModuleList) and any(True for _ in layer.parameters()):
                fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def model_tensors(model: nn.Module, *, everywhere: bool = False) -> dict[str, Tensor]:
    """Returns whole weights by name, without the prefixes of DDP, FSDP and compile.

    Every process must call it together, as ``optimiser_tensors`` and ``restore``. ``everywhere``:
    give them to every process; else only process 0 gets them, on the CPU.
    """
    state: dict[str, Any] = get_model_state_dict(
        model, options=_WHOLE if everywhere else _WHOLE_ON_CPU
    )
    return state


def optimiser_tensors(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Returns the optimiser's state as tensors named "<moment>/<weight>", in process 0."""
    state: Any = get_optimizer_state_dict(model, optimiser, options=_WHOLE_ON_CPU)
    return {
        f"{moment}/{weight}": torch.as_tensor(value)
        for weight, values in state.get("state", {}).items()
        for moment, value in values.items()
    }


def restore(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    weights: Mapping[str, Tensor],
    moments: Mapping[str, Tensor],
) -> None:
    """Puts back what ``model_tensors`` and ``optimiser_tensors`` returned."""
    set_model_state_dict(model, dict(weights), options=_WHOLE)
    if not moments:
        return
    current: dict[str, Any] = get_optimizer_state_dict(model, optimiser, options=_WHOLE)
    state: dict[str, Any] = {}
    for name, tensor in moments.items():
        moment, _, weight = name.partition("/")
        state.setdefault(weight, {})[moment] = tensor
    # Parameters that took no part in the loss have no moments.
    options = StateDictOptions(full_state_dict=True, strict=False)
    set_optimizer_state_dict(model, optimiser, {**current, "state": state}, options=options)
