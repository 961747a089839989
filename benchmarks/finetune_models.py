"""The models of the benchmark of a fine-tuning step, and their common work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.fusion import FUSIONS
from mofo.models.heads import label_loss
from mofo.models.model_settings import ModelSettings
from mofo.types import TokenGrid
from mofo.weights.hf_videomae import config_to_hf, to_hf
from pretrain_models import COMPILED, HF, pixels
from step_cost import Step, StepWork

CLASSES = 174
OURS = {fusion: f"ours, {fusion}" for fusion in FUSIONS}
# Shares of a frame's side: motion areas of 4 to 50 % of the frame, as in real clips.
SIDES = (0.2, 0.35, 0.5, 0.7)


class Work(StepWork):
    """A step with its model."""

    @property
    def model(self) -> ModelSettings:
        if self.small:
            return ModelSettings.named("nano", grid=TokenGrid(4, 64, 64), head_norm_eps=1e-5)
        return ModelSettings.named(self.size, head_norm_eps=1e-5)  # as theirs

    def settings(self, fusion: str) -> ClassifierSettings:
        return ClassifierSettings(classes={"label": CLASSES}, model=self.model, fusion=fusion)


class Models:
    """Hugging Face's classifier and ours with the same encoder, and their common input."""

    def __init__(self, work: Work, *cases: str) -> None:
        generator = torch.Generator().manual_seed(0)
        grid, device = work.model.grid, work.device
        size = (work.batch, grid.frames, grid.height, grid.width, 3)
        frames = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        self.label_B = (torch.arange(work.batch) % CLASSES).to(device)
        self.inside_BN = areas(grid, work.batch).to(device)
        self.low = device == "cuda"
        self.device = device
        self.modules: dict[str, nn.Module] = {}
        mean = Classifier(work.settings("mean"))
        self.frames_BTHWC = frames.to(device)
        for case in dict.fromkeys(case.removesuffix(COMPILED) for case in cases):
            if case == HF:
                self.modules[HF] = hugging_face(mean).to(device)
            else:
                fusion = next(name for name, own in OURS.items() if own == case)
                ours = Classifier(work.settings(fusion))
                ours.encoder.load_state_dict(mean.encoder.state_dict())
                ours.head.load_state_dict(mean.head.state_dict())
                self.modules[case] = ours.to(device).train()

    def step(self, case: str) -> Step:
        """Forward, to the loss. Compiled cases share the weights of the others."""
        module: Any = self.modules[case.removesuffix(COMPILED)]
        if case.endswith(COMPILED):
            module = torch.compile(module)
        forward: Callable[[], Tensor]

        if case.startswith(HF):

            def forward() -> Tensor:
                return module(pixels(self.frames_BTHWC), labels=self.label_B).loss

        else:

            def forward() -> Tensor:
                logits = module(self.frames_BTHWC, self.inside_BN)
                return label_loss(logits, {"label": self.label_B})

        def step() -> Tensor:
            with torch.autocast(self.device, torch.bfloat16) if self.low else nullcontext():
                return forward()

        return step

    def weights_mb(self, case: str) -> float:
        module = self.modules[case.removesuffix(COMPILED)]
        return sum(parameter.nbytes for parameter in module.parameters()) / 1e6

    def clear(self) -> None:
        for module in self.modules.values():
            module.zero_grad(set_to_none=True)


def areas(grid: TokenGrid, batch: int) -> Tensor:
    """Tokens inside motion areas (B, N) of typical sizes, in turn, the same in all time slots."""
    inside_Bthw = torch.zeros(batch, grid.t, grid.h, grid.w, dtype=torch.bool)
    for clip in range(batch):
        side = SIDES[(clip + 2) % len(SIDES)]
        down, across = max(1, round(side * grid.h)), max(1, round(side * grid.w))
        inside_Bthw[clip, :, (grid.h - down) // 2 :, (grid.w - across) // 2 :] = True
        inside_Bthw[clip, :, (grid.h + down) // 2 :] = False
        inside_Bthw[clip, :, :, (grid.w + across) // 2 :] = False
    return inside_Bthw.flatten(1)


def hugging_face(ours: Classifier) -> Any:
    """Their classifier with the same weights."""
    import transformers

    options = config_to_hf(ours.settings)
    state = to_hf(ours.state_dict(), ours.settings)
    options.pop("problem_type")
    config = transformers.VideoMAEConfig(**options, num_labels=CLASSES, attn_implementation="sdpa")
    theirs = transformers.VideoMAEForVideoClassification(config)
    theirs.load_state_dict(state)
    return theirs.train()
