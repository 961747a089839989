import numpy as np
import pytest
import torch

from helpers.batches import one_hot
from mofo.training.augment import AugmentSettings
from mofo.training.augment.mixing import LEAST_WEIGHT, Mix, draw_mix, mix, mix_targets

WIDTH, HEIGHT = 40, 24


def drawn(count: int, **changes):
    settings = AugmentSettings(**changes)
    return [draw_mix(settings, WIDTH, HEIGHT, np.random.default_rng(seed)) for seed in range(count)]


def plain_clips(*levels: int) -> torch.Tensor:
    """Clips of 2 frames, each of one level."""
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1, 1).expand(
        -1, 2, HEIGHT, WIDTH, 3
    )  # fmt: skip


def areas(*places: tuple[slice, slice]) -> torch.Tensor:
    area = torch.zeros(len(places), 1, HEIGHT, WIDTH, dtype=torch.bool)
    for clip, (rows, columns) in enumerate(places):
        area[clip, :, rows, columns] = True
    return area.float()


LEFT = (slice(0, 24), slice(0, 10))
RIGHT = (slice(0, 24), slice(30, 40))


def test_chances():
    assert all(how is None for how in drawn(50, mixing=0.0))
    assert all(how is None for how in drawn(50, mixup=0.0, cutmix=0.0))
    assert all(how is not None and how.cut is None for how in drawn(50, cutmix=0.0, switch=1.0))
    assert all(how is not None and how.cut for how in drawn(50, mixup=0.0, switch=0.0))
    mixed = [how for how in drawn(2000, mixing=0.3) if how is not None]
    assert abs(len(mixed) / 2000 - 0.3) < 0.04
    assert abs(np.mean([how.cut is not None for how in mixed]) - 0.5) < 0.07


def test_weights_are_beta():
    weights = np.array([how.weight for how in drawn(3000, cutmix=0.0)])
    assert weights.mean() == pytest.approx(0.5, abs=0.02)
    # Variance of Beta(a, a): 1 / (4 (2 a + 1)).
    assert weights.var() == pytest.approx(1 / (4 * 2.6), abs=0.005)


def test_a_clips_weight_is_the_share_of_pixels_that_are_its_own():
    cuts = drawn(200, mixup=0.0)
    for how in cuts:
        frames, _ = mix(plain_clips(0, 255), areas(LEFT, RIGHT), [how, None])
        own = (frames[0] == 0).float().mean()
        assert how.weight == pytest.approx(float(own), abs=1e-6)
        assert (frames[1] == 255).all()
    # Most rectangles jut out: cut off, they are smaller than drawn, but not in the frame's shape.
    shares = np.array([1 - how.weight for how in cuts])
    assert shares.min() < 0.05
    assert shares.max() > 0.7


def test_the_area_of_cutmix_comes_from_where_the_pixels_come_from():
    how = Mix(1 - 20 * 24 / (40 * 24), (20, 0, 40, 24))
    frames, area = mix(plain_clips(10, 200), areas(LEFT, RIGHT), [how, None])
    expected = areas((slice(0, 24), slice(0, 10)), RIGHT)
    expected[0] += areas(RIGHT)[0]
    assert torch.equal(area, expected)
    assert (frames[0, :, :, :20] == 10).all()
    assert (frames[0, :, :, 20:] == 200).all()
    # The rectangle covers its own area: nothing of it is left, and the partner has none there.
    _, area = mix(plain_clips(10, 200), areas(LEFT, RIGHT), [Mix(0.5, (0, 0, 20, 24)), None])
    assert not area[0].any()


@pytest.mark.parametrize(
    ("weight", "left", "right"),
    [(0.5, True, True), (LEAST_WEIGHT, True, True), (0.1, False, True), (0.9, True, False)],
)
def test_the_area_of_mixup_is_the_union_of_what_can_be_seen(weight, left, right):
    frames, area = mix(plain_clips(10, 200), areas(LEFT, RIGHT), [Mix(weight), None])
    assert area[0][(0, *LEFT)].bool().all().item() is left
    assert area[0][(0, *RIGHT)].bool().all().item() is right
    assert not area[0, :, :, 10:30].any()
    assert (frames[0] == round(10 * weight + 200 * (1 - weight))).all()


def test_both_take_what_the_other_was_before():
    frames, _ = mix(plain_clips(0, 100), areas(LEFT, RIGHT), [Mix(0.25), Mix(0.75)])
    assert (frames[0] == 75).all()
    assert (frames[1] == 75).all()
    frames, _ = mix(plain_clips(0, 50, 100, 200), areas(*[LEFT] * 4), [Mix(0.0), *[None] * 3])
    assert [int(clip.unique()) for clip in frames] == [200, 50, 100, 200]


def test_targets_of_all_heads_go_by_the_same_weights():
    mixes = [Mix(0.3), None, Mix(0.6, (0, 0, 16, 24)), Mix(0.9)]
    targets = {"verb": one_hot(4, 6), "noun": one_hot(4, 9, seed=1), "label": torch.rand(4, 5)}
    mixed = mix_targets(targets, mixes)
    weights = [0.3, 1.0, 0.6, 0.9]
    assert list(mixed) == ["verb", "noun", "label"]
    for head, found in mixed.items():
        assert found.dtype == torch.float32
        for clip, weight in enumerate(weights):
            expected = weight * targets[head][clip] + (1 - weight) * targets[head][3 - clip]
            torch.testing.assert_close(found[clip], expected)
    for head in ("verb", "noun"):
        torch.testing.assert_close(mixed[head].sum(1), torch.ones(4))
