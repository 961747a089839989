import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from mofo.evaluation.measures import (
    EvaluationError,
    Sample,
    average_precisions,
    bootstrap,
    label_ranks,
    mean_average_precision,
    mean_class_accuracy,
    predictions,
    top_k,
)
from mofo.evaluation.recognition import compare, recognise, recognise_several
from mofo.evaluation.results import Results, read_results, write_results
from mofo.types import SettingsError


def sample(videos, **options):
    return Sample([f"v{video}" for video in range(videos)], **({"draws": 50} | options))


def names(classes):
    return [f"class {number}" for number in range(classes)]


def scored(videos=120, classes=8, seed=0, skill=1.0):
    rng = np.random.default_rng(seed)
    label_V = rng.integers(0, classes, videos)
    score_VC = rng.normal(size=(videos, classes))
    score_VC[np.arange(videos), label_V] += skill
    return score_VC, label_V


def found(score_VC, label_V, **options):
    return recognise(score_VC, label_V, names(score_VC.shape[1]), sample(len(label_V), **options))


def value(recognition, name):
    return recognition.measures[name].mean


@pytest.mark.parametrize("seed", range(5))
def test_measures_agree_with_scikit_learn(seed):
    score_VC, label_V = scored(seed=seed)
    classes = np.arange(8)
    result = found(score_VC, label_V)
    predicted_V = score_VC.argmax(1)
    for k in (1, 5):
        expected = metrics.top_k_accuracy_score(label_V, score_VC, k=k, labels=classes)
        assert value(result, f"top{k}") == pytest.approx(expected, abs=1e-12)
    expected = metrics.balanced_accuracy_score(label_V, predicted_V)
    assert value(result, "mean_class_accuracy") == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(
        result.confusion_matrix(), metrics.confusion_matrix(label_V, predicted_V, labels=classes)
    )
    precision, recall, _, count = metrics.precision_recall_fscore_support(label_V, predicted_V)
    assert [row.precision for row in result.classes] == pytest.approx(precision.tolist())
    assert [row.recall for row in result.classes] == pytest.approx(recall.tolist())
    assert [row.count for row in result.classes] == count.tolist()
    assert [row.name for row in result.classes] == names(8)


def test_a_case_written_out():
    """Three videos of class 0, two of class 1, none of class 2."""
    score_VC = np.array([[5, 1, 0], [1, 5, 0], [5, 1, 0], [0, 5, 1], [0, 1, 5.0]])
    result = found(score_VC, np.array([0, 0, 0, 1, 1]))
    assert value(result, "top1") == 3 / 5
    assert value(result, "mean_class_accuracy") == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert "top5" not in result.measures  # three classes: it would say nothing
    assert result.confusion == ((0, 0, 2), (0, 1, 1), (1, 1, 1), (1, 2, 1))
    rows = [(r.count, r.predicted, r.correct, r.precision, r.recall) for r in result.classes]
    assert rows == [(3, 2, 2, 1.0, 2 / 3), (2, 2, 1, 0.5, 0.5), (0, 1, 0, 0.0, None)]
    assert [row.rank for row in result.videos] == [0, 1, 0, 0, 1]


def test_ties_count_against_the_model():
    result = found(np.zeros((6, 7)), np.arange(6))
    assert value(result, "top1") == value(result, "top5") == 0
    assert np.diag(result.confusion_matrix()).sum() == 0
    score_V3 = np.array([[1.0, 1, 0], [1, 1, 1], [2, 1, 1]])
    label_V = np.array([0, 0, 1])
    np.testing.assert_array_equal(label_ranks(score_V3, label_V), [1, 2, 2])
    np.testing.assert_array_equal(predictions(score_V3, label_V), [1, 1, 0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.booleans())
def test_order_of_videos_and_of_classes_does_not_matter(seed, classes, coarse):
    score_VC, label_V = scored(30, classes, seed)
    if coarse:
        score_VC = score_VC.round()  # many ties
    rng = np.random.default_rng(seed)
    one = found(score_VC, label_V, draws=1)
    assert value(one, "top1") == pytest.approx(np.trace(one.confusion_matrix()) / 30)
    videos, order = rng.permutation(30), rng.permutation(classes)
    place = np.argsort(order)
    other = found(score_VC[videos][:, order], place[label_V[videos]], draws=1)
    for name in one.measures:
        assert value(other, name) == pytest.approx(value(one, name), abs=1e-12)
    assert [row.rank for row in other.videos] == [one.videos[video].rank for video in videos]
    assert [row.recall for row in other.classes] == [one.classes[c].recall for c in order]
    if not coarse:
        np.testing.assert_array_equal(
            other.confusion_matrix(), one.confusion_matrix()[np.ix_(order, order)]
        )


def test_one_video_has_no_spread():
    result = found(np.array([[1.0, 0]]), np.array([0]))
    assert result.measures["top1"] == (1, 1, 1)
    assert result.measures["mean_class_accuracy"] == (1, 1, 1)


def test_one_class():
    assert found(np.zeros((3, 1)), np.zeros(3, int)).measures["top1"] == (1, 1, 1)


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_agrees_with_scikit_learn_ties_included(seed):
    rng = np.random.default_rng(seed)
    target_VC = rng.random((60, 5)) < 0.3
    score_VC = (rng.random((60, 5)) + 0.3 * target_VC).round(1 if seed % 2 else 9)
    each = average_precisions(score_VC, target_VC)
    expected = metrics.average_precision_score(target_VC, score_VC, average=None)
    np.testing.assert_allclose(each, expected, atol=1e-12)
    weight_1V = rng.integers(0, 3, (1, 60)).astype(float)
    weighted = mean_average_precision(score_VC, target_VC)(weight_1V)[0]
    expected = metrics.average_precision_score(target_VC, score_VC, sample_weight=weight_1V[0])
    assert weighted == pytest.approx(expected, abs=1e-12)
    result = recognise_several(score_VC, target_VC, names(5), sample(60))
    assert value(result, "mean_average_precision") == pytest.approx(each.mean())
    likely = score_VC >= 0.5
    expected = metrics.precision_score(target_VC, likely, average=None)
    assert [row.precision for row in result.classes] == pytest.approx(expected.tolist())
    assert result.videos == result.confusion == ()


def test_average_precision_leaves_out_classes_that_no_video_has():
    score_V2 = np.array([[0.9, 0.1], [0.8, 0.3], [0.1, 0.2]])
    target_V2 = np.array([[True, False], [False, False], [True, False]])
    result = recognise_several(score_V2, target_V2, names(2), sample(3))
    assert value(result, "mean_average_precision") == pytest.approx((1 + 2 / 3) / 2)
    assert result.classes[1].average_precision is None
    assert result.classes[1].recall is None
    with pytest.raises(EvaluationError, match="nothing to find"):
        recognise_several(score_V2, np.zeros((3, 2)), names(2), sample(3))


def test_weights_are_videos_taken_several_times():
    score_VC, label_V = scored(40, 6)
    rank_V = label_ranks(score_VC, label_V)
    again_V = np.random.default_rng(1).integers(0, 40, 40)
    weight_1V = np.bincount(again_V, minlength=40)[None].astype(float)
    drawn = rank_V[again_V], label_V[again_V]
    one_1V = np.ones((1, 40))
    assert top_k(rank_V, 2)(weight_1V) == pytest.approx(top_k(drawn[0], 2)(one_1V))
    assert mean_class_accuracy(rank_V, label_V)(weight_1V) == pytest.approx(
        mean_class_accuracy(*drawn)(one_1V)
    )


def test_a_class_that_a_resampling_lacks_is_left_out_of_its_mean():
    rank_V, label_V = np.array([0, 1, 0]), np.array([0, 1, 2])
    weight_S3 = np.array([[2.0, 1, 0], [0, 3, 0], [1, 1, 1]])
    np.testing.assert_allclose(
        mean_class_accuracy(rank_V, label_V)(weight_S3), [1 / 2, 0, 2 / 3], atol=1e-15
    )


def test_interval_of_a_share_is_that_of_the_normal_distribution():
    rank_V = (np.arange(1000) >= 700).astype(int)
    rng = np.random.default_rng(0)
    interval = bootstrap({"top1": top_k(rank_V, 1)}, 1000, rng, draws=4000)["top1"]
    wide = 1.96 * np.sqrt(0.7 * 0.3 / 1000)
    assert interval.mean == pytest.approx(0.7)
    assert (interval.low, interval.high) == pytest.approx((0.7 - wide, 0.7 + wide), abs=0.004)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        measure = top_k((rng.random(150) >= 0.6).astype(int), 1)
        _, low, high = bootstrap({"a": measure}, 150, rng, draws=200)["a"]
        hits += low <= 0.6 <= high
    assert 178 <= hits <= 199  # 95 % of 200, give or take


def test_videos_of_one_group_are_drawn_together():
    """Ten copies of each of 20 videos tell no more than the 20 do."""
    rank_V = np.repeat(np.arange(20) % 2, 10)
    label_V = np.zeros(200, int)
    score_VC = np.where(rank_V[:, None] == [[0, 1]], 1.0, 0)
    groups = [f"g{video // 10}" for video in range(200)]
    alone = found(score_VC, label_V, draws=2000).measures["top1"]
    together = found(score_VC, label_V, draws=2000, groups=groups).measures["top1"]
    twenty = found(score_VC[::10], label_V[::10], draws=2000).measures["top1"]
    assert alone.mean == together.mean == 0.5
    assert together.high - together.low == pytest.approx(twenty.high - twenty.low, abs=0.05)
    assert alone.high - alone.low < 0.5 * (together.high - together.low)


def test_blocks_do_not_show_in_intervals(monkeypatch):
    score_VC, label_V = scored()
    whole = found(score_VC, label_V).measures
    monkeypatch.setattr("mofo.evaluation.measures._BLOCK", 1)
    assert found(score_VC, label_V).measures == whole


def test_the_seed_decides_the_interval_and_nothing_else_does():
    score_VC, label_V = scored()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert found(score_VC, label_V) == found(score_VC, label_V)
    assert found(score_VC, label_V, seed=1).measures != found(score_VC, label_V).measures
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_paired_difference():
    """Two runs that agree on most videos: the difference is known far better than each of them."""
    score_VC, label_V = scored(400, 8, skill=1.0)
    better_VC = score_VC.copy()
    better_VC[np.arange(40), label_V[:40]] += 9
    first, second = (found(score_VC, label_V), found(better_VC, label_V))
    differences = compare(first, second, draws=500)
    assert differences.keys() == first.measures.keys()
    for name, interval in differences.items():
        assert interval.mean == pytest.approx(value(second, name) - value(first, name))
        assert interval.low <= interval.mean <= interval.high
    gain = differences["top1"]
    own = first.measures["top1"]
    assert gain.low > 0
    assert gain.high - gain.low < 0.7 * (own.high - own.low)
    back = compare(second, first, draws=500)["top1"]
    assert (back.mean, back.high) == pytest.approx((-gain.mean, -gain.low))
    assert compare(first, first)["top1"] == (0, 0, 0)


def test_paired_difference_of_groups_draws_them_whole():
    score_VC, label_V = scored(200)
    better_VC = score_VC.copy()
    better_VC[np.arange(50), label_V[:50]] += 9  # five groups of ten
    wide = []
    for groups in ((), [f"g{video // 10}" for video in range(200)]):
        pair = [found(scores, label_V, groups=groups) for scores in (score_VC, better_VC)]
        gain = compare(*pair)["top1"]
        wide.append(gain.high - gain.low)
    assert wide[1] > 1.5 * wide[0]


def test_comparison_goes_by_names_not_by_order():
    score_VC, label_V = scored(50)
    first = found(score_VC, label_V)
    turned = dataclasses.replace(first, videos=first.videos[::-1])
    for one, other in ((first, turned), (turned, first)):
        assert all(interval == (0, 0, 0) for interval in compare(one, other).values())


def test_runs_that_cannot_be_compared():
    score_VC, label_V = scored(20)
    first, fewer = found(score_VC, label_V), found(score_VC[:18], label_V[:18])
    with pytest.raises(EvaluationError, match=r"only one has v18 \(and 1 more\)"):
        compare(first, fewer)
    other_V = label_V.copy()
    other_V[3] = (other_V[3] + 1) % 8
    with pytest.raises(
        EvaluationError, match=r"^v3: is class \d in one run, class \d in the other"
    ):
        compare(first, found(score_VC, other_V))
    with pytest.raises(EvaluationError, match="no rows of single videos"):
        compare(first, dataclasses.replace(first, videos=()))


def test_results_are_written_and_read_back_equal(tmp_path):
    score_VC, label_V = scored()
    several = recognise_several(score_VC, score_VC > 1.5, names(8), sample(120))
    one = found(score_VC, label_V, groups=["g"] * 60 + ["h"] * 60)
    results = Results({"label": one, "tags": several}, 6, {"checkpoint": "run/step_1"})
    path = tmp_path / "new" / "results.json"
    write_results(results, path)
    assert read_results(path) == results
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]
    content = json.loads(path.read_text())
    top1 = content["heads"]["label"]["measures"]["top1"]
    assert top1 == {"mean": value(one, "top1"), "low": top1["low"], "high": top1["high"]}
    assert content["heads"]["label"]["classes"][0]["name"] == "class 0"
    assert type(one.measures["top1"].low) is float
    assert compare(read_results(path).heads["label"], one)["top1"] == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is no JSON"),
        ("[1]", "holds no results"),
        ('{"heads": {}, "format": 99}', "has format 99, this version reads 1"),
        ('{"heads": {"a": {"count": 1}}, "format": 1, "views": 6}', "heads.a.measures: "),
    ],
)
def test_files_that_hold_no_results(tmp_path, text, said):
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EvaluationError) as raised:
        read_results(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_mistakes_are_one_line():
    with pytest.raises(EvaluationError, match="no video"):
        Sample([])
    with pytest.raises(EvaluationError, match=r"^a: 2 videos have this name"):
        Sample(["a", "b", "a"])
    with pytest.raises(SettingsError, match="0 draws"):
        found(*scored(10), draws=0)
    with pytest.raises(ValueError, match="groups"):
        Sample(["a", "b"], ["g"])
