import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mofo.evaluation.pools import area_coordinates
from mofo.evaluation.probes import AreaProbe, LabelledFeatures, LinearProbe

T, WIDTH, HEIGHT = 8, 200, 100


def split(feature_F):
    """Places (T, 4) and valid (T,), steps, first to last, around all, share."""
    ends = np.cumsum([4 * T, T, 4 * (T - 1), 4, 4, 1])
    place, valid, steps, move, around, share = np.split(feature_F, ends[:-1])
    assert len(feature_F) == ends[-1] == 9 * T + 5
    return place.reshape(T, 4), valid, steps.reshape(T - 1, 4), move, around, share


def test_a_box_that_moves_right():
    left_T = 10.0 * np.arange(T)
    box_T4 = np.stack([left_T, np.full(T, 20.0), left_T + 50, np.full(T, 70.0)], 1)
    place, valid, steps, move, around, share = split(
        area_coordinates(box_T4.astype(np.float32), np.ones(T, bool), WIDTH, HEIGHT)
    )
    np.testing.assert_allclose(place[0], [0.125, 0.45, 0.25, 0.5])
    np.testing.assert_allclose(steps, np.tile([0.05, 0, 0, 0], (T - 1, 1)), atol=1e-7)
    np.testing.assert_allclose(move, [0.35, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(around, [0.3, 0.45, 0.6, 0.5])
    assert valid.all()
    assert share == 1


def test_frames_without_motion_lie_between_the_others_whatever_their_box_holds():
    box_T4 = np.full((T, 4), np.nan)
    box_T4[2], box_T4[6] = (0, 0, 40, 20), (80, 40, 120, 60)
    valid_T = np.isfinite(box_T4[:, 0])
    place, valid, _, _, around, share = split(area_coordinates(box_T4, valid_T, WIDTH, HEIGHT))
    np.testing.assert_allclose(place[:, 0], [0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(valid, valid_T)
    np.testing.assert_allclose(around, [0.3, 0.3, 0.6, 0.6], rtol=1e-6)
    assert share == 0.25


def test_no_motion_at_all():
    place, valid, steps, move, around, share = split(
        area_coordinates(np.zeros((T, 4)), np.zeros(T, bool), WIDTH, HEIGHT)
    )
    np.testing.assert_array_equal(place, np.tile([0.5, 0.5, 0, 0], (T, 1)))
    np.testing.assert_array_equal(around, [0.5, 0.5, 0, 0])
    assert not any(part.any() for part in (valid, steps, move, share))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 2, 3]))
def test_the_scale_of_the_picture_does_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    corner_T2, size_T2 = rng.random((2, T, 2)) * 50
    box_T4 = np.concatenate([corner_T2, corner_T2 + size_T2], 1)
    valid_T = rng.random(T) < 0.6
    one = area_coordinates(box_T4, valid_T, WIDTH, HEIGHT)
    other = area_coordinates(box_T4 * scale, valid_T, int(WIDTH * scale), int(HEIGHT * scale))
    np.testing.assert_allclose(other, one, atol=1e-6)


def clips(kind, count, seed):
    """Boxes of random places, sizes and speeds; the label is in what ``kind`` says."""
    rng = np.random.default_rng(seed)
    label_V = rng.integers(0, 2, count)
    features = []
    for label in label_V:
        x, y, size = rng.uniform(60, 100), rng.uniform(30, 50), rng.uniform(10, 25)
        speed = rng.uniform(2, 5)
        if kind == "direction":
            speed *= 1 if label else -1
        elif kind == "inwards":  # from the left to the right and from the right to the left
            speed *= rng.choice([-1, 1])
            x = rng.uniform(20, 70) if (speed > 0) == label else rng.uniform(110, 160)
        x_T = x + speed * np.arange(T) + rng.normal(size=T)
        box_T4 = np.stack([x_T, np.full(T, y), x_T + size, np.full(T, y + size)], 1)
        features.append(area_coordinates(box_T4, np.ones(T, bool), WIDTH, HEIGHT))
    return LabelledFeatures(np.stack(features), label_V)


@pytest.mark.parametrize("kind", ["direction", "inwards"])
def test_boxes_that_give_the_label_away_are_caught(kind):
    """On the second kind a linear classifier sees nothing: the control must not be weak."""
    train, test = clips(kind, 150, 1), clips(kind, 100, 2)
    result = AreaProbe().fit(train, test)
    assert result.balanced_accuracy > 0.9
    if kind == "inwards":
        assert result.chosen.startswith("forest")
        assert LinearProbe().fit(train, test).balanced_accuracy < 0.65


def test_boxes_that_say_nothing_stay_at_chance():
    result = AreaProbe().fit(clips("none", 200, 1), clips("none", 400, 2))
    assert result.balanced_accuracy == pytest.approx(0.5, abs=0.075)


def test_a_rare_class_does_not_weaken_the_control():
    """Six common clips for a rare one, boxes not quite exact: the majority is no answer."""

    def some(count, seed):
        clip = clips("inwards", count, seed)
        rng = np.random.default_rng(seed)
        kept_V = (clip.label_V == 0) | (rng.random(count) < 0.15)
        rough_VD = clip.feature_VD + 0.1 * rng.normal(size=clip.feature_VD.shape)
        return LabelledFeatures(rough_VD[kept_V].astype(np.float32), clip.label_V[kept_V])

    result = AreaProbe().fit(some(800, 1), some(1500, 2))
    assert result.balanced_accuracy > 0.7
