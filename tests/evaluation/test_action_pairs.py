import numpy as np
import pytest
from sklearn import metrics

from mofo.evaluation.measures import Sample
from mofo.evaluation.recognition import (
    compare,
    part_scores,
    recognise_actions,
    recognise_heads,
)

VERBS, NOUNS = ("take", "put", "open"), ("cup", "door")
# take cup, take door, put cup, open door
PAIRS_A2 = np.array([[0, 0], [0, 1], [1, 0], [2, 1]])


def sample(videos):
    return Sample([f"v{video}" for video in range(videos)], draws=20)


def value(results, head, name="top1"):
    return results[head].measures[name].mean


def test_a_verb_scores_the_sum_of_its_actions():
    action_VA = np.array([[0.3, 0.2, 0.4, 0.1]])
    np.testing.assert_allclose(part_scores(action_VA, PAIRS_A2[:, 0], 3), [[0.5, 0.4, 0.1]])
    np.testing.assert_allclose(part_scores(action_VA, PAIRS_A2[:, 1], 2), [[0.7, 0.3]])
    # a verb that no action has scores nothing
    np.testing.assert_allclose(part_scores(action_VA, PAIRS_A2[:, 0], 4)[0, 3], 0)


def test_one_head_written_out():
    """The best action is "put cup", the best verb "take": marginals decide, not the best action."""
    action_VA = np.array([[0.3, 0.2, 0.4, 0.1], [0.1, 0.1, 0.2, 0.6]])
    results = recognise_actions(
        action_VA, PAIRS_A2, np.array([[1, 0], [2, 1]]), VERBS, NOUNS, sample(2)
    )
    assert list(results) == ["verb", "noun", "action"]
    assert (value(results, "verb"), value(results, "noun"), value(results, "action")) == (0.5, 1, 1)
    assert [row.name for row in results["action"].classes] == ["put cup", "open door"]


def test_two_heads_written_out():
    verb_V3, noun_V2 = np.array([[0.5, 0.3, 0.2]]), np.array([[0.4, 0.6]])
    true_V2 = np.array([[2, 1]])
    results = recognise_heads(verb_V3, noun_V2, true_V2, VERBS, NOUNS, sample(1))
    # "take door" .30, "take cup" .20, "put door" .18, "put cup" .12 as "open door": a tie counts
    # against it
    assert results["action"].videos[0].rank == 4
    assert value(results, "noun") == 1
    assert [row.name for row in results["action"].classes] == ["take door", "open door"]


def drawn(videos=80, verbs=9, nouns=7, seed=0):
    rng = np.random.default_rng(seed)
    true_V2 = np.stack([rng.integers(0, verbs, videos), rng.integers(0, nouns, videos)], 1)

    def shares(classes, label_V):
        logits = rng.normal(size=(videos, classes))
        logits[np.arange(videos), label_V] += 1.5
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    names = [f"verb{n}" for n in range(verbs)], [f"noun{n}" for n in range(nouns)]
    return shares(verbs, true_V2[:, 0]), shares(nouns, true_V2[:, 1]), true_V2, *names


def test_against_scikit_learn_over_all_pairs(monkeypatch):
    verb_VC, noun_VC, true_V2, verbs, nouns = drawn()
    results = recognise_heads(verb_VC, noun_VC, true_V2, verbs, nouns, sample(80))
    outer_VA = (verb_VC[:, :, None] * noun_VC[:, None, :]).reshape(80, -1)
    action_V = true_V2 @ [7, 1]
    for k in (1, 5):
        for head, score, label in (
            ("verb", verb_VC, true_V2[:, 0]),
            ("noun", noun_VC, true_V2[:, 1]),
            ("action", outer_VA, action_V),
        ):
            expected = metrics.top_k_accuracy_score(
                label, score, k=k, labels=np.arange(score.shape[1])
            )
            assert value(results, head, f"top{k}") == pytest.approx(expected), (head, k)
    recall = metrics.recall_score(action_V, outer_VA.argmax(1), average=None, zero_division=np.nan)
    assert value(results, "action", "mean_class_accuracy") == pytest.approx(np.nanmean(recall))
    pairs_A2 = np.stack(np.divmod(np.arange(63), 7), axis=1)
    # The same, as one head for all pairs: its sums over pairs are the heads again.
    joint = recognise_actions(outer_VA, pairs_A2, true_V2, verbs, nouns, sample(80))
    for head, one in joint.items():
        assert one.measures == results[head].measures, head
    monkeypatch.setattr("mofo.evaluation.recognition._BLOCK", 1)
    assert recognise_heads(verb_VC, noun_VC, true_V2, verbs, nouns, sample(80)) == results


def test_an_action_never_seen_in_training_counts_as_missed_its_verb_and_noun_do_not():
    action_VA = np.array([[0.1, 0.6, 0.2, 0.1], [0.9, 0.0, 0.0, 0.1]])
    true_V2 = np.array([[1, 1], [0, 0]])  # "put door" is no action of the head
    results = recognise_actions(action_VA, PAIRS_A2, true_V2, VERBS, NOUNS, sample(2))
    assert [value(results, head) for head in ("verb", "noun", "action")] == [0.5, 1, 0.5]
    assert results["action"].videos[0].rank == 4
    assert {row.name: row.count for row in results["action"].classes} == {
        "put door": 1,
        "take cup": 1,
        "take door": 0,
    }
    assert "top5" not in results["action"].measures  # four actions: it would say nothing


def test_actions_of_two_runs_can_be_compared_though_other_pairs_were_predicted():
    verb_VC, noun_VC, true_V2, verbs, nouns = drawn()
    first = recognise_heads(verb_VC, noun_VC, true_V2, verbs, nouns, sample(80))["action"]
    other = drawn(seed=0)[0][:, ::-1]
    second = recognise_heads(other, noun_VC, true_V2, verbs, nouns, sample(80))["action"]
    assert len(first.classes) != len(second.classes)
    gain = compare(first, second)["top1"].mean
    assert gain == pytest.approx(second.measures["top1"].mean - first.measures["top1"].mean)
