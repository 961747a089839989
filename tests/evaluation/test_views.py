import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mofo.evaluation.measures import EvaluationError, average_views, view_index
from mofo.types import MofoError, SettingsError

VIDEOS, VIEWS, CLASSES = 4, 6, 5


def rows(seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    video_R, view_R = np.divmod(np.arange(VIDEOS * VIEWS), VIEWS)
    return video_R, view_R, rng.normal(scale=scale, size=(VIDEOS * VIEWS, CLASSES))


def averaged(video_R, view_R, logits_RC, **options):
    return average_views(
        video_R, view_R, logits_RC, **({"videos": VIDEOS, "views": VIEWS} | options)
    )


def test_ten_clips_by_hand():
    """Two views of two classes: log-odds of a view give its probability."""
    odds_V2 = np.array([[1, 3], [1, 1], [9, 1], [1 / 3, 3], [1, 9]] * 2)
    share_V2 = odds_V2 / (1 + odds_V2)
    video_R, view_R = np.divmod(np.arange(20), 2)
    logits_R2 = np.stack([np.log(odds_V2.ravel()), np.zeros(20)], axis=1)
    score_V2 = average_views(video_R, view_R, logits_R2, videos=10, views=2)
    # 1:1 and 3:1 are 1/2 and 3/4, hence 5/8
    expected = np.array([5 / 8, 1 / 2, 0.7, 1 / 2, 0.7] * 2)
    np.testing.assert_allclose(expected, share_V2.mean(1))
    np.testing.assert_allclose(score_V2, np.stack([expected, 1 - expected], 1), atol=1e-15)


def test_it_is_probabilities_that_are_averaged_not_logits():
    """One view that is very sure does not outvote two that are sure."""
    logits_RC = np.array([[10.0, 0], [0, 3], [0, 3]])
    score_VC = average_views(np.zeros(3), np.arange(3), logits_RC, videos=1, views=3)
    assert logits_RC.mean(0).argmax() == 0
    sure = 1 / (1 + np.exp(-3))
    assert score_VC[0, 1] == pytest.approx((2 * sure + 1 / (1 + np.exp(10))) / 3)
    assert score_VC[0].argmax() == 1


def test_sigmoid_does_not_overflow():
    logits_RC = np.array([[-1000.0, 0, 1000]])
    score_VC = average_views([0], [0], logits_RC, videos=1, views=1, link="sigmoid")
    np.testing.assert_array_equal(score_VC, [[0, 0.5, 1]])


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(range(VIDEOS * VIEWS)),
    st.lists(st.integers(0, VIDEOS * VIEWS - 1), max_size=12),
    st.booleans(),
)
def test_neither_order_nor_repeated_rows_change_a_bit(order, again, rounded):
    video_R, view_R, logits_RC = rows()
    expected_VC = averaged(video_R, view_R, logits_RC)
    chosen = np.array([*order, *again])
    shuffled = logits_RC[chosen]
    if rounded:  # repeated rows came out a little higher in another batch
        shuffled[len(order) :] += 1e-6
    found_VC = averaged(video_R[chosen], view_R[chosen], shuffled)
    np.testing.assert_array_equal(found_VC, expected_VC)


def test_of_rows_that_differ_by_rounding_the_same_one_is_taken_in_any_order():
    video_R, view_R, logits_RC = rows()
    video_R, view_R = np.append(video_R, 2), np.append(view_R, 3)
    logits_RC = np.append(logits_RC, logits_RC[2 * VIEWS + 3][None] - 1e-6, axis=0)
    forward = averaged(video_R, view_R, logits_RC)
    backward = averaged(video_R[::-1], view_R[::-1], logits_RC[::-1])
    np.testing.assert_array_equal(forward, backward)


def test_two_processes_are_as_good_as_one():
    video_R, view_R, logits_RC = rows()
    one = averaged(video_R, view_R, logits_RC)
    # as a sampler deals them out to two processes, padded by the first rows
    dealt = np.concatenate([np.arange(0, 24, 2), [0, 2], np.arange(1, 24, 2), [1, 3]])
    np.testing.assert_array_equal(averaged(video_R[dealt], view_R[dealt], logits_RC[dealt]), one)


def test_blocks_do_not_show(monkeypatch):
    whole = averaged(*rows())
    monkeypatch.setattr("mofo.evaluation.views._BLOCK", 1)
    np.testing.assert_array_equal(averaged(*rows()), whole)


def test_other_classes_order_other_columns():
    video_R, view_R, logits_RC = rows()
    order = np.array([3, 0, 4, 1, 2])
    found_VC = averaged(video_R, view_R, logits_RC[:, order])
    np.testing.assert_allclose(found_VC, averaged(video_R, view_R, logits_RC)[:, order], atol=1e-15)


def error_of(*given_rows, **options):
    with pytest.raises(EvaluationError) as raised:
        averaged(*given_rows, **options)
    text = str(raised.value)
    assert "\n" not in text
    assert isinstance(raised.value, MofoError)
    return text


NAMES = ("a.mp4", "b.mp4", "c.mp4", "d.mp4")


def test_missing_views_are_named():
    video_R, view_R, logits_RC = rows()
    kept = np.ones(24, bool)
    kept[[VIEWS + 1, VIEWS + 4, *range(18, 24)]] = False
    text = error_of(video_R[kept], view_R[kept], logits_RC[kept], names=NAMES)
    assert text == "8 of 24 views have no scores: b.mp4 (view 1, 4), d.mp4 (all views)"


def test_many_missing_videos_make_one_short_line():
    video_R, view_R, logits_RC = rows()
    text = error_of(video_R, view_R, logits_RC, videos=1000)
    assert text.endswith("video 4 (all views), video 5 (all views), video 6 (all views), 993 more")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_name_the_video(value):
    video_R, view_R, logits_RC = rows()
    logits_RC[2 * VIEWS + 5, 1] = value
    text = error_of(video_R, view_R, logits_RC, names=NAMES)
    assert text == "c.mp4, view 5: the model's scores are not finite numbers"
    logits_RC[2 * VIEWS + 1 :] = value
    text = error_of(video_R, view_R, logits_RC, names=NAMES)
    assert text == "c.mp4, view 1: the model's scores are not finite numbers (and 10 more views)"


def test_contradicting_rows_are_no_duplicates():
    video_R, view_R, logits_RC = rows()
    more = np.append(logits_RC, -logits_RC[:1], axis=0)
    text = error_of(np.append(video_R, 0), np.append(view_R, 0), more, names=NAMES)
    assert text.startswith("a.mp4, view 0: scored 2 times with different results")


@pytest.mark.parametrize(("video", "view"), [(4, 0), (-1, 0), (0, 6), (0, -1)])
def test_unknown_videos_and_views(video, view):
    video_R, view_R, logits_RC = rows()
    video_R[7], view_R[7] = video, view
    assert f"scores for video {video}, view {view}" in error_of(video_R, view_R, logits_RC)


def test_nothing_to_evaluate_and_wrong_options():
    none = np.zeros(0)
    assert error_of(none, none, np.zeros((0, 5)), videos=0) == "there is no video to evaluate"
    assert "(all views), 1 more" in error_of(none, none, np.zeros((0, 5)))
    with pytest.raises(SettingsError, match="0 views"):
        averaged(*rows(), views=0)
    with pytest.raises(SettingsError, match="softmax, sigmoid"):
        averaged(*rows(), link="tanh")
    with pytest.raises(ValueError, match="average_views"):
        averaged(np.zeros(3), np.zeros(24), rows()[2])


def test_half_precision_is_averaged_in_full():
    video_R, view_R, logits_RC = rows()
    half = logits_RC.astype(np.float16)
    found = averaged(video_R, view_R, half)
    np.testing.assert_array_equal(found, averaged(video_R, view_R, half.astype(np.float64)))
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-14)


def test_views_count_crops_first():
    assert [view_index(t, s) for t in range(2) for s in range(3)] == [0, 1, 2, 3, 4, 5]
