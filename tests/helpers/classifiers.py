"""Small fine-tuned models, as `mofo finetune` leaves them, and labelled videos for them."""

from __future__ import annotations

from pathlib import Path

import torch

from generated.clips import ClipRecipe, make_clip, write_clip
from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.model_settings import ModelSettings
from mofo.training.checkpoint import CheckpointFolder
from mofo.types import TokenGrid

CLASSES = {"label": ("cut", "drop", "push", "pull", "turn", "wash", "wipe")}


def settings(classes=None, size=32, frames=4, **options):
    model = ModelSettings.named("nano", grid=TokenGrid(frames, size, size))
    counts = {head: len(names) for head, names in (classes or CLASSES).items()}
    return ClassifierSettings(classes=counts, model=model, **options)


def write_classifier(folder, classes=None, *, sampling="dense", areas="dis", seed=0, **options):
    """A run's folder with one checkpoint whose model tells clips apart, if not rightly."""
    classes = classes or CLASSES
    chosen = settings(classes, **options)
    model = Classifier(chosen, generator=torch.Generator().manual_seed(seed))
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.1)
            if name.startswith("head.linear"):
                parameter.mul_(5)
    facts = {
        "task": "finetune",
        "classifier": chosen.to_dict(),
        "classes": {head: list(names) for head, names in classes.items()},
        "sampling": {"sampling": sampling, "stride": 2, "areas": areas},
        "settings": {},
        "loss": 0.5,
    }
    CheckpointFolder(Path(folder) / "checkpoints", 3).save(20, model.state_dict(), {}, facts)
    return Path(folder)


def write_videos(folder, count, labels, frames=20):
    """Videos and the table ``list.csv`` beside them, whose labels go round."""
    folder.mkdir(exist_ok=True)
    rows = ["path,label"]
    for seed in range(count):
        recipe = ClipRecipe(
            seed=seed, movers=1, area=(0.05, 0.2), frames=frames, width=96, height=64
        )
        write_clip(make_clip(recipe), folder / f"clip{seed}.mp4")
        rows.append(f"clip{seed}.mp4,{labels[seed % len(labels)]}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder / "list.csv"
