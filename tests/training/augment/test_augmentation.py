"""All of it together: a sample is a function of its noise, and off means untouched."""

import numpy as np
import pytest
import torch

from helpers.batches import OFF, batch_of, one_hot, rows, textured
from mofo.clips.token_area import token_area
from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.model_settings import ModelSettings
from mofo.training.augment import Augmentation, AugmentSettings
from mofo.types import SettingsError, TokenGrid

GRID = TokenGrid(4, 48, 64)
ALONE = AugmentSettings(mixing=0.0, erasing=0.5)


@pytest.fixture(scope="module")
def batch():
    return textured(GRID, 40, seed=0)


@pytest.fixture(scope="module")
def targets():
    return {"verb": one_hot(40, 5), "noun": one_hot(40, 7, seed=1)}


def some(targets, chosen):
    return {head: target[chosen] for head, target in targets.items()}


def test_all_off_is_the_identity(batch, targets):
    found = Augmentation(AugmentSettings(**OFF), GRID)(batch, targets)
    assert found.frames_BTHWC is batch.frames_BTHWC
    assert torch.equal(found.inside_BN, token_area(batch.box_BT4, batch.valid_BT, GRID).flatten(1))
    assert found.targets is targets


def test_a_sample_is_the_same_in_any_batch(batch, targets):
    augmentation = Augmentation(ALONE, GRID, "tubelet")
    found = augmentation(batch, targets)
    for chosen in ([*range(39, -1, -1)], [3, 17, 5], [11]):
        again = augmentation(rows(batch, chosen), some(targets, chosen))
        assert torch.equal(again.frames_BTHWC, found.frames_BTHWC[chosen])
        assert torch.equal(again.inside_BN, found.inside_BN[chosen])
    plan = augmentation.plan(batch.noise_BN)
    assert augmentation.plan(batch.noise_BN[[7]]).operations == [plan.operations[7]]


def test_mixing_changes_nothing_before_it(batch, targets):
    """With partners in the same places a pair is the same in any batch."""
    augmentation = Augmentation(AugmentSettings(), GRID)
    found = augmentation(batch, targets)
    chosen = [4, 12, 27, 35]  # partners of each other: 4 + 35 = 12 + 27 = 39
    again = augmentation(rows(batch, chosen), some(targets, chosen))
    assert torch.equal(again.frames_BTHWC, found.frames_BTHWC[chosen])
    assert torch.equal(again.inside_BN, found.inside_BN[chosen])
    for head in targets:
        assert torch.equal(again.targets[head], found.targets[head][chosen])


def test_global_seeds_play_no_part_and_are_left_alone(batch, targets):
    augmentation = Augmentation(AugmentSettings(), GRID)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = torch.get_rng_state()
    first = augmentation(batch, targets)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[2] == 624  # noqa: NPY002
    torch.manual_seed(2)
    again = augmentation(batch, targets)
    assert torch.equal(first.frames_BTHWC, again.frames_BTHWC)


def test_other_noise_is_another_clip(batch, targets):
    other = batch_of(
        batch.frames_BTHWC, batch.box_BT4, batch.valid_BT, batch.noise_BN.flip(1)
    )  # fmt: skip
    augmentation = Augmentation(AugmentSettings(), GRID)
    first, second = (augmentation(b, targets).frames_BTHWC for b in (batch, other))
    differ = (first != second).flatten(1).any(1)
    assert differ.float().mean() > 0.9


def test_a_plan_made_ahead_gives_the_same(batch, targets):
    augmentation = Augmentation(AugmentSettings(), GRID)
    plan = augmentation.plan(batch.noise_BN)
    first, second = augmentation(batch, targets), augmentation(batch, targets, plan)
    assert torch.equal(first.frames_BTHWC, second.frames_BTHWC)


def test_mixed_precision_plays_no_part(batch, targets):
    augmentation = Augmentation(AugmentSettings(), GRID)
    first = augmentation(batch, targets)
    with torch.autocast("cpu", torch.bfloat16):
        again = augmentation(batch, targets)
    assert torch.equal(first.frames_BTHWC, again.frames_BTHWC)
    assert torch.equal(first.inside_BN, again.inside_BN)
    assert torch.equal(first.targets["noun"], again.targets["noun"])


def test_what_comes_out_is_what_the_classifier_takes(batch, targets):
    frames = batch.frames_BTHWC.clone()
    given = {head: target.clone() for head, target in targets.items()}
    found = Augmentation(AugmentSettings(erasing=1.0), GRID)(batch, targets)
    assert torch.equal(batch.frames_BTHWC, frames)
    assert found.frames_BTHWC.dtype == torch.uint8
    assert found.frames_BTHWC.shape == frames.shape
    assert found.inside_BN.dtype == torch.bool
    assert found.inside_BN.shape == batch.noise_BN.shape
    for head, target in targets.items():
        assert torch.equal(target, given[head])
        torch.testing.assert_close(found.targets[head].sum(1), torch.ones(40))
        assert (found.targets[head] >= 0).all()
    assert (found.targets["verb"] != targets["verb"]).any()
    model = ModelSettings.named("nano", grid=GRID)
    logits = Classifier(ClassifierSettings(classes={"verb": 5, "noun": 7}, model=model))(
        found.frames_BTHWC[:4], found.inside_BN[:4]
    )
    assert all(logit.isfinite().all() for logit in logits.values())


def test_the_middle_of_an_odd_batch_has_no_partner(batch, targets):
    chosen = [0, 1, 2]
    found = Augmentation(AugmentSettings(randaugment=0, erasing=0.0), GRID)(
        rows(batch, chosen), some(targets, chosen)
    )
    assert torch.equal(found.frames_BTHWC[1], batch.frames_BTHWC[1])
    assert torch.equal(found.targets["noun"][1], targets["noun"][1])
    assert not torch.equal(found.frames_BTHWC[0], batch.frames_BTHWC[0])


def test_a_grid_of_one_token():
    grid = TokenGrid(2, 8, 8, patch=8)
    small = textured(grid, 30, seed=1)
    found = Augmentation(AugmentSettings(), grid)(small, {"label": one_hot(30, 3)})
    assert found.inside_BN.shape == (30, 1)
    changed = (found.frames_BTHWC != small.frames_BTHWC).flatten(1).any(1)
    assert changed.float().mean() > 0.8


def test_wrong_shapes_are_told(batch, targets):
    with pytest.raises(SettingsError, match="area_span 'frame' is unknown"):
        Augmentation(AugmentSettings(), GRID, "frame")
    augmentation = Augmentation(AugmentSettings(), GRID)
    with pytest.raises(ValueError, match=r"label.*instead of float"):
        augmentation(batch, {"label": torch.zeros(40, dtype=torch.int64)})
    with pytest.raises(ValueError, match=r"frames are torch\.uint8"):
        Augmentation(AugmentSettings(), TokenGrid(4, 64, 64))(batch, targets)
    noiseless = batch_of(
        batch.frames_BTHWC, batch.box_BT4, batch.valid_BT, batch.noise_BN[:, 1:]
    )  # fmt: skip
    with pytest.raises(ValueError, match="noise is"):
        augmentation(noiseless, targets)
