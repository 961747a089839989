"""The loss of recipe ``tiny`` on generated clips, step by step, against a stored curve.

The stored curve changes only when what is computed changes: then explain why in the commit, and

    PYTHONPATH=benchmarks python tests/golden/test_loss_curve.py

writes it anew. Tolerance: five parts in ten thousand. On one machine the curve repeats to the last
bit; between processors, optical flow and matrix products differ in the last bits, which moves a box
by a fraction of a pixel, or the loss in its sixth digit.
"""

import json
import tempfile
from pathlib import Path

import pytest
import torch

from generated.clips import ClipRecipe, make_clip, write_clip
from mofo.training.journal import read_journal
from mofo.training.pretrain_settings import PretrainSettings
from mofo.training.trainer import train

STORED = Path(__file__).with_name("tiny_loss.json")
CAMERAS = ("static", "pan", "handheld", "zoom")


def curve(folder: Path) -> list[float]:
    videos = folder / "videos"
    videos.mkdir()
    for seed in range(16):
        camera, movers = CAMERAS[seed % 4], 1 + seed % 2
        recipe = ClipRecipe(
            seed=seed, camera=camera, movers=movers, frames=40, width=160, height=120
        )
        write_clip(make_clip(recipe), videos / f"{seed:02d}.mp4")
    changes = {
        "data.source": str(videos),
        "run.out": str(folder / "run"),
        "run.pictures_every": "0",
        "run.trackers": "[]",
        "run.workers": "2",
        "optim.epochs": "30",
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        report = train(PretrainSettings.from_yaml("tiny", changes.items()))
    finally:
        torch.set_num_threads(threads)
    assert report.steps == 30
    return [line["loss"] for line in read_journal(folder / "run" / "metrics.jsonl")]


@pytest.mark.slow
def test_the_loss_follows_the_stored_curve(tmp_path):
    found = curve(tmp_path)
    assert found == pytest.approx(json.loads(STORED.read_text()), rel=5e-4)
    assert found[-1] < found[0]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        STORED.write_text(json.dumps(curve(Path(made)), indent=1) + "\n")
