import pytest

from mofo.data.synthetic import ClipRecipe, make_clip, write_clip
from mofo.training.recipe import settings_from


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """A folder of eight small files."""
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(8):
        clip = make_clip(ClipRecipe(seed=seed, movers=1, frames=20, width=96, height=72))
        write_clip(clip, folder / f"clip{seed}.mp4")
    return folder


@pytest.fixture
def sections(videos, tmp_path):
    """A run of twelve steps that takes about a second."""
    return {
        "data": {"source": [str(videos)], "frames": 4, "size": 48, "areas": "dis"},
        "model": {"size": "nano"},
        "optim": {"batch": 4, "epochs": 6, "warmup_epochs": 1, "lr": 1e-2},
        "run": {
            "out": str(tmp_path / "run"), "workers": 0, "save_every": 4, "log_every": 3,
            "trackers": [],
        },
    }  # fmt: skip


@pytest.fixture
def settings(sections):
    return settings_from(sections)
