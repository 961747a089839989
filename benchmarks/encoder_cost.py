"""What an encoder costs a clip: multiplications of a forward pass, counted without computing them.

    python benchmarks/encoder_cost.py

Sizes are those of the published models as far as their shape is concerned; weights are never made.
With ``keep`` 0.4 only that share of the tokens is computed, see docs/encoders.md.
"""

from __future__ import annotations

import argparse

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from areas import markdown
from mofo.masking.kept_tokens import TokenSettings
from mofo.models.encoder import ENCODERS, keeps_slots, make_encoder
from mofo.models.hf.family import FAMILIES
from mofo.models.model_settings import ModelSettings
from mofo.types import TokenGrid

BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
CASES = {
    "V-JEPA 2 ViT-L, 64 frames": ("vjepa2", LARGE | {"frames_per_clip": 64}),
    "V-JEPA 2 ViT-L, 16 frames": ("vjepa2", LARGE | {"frames_per_clip": 16}),
    "ViViT-B": ("vivit", BASE),
    "TimeSformer-B, 8 frames": ("timesformer", BASE | {"num_frames": 8}),
    "DINOv2 ViT-B, 8 frames": ("dinov2", BASE | {"patch_size": 14}),
    "DINOv3 ViT-B, 8 frames": ("dinov3_vit", BASE | {"intermediate_size": 3072}),
    "SigLIP 2 ViT-B, 8 frames": ("siglip_vision_model", BASE | {"image_size": 224}),
}


def settings_of(model_type: str, options: dict) -> ModelSettings:
    config = transformers.AutoConfig.for_model(model_type, **options, attn_implementation="eager")
    content = config.to_dict() | {"model_type": model_type, "attn_implementation": "eager"}
    family = FAMILIES[model_type](content)
    frames, size, tubelet, patch = family.shape()
    return ModelSettings(
        encoder="hf",
        grid=TokenGrid(frames, size, size, tubelet, patch),
        width=family.width(),
        depth=family.depth(),
        heads=1,
        encoder_config={"mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1 / 255, "shift": 0.0,
                        "config": content},
    )  # fmt: skip


def cost(settings: ModelSettings, keep: float) -> tuple[float, float]:
    """Parameters in millions, and 10^9 multiplications with additions, of one clip."""
    grid, tokens = settings.grid, TokenSettings(keep=keep)
    with torch.device("meta"), torch.no_grad():
        encoder = make_encoder(settings, generator=torch.Generator("cpu")).eval().to("meta")
        frames = torch.zeros(1, grid.frames, grid.height, grid.width, 3)
        keep_BV = None
        if tokens.leaves_out:
            count = tokens.count(grid, keep, keeps_slots(settings))
            keep_BV = torch.zeros(1, count, dtype=torch.int64)
        with FlopCounterMode(display=False) as counter:
            encoder(frames, keep_BV)
    parameters = sum(p.numel() for p in encoder.parameters())
    return parameters / 1e6, counter.get_total_flops() / 2e9


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    models = {name: settings_of(*case) for name, case in CASES.items()}
    models |= {
        f"ours or VideoMAE, {size}": ModelSettings.named(size)
        for size in ("small", "base", "large")
    }
    rows = [["encoder", "clip", "tokens", "parameters, M", "G multiplications", "keep 0.4"]]
    for name, settings in models.items():
        grid = settings.grid
        parameters, whole = cost(settings, 1.0)
        can = ENCODERS[settings.encoder].keeps(settings) != "all"
        part = f"{cost(settings, 0.4)[1]:.0f}" if can else "-"
        clip = f"{grid.frames} x {grid.height}"
        rows.append([name, clip, f"{grid.tokens:,}", f"{parameters:.0f}", f"{whole:.0f}", part])
    print(markdown(rows))


if __name__ == "__main__":
    main()
