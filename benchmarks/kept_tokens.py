"""What it saves to compute only the tokens that move: a step of fine-tuning, and inference.

    python benchmarks/kept_tokens.py                                 # CPU: ten minutes, two cores
    python benchmarks/kept_tokens.py --sizes base:2 --batch 1        # 2 of its 12 blocks
    python benchmarks/kept_tokens.py --device cuda --sizes small,base,vjepa2

Sizes are those of our ViT, and "vjepa2": V-JEPA 2 ViT-L of transformers, random weights. All blocks
cost the same, so a few are enough to compare: NAME:BLOCKS, as by default for V-JEPA 2. Of models
wider than "small" half as many repetitions are timed. Clips of 16 frames of 224 x 224 are
noise with motion fields of typical sizes. The choice of tokens is a part of each step; what it
takes alone is the last column. How time and memory are measured: ``step_cost.py``.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from finetune_models import areas
from mofo.clips.batch import ClipBatch
from mofo.clips.motion_map import cells_of
from mofo.masking.kept_tokens import TokenSettings
from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.heads import label_loss
from mofo.models.model_settings import ModelSettings
from mofo.types import TokenGrid
from step_cost import (
    Step,
    StepWork,
    arguments,
    chosen,
    clock,
    finish,
    median,
    memory_apart,
    memory_here,
    promise,
    ratios,
    timed_in_turn,
)

CLASSES = 174
KEEPS = (1.0, 0.7, 0.5, 0.4, 0.25)
WORK = ("training", "inference")
CASES = [f"{what}, keep {keep:g}" for what in WORK for keep in KEEPS]
LEAST = 2.2  # times the throughput of all tokens, at keep 0.4
MOST = 0.02  # of a step: the choice of tokens
_CHOICES, _NARROW = 20, 384


class Work(StepWork):
    """A step with its model."""

    @property
    def model(self) -> ModelSettings:
        name, _, depth = self.size.partition(":")
        if self.small:
            return ModelSettings.named("nano", grid=TokenGrid(4, 64, 64))
        settings = vjepa2(int(depth or 24)) if name == "vjepa2" else ModelSettings.named(name)
        return replace(settings, depth=int(depth or settings.depth))


def vjepa2(depth: int) -> ModelSettings:
    """V-JEPA 2 ViT-L for clips of 16 frames of 224 x 224."""
    import transformers

    sizes = {"hidden_size": 1024, "num_attention_heads": 16, "num_hidden_layers": depth}
    config = transformers.VJEPA2Config(
        **sizes, crop_size=224, frames_per_clip=16, attn_implementation="sdpa"
    )
    content = {"mean": [0.5] * 3, "std": [0.25] * 3, "scale": 1 / 255, "shift": 0.0}
    return ModelSettings(
        encoder="hf",
        width=1024,
        depth=depth,
        heads=16,
        encoder_config=content | {"config": config.to_dict() | {"model_type": "vjepa2"}},
    )


class Models:
    """One classifier, its clips, and a step for each case."""

    def __init__(self, work: Work) -> None:
        self.device, self.low = work.device, work.device == "cuda"
        settings = ClassifierSettings(classes={"label": CLASSES}, model=work.model)
        self.module = Classifier(settings).to(work.device)
        self.clips = clips(settings.model.grid, work.batch).to(work.device)
        self.label_B = (torch.arange(work.batch) % CLASSES).to(work.device)

    def step(self, case: str) -> Step:
        """Chooses tokens, and goes forward: to the loss, or to logits without gradients."""
        what, _, keep = case.partition(", keep ")
        tokens, module, clips = TokenSettings(keep=float(keep)), self.module, self.clips
        settings = replace(module.settings, tokens=tokens)

        def logits() -> dict[str, Tensor]:
            module.settings = settings
            module.train(what == "training")
            with torch.autocast(self.device, torch.bfloat16) if self.low else nullcontext():
                return module(clips.frames_BTHWC, module.motion(clips), module.kept(clips))

        def step() -> Tensor:
            if what == "training":
                return label_loss(logits(), {"label": self.label_B})
            with torch.no_grad():
                logits()
            return torch.zeros((), requires_grad=True)  # there is nothing to go back to

        return step

    def choosing(self) -> float:
        """Seconds that the choice of 0.4 of the tokens takes."""
        self.module.settings = replace(self.module.settings, tokens=TokenSettings(keep=0.4))
        seconds = time.process_time if self.device == "cpu" else time.perf_counter
        for _ in range(3):
            self.module.kept(self.clips)
        self.wait()
        begin = seconds()
        for _ in range(_CHOICES):
            self.module.kept(self.clips)
        self.wait()
        return (seconds() - begin) / _CHOICES

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def weights_mb(self, case: str) -> float:
        return sum(parameter.nbytes for parameter in self.module.parameters()) / 1e6

    def clear(self) -> None:
        self.module.zero_grad(set_to_none=True)


def clips(grid: TokenGrid, batch: int) -> ClipBatch:
    """Noise with motion fields of typical sizes."""
    draw = torch.Generator().manual_seed(0)
    size, cells = (batch, grid.frames, grid.height, grid.width, 3), cells_of(grid)
    inside_Bthw = areas(grid, batch).unflatten(1, (grid.t, grid.h, grid.w))
    map_Btyx = (255 * inside_Bthw.byte()).repeat_interleave(cells, 2).repeat_interleave(cells, 3)
    return ClipBatch(
        frames_BTHWC=torch.randint(0, 256, size, dtype=torch.uint8, generator=draw),
        box_BT4=torch.tensor([50.0, 50.0, 150.0, 150.0]).expand(batch, grid.frames, 4),
        valid_BT=torch.ones(batch, grid.frames, dtype=torch.bool),
        noise_BN=torch.rand(batch, grid.tokens, generator=draw),
        index_B=torch.arange(batch),
        start_B=torch.zeros(batch, dtype=torch.int64),
        path=("",) * batch,
        failures=(),
        motion_Btyx=map_Btyx,
    )


def memory_of(models: Models) -> dict[str, dict[str, float]]:
    """MB that each case needs, after one step of it."""
    needed = {}
    for case in CASES:
        step = models.step(case)
        step().backward()
        needed[case] = memory_here(models, case, step)
        needed[case]["step"] = max(needed[case]["step"], 1e-3)  # too small to be seen
    return needed


def measure(work: Work, options: Any) -> dict[str, Any]:
    models = Models(work)
    forwards = {case: models.step(case) for case in CASES}
    repeat = -(-options.repeat // (1 if work.model.width <= _NARROW else 2))
    runs = timed_in_turn(models, forwards, work, repeat)
    choosing = models.choosing()
    if work.device == "cpu" and not work.small:
        del models.module  # what follows happens in another process
        needed = memory_apart(__file__, work, "all", options.threads)
    else:
        needed = memory_of(models)
    which, lines = clock(work.device), []
    for case in CASES:
        everything = f"{case.partition(',')[0]}, keep 1"
        seconds = median(runs[case], which)
        lines.append(
            {
                "case": case,
                "seconds": seconds,
                **ratios(runs, everything, case, which, "throughput_of_all"),
                **ratios(runs, case, everything, which, "time_of_all"),
                "memory_mb": needed[case]["step"],
                "memory_of_all": needed[case]["step"] / needed[everything]["step"],
                "choosing": 0.0 if case.endswith("keep 1") else choosing / seconds,
            }
        )
    return {"work": vars(work), "lines": lines, "runs": runs}


def promises(results: list[dict]) -> list[dict]:
    limits = (("time_of_all", 1 / LEAST, f"{LEAST} times the throughput"),
              ("choosing", MOST, "share of the choice"))  # fmt: skip
    return [
        promise(result, f"{what}, keep 0.4", key, most, f"{what}, keep 0.4: {text} ({most:.3g})")
        for result in results
        for what in WORK
        for key, most, text in limits
    ]


def table(results: list[dict]) -> list[list[str]]:
    cells = [
        ["model", "work", "s", "throughput of all", "95 %", "memory, MB", "of all", "choosing"]
    ]
    for result in results:
        for line in result["lines"]:
            low, high = line["throughput_of_all_95"]
            cells.append(
                [result["work"]["size"], line["case"], f"{line['seconds']:.3g}",
                 f"{line['throughput_of_all']:.2f}", f"{low:.2f} to {high:.2f}",
                 f"{line['memory_mb']:.0f}", f"{line['memory_of_all']:.2f}",
                 f"{100 * line['choosing']:.2f} %"]
            )  # fmt: skip
    return cells


def main() -> None:
    parser = arguments(__doc__ or "", __file__, gpu_batch=32)
    cores = min(2, os.cpu_count() or 1)
    parser.set_defaults(sizes="small,base,vjepa2:6", repeat=8, processes=1, threads=cores)
    if "cuda" not in parser.parse_known_args()[0].device:
        parser.set_defaults(batch=1)
    options = chosen(parser)
    given = (options.batch, options.device, options.quick)
    works = [Work(name, *given) for name in options.sizes]
    if options.memory_of:
        print(json.dumps(memory_of(Models(works[0]))))
        return
    results = [measure(work, options) for work in works]
    grid = works[0].model.grid
    what = f"{grid.frames}x{grid.height}x{grid.width}"
    finish(options, [table(results)], results, promises(results), what)


if __name__ == "__main__":
    main()
