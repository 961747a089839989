"""What the released MOFO program's fine-tuned files have beside VideoMAE's.

Names and use as in its published modeling_finetune.py (github.com/Moohnai/MOFO, class
``VisionTransformer_BB_focused``): the block ``local_MCA.0`` fuses the tokens inside the motion area
with those outside, with one LayerNorm for both (ours has one for each: it is put into both). All
its files have that block, whether or not the training used it. The area of a token is that of its
own two frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mofo.models.classifier import ClassifierSettings
from mofo.weights.layouts import LAYOUTS, Choices, Plan
from mofo.weights.loading import WeightsError
from mofo.weights.videomae import VideoMAELayout

_BLOCK = "local_MCA.0"
_RENAMING = tuple(
    (f"fusion.block.{ours}", f"{_BLOCK}.{theirs}")
    for ours, theirs in (
        ("query_norm.{p}", "norm1.{p}"),
        ("context_norm.{p}", "norm1.{p}"),
        ("query.weight", "attn.q.weight"),
        ("query.bias", "attn.q_bias"),
        ("key_value.weight", "attn.kv.weight"),
        ("v_bias", "attn.v_bias"),
        ("proj.{p}", "attn.proj.{p}"),
        ("mlp.norm.{p}", "norm2.{p}"),
        ("mlp.fc1.{p}", "mlp.fc1.{p}"),
        ("mlp.fc2.{p}", "mlp.fc2.{p}"),
    )
)
_UNUSED = {
    "global_MCA.": "never used in the released program",
    "soft_att_local.": "never used with this fusion",
    "soft_att_global.": "never used with this fusion",
    "patch_yab.": "sums up the box's pixels: a constant",
}
# Their option (its name differs between versions) -> our fusion. Their weighted mean is 3/4 of
# ours; the LayerNorm behind it takes that out again.
_OPTIONS = ("fusing_mode", "fusing_method")
_FUSIONS = {"MCA": "cross_attention", "weighted_mean": "weighted_mean", "org": "mean"}


@LAYOUTS.register("MOFO release")
class MofoLayout(VideoMAELayout):
    """Classifiers of the released MOFO program."""

    description = "fine-tuned .pth files of the released MOFO program"
    name = "MOFO release"

    def matches(self, names: Sequence[str]) -> bool:
        """See ``Layout``."""
        return any("local_MCA." in name for name in names)

    def classifier(self, plan: Plan, choices: Choices) -> Plan:
        """See ``VideoMAELayout``."""
        fusion = _fusion_of(plan.state, plan.options, choices.fusion)
        plan = super().classifier(plan, replace(choices, fusion=fusion))
        assert isinstance(plan.settings, ClassifierSettings)
        unused = dict(_UNUSED)
        if fusion != "cross_attention":
            unused["local_MCA."] = f"not used with the fusion {fusion!r}"
        reasons = {
            name: why
            for name in plan.state
            for start, why in unused.items()
            if name.startswith(start)
        }
        return replace(
            plan,
            settings=replace(plan.settings, area_span="tubelet"),
            renaming=(*plan.renaming, *_RENAMING),
            not_needed=plan.not_needed | reasons,
        )


def _fusion_of(state: Mapping[str, Tensor], options: Mapping[str, Any], chosen: str | None) -> str:
    """Which fusion the weights were trained with; the user's word counts before all."""
    if chosen:
        return chosen
    named = next((options[name] for name in _OPTIONS if options.get(name) is not None), None)
    if named in _FUSIONS:
        return _FUSIONS[named]
    if named is not None:
        raise WeightsError(
            f"trained with the fusion {named!r}, which is not among ours "
            f"({', '.join(_FUSIONS.values())}): --fusion takes another on your own account"
        )
    if _untouched(state):
        raise WeightsError(
            f"{_BLOCK} is as it was drawn, so that the training used another fusion: say --fusion "
            "weighted_mean or --fusion mean"
        )
    return "cross_attention"


def _untouched(state: Mapping[str, Tensor]) -> bool:
    """Whether all of the block's vectors are still 0 or 1, as at the start of a training."""
    vectors = [(n, t) for n, t in state.items() if n.startswith(f"{_BLOCK}.") and t.ndim == 1]
    return bool(vectors) and all(
        torch.equal(tensor, torch.full_like(tensor, float("norm" in name and "weight" in name)))
        for name, tensor in vectors
    )
