import numpy as np
import pytest
import torch

from mofo.evaluation.attentive_probe import (
    AttentiveProbe,
    AttentiveSettings,
    LabelledTokens,
    _Classifier,
)
from mofo.evaluation.measures import EvaluationError
from mofo.evaluation.probes import LabelledFeatures, LinearProbe
from mofo.types import SettingsError

CLASSES, N, D = 3, 30, 24


def attentive_probe(train, test, settings=None, seed=0):
    return AttentiveProbe(attentive=settings, seed=seed).fit_tokens(train, test)


QUICK = AttentiveSettings(epochs=25, rates=(3e-3, 1e-2))


def tokens(kind, videos, seed, dtype=np.float32):
    """Tokens with the class in one token of a random place ("needle"), in the area, or nowhere.

    In "area" every token shows some class in the same way, but only those inside the true one.
    """
    rng = np.random.default_rng(seed)
    sign_CD = np.random.default_rng(99).normal(size=(CLASSES, D))
    needle_CD = 3 * sign_CD + 5 * np.random.default_rng(98).normal(size=D)
    label_V = rng.integers(0, CLASSES, videos)
    token_VND = rng.normal(size=(videos, N, D))
    inside_VN = np.zeros((videos, N), bool)
    for v, label in enumerate(label_V):
        places = rng.permutation(N)
        inside_VN[v, places[:4]] = True
        if kind == "needle":
            token_VND[v, places[0]] += needle_CD[label]
            token_VND[v] -= needle_CD[label] / N  # so the mean does not know
        elif kind == "area":
            shown_N = np.full(N, label)
            # Of all classes as many tokens: the mean does not know.
            rest = N // CLASSES - 4 * np.eye(CLASSES, dtype=int)[label]
            shown_N[places[4:]] = np.repeat(np.arange(CLASSES), rest)
            token_VND[v] += 2 * sign_CD[shown_N]
    scaled = token_VND * np.geomspace(0.1, 10, D) + np.arange(D)
    return scaled.astype(dtype), inside_VN, label_V


def labelled(kind, videos, seed, dtype=np.float32):
    token_VND, inside_VN, label_V = tokens(kind, videos, seed, dtype)
    return LabelledTokens(lambda place_R: (token_VND[place_R], inside_VN[place_R]), label_V)


def means(kind, videos, seed):
    token_VND, _, label_V = tokens(kind, videos, seed)
    return LabelledFeatures(token_VND.mean(1), label_V)


@pytest.mark.slow
def test_one_token_at_a_random_place_is_found_where_the_mean_hides_it():
    result = attentive_probe(labelled("needle", 400, 1), labelled("needle", 200, 2), QUICK)
    assert result.top1 > 0.8
    means_of = [means("needle", *numbers) for numbers in ((400, 1), (200, 2))]
    linear = LinearProbe().fit(*means_of)
    assert linear.top1 == pytest.approx(1 / 3, abs=0.1)  # three standard errors


@pytest.mark.parametrize(
    "fusion", [pytest.param("cross_attention", marks=pytest.mark.slow), "weighted_mean", "mean"]
)
def test_what_only_the_motion_area_shows(fusion):
    """All tokens show some class, those inside the true one: a fusion without the area is blind."""
    settings = AttentiveSettings(fusion=fusion, epochs=20, rates=(3e-3, 1e-2))
    result = attentive_probe(labelled("area", 250, 1), labelled("area", 200, 2), settings)
    if fusion == "mean":
        assert result.top1 == pytest.approx(1 / 3, abs=0.1)
    else:
        assert result.top1 > 0.9


@pytest.mark.parametrize("fusion", ["attentive", "cross_attention"])
def test_noise_stays_at_chance(fusion):
    settings = AttentiveSettings(fusion=fusion, epochs=4, rates=(3e-3,))
    result = attentive_probe(labelled("none", 200, 1), labelled("none", 500, 2), settings)
    assert result.top1 == pytest.approx(1 / 3, abs=0.065)
    assert result.balanced_accuracy == pytest.approx(1 / 3, abs=0.065)


def test_the_same_seed_the_same_probe_and_the_global_one_is_left_alone():
    train, test = labelled("needle", 60, 1), labelled("needle", 30, 2)
    before = torch.get_rng_state()
    settings = AttentiveSettings(epochs=2)
    one, again, other = (
        attentive_probe(train, test, settings, seed=seed).score_VC for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_the_rate_is_chosen_without_a_look_at_the_test_part():
    train, test = labelled("needle", 90, 1), labelled("needle", 60, 2)
    lies = LabelledTokens(test.take, (test.label_V + 1) % CLASSES)
    settings = AttentiveSettings(epochs=3, rates=(1e-6, 1e-2))
    one, other = (attentive_probe(train, part, settings) for part in (test, lies))
    assert one.chosen == other.chosen == "learning rate 0.01"
    np.testing.assert_array_equal(one.score_VC, other.score_VC)


def test_the_scale_of_a_channel_does_not_matter_and_still_ones_are_harmless():
    token_VND, inside_VN, label_V = tokens("needle", 60, 1, np.float64)
    settings = AttentiveSettings(epochs=2, rates=(3e-3,))

    def scores(changed_VND):
        part = LabelledTokens(lambda place_R: (changed_VND[place_R], inside_VN[place_R]), label_V)
        return attentive_probe(part, part, settings).score_VC

    plain = scores(token_VND)
    np.testing.assert_allclose(scores(token_VND * 7 + 3), plain, atol=1e-3)
    token_VND[..., :3] = [0, 1e4, 0.1]
    assert np.isfinite(scores(token_VND)).all()


def test_tokens_are_read_in_batches_only():
    train, most = labelled("needle", 50, 1), []

    def take(place_R):
        most.append(len(place_R))
        return train.take(place_R)

    part = LabelledTokens(take, train.label_V)
    attentive_probe(part, part, AttentiveSettings(epochs=1, batch=8))
    assert max(most) == 8


@pytest.mark.parametrize("fusion", ["attentive", "cross_attention"])
def test_every_parameter_learns(fusion):
    scale = torch.zeros(D), torch.ones(D)
    probe = _Classifier(AttentiveSettings(fusion=fusion), CLASSES, scale, 0)
    token_VND, inside_VN, _ = tokens("needle", 4, 1)
    probe.head.linear["label"].weight.data *= 1000
    logits = probe(torch.from_numpy(token_VND), torch.from_numpy(inside_VN))
    logits.log_softmax(1)[:, 0].sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in probe.parameters())


def test_mistakes_are_one_line():
    train, test = labelled("none", 20, 1), labelled("none", 10, 2)
    with pytest.raises(SettingsError, match=r"fusion 'atentive' is unknown.*'attentive'"):
        AttentiveSettings(fusion="atentive")
    with pytest.raises(SettingsError, match="0 epochs"):
        AttentiveSettings(epochs=0)
    with pytest.raises(SettingsError, match="not a multiple of 7 heads"):
        attentive_probe(train, test, AttentiveSettings(heads=7))
    with pytest.raises(EvaluationError, match="two classes"):
        attentive_probe(LabelledTokens(train.take, np.zeros(20, int)), test)
    with pytest.raises(EvaluationError, match="no features"):
        attentive_probe(train, LabelledTokens(test.take, np.zeros(0, int)))
    with pytest.raises(EvaluationError, match="of one group"):
        attentive_probe(LabelledTokens(train.take, train.label_V, np.zeros(20)), test)

    def broken(place_R):
        token_RND, inside_RN = test.take(place_R)
        return np.where(token_RND > 0, np.nan, token_RND), inside_RN

    settings = AttentiveSettings(epochs=1)
    with pytest.raises(EvaluationError, match="not finite"):
        attentive_probe(train, LabelledTokens(broken, test.label_V), settings)
    with pytest.raises(EvaluationError, match="not finite"):
        attentive_probe(LabelledTokens(broken, test.label_V), test, settings)
