"""A small model, a batch and a checkpoint for tests of pictures."""

from __future__ import annotations

from dataclasses import asdict

import av
import cv2
import numpy as np
import torch

from mofo.clips.batch import ClipBatch
from mofo.models.mae import MaskedAutoencoder
from mofo.training.checkpoint import CheckpointFolder
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.pretrain_task import PretrainStep


def settings(folder="runs", **sections):
    chosen = {
        "data": {"source": ["videos"], "frames": 4, "size": 64, "areas": "dis"},
        "model": {"size": "nano"},
        "mask": {"ratio": 0.75},
        "run": {"out": str(folder)},
    }
    for section, values in sections.items():
        chosen[section] = chosen.get(section, {}) | values
    return PretrainSettings(**chosen)


def model(chosen, seed=0):
    """With weights that are far from those at the beginning, so that it predicts something."""
    built = MaskedAutoencoder(chosen.model_settings())
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.1)
    return built


def batch(clips=2, seed=0, size=64, frames=4):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (clips, frames, 9, 9, 3), dtype=np.uint8)
    frames_BTHWC = np.stack(
        [
            np.stack(
                [cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC) for frame in f]
            )
            for f in coarse
        ]
    )
    tokens = (frames // 2) * (size // 16) ** 2
    return ClipBatch(
        frames_BTHWC=torch.from_numpy(frames_BTHWC),
        box_BT4=torch.tensor([4.0, 4, 30, 30]).expand(clips, frames, 4).clone(),
        valid_BT=torch.ones(clips, frames, dtype=torch.bool),
        noise_BN=torch.from_numpy(rng.random((clips, tokens), dtype=np.float32)),
        index_B=torch.arange(clips),
        start_B=torch.zeros(clips, dtype=torch.int64),
        path=tuple(f"/videos/clip{k}.mp4" for k in range(clips)),
        failures=(),
    )


def one_pass(chosen):
    return PretrainStep(chosen)


def checkpoint(folder, chosen, step=30):
    """The checkpoint's folder; ``folder`` is then that of a run."""
    facts = {
        "task": "pretrain",
        "settings": chosen.to_dict(),
        "model": asdict(chosen.model_settings()),
        "loss": 0.5,
        "videos": {"count": 3, "names": ""},
    }
    weights = model(chosen).state_dict()
    return CheckpointFolder(folder / "checkpoints", 3).save(step, weights, {}, facts)


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def read_png(path):
    picture = cv2.imread(str(path))
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
