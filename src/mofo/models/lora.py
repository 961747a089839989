"""LoRA (Hu et al., arXiv 2106.09685): a few new weights beside an encoder's that stay as they are.

Each linear layer of the encoder's layers gets ``W x + B A x`` with matrices A and B of a small
rank. Training needs peft (``pip install 'mofo[lora]'``); models that are read again have B A added
to W, and are like any other.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mofo.models.encoder import Encoder
from mofo.types import SettingsError

_BASE, _A, _B = ".base_layer.", ".lora_A.default.weight", ".lora_B.default.weight"


def add_lora(encoder: Encoder, rank: int, frozen: int = 0, seed: int = 0) -> None:
    """Puts adapters into an encoder; of its own weights none trains any more.

    ``encoder``: is changed. ``seed``: of the new weights; they change nothing at first.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise SettingsError("model.lora needs peft: pip install 'mofo[lora]'") from None
    adapted = {
        id(part) for layer in encoder.layer_groups()[1 + frozen :] for part in layer.modules()
    }
    names = [
        name
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and id(module) in adapted
    ]
    if not names:
        raise SettingsError(f"model.lora {rank}: no layer of the encoder is left to adapt")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # With alpha as large as the rank, B A counts as it is.
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=names), encoder)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(".lora_" in name)


def merge_lora(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with adapters as those of the plain model; others stay as they are."""
    merged = {}
    for name, tensor in weights.items():
        if ".lora_" in name:
            continue
        layer, is_base, kind = name.partition(_BASE)
        if is_base and kind == "weight":
            change = weights[layer + _B].float() @ weights[layer + _A].float()
            tensor = (tensor.float() + change).to(tensor.dtype)
        merged[f"{layer}.{kind}" if is_base else name] = tensor
    return merged
