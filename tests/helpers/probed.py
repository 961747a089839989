"""Labelled videos for probes, and frozen models: pre-trained (never trained), fine-tuned."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from mofo.models.mae import MaskedAutoencoder
from mofo.training.checkpoint import write_checkpoint
from mofo.training.pretrain_settings import PretrainSettings
from mofo.video.writer import VideoWriter

FRAMES, SIZE, PATCH = 4, 32, 8


def write_labelled(folder: Path, kind: str, train: int, test: int, classes: int = 2) -> Path:
    """Videos of noise with a spot, and their table; what tells the class: "colour", or nothing.

    "moving": the spot moves to the left or to the right, over a still background.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,label,split"]
    rng = np.random.default_rng(train)
    for number in range(train + test):
        label = number % classes
        ground = rng.integers(60, 120, (48, 64, 3), np.uint8)
        if kind == "colour":
            ground[..., label] += 60
        x = 4 if label == 0 or kind != "moving" else 44
        with VideoWriter(folder / f"v{number}.mp4", crf=12) as video:
            for t in range(10):
                frame = ground.copy()
                if kind == "moving":
                    left = x + (4 * t if label == 0 else -4 * t)
                    frame[16:30, left : left + 14] = (230, 230, 40)
                video.write(frame)
        split = "train" if number < train else "validation"
        shown = label if kind != "none" else int(rng.integers(classes))
        rows.append(f"v{number}.mp4,class {shown},{split}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder / "list.csv"


def recipe() -> dict:
    return {
        "data": {"source": ["none"], "frames": FRAMES, "size": SIZE, "stride": 1, "areas": "dis"},
        "model": {"size": "nano", "patch": PATCH},
        "run": {"out": "none"},
    }


def write_pretrained(folder: Path, seed: int = 0) -> Path:
    """A checkpoint as of a pre-training, with random weights, those of norms and biases, too."""
    settings = PretrainSettings(**recipe())
    model = MaskedAutoencoder(settings.model_settings())
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.05)
    facts = {
        "task": "pretrain",
        "settings": settings.to_dict(),
        "model": asdict(settings.model_settings()),
        "sampling": {"stride": settings.data.stride, "areas": settings.data.areas},
    }
    return write_checkpoint(folder, model.state_dict(), facts)
