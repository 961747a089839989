"""Both models of the benchmark of a pre-training step, their common work, and its stages."""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mofo.masking import Mask
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.types import TokenGrid
from mofo.weights.hf_videomae import config_to_hf, to_hf
from step_cost import Step, StepWork

HF = "Hugging Face"
OURS, PART = "ours", "ours, half decoded"
COMPILED = " compiled"
STAGES = ("embedding", "encoder", "decoder", "target", "rest")
RATIO = 0.9
MEAN_C = torch.tensor([0.485, 0.456, 0.406])
STD_C = torch.tensor([0.229, 0.224, 0.225])


class Work(StepWork):
    """A step with its model."""

    @property
    def settings(self) -> ModelSettings:
        if self.small:
            return ModelSettings.named("nano", grid=TokenGrid(4, 64, 64), head_norm_eps=1e-5)
        return ModelSettings.named(self.size, head_norm_eps=1e-5)  # as theirs


class Models:
    """Both models with the same weights, and their common input."""

    def __init__(self, work: Work, *cases: str) -> None:
        generator = torch.Generator().manual_seed(0)
        settings, device = work.settings, work.device
        grid = settings.grid
        size = (work.batch, grid.frames, grid.height, grid.width, 3)
        frames = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        rank_BP = torch.rand(work.batch, grid.positions, generator=generator).argsort(1).argsort(1)
        hidden = int(RATIO * grid.positions)
        # As the running cells of VideoMAE V2: half of the hidden tokens, changing with time.
        turn_t1 = torch.arange(grid.t)[:, None] % 2
        mask_BtP = (rank_BP < hidden)[:, None].expand(-1, grid.t, -1)
        part_BtP = mask_BtP & (rank_BP[:, None] % 2 == turn_t1)
        hidden_BN, part_BN = mask_BtP.flatten(1).to(device), part_BtP.flatten(1).to(device)
        self.masks = {OURS: Mask.of(hidden_BN), PART: Mask.of(hidden_BN, part_BN)}
        self.low = device == "cuda"
        self.device = device

        self.modules: dict[str, nn.Module] = {}
        ours = MaskedAutoencoder(settings)
        self.frames_BTHWC = frames.to(device)
        for case in dict.fromkeys(HF if case.startswith(HF) else OURS for case in cases):
            made = hugging_face(ours) if case == HF else copy.deepcopy(ours)
            self.modules[case] = made.to(device)

    def num_targets(self) -> tuple[int, int]:
        """Predicted tokens of a clip: all hidden ones, and a part of them."""
        whole, part = (self.masks[case].target_BM.shape[1] for case in (OURS, PART))
        return whole, part

    def step(self, case: str) -> Step:
        """Forward, to the loss. Compiled cases share the weights of the others."""
        module: Any = self.modules[HF if case.startswith(HF) else OURS]
        if case.endswith(COMPILED):
            module = torch.compile(module)
        mask = self.masks[PART if PART in case else OURS]

        def forward() -> Tensor:
            with torch.autocast(self.device, torch.bfloat16) if self.low else nullcontext():
                if case.startswith(HF):
                    return module(pixels(self.frames_BTHWC), mask.hidden_BN).loss
                return module(self.frames_BTHWC, mask).loss

        return forward

    def weights_mb(self, case: str) -> float:
        module = self.modules[HF if case.startswith(HF) else OURS]
        return sum(parameter.nbytes for parameter in module.parameters()) / 1e6

    def clear(self) -> None:
        for module in self.modules.values():
            module.zero_grad(set_to_none=True)


def pixels(frames_BTHWC: Tensor) -> Tensor:
    """Bytes to what Hugging Face's models take, float32 (B, T, C, H, W), in few steps."""
    mean_C11, std_C11 = (
        255 * of_C[:, None, None].to(frames_BTHWC.device) for of_C in (MEAN_C, STD_C)
    )
    frames_BTCHW = frames_BTHWC.permute(0, 1, 4, 2, 3).contiguous()
    return frames_BTCHW.float().sub_(mean_C11).div_(std_C11)


def hugging_face(ours: MaskedAutoencoder) -> Any:
    """Their model with the same weights."""
    import transformers

    settings = ours.settings
    config = transformers.VideoMAEConfig(**config_to_hf(settings), attn_implementation="sdpa")
    theirs = transformers.VideoMAEForPreTraining(config)
    theirs.load_state_dict(to_hf(ours.state_dict(), settings))
    return theirs.train()


def flops(settings: ModelSettings, visible: int, decoded: int) -> float:
    """Multiplications and additions of one clip, forward and backward, by the products' sizes."""
    p = settings.token_pixels
    width, narrow = settings.width, settings.decoder_width

    def block(tokens: int, d: int, asked: int) -> float:
        # Queries, keys, values of all; scores, mixing, projection and MLP of those asked for.
        return 2 * tokens * 3 * d * d + 4 * asked * tokens * d + 2 * asked * 9 * d * d

    embedding = 2 * visible * p * width
    rest = settings.depth * block(visible, width, visible) + 2 * visible * width * narrow
    seen = visible + decoded
    rest += (settings.decoder_depth - 1) * block(seen, narrow, seen) + block(seen, narrow, decoded)
    rest += 2 * decoded * narrow * p
    # Backward: gradients of weights and of inputs, each as much again; pixels need none.
    return 2 * embedding + 3 * rest


class Stages:
    """Time by stage, forward and backward together, through hooks on modules and gradients."""

    def __init__(self, models: Models, case: str) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._models = models
        self._forward = models.step(case)
        self._open, self._since = "rest", 0.0
        module: Any = models.modules[case]
        if case == HF:
            outer, inner, decoder = module.videomae, module.videomae.embeddings, module.decoder
        else:
            outer, inner, decoder = module.encoder, module.encoder.embed, module.decoder
            target = module.target
            module.target = self._around(target)
        self._hooks = [
            outer.register_forward_pre_hook(lambda *_: self._enter("embedding")),
            inner.register_forward_hook(lambda *a: self._enter("encoder", a[-1], "embedding")),
            outer.register_forward_hook(lambda *a: self._enter("rest", a[-1], "encoder")),
            decoder.register_forward_pre_hook(lambda *_: self._enter("decoder")),
            decoder.register_forward_hook(lambda *a: self._enter("rest", a[-1], "decoder")),
        ]

    def _now(self) -> float:
        if self._models.device == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def _enter(self, stage: str, output: Any = None, on_gradient: str = "") -> None:
        """Closes the stage that was open; when the output's gradient comes, opens another."""
        now = self._now()
        self.seconds[self._open] += now - self._since
        self._open, self._since = stage, now
        if output is not None:
            tensor = output if isinstance(output, Tensor) else next(iter(output.values()))
            tensor.register_hook(lambda _: self._enter(on_gradient))

    def _around(self, target: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*arguments: Any) -> Tensor:
            self._enter("target")
            result = target(*arguments)
            self._enter("rest")
            return result

        return call

    def run(self) -> dict[str, float]:
        self._models.clear()
        self.seconds.clear()
        self._open, self._since = "rest", self._now()
        self._forward().backward()
        self._enter("rest")
        return {stage: self.seconds[stage] for stage in STAGES}

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()
        vars(self._models.modules.get(OURS, self)).pop("target", None)
