"""How well videos are recognised: measures with intervals, a table of classes, the confusion.

From one row of scores a video (see ``average_views``) to ``Recognition``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mofo.evaluation.action_pairs import part_scores, ranks_from_actions, ranks_from_heads
from mofo.evaluation.area_scores import Interval
from mofo.evaluation.intervals import DRAWS, Sample, difference
from mofo.evaluation.measures import (
    Measure,
    average_precisions,
    label_ranks,
    mean_average_precision,
    mean_class_accuracy,
    predictions,
    top_k,
)
from mofo.evaluation.results import ClassRow, Recognition, VideoRow
from mofo.evaluation.views import EvaluationError, video_name

_SEVERAL = 5  # the k of top-5; with no more classes than that it would always be 1
_LIKELY = 0.5  # from this probability on a class counts as predicted, where there may be several


def recognise(
    score_VC: np.ndarray, label_V: np.ndarray, classes: Sequence[str], sample: Sample
) -> Recognition:
    """Results where each video has one class.

    Args:
        score_VC: of the videos, higher is more likely.
        label_V: true classes, 0 to C - 1.
        classes: their names.
        sample: the videos.

    Raises:
        EvaluationError: a label that is no class, or scores that are not finite: of which video.
        ValueError: sizes that do not fit.
    """
    label_V = _checked_labels(label_V, classes, sample)
    _check_scores(score_VC, len(classes), sample)
    predicted_V, rank_V = predictions(score_VC, label_V), label_ranks(score_VC, label_V)
    return _single(label_V, predicted_V, rank_V, classes, len(classes), sample)


def recognise_several(
    score_VC: np.ndarray, target_VC: np.ndarray, classes: Sequence[str], sample: Sample
) -> Recognition:
    """Results where a video may have any number of classes: average precision.

    Args:
        score_VC: probabilities; in the table of classes 0.5 and more counts as predicted.
        target_VC: bool, the classes of each video.
        classes: their names.
        sample: the videos.

    Raises:
        EvaluationError: no video has any class; scores that are not finite.
        ValueError: sizes that do not fit.
    """
    _check_scores(score_VC, len(classes), sample)
    target_VC = np.asarray(target_VC).astype(bool)
    if target_VC.shape != score_VC.shape:
        raise ValueError(f"targets of {target_VC.shape} for scores of {score_VC.shape}")
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
        action_VA: probabilities of actions.
        pairs_A2: verb and noun of each action.
        pair_V2: true verb and noun of each video. An action that the head does not know is never
            found, and counts.
        verbs, nouns: their names.
        sample: the videos.

    Raises:
        EvaluationError: a verb or noun that is none, an action listed twice, scores that are not
            finite.
        ValueError: sizes that do not fit.
    """
    pairs_A2 = _checked_pairs(pairs_A2, verbs, nouns)
    verb_V, noun_V = _checked_parts(pair_V2, verbs, nouns, sample)
    _check_scores(action_VA, len(pairs_A2), sample)
    ranks = ranks_from_actions(action_VA, pairs_A2, verb_V, noun_V)
    verb_VC = part_scores(action_VA, pairs_A2[:, 0], len(verbs))
    noun_VC = part_scores(action_VA, pairs_A2[:, 1], len(nouns))
    return {
        "verb": recognise(verb_VC, verb_V, verbs, sample),
        "noun": recognise(noun_VC, noun_V, nouns, sample),
        "action": _pairs(*ranks, pair_V2, verbs, nouns, len(pairs_A2), sample),
    }


def recognise_heads(
    verb_VC: np.ndarray,
    noun_VC: np.ndarray,
    pair_V2: np.ndarray,
    verbs: Sequence[str],
    nouns: Sequence[str],
    sample: Sample,
    pairs_A2: np.ndarray | None = None,
) -> dict[str, Recognition]:
    """Results for "verb", "noun" and "action" from a head for verbs and one for nouns.

    An action scores the product of both.

    Args:
        verb_VC, noun_VC: probabilities.
        pair_V2: true verb and noun of each video.
        verbs, nouns: their names.
        sample: the videos.
        pairs_A2: the actions that are possible; None: every verb with every noun, as the
            benchmark's own evaluation does.

    Raises:
        EvaluationError, ValueError: see ``recognise_actions``.
    """
    if pairs_A2 is not None:
        pairs_A2 = _checked_pairs(pairs_A2, verbs, nouns)
    verb_V, noun_V = _checked_parts(pair_V2, verbs, nouns, sample)
    results = {
        "verb": recognise(verb_VC, verb_V, verbs, sample),
        "noun": recognise(noun_VC, noun_V, nouns, sample),
    }
    ranks = ranks_from_heads(verb_VC, noun_VC, verb_V, noun_V, pairs_A2)
    choices = len(verbs) * len(nouns) if pairs_A2 is None else len(pairs_A2)
    results["action"] = _pairs(*ranks, pair_V2, verbs, nouns, choices, sample)
    return results


def compare(
    first: Recognition, second: Recognition, *, seed: int = 0, draws: int = DRAWS
) -> dict[str, Interval]:
    """``second`` minus ``first`` for each measure, with intervals from a paired bootstrap.

    The same videos (or groups) are drawn for both, so that what makes a video hard for both runs
    does not widen the interval.

    Raises:
        EvaluationError: not the same videos with the same labels, or no rows of single videos.
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
    rank_V: np.ndarray,
    predicted_V2: np.ndarray,
    pair_V2: np.ndarray,
    verbs: Sequence[str],
    nouns: Sequence[str],
    choices: int,
    sample: Sample,
) -> Recognition:
    """Results for actions; classes are those that a video has or was taken for."""
    both_X2 = np.concatenate([np.asarray(pair_V2, np.int64), predicted_V2])
    seen_C2, number_X = np.unique(both_X2, axis=0, return_inverse=True)
    label_V, predicted_V = number_X.reshape(2, -1)
    classes = [f"{verbs[verb]} {nouns[noun]}" for verb, noun in seen_C2]
    return _single(label_V, predicted_V, rank_V, classes, choices, sample)


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


def _check_scores(score_VC: np.ndarray, classes: int, sample: Sample) -> None:
    if score_VC.shape != (len(sample.names), classes):
        raise ValueError(
            f"scores of {score_VC.shape} for {len(sample.names)} videos and {classes} classes"
        )
    wrong_V = ~np.isfinite(score_VC).all(1)
    if wrong_V.any():
        name = video_name(sample.names, int(wrong_V.argmax()))
        raise EvaluationError(f"{name}: its scores are not finite numbers")


def _checked_labels(label_V: np.ndarray, classes: Sequence[str], sample: Sample) -> np.ndarray:
    label_V = np.asarray(label_V, np.int64)
    if label_V.shape != (len(sample.names),):
        raise ValueError(f"labels of {label_V.shape} for {len(sample.names)} videos")
    wrong_V = (label_V < 0) | (label_V >= len(classes))
    if wrong_V.any():
        video = int(wrong_V.argmax())
        raise EvaluationError(
            f"{video_name(sample.names, video)}: label {label_V[video]} is none of the "
            f"{len(classes)} classes, which count from 0"
        )
    return label_V


def _checked_parts(
    pair_V2: np.ndarray, verbs: Sequence[str], nouns: Sequence[str], sample: Sample
) -> tuple[np.ndarray, np.ndarray]:
    pair_V2 = np.asarray(pair_V2)
    return tuple(
        _checked_labels(pair_V2[:, part], names, sample)
        for part, names in enumerate((verbs, nouns))
    )  # type: ignore[return-value]


def _checked_pairs(pairs_A2: np.ndarray, verbs: Sequence[str], nouns: Sequence[str]) -> np.ndarray:
    pairs_A2 = np.asarray(pairs_A2, np.int64).reshape(-1, 2)
    wrong_A = ((pairs_A2 < 0) | (pairs_A2 >= (len(verbs), len(nouns)))).any(1)
    if wrong_A.any() or not len(pairs_A2):
        pair = pairs_A2[wrong_A][0].tolist() if len(pairs_A2) else "none"
        raise EvaluationError(
            f"action {pair}: is no pair out of {len(verbs)} verbs and {len(nouns)} nouns"
        )
    _, first = np.unique(pairs_A2, axis=0, return_index=True)
    if len(first) < len(pairs_A2):
        twice = np.setdiff1d(np.arange(len(pairs_A2)), first)[0]
        raise EvaluationError(f"action {pairs_A2[twice].tolist()}: is listed twice")
    return pairs_A2
