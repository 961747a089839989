"""What runs/*.sh take: floating point operations of the recipes, at an assumed speed, as a table.

    python runs/cost.py > table.md
    python runs/cost.py --tflops 210    # as measured on your GPU

An estimate, not a measurement, unless you measure: ``benchmarks/pretrain_step.py --device cuda``
prints GFLOP/s. GPU hours are

    operations of a clip x clips x epochs / (40 % of 989 TFLOP/s)

on one H200 (dense bf16 peak; 40 % of it is assumed). A multiplication and an addition count as two
operations, of products of matrices only; backward is twice forward. Areas of motion are for
processors: frames / 150 a second for each core, the least that mofo promises at 240 pixels.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from mofo.models.model_settings import ModelSettings
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.pretrain_task import PretrainStep

TFLOPS = 0.4 * 989
FRAMES_A_SECOND = 150


@dataclass(frozen=True)
class DataSet:
    """As published: numbers of videos (or segments), hours of video, frames a second, disk."""

    name: str
    train: int
    tested: int
    views: int
    hours: float
    fps: float
    disk_gb: int
    published: str
    recipe: str = ""  # another one's, with these epochs
    epochs: tuple[int, int] = (0, 0)


SETS = (
    DataSet("ssv2", 168_913, 24_777, 6, 245, 12, 19, "75.5 (MOFO); 69.6 (VideoMAE, 800 epochs)"),
    DataSet("ek100", 67_217, 9_668, 6, 100, 55, 740,
            "74.2 / 68.1 / 54.5 verb / noun / action (MOFO); 71.6 / 66.0 / 53.2 (VideoMAE)",
            recipe="ssv2"),
    DataSet("k400", 240_000, 20_000, 15, 720, 28, 450, "80.0 (VideoMAE, 800 epochs)"),
    DataSet("ucf101", 9_537, 3_783, 15, 27, 25, 7, "91.3 (VideoMAE, 3200 epochs)"),
    DataSet("hmdb51", 3_570, 1_530, 30, 6, 30, 2, "62.6 (VideoMAE, 4800 epochs)",
            recipe="ucf101", epochs=(4800, 50)),
    DataSet("diving48", 15_027, 1_970, 6, 26, 30, 10, "none for masked autoencoders",
            recipe="ucf101", epochs=(1600, 100)),
)  # fmt: skip


def block(tokens: int, width: int) -> float:
    """Operations of a transformer block, forward."""
    return 24 * tokens * width**2 + 4 * tokens**2 * width


def forward(model: ModelSettings, tokens: int) -> float:
    """Operations of the encoder on so many tokens of a clip."""
    return 2 * tokens * model.token_pixels * model.width + model.depth * block(tokens, model.width)


def pretraining(model: ModelSettings, hidden: int) -> float:
    """Operations of a clip in pre-training, forward and backward."""
    tokens = model.grid.tokens
    seen = tokens - hidden
    narrow = model.decoder_width
    decoder = model.decoder_depth * block(tokens, narrow) + 2 * hidden * narrow * model.token_pixels
    return 3 * (forward(model, seen) + 2 * seen * model.width * narrow + decoder)


def hours(operations: float, tflops: float = TFLOPS) -> float:
    """Of one GPU."""
    return operations / (tflops * 1e12) / 3600


def rows(tflops: float = TFLOPS) -> list[dict[str, float | str]]:
    """A row for each data set."""
    found = []
    for one in SETS:
        recipe = one.recipe or one.name
        needed = {"data": {"source": "videos"}, "run": {"out": "out"}}
        before = PretrainSettings.from_yaml(recipe, **needed)
        after = FinetuneSettings.from_yaml(f"{recipe}-finetune", **needed)
        if any(one.epochs):
            before = before.change(optim={"epochs": one.epochs[0]})
            after = after.change(optim={"epochs": one.epochs[1]})
        model = before.model_settings()
        first = pretraining(model, PretrainStep(before).num_hidden)
        whole = forward(model, model.grid.tokens)
        found.append(
            {
                "name": one.name,
                "disk": one.disk_gb,
                "areas": one.hours * 3600 * one.fps / FRAMES_A_SECOND / 3600,
                "pretrain": hours(
                    first * one.train * before.optim.epochs * before.data.clips_per_video, tflops
                ),
                "finetune": hours(
                    3 * whole * one.train * after.optim.epochs * after.data.clips_per_video, tflops
                ),
                "test": hours(whole * one.tested * one.views, tflops),
                "published": one.published,
            }
        )
    return found


def table(tflops: float = TFLOPS) -> str:
    """The rows in Markdown."""
    lines = [
        "| script | videos on disk, about | motion areas, core hours | pre-training, GPU hours "
        "| fine-tuning, GPU hours | test, GPU hours | published top-1, ViT-B |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows(tflops):
        spent = " | ".join(_number(float(row[key])) for key in ("pretrain", "finetune", "test"))
        lines.append(
            f"| `runs/{row['name']}.sh` | {row['disk']} GB | {_number(float(row['areas']))} "
            f"| {spent} | {row['published']} |"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    if value < 0.01:
        return "below 0.01"
    return f"{value:.2f}" if value < 0.1 else f"{value:.2g}" if value < 10 else f"{value:.0f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tflops", type=float, default=TFLOPS, help=f"measured ({TFLOPS:g})")
    tflops = parser.parse_args().tflops
    if not tflops > 0:
        parser.error(f"--tflops {tflops:g}: must be more than 0")
    print(table(tflops))
