"""Fixed results of small fixed inputs: written before a change of the code, compared after it.

    python benchmarks/same_results.py --write before.json      # with the old code
    python benchmarks/same_results.py --against before.json    # with the new code

Masks must be the same bit by bit; floats may differ by the order of their sums: by ``TOLERANCE`` of
the largest number of a list. A subject is a function that returns what JSON can hold; ``--only``
takes some of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import mofo
from mofo.datasets.sample_videos import real_clips
from mofo.evaluation.embed import embed
from mofo.evaluation.evaluate import evaluate
from mofo.evaluation.predict import load
from mofo.masking import MaskSettings, make_mask
from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.mae import MaskedAutoencoder
from mofo.models.model_settings import ModelSettings
from mofo.motion.presets import FLOWS, PRESETS
from mofo.training.checkpoint import CheckpointFolder
from mofo.types import TokenGrid
from mofo.video.writer import VideoWriter

TOLERANCE = 1e-5
GRID = TokenGrid(8, 64, 96)
FUSIONS = ("cross_attention", "mean", "weighted_mean", "attentive")


def random(*shape: int, seed: int) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def frames() -> Tensor:
    """Three clips, uint8."""
    size = (3, GRID.frames, GRID.height, GRID.width, 3)
    return (256 * random(*size, seed=1)).to(torch.uint8)


def areas() -> Tensor:
    """Motion areas of the three clips: a rectangle, a moving one, none."""
    inside_Bthw = torch.zeros(3, GRID.t, GRID.h, GRID.w, dtype=torch.bool)
    inside_Bthw[0, :, 1:3, 2:5] = True
    for slot in range(GRID.t):
        inside_Bthw[1, slot, slot % GRID.h, slot : slot + 2] = True
    return inside_Bthw


def randomise(module: nn.Module) -> nn.Module:
    """Adds noise to all parameters in their order, so that no bias or gain hides behind 0 or 1."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return module


def numbers(tensor: Tensor, count: int = 8) -> list[float]:
    """Sum, norm, and ``count`` values spread over a tensor, to nine digits."""
    values = tensor.detach().double().flatten()
    chosen = values[torch.linspace(0, len(values) - 1, count).long()]
    return [float(f"{value:.9g}") for value in (values.sum(), values.norm(), *chosen)]


def masks() -> Any:
    """Bits of each strategy's masks and of the tokens that are decoded."""
    noise_BN = random(3, GRID.tokens, seed=3)
    results = {}
    for strategy in ("tube", "random", "motion", "visible_share", "hide_motion", "block"):
        settings = MaskSettings(strategy=strategy, ratio=0.75, block=2)
        mask = make_mask(settings, GRID, areas(), noise_BN, decode=0.5)
        target_BN = torch.zeros_like(mask.hidden_BN).scatter(1, mask.target_BM, True)
        bits = torch.stack([mask.hidden_BN, target_BN]).numpy().tobytes()
        results[strategy] = hashlib.sha256(bits).hexdigest()
    return results


def pretraining() -> Any:
    """Loss, prediction and gradients of a small masked autoencoder; of half the targets as well."""
    settings = MaskSettings(strategy="motion", ratio=0.75)
    noise_BN = random(3, GRID.tokens, seed=3)
    results = {}
    for case, share in (("all", 1.0), ("half", 0.5)):
        mask = make_mask(settings, GRID, areas(), noise_BN, share)
        model = randomise(MaskedAutoencoder(ModelSettings.named("nano", grid=GRID)))
        output = model(frames(), mask)
        output.loss.backward()
        results[case] = {
            "loss": numbers(output.loss, 1),
            "prediction": numbers(output.prediction_BMp),
            "gradients": [numbers(parameter.grad, 3) for parameter in model.parameters()],
        }
    return results


def classifiers() -> Any:
    """Features, logits and gradients of a small classifier with each fusion."""
    results = {}
    for fusion in FUSIONS:
        size = ModelSettings.named("nano", grid=GRID)
        settings = ClassifierSettings(classes={"label": 7}, model=size, fusion=fusion)
        model = randomise(Classifier(settings))
        inside_BN = areas().flatten(1)
        logits_BC = model(frames(), inside_BN)["label"]
        logits_BC.square().sum().backward()
        features_BD = model.fuse(model.encoder(frames()), inside_BN)
        results[fusion] = {
            "features": numbers(features_BD),
            "logits": numbers(logits_BC, 21),
            "gradients": [numbers(parameter.grad, 3) for parameter in model.parameters()],
        }
    return results


def write_videos(folder: Path, videos: int = 7, frames: int = 24) -> Path:
    """Videos of a bright square that moves over noise, and their table; labels go round."""
    rng = np.random.default_rng(4)
    rows = ["path,label"]
    for number in range(videos):
        ground_HWC = rng.integers(40, 140, (80, 120, 3), np.uint8)
        with VideoWriter(folder / f"{number}.mp4", crf=8) as video:
            for t in range(frames):
                frame_HWC = ground_HWC.copy()
                x, y = (8 + number * 9 + 2 * t) % 96, 10 + (number * 13 + t) % 46
                frame_HWC[y : y + 22, x : x + 22] = (230, 220, 30 * number)
                video.write(frame_HWC)
        rows.append(f"{number}.mp4,class {number % 3}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder / "list.csv"


def write_model(folder: Path) -> Path:
    """A run's folder with a classifier that has learned nothing, and tells clips apart."""
    size = ModelSettings.named("nano", grid=GRID)
    settings = ClassifierSettings(classes={"label": 3}, model=size, area_span="tubelet")
    model = randomise(Classifier(settings))
    with torch.no_grad():
        model.head.linear["label"].weight.mul_(20)
    facts = {
        "task": "finetune",
        "classifier": settings.to_dict(),
        "classes": {"label": [f"class {number}" for number in range(3)]},
        "sampling": {"sampling": "dense", "stride": 2, "areas": "dis"},
        "settings": {},
    }
    CheckpointFolder(folder / "checkpoints", 1).save(1, model.state_dict(), {}, facts)
    return folder


def features() -> Any:
    """Features of videos; "codec" and "dis" change with the detection of motion."""
    cases: dict[str, dict[str, Any]] = {
        "mean": {},
        "first layer": {"layer": 1},
        "two clips": {"clips": 2, "sampling": "segments"},
        "tokens": {"pool": "tokens"},
        "inside, codec": {"pool": "inside", "areas": "codec"},
        "both, dis": {"pool": "both", "areas": "dis"},
    }
    with tempfile.TemporaryDirectory() as name:
        videos, model = write_videos(Path(name)), write_model(Path(name) / "run")
        return {
            case: numbers(torch.from_numpy(embed(model, videos, workers=0, **options).feature), 20)
            for case, options in cases.items()
        }


def evaluation() -> Any:
    """An evaluation with each provenance of motion; "dis" and those of others change with it."""
    results = {}
    with tempfile.TemporaryDirectory() as name:
        videos, model = write_videos(Path(name)), write_model(Path(name) / "run")
        for areas in ("none", "centre", "dis", "shuffled"):
            content = evaluate(model, videos, split="all", areas=areas, views=(2, 3), workers=0)
            head = content.heads["label"]
            results[areas] = {
                "measures": {name: [*map(float, value)] for name, value in head.measures.items()},
                "confusion": [list(cell) for cell in head.confusion],
                "videos": [[row.name, row.predicted, row.rank] for row in head.videos],
            }
    return results


def logits() -> Any:
    """Probabilities of a video's classes, from several views."""
    with tempfile.TemporaryDirectory() as name:
        videos, model = write_videos(Path(name)), write_model(Path(name) / "run")
        results = {}
        for areas in ("none", "centre", "dis"):
            prediction = load(model).predict(videos.parent / "4.mp4", areas=areas)
            classes = sorted(prediction.heads["label"], key=lambda score: score.name)
            results[areas] = [float(f"{score.probability:.9g}") for score in classes]
        return results


def boxes() -> Any:
    """Motion areas by each flow and preset of generated and real clips, to the bit."""
    results = {}
    with tempfile.TemporaryDirectory() as name:
        write_videos(Path(name), videos=2)
        clips = [(path, 48) for path in sorted(Path(name).glob("*.mp4"))]
        clips += [(path, 96) for path in real_clips().values()]
        for path, short_side in clips:
            for preset in PRESETS:
                for flow, backend in FLOWS.items():
                    if backend.speed > 100 and short_side > 48:
                        continue  # minutes
                    area = mofo.detect(path, flow=flow, preset=preset, short_side=short_side)
                    arrays = (area.frame_T, area.time_T, area.box_T4, area.valid_T, *area.movers)
                    content = hashlib.sha256(repr((area.cuts, area.flow, area.warnings)).encode())
                    for array in arrays:
                        content.update(np.ascontiguousarray(array).tobytes())
                    results[f"{path.name}, {preset}, {flow}"] = content.hexdigest()
    return results


SUBJECTS: dict[str, Callable[[], Any]] = {
    "masks": masks,
    "boxes": boxes,
    "pretraining": pretraining,
    "classifiers": classifiers,
    "features": features,
    "evaluation": evaluation,
    "logits": logits,
}


def differences(now: Any, before: Any, where: str = "") -> list[str]:
    """Where two results differ, one line each."""
    if isinstance(now, dict) and isinstance(before, dict):
        keys = sorted(now.keys() | before.keys())
        pairs = [(f"{where}/{key}", now.get(key), before.get(key)) for key in keys]
        return [line for name, one, two in pairs for line in differences(one, two, name)]
    if isinstance(now, float) and isinstance(before, float):
        now, before = [now], [before]
    if not isinstance(now, list) or not isinstance(before, list):
        return [] if now == before else [f"{where}: {now} now, {before} before"]
    if len(now) != len(before):
        return [f"{where}: {len(now)} values now, {len(before)} before"]
    if not all(isinstance(value, float) for value in (*now, *before)):
        pairs = [(f"{where}/{n}", *pair) for n, pair in enumerate(zip(now, before, strict=True))]
        return [line for name, one, two in pairs for line in differences(one, two, name)]
    largest = max(1e-3, *map(abs, before))
    worst = max(abs(a - b) for a, b in zip(now, before, strict=True)) / largest
    return [] if worst <= TOLERANCE else [f"{where}: differs by {worst:.2g} of the largest number"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--write", type=Path, help="file to write the results to")
    parser.add_argument("--against", type=Path, help="file to compare the results with")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {name: SUBJECTS[name]() for name in options.only}
    if options.write:
        options.write.write_text(json.dumps(results) + "\n")
    if options.against:
        before = json.loads(options.against.read_text())
        # Written and read once, as the others were.
        now = json.loads(json.dumps(results))
        lines = [line for name in now for line in differences(now[name], before.get(name), name)]
        print("\n".join(lines) or f"same: {', '.join(now)}")
        sys.exit(bool(lines))


if __name__ == "__main__":
    main()
