import cv2
import numpy as np
import pytest
import torch

from helpers.shown import read_png
from mofo.clips.batch import ClipBatch
from mofo.clips.labels import LabelTable
from mofo.models.classifier import ClassifierSettings
from mofo.models.model_settings import ModelSettings
from mofo.report.figures.augmented import target_text, write_augmented
from mofo.training.finetune_settings import AugmentSettings, LabelLossSettings
from mofo.training.finetune_step import FinetuneStep, Targets
from mofo.types import MofoError, TokenGrid

GRID = TokenGrid(4, 32, 32)
NAMES = ("cut", "drop")
LABELS = LabelTable({"label": NAMES}, {"label": ((0,), (1,))})


def one_pass(**augment):
    model = ModelSettings.named("nano", grid=GRID)
    settings = ClassifierSettings(classes={"label": 2}, model=model)
    return FinetuneStep(settings, AugmentSettings(**augment), LabelLossSettings(), Targets(LABELS))


def batch():
    """A red and a green clip; the area is the left half of the first."""
    frames = torch.zeros(2, 4, 32, 32, 3, dtype=torch.uint8)
    frames[0, ..., 0] = frames[1, ..., 1] = 200
    box = torch.tensor([0.0, 0.0, 16.0, 32.0]).expand(2, 4, 4).clone()
    return ClipBatch(
        frames, box, torch.tensor([[True] * 4, [False] * 4]),
        torch.rand(2, GRID.tokens, generator=torch.Generator().manual_seed(3)),
        torch.arange(2), torch.zeros(2, dtype=torch.int64), ("a.mp4", "b.mp4"), (),
    )  # fmt: skip


def share(sheet, colour):
    return (np.abs(sheet.astype(int) - colour).max(2) < 12).mean()


def test_what_the_model_gets_is_drawn(tmp_path):
    plain = dict.fromkeys(("randaugment", "erasing", "mixup", "cutmix"), 0)
    write_augmented(batch(), one_pass(**plain), tmp_path / "a.png")
    sheet = read_png(tmp_path / "a.png")
    assert share(sheet, (200, 0, 0)) > 0.1
    assert share(sheet, (0, 200, 0)) > 0.1
    assert share(sheet, (255, 140, 0)) > 0.005
    mixed = {**plain, "mixup": 1000.0}  # half of each
    write_augmented(batch(), one_pass(**mixed), tmp_path / "b.png")
    sheet = read_png(tmp_path / "b.png")
    assert share(sheet, (100, 100, 0)) > 0.1
    assert share(sheet, (200, 0, 0)) > 0.05


def test_a_batch_is_not_changed(tmp_path):
    clips = batch()
    before = clips.frames_BTHWC.clone()
    write_augmented(clips, one_pass(), tmp_path / "a.png", clips=1, title="one")
    assert torch.equal(clips.frames_BTHWC, before)
    assert cv2.imread(str(tmp_path / "a.png")) is not None


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ([1.0, 0.0, 0.0, 0.0], "a"),
        ([0.0, 0.3, 0.7, 0.0], "c 0.70, b 0.30"),
        ([0.1, 0.2, 0.3, 0.4], "d 0.40, c 0.30, b 0.20 and 1 more"),
        ([0.0, 0.0, 0.0, 0.0], "no class"),
    ],
)
def test_targets_in_words(target, text):
    assert target_text(target, "abcd") == text


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MofoError):
        write_augmented(batch(), one_pass(), tmp_path / "file" / "a.png")
