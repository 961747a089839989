import math

import numpy as np
import pytest

from area_scores import (
    area_shares,
    box_area,
    box_iou,
    frame_ious,
    frame_recalls,
    mean_interval,
    region_iou,
    score_clip,
    union_ious,
)

NONE = np.zeros((0, 4), np.float32)


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_nothing_at_all_gives_empty_arrays_and_nan():
    assert frame_ious([], []).shape == (0,)
    assert union_ious([], []).shape == (0,)
    assert frame_recalls([], np.zeros((0, 4, 4), bool)).shape == (0,)
    assert area_shares([], 4, 4).shape == (0,)
    assert region_iou(NONE, NONE, 4, 4) == 0
    assert all(math.isnan(value) for value in mean_interval(np.zeros(0)))
    scores = score_clip([], [], np.zeros((0, 4, 4), bool))
    assert all(math.isnan(value) for value in vars(scores).values())


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ((0, 0, 4, 4), (0, 0, 4, 4), 1),
        ((0, 0, 4, 4), (2, 0, 6, 4), 8 / 24),
        ((0, 0, 4, 4), (1, 1, 3, 3), 4 / 16),
        ((0, 0, 4, 4), (4, 0, 8, 4), 0),  # half-open: they only touch
        ((0, 0, 4, 4), (5, 5, 8, 8), 0),  # apart in both axes: no product of two negatives
        ((0, 0, 0, 0), (0, 0, 0, 0), 0),
    ],
)
def test_iou_of_two_boxes(a, b, iou):
    first, second = boxes(a)[0], boxes(b)[0]
    assert box_iou(first, second) == pytest.approx(iou)
    assert box_iou(second, first) == pytest.approx(iou)


def test_area_of_a_box_that_is_inside_out_is_zero():
    assert box_area(np.array([3, 3, 1, 1])) == 0
    assert box_area(np.array([1, 2, 4, 6])) == 12


def test_frames_are_judged_by_the_hull_of_the_movers_and_only_where_something_moves():
    truth = [boxes((0, 0, 2, 2), (6, 6, 8, 8)), NONE, boxes((0, 0, 4, 4)), boxes((0, 0, 4, 4))]
    found = [boxes((0, 0, 8, 8)), boxes((0, 0, 1, 1)), NONE, boxes((0, 0, 4, 2))]
    np.testing.assert_allclose(frame_ious(found, truth), [1, 0, 0.5])


def test_union_takes_windows_inside_the_clip():
    truth = [boxes((t, 0, t + 1, 10)) for t in range(48)]
    # The first window spans x in 0..32, the second 16..48.
    found = [NONE] * 48
    found[0], found[40] = boxes((0, 0, 16, 10)), boxes((32, 0, 48, 10))
    np.testing.assert_allclose(union_ious(found, truth), [0.5, 0.5])
    np.testing.assert_allclose(union_ious([NONE] * 48, truth), [0, 0])
    # 47 frames hold one window of 32 at a stride of 16, 20 frames are one window of their own.
    assert len(union_ious(truth[:47], truth[:47])) == 1
    np.testing.assert_allclose(union_ious(truth[:20], truth[:20]), [1])
    # A window without true motion says nothing.
    np.testing.assert_allclose(union_ious(truth, [NONE] * 32 + truth[32:]), [16 / 32])


def test_recall_counts_moving_pixels_inside_the_rounded_box():
    moving = np.zeros((4, 8, 8), bool)
    moving[0, 0, :4] = moving[1, 0, :4] = moving[2, 0, :4] = True
    found = [boxes((0, 0, 2, 8)), NONE, boxes((-3, -2, 3.4, 20)), boxes((0, 0, 8, 8))]
    np.testing.assert_allclose(frame_recalls(found, moving), [0.5, 0, 0.75])


def test_area_share_is_zero_where_nothing_was_found():
    found = [NONE, boxes((0, 0, 4, 4)), boxes((0, 0, 2, 2), (6, 2, 8, 4))]
    np.testing.assert_allclose(area_shares(found, 8, 4), [0, 0.5, 1])


def test_region_does_not_count_the_ground_between_two_movers():
    two = boxes((0, 0, 2, 2), (6, 6, 8, 8))
    assert region_iou(two, two, 8, 8) == 1
    assert region_iou(boxes((0, 0, 8, 8)), two, 8, 8) == 8 / 64
    # Overlapping boxes cover a pixel once.
    assert region_iou(boxes((0, 0, 2, 2), (0, 0, 2, 2)), two, 8, 8) == 0.5
    assert region_iou(NONE, two, 8, 8) == 0


def test_scores_of_a_clip_with_a_pause():
    moving = np.zeros((3, 4, 8), bool)
    moving[0, :, :4] = moving[1, :, :4] = True
    truth = [boxes((0, 0, 4, 4)), boxes((0, 0, 4, 4)), NONE]
    found = [boxes((0, 0, 8, 4)), NONE, boxes((0, 0, 2, 4))]
    scores = score_clip(found, truth, moving)
    assert scores.iou == pytest.approx((0.5 + 0) / 2)
    assert scores.union == pytest.approx(0.5)
    assert scores.recall == pytest.approx((1 + 0) / 2)
    assert scores.share == pytest.approx((1 + 0) / 2)
    assert scores.region == pytest.approx((0.5 + 0) / 2)
    assert scores.paused == pytest.approx(0.25)
    assert math.isnan(scores.false)


def test_scores_of_a_clip_in_which_nothing_moves():
    scores = score_clip([boxes((0, 0, 4, 4)), NONE], [NONE, NONE], np.zeros((2, 4, 8), bool))
    assert scores.false == pytest.approx(0.25)
    assert math.isnan(scores.iou)
    assert math.isnan(scores.recall)
    assert math.isnan(scores.paused)


def test_different_numbers_of_frames_are_refused():
    with pytest.raises(ValueError, match="2 frames were detected, the truth has 1"):
        score_clip([NONE, NONE], [NONE], np.zeros((1, 4, 4), bool))
    with pytest.raises(ValueError, match="the truth has 1"):
        union_ious([NONE, NONE], [NONE])


def test_bootstrap_interval():
    assert mean_interval(np.array([0.3])) == pytest.approx((0.3, 0.3, 0.3))
    values = np.random.default_rng(1).normal(5, 1, 400)
    mean, low, high = mean_interval(values, seed=2)
    assert mean == pytest.approx(values.mean())
    # The standard error of the mean is 1 / sqrt(400).
    assert (mean - low, high - mean) == pytest.approx((0.098, 0.098), abs=0.02)
    with_nan = mean_interval(np.array([np.nan, 1.0, 1.0]), seed=3)
    assert with_nan == (1, 1, 1)
    again = mean_interval(values, seed=2)
    assert again == (mean, low, high)
