import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from mofo.evaluation.measures import EvaluationError
from mofo.evaluation.probes import GRID, LabelledFeatures, LinearProbe, NearestProbe, held_out
from mofo.types import SettingsError


def rng(seed=0):
    return np.random.default_rng(seed)


def planted(videos=300, classes=4, width=32, signal=1.0, seed=0):
    """Features of which a few directions tell the class, on very different scales."""
    draw = rng(seed)
    centre_CD = np.zeros((classes, width))
    centre_CD[:, :8] = np.random.default_rng(99).normal(size=(classes, 8)) * signal
    label_V = draw.integers(0, classes, videos)
    feature_VD = centre_CD[label_V] + 0.5 * draw.normal(size=(videos, width))
    feature_VD = feature_VD * np.geomspace(0.01, 100, width) + np.arange(width)
    return LabelledFeatures(feature_VD, label_V)


def knn_probe(train, test, **options):
    return NearestProbe(**options).fit(train, test)


def linear_probe(train, test, **options):
    return LinearProbe(**options).fit(train, test)


PROBES = {
    "knn": knn_probe,
    "linear": lambda train, test: linear_probe(train, test, grid=(0.01, 0.1)),
}


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_a_planted_signal_is_found(probe):
    result = probe(planted(signal=1.5, seed=1), planted(signal=1.5, seed=2))
    assert result.top1 > 0.95
    assert result.balanced_accuracy > 0.95


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_noise_stays_at_chance(probe):
    result = probe(planted(600, signal=0, seed=1), planted(800, signal=0, seed=2))
    assert result.top1 == pytest.approx(0.25, abs=0.05)  # about three standard errors
    assert result.balanced_accuracy == pytest.approx(0.25, abs=0.05)


def weights_by_distance(temperature):
    # of unit vectors: squared distance = 2 - 2 cosine
    return lambda distance: np.exp((1 - distance**2 / 2) / temperature)


def unit(feature_VD):
    return feature_VD / np.linalg.norm(feature_VD, axis=1, keepdims=True)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.5)])
def test_nearest_neighbours_agree_with_scikit_learn(k, temperature):
    train, test = planted(200, signal=0.4, seed=3), planted(150, signal=0.4, seed=4)
    scaler = StandardScaler().fit(train.feature_VD)
    train_VD, test_VD = (unit(scaler.transform(part.feature_VD)) for part in (train, test))
    model = KNeighborsClassifier(
        k, weights=weights_by_distance(temperature), algorithm="brute"
    ).fit(train_VD, train.label_V)
    result = knn_probe(train, test, k=k, temperature=temperature)
    np.testing.assert_allclose(result.score_VC, model.predict_proba(test_VD), atol=1e-9)
    assert result.top1 == pytest.approx(model.score(test_VD, test.label_V))
    expected = balanced_accuracy_score(test.label_V, model.predict(test_VD))
    assert result.balanced_accuracy == pytest.approx(expected)


def test_order_does_not_show_in_neighbours():
    train, test = planted(200, signal=0.4, seed=3), planted(150, signal=0.4, seed=4)
    order = rng().permutation(200)
    mixed = LabelledFeatures(train.feature_VD[order], train.label_V[order])
    expected = knn_probe(train, test).score_VC
    np.testing.assert_allclose(knn_probe(mixed, test).score_VC, expected, atol=1e-9)


def test_a_tie_of_neighbours_counts_against_the_probe():
    feature_VD = np.array([[1.0, 1], [1, 1], [-1, -1], [-1, -1]])
    train = LabelledFeatures(feature_VD, np.array([1, 2, 0, 0]))
    result = knn_probe(train, LabelledFeatures(feature_VD[:1], np.array([2])), k=2)
    np.testing.assert_allclose(result.score_VC, [[0, 0.5, 0.5]])
    assert result.top1 == 0


def test_a_low_temperature_does_not_overflow_and_k_may_exceed_the_training_part():
    train, test = planted(30), planted(10, seed=1)
    result = knn_probe(train, test, k=500, temperature=1e-4)
    assert np.isfinite(result.score_VC).all()
    nearest = knn_probe(train, test, k=1).predicted_V
    np.testing.assert_array_equal(result.predicted_V, nearest)


def test_linear_probe_is_logistic_regression_on_standardised_features():
    train, test = planted(signal=0.3, seed=5), planted(signal=0.3, seed=6)
    result = linear_probe(train, test, grid=(0.1,))
    scaler = StandardScaler().fit(train.feature_VD)
    model = LogisticRegression(C=0.1, solver="newton-cg", tol=1e-8, max_iter=1000)
    model.fit(scaler.transform(train.feature_VD), train.label_V)
    expected_VC = model.predict_proba(scaler.transform(test.feature_VD))
    np.testing.assert_allclose(result.score_VC, expected_VC, atol=2e-3)
    assert 0.3 < result.top1 < 0.95
    assert result.top1 == pytest.approx(
        model.score(scaler.transform(test.feature_VD), test.label_V)
    )
    assert result.chosen == "C=0.1"
    assert result.converged


def test_the_penalty_is_chosen_without_a_look_at_the_test_part():
    train, test = planted(120, signal=0.3, seed=5), planted(signal=0.3, seed=6)
    one = linear_probe(train, test)
    lies = LabelledFeatures(test.feature_VD, (test.label_V + 1) % 4)
    other = linear_probe(train, lies)
    assert one.chosen == other.chosen
    np.testing.assert_array_equal(one.score_VC, other.score_VC)
    far = LabelledFeatures(1000 + 50 * test.feature_VD[:5], test.label_V[:5])
    assert linear_probe(train, far).chosen == one.chosen
    alone = linear_probe(train, test, grid=(float(one.chosen[2:]),))
    np.testing.assert_array_equal(one.score_VC, alone.score_VC)


def test_of_equally_good_penalties_the_strongest_is_taken():
    train = planted(signal=4, seed=1)
    assert linear_probe(train, train, grid=(10, 1, 0.1)).chosen == "C=0.1"


def test_many_weak_features_want_a_strong_penalty():
    """60 videos, 400 features, the class in one direction of all of them."""
    draw = rng(1)
    label_V = draw.integers(0, 2, 60)
    feature_VD = draw.normal(size=(60, 400)) + 0.15 * (2 * label_V - 1)[:, None]
    train = LabelledFeatures(feature_VD, label_V)
    assert float(linear_probe(train, train).chosen[2:]) < max(GRID)


@pytest.mark.parametrize("kind", [int, str])
def test_groups_are_held_out_whole(kind):
    group_V = np.repeat(np.arange(12), 10).astype(kind)
    train = LabelledFeatures(rng().normal(size=(120, 3)), np.tile(np.arange(4), 30), group_V)
    fit_V, held_V = held_out(train.label_V, train.group_V, rng())
    assert len(fit_V) + len(held_V) == 120
    assert not set(group_V[fit_V]) & set(group_V[held_V])


def test_features_that_never_change_and_single_precision():
    train, test = planted(seed=1), planted(seed=2)
    expected = knn_probe(train, test)

    def wider(part):
        still = np.full((len(part.label_V), 2), [0.0, 0.1])
        return LabelledFeatures(
            np.concatenate([part.feature_VD, still], 1).astype(np.float32), part.label_V
        )

    result = knn_probe(wider(train), wider(test))
    np.testing.assert_allclose(result.score_VC, expected.score_VC, atol=1e-3)
    half = LabelledFeatures(np.ones((4, 2), np.float16), np.array([0, 1, 0, 1]))
    assert np.isfinite(knn_probe(half, half).score_VC).all()


@pytest.mark.parametrize("lacking", [1, 3])
def test_classes_on_one_side_only(lacking):
    train, test = planted(signal=1.5, seed=1), planted(signal=1.5, seed=2)
    kept_V = train.label_V != lacking
    train = LabelledFeatures(train.feature_VD[kept_V], train.label_V[kept_V])
    for probe in PROBES.values():
        result = probe(train, test)
        assert result.score_VC.shape == (300, 4)
        assert (result.score_VC[:, lacking] == 0).all()
        assert result.balanced_accuracy == pytest.approx(0.75, abs=0.03)
        only = LabelledFeatures(test.feature_VD[:1], test.label_V[:1])
        assert probe(train, only).balanced_accuracy in (0, 1)


def test_what_is_held_out_holds_as_many_classes_as_can_be():
    """Two groups of all classes, eight of one class: with a big one left, one must be held out."""
    group_V = np.concatenate([np.repeat([0, 1], 6), np.repeat(np.arange(2, 10), 6)])
    label_V = np.concatenate([np.tile(np.arange(3), 4), np.zeros(48, int)])
    train = LabelledFeatures(rng().normal(size=(60, 3)), label_V, group_V)
    for seed in range(10):
        for part_V in held_out(train.label_V, train.group_V, rng(seed)):
            assert set(label_V[part_V]) == {0, 1, 2}


def test_a_solver_that_stops_early_is_told():
    result = linear_probe(planted(seed=1), planted(seed=2), grid=(10.0,), steps=1)
    assert not result.converged


def test_mistakes_are_one_line():
    train, test = planted(60, seed=1), planted(60, seed=2)
    with pytest.raises(SettingsError, match="k 0"):
        knn_probe(train, test, k=0)
    with pytest.raises(SettingsError, match="temperature 0"):
        knn_probe(train, test, temperature=0)
    with pytest.raises(SettingsError, match="above 0"):
        linear_probe(train, test, grid=(0, 1))
    one = LabelledFeatures(train.feature_VD, np.zeros(60, int))
    with pytest.raises(EvaluationError, match="two classes"):
        linear_probe(one, test)
    together = LabelledFeatures(train.feature_VD, train.label_V, np.zeros(60))
    with pytest.raises(EvaluationError, match="all training videos are of one group"):
        linear_probe(together, test)
    pair = LabelledFeatures(train.feature_VD, (np.arange(60) >= 30) * 1, (np.arange(60) >= 30) * 1)
    with pytest.raises(EvaluationError, match="too few groups"):
        linear_probe(pair, test)
    bad_VD = test.feature_VD.copy()
    bad_VD[[7, 9], 0] = np.nan
    with pytest.raises(EvaluationError, match=r"video 7 are not finite numbers \(and of 1 more\)"):
        LabelledFeatures(bad_VD, test.label_V)
    with pytest.raises(EvaluationError, match="no features"):
        LabelledFeatures(np.zeros((0, 3)), np.zeros(0, int))
