import pytest

from generated.clips import ClipRecipe, make_clip, write_clip
from helpers.changes import changed
from helpers.coloured import write_set
from mofo.motion.detect import detect_many
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.pretrain_settings import PretrainSettings


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """A folder of eight small files."""
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(8):
        clip = make_clip(ClipRecipe(seed=seed, movers=1, frames=20, width=96, height=72))
        write_clip(clip, folder / f"clip{seed}.mp4")
    return folder


@pytest.fixture(scope="session")
def coloured(tmp_path_factory):
    """A list of twelve labelled videos to train on and six to validate on."""
    return write_set(tmp_path_factory.mktemp("coloured") / "set")


@pytest.fixture(scope="session")
def areas(videos, coloured, tmp_path_factory):
    """The store of their motion: to find it in each clip would be most of a test's work."""
    out = tmp_path_factory.mktemp("areas") / "store"
    detect_many([videos, coloured.parent], out, workers=0, progress=False)
    return str(out)


@pytest.fixture
def sections(videos, areas, tmp_path):
    """A run of twelve steps that takes about a second."""
    return {
        "data": {"source": [str(videos)], "frames": 4, "size": 48, "areas": areas},
        "model": {"size": "nano"},
        "optim": {"batch": 4, "epochs": 6, "warmup_epochs": 1, "lr": 1e-2},
        "run": {
            "out": str(tmp_path / "run"), "workers": 0, "save_every": 4, "log_every": 3,
            "trackers": [],
        },
    }  # fmt: skip


@pytest.fixture
def settings(sections):
    return PretrainSettings(**sections)


@pytest.fixture
def finetune_sections(coloured, areas, tmp_path):
    """A fine-tuning of twelve steps that takes some seconds, with everything that is random."""
    return {
        "data": {"source": [str(coloured)], "frames": 4, "size": 32, "areas": areas},
        "model": {"size": "nano", "drop_path": 0.1},
        "optim": {"batch": 4, "epochs": 4, "warmup_epochs": 1, "lr": 1e-1, "min_lr": 1e-3},
        "run": {
            "out": str(tmp_path / "run"), "workers": 0, "save_every": 4, "log_every": 3,
            "trackers": [],
        },
    }  # fmt: skip


@pytest.fixture
def tuned(finetune_sections):
    """Its settings."""
    return FinetuneSettings(**finetune_sections)


@pytest.fixture
def plain_tuned(tuned):
    """The same without anything that depends on which clips are in one pass."""
    plain = changed(tuned, "augment", randaugment=0, erasing=0.0, mixup=0.0, cutmix=0.0)
    return changed(plain, "model", drop_path=0.0)
