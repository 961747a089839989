"""What the released MOFO program's fine-tuned files have beside VideoMAE's.

Names and use as in its published modeling_finetune.py (github.com/Moohnai/MOFO, class
``VisionTransformer_BB_focused``): the block ``local_MCA.0`` fuses the tokens inside the motion area
with those outside, with one LayerNorm for both (ours has one for each: it is put into both). All
its files have that block, whether or not the training used it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mofo.weights.import_report import WeightsError
from mofo.weights.key_rules import Rule, linear_rules, mlp_rules, norm_rules

BLOCK = "local_MCA.0"
HEADS = 3
_OURS = "fusion.block"
_UNUSED = {
    "global_MCA.": "never used in the released program",
    "soft_att_local.": "never used with this fusion",
    "soft_att_global.": "never used with this fusion",
    "patch_yab.": "sums up the box's pixels: a constant",
}
# Their --fusing_method -> our fusion. Their weighted mean is 3/4 of ours; the LayerNorm behind it
# takes that out again.
_METHODS = {"MCA": "cross_attention", "weighted_mean": "weighted_mean", "org": "mean"}


def is_release(names: Mapping[str, Any]) -> bool:
    """Whether the names are of the released program's classifier."""
    return any(name.startswith("local_MCA.") for name in names)


def fusion_of(state: Mapping[str, Tensor], options: Mapping[str, Any], asked: str | None) -> str:
    """Which fusion the weights were trained with.

    Args:
        state: names without prefixes.
        options: that the program kept in the file, perhaps none.
        asked: by the user; counts before all.

    Raises:
        WeightsError: the block was never trained and nobody says what was used instead, or the file
            names a method that ours does not have.
    """
    if asked:
        return asked
    method = options.get("fusing_method")
    if method is not None:
        if method not in _METHODS:
            raise WeightsError(
                f"trained with the fusion {method!r}, which is not among ours "
                f"({', '.join(_METHODS.values())}): --fusion takes another on your own account"
            )
        return _METHODS[method]
    if _untouched(state):
        raise WeightsError(
            f"{BLOCK} is as it was drawn, so that the training used another fusion: say --fusion "
            "weighted_mean or --fusion mean"
        )
    return "cross_attention"


def block_rules(width: int) -> list[Rule]:
    """Rules for the block of ``cross_attention``."""
    inside = {
        layer: f"{BLOCK}.{theirs}"
        for layer, theirs in {
            "mlp.norm": "norm2",
            "mlp.fc1": "mlp.fc1",
            "mlp.fc2": "mlp.fc2",
        }.items()
    }
    return [
        *norm_rules(f"{_OURS}.query_norm", f"{BLOCK}.norm1", width),
        *norm_rules(f"{_OURS}.context_norm", f"{BLOCK}.norm1", width),
        Rule(f"{_OURS}.query.weight", (width, width), ((f"{BLOCK}.attn.q.weight",),)),
        Rule(f"{_OURS}.query.bias", (width,), ((f"{BLOCK}.attn.q_bias",),)),
        Rule(f"{_OURS}.key_value.weight", (2 * width, width), ((f"{BLOCK}.attn.kv.weight",),)),
        Rule(f"{_OURS}.v_bias", (width,), ((f"{BLOCK}.attn.v_bias",),)),
        *linear_rules(f"{_OURS}.proj", f"{BLOCK}.attn.proj", width, width),
        *mlp_rules(_OURS, inside, width),
    ]


def not_needed(names: Mapping[str, Any], fusion: str) -> dict[str, str]:
    """Names that are left out, and why."""
    unused = dict(_UNUSED)
    if fusion != "cross_attention":
        unused["local_MCA."] = f"not used with the fusion {fusion!r}"
    return {name: why for name in names for start, why in unused.items() if name.startswith(start)}


def _untouched(state: Mapping[str, Tensor]) -> bool:
    """Whether all of the block's vectors are still 0 or 1, as at the start of a training."""
    vectors = [
        (name, tensor)
        for name, tensor in state.items()
        if name.startswith(f"{BLOCK}.") and tensor.ndim == 1
    ]
    return bool(vectors) and all(
        torch.equal(tensor, torch.full_like(tensor, float("norm" in name and "weight" in name)))
        for name, tensor in vectors
    )
