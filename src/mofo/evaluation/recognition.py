"""How well videos are recognised: metrics with intervals, a table of classes, the confusion.

From one row of scores a video (see ``score_videos``) to ``Recognition``; also for actions that are
pairs of a verb and a noun, as in EPIC-KITCHENS-100.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from mofo.evaluation.measures import (
    DRAWS,
    EvaluationError,
    Interval,
    Measure,
    Sample,
    average_precisions,
    difference,
    label_ranks,
    mean_average_precision,
    mean_class_accuracy,
    predictions,
    top_k,
)
from mofo.evaluation.results import ClassRow, Recognition, VideoRow

_SEVERAL = 5  # the k of top-5; with no more classes than that it would always be 1
_LIKELY = 0.5  # from this probability on a class counts as predicted, where there may be several
_BLOCK = 1 << 22  # scores of actions held at once


def recognise(
    score_VC: np.ndarray, label_V: np.ndarray, classes: Sequence[str], sample: Sample
) -> Recognition:
    """Results where each video has one class."""
    predicted_V, rank_V = predictions(score_VC, label_V), label_ranks(score_VC, label_V)
    return _single(label_V, predicted_V, rank_V, classes, len(classes), sample)


def recognise_several(
    score_VC: np.ndarray, target_VC: np.ndarray, classes: Sequence[str], sample: Sample
) -> Recognition:
    """Results where a video may have any number of classes: average precision.

    ``score_VC``: probabilities; in the table of classes 0.5 and more counts as predicted.
    ``target_VC``: bool, the classes of each video.
    """
    target_VC = np.asarray(target_VC).astype(bool)
    if not target_VC.any():
        raise EvaluationError("no video has any class: there is nothing to find")
    likely_VC = score_VC >= _LIKELY
    counts_C3 = np.stack([target_VC, likely_VC, likely_VC & target_VC], 2).sum(0)
    precision_C = average_precisions(score_VC, target_VC)
    measures = {"mean_average_precision": mean_average_precision(score_VC, target_VC)}
    return Recognition(
        count=len(score_VC),
        measures=sample.intervals(measures),
        classes=tuple(
            _row(name, counts.tolist(), None if np.isnan(precision) else float(precision))
            for name, counts, precision in zip(classes, counts_C3, precision_C, strict=True)
        ),
    )


def recognise_actions(
    action_VA: np.ndarray,
    pairs_A2: np.ndarray,
    pair_V2: np.ndarray,
    verbs: Sequence[str],
    nouns: Sequence[str],
    sample: Sample,
) -> dict[str, Recognition]:
    """Results for "verb", "noun" and "action" from one head for actions.

    A verb (noun) scores the sum of the actions that have it.

    Args:
        pair_V2: true verb and noun of each video. An action that the head does not know is never
            found, and counts.
    """
    verb_VC = part_scores(action_VA, pairs_A2[:, 0], len(verbs))
    noun_VC = part_scores(action_VA, pairs_A2[:, 1], len(nouns))
    whole = [(slice(None), action_VA)]
    return {
        "verb": recognise(verb_VC, pair_V2[:, 0], verbs, sample),
        "noun": recognise(noun_VC, pair_V2[:, 1], nouns, sample),
        "action": _pairs(whole, pairs_A2, pair_V2, verbs, nouns, sample),
    }


def recognise_heads(
    verb_VC: np.ndarray,
    noun_VC: np.ndarray,
    pair_V2: np.ndarray,
    verbs: Sequence[str],
    nouns: Sequence[str],
    sample: Sample,
) -> dict[str, Recognition]:
    """Results for "verb", "noun" and "action" from a head for verbs and one for nouns.

    An action, every verb with every noun as in the benchmark's own evaluation, scores the product
    of both.
    """
    choices = len(verbs) * len(nouns)
    pairs_A2 = np.stack(np.divmod(np.arange(choices), len(nouns)), axis=1)
    step = max(1, _BLOCK // choices)
    blocks = (slice(start, start + step) for start in range(0, len(verb_VC), step))
    products = (
        (block, (verb_VC[block, :, None] * noun_VC[block, None]).reshape(-1, choices))
        for block in blocks
    )
    return {
        "verb": recognise(verb_VC, pair_V2[:, 0], verbs, sample),
        "noun": recognise(noun_VC, pair_V2[:, 1], nouns, sample),
        "action": _pairs(products, pairs_A2, pair_V2, verbs, nouns, sample),
    }


def part_scores(action_VA: np.ndarray, part_A: np.ndarray, parts: int) -> np.ndarray:
    """Scores of verbs (or nouns): the sum over the actions that have it.

    ``part_A``: verb (or noun) of each action, 0 to ``parts`` - 1.
    ``parts``: how many verbs (or nouns) there are.

    Returns:
        ``(V, parts)``, float64; 0 for a verb that no action has.
    """
    order_A = np.argsort(part_A, kind="stable")
    known, starts = np.unique(part_A[order_A], return_index=True)
    score_VC = np.zeros((len(action_VA), parts))
    score_VC[:, known] = np.add.reduceat(action_VA[:, order_A], starts, axis=1)
    return score_VC


def compare(
    first: Recognition, second: Recognition, *, seed: int = 0, draws: int = DRAWS
) -> dict[str, Interval]:
    """``second`` minus ``first`` for each measure, with intervals from a paired bootstrap.

    The same videos (or groups) are drawn for both, so that what makes a video hard for both runs
    does not widen the interval.
    """
    if not (first.videos and second.videos):
        raise EvaluationError("these results have no rows of single videos to compare")
    others = {row.name: row for row in second.videos}
    strange = sorted({row.name for row in first.videos} ^ others.keys())
    if strange:
        more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
        raise EvaluationError(f"the runs differ in their videos: only one has {strange[0]}{more}")
    for row in first.videos:
        labels = (
            first.classes[row.label].name,
            second.classes[others[row.name].label].name,
        )
        if labels[0] != labels[1]:
            raise EvaluationError(
                f"{row.name}: is {labels[0]} in one run, {labels[1]} in the other"
            )
    label_V = np.array([row.label for row in first.videos])
    before = _measures(np.array([row.rank for row in first.videos]), label_V)
    after = _measures(np.array([others[row.name].rank for row in first.videos]), label_V)
    sample = Sample(
        [row.name for row in first.videos], [row.group for row in first.videos], seed, draws
    )
    shared = [name for name in before if name in first.measures and name in second.measures]
    return sample.intervals({name: difference(before[name], after[name]) for name in shared})


def _measures(rank_V: np.ndarray, label_V: np.ndarray) -> dict[str, Measure]:
    return {
        "top1": top_k(rank_V, 1),
        f"top{_SEVERAL}": top_k(rank_V, _SEVERAL),
        "mean_class_accuracy": mean_class_accuracy(rank_V, label_V),
    }


def _single(
    label_V: np.ndarray,
    predicted_V: np.ndarray,
    rank_V: np.ndarray,
    classes: Sequence[str],
    choices: int,
    sample: Sample,
) -> Recognition:
    """Results by ranks among so many ``choices``."""
    measures = _measures(rank_V, label_V)
    if choices <= _SEVERAL:
        del measures[f"top{_SEVERAL}"]
    cells = Counter(zip(label_V.tolist(), predicted_V.tolist(), strict=True))
    counts_C3 = np.stack(
        [
            np.bincount(numbers, minlength=len(classes))
            for numbers in (label_V, predicted_V, label_V[label_V == predicted_V])
        ],
        axis=1,
    )
    rows = zip(
        sample.names,
        sample.groups or sample.names,
        label_V.tolist(),
        predicted_V.tolist(),
        rank_V.tolist(),
        strict=True,
    )
    return Recognition(
        count=len(label_V),
        measures=sample.intervals(measures),
        classes=tuple(
            _row(name, counts.tolist()) for name, counts in zip(classes, counts_C3, strict=True)
        ),
        confusion=tuple((*cell, count) for cell, count in sorted(cells.items())),
        videos=tuple(VideoRow(str(name), str(group), *rest) for name, group, *rest in rows),
    )


def _pairs(
    blocks: Iterable[tuple[slice, np.ndarray]],
    pairs_A2: np.ndarray,
    pair_V2: np.ndarray,
    verbs: Sequence[str],
    nouns: Sequence[str],
    sample: Sample,
) -> Recognition:
    """Results for actions; classes are those that a video has or was taken for.

    ``blocks``: videos and their scores (V, A) of actions, some at a time.
    ``pair_V2``: true ones; a pair that is no action comes behind all that are.
    """
    number = {pair: action for action, pair in enumerate(map(tuple, pairs_A2.tolist()))}
    action_V = np.array([number.get(tuple(pair), -1) for pair in pair_V2.tolist()], np.int64)
    known_V = action_V >= 0
    rank_V = np.full(len(action_V), len(pairs_A2))
    best_V = np.zeros(len(action_V), np.int64)
    for block, score_VA in blocks:
        known, action = known_V[block], action_V[block]
        rank_V[block][known] = label_ranks(score_VA[known], action[known])
        best_V[block][known] = predictions(score_VA[known], action[known])
        best_V[block][~known] = score_VA[~known].argmax(1)
    both_X2 = np.concatenate([np.asarray(pair_V2, np.int64), pairs_A2[best_V]])
    seen_C2, number_X = np.unique(both_X2, axis=0, return_inverse=True)
    label_V, predicted_V = number_X.reshape(2, -1)
    classes = [f"{verbs[verb]} {nouns[noun]}" for verb, noun in seen_C2]
    return _single(label_V, predicted_V, rank_V, classes, len(pairs_A2), sample)


def _row(name: str, counts: list[int], average_precision: float | None = None) -> ClassRow:
    count, predicted, correct = counts
    return ClassRow(
        name=str(name),
        count=count,
        predicted=predicted,
        correct=correct,
        precision=correct / predicted if predicted else None,
        recall=correct / count if count else None,
        average_precision=average_precision,
    )
