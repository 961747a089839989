"""Measures of recognition, from scores and labels, with bootstrap intervals.

Ties count against the model: a label is among the first k only if fewer than k other classes score
as high or higher. So a model that gives all classes the same score has top-1 and top-5 of 0.

What is averaged over videos is a ``Measure``: a function from weights of the videos to a value. A
weight of 1 for each gives the measure itself, the counts of a resampling give a bootstrap's draw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mofo.types import MofoError, SettingsError

DRAWS = 1000
"""Resamplings of a bootstrap, where nothing else is asked for."""
_BLOCK = 1 << 21  # weights held at once

Measure = Callable[[np.ndarray], np.ndarray]  # weight_SV -> value_S, for S resamplings at once


class EvaluationError(MofoError):
    """Scores, labels or results that cannot be used for an evaluation."""


class Interval(NamedTuple):
    """A value and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def label_ranks(score_VC: np.ndarray, label_V: np.ndarray) -> np.ndarray:
    """How many other classes score as high as the label or higher, int64 ``(V,)``; 0 is a hit."""
    own_V1 = np.take_along_axis(score_VC, label_V[:, None], 1)
    return (score_VC >= own_V1).sum(1) - 1


def predictions(score_VC: np.ndarray, label_V: np.ndarray) -> np.ndarray:
    """The class with the highest score, int64 ``(V,)``; in a tie the first one that is wrong.

    It is the label exactly where ``label_ranks`` is 0.
    """
    best_VC = score_VC == score_VC.max(1, keepdims=True)
    tied_V = best_VC.sum(1) > 1
    best_VC[tied_V, label_V[tied_V]] = False
    return best_VC.argmax(1)


def mean_of(value_V: np.ndarray) -> Measure:
    """The mean of one number a video."""
    return lambda weight_SV: weight_SV @ value_V / weight_SV.sum(1)


def top_k(rank_V: np.ndarray, k: int) -> Measure:
    """Share of the videos whose label is among the first k classes."""
    return mean_of((rank_V < k).astype(np.float64))


def mean_class_accuracy(rank_V: np.ndarray, label_V: np.ndarray) -> Measure:
    """Share of hits in each class, averaged over the classes that have videos."""
    order_V = np.argsort(label_V, kind="stable")
    starts = np.unique(label_V[order_V], return_index=True)[1]
    hit_V = (rank_V[order_V] == 0).astype(np.float64)

    def measure(weight_SV: np.ndarray) -> np.ndarray:
        sorted_SV = weight_SV[:, order_V]
        count_SC = np.add.reduceat(sorted_SV, starts, axis=1)
        hits_SC = np.add.reduceat(sorted_SV * hit_V, starts, axis=1)
        there_SC = count_SC > 0  # a resampling may hold no video of a small class
        return (hits_SC / np.where(there_SC, count_SC, 1)).sum(1) / there_SC.sum(1)

    return measure


def average_precisions(score_VC: np.ndarray, target_VC: np.ndarray) -> np.ndarray:
    """Average precision of each class, float64 ``(C,)``; NaN for a class that no video has.

    The sum over thresholds of precision times the step in recall, without interpolation; equal
    scores are one threshold. ``target_VC``: bool, the classes of each video.
    """
    weight_1V = np.ones((1, len(score_VC)))
    columns = zip(score_VC.T, target_VC.T, strict=True)
    return np.array([_average_precision(s, y)(weight_1V)[0] for s, y in columns])


def mean_average_precision(score_VC: np.ndarray, target_VC: np.ndarray) -> Measure:
    """Mean over the classes that have videos of their average precision (mAP)."""
    each = [
        _average_precision(score_V, target_V)
        for score_V, target_V in zip(score_VC.T, target_VC.T, strict=True)
    ]

    def measure(weight_SV: np.ndarray) -> np.ndarray:
        total_S, count_S = np.zeros(len(weight_SV)), np.zeros(len(weight_SV))
        for one in each:
            value_S = one(weight_SV)
            there_S = ~np.isnan(value_S)
            total_S[there_S] += value_S[there_S]
            count_S += there_S
        return np.where(count_S > 0, total_S / np.maximum(count_S, 1), np.nan)

    return measure


def _average_precision(score_V: np.ndarray, target_V: np.ndarray) -> Measure:
    order_V = np.argsort(-score_V, kind="stable")
    sorted_V, true_V = score_V[order_V], target_V[order_V].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(sorted_V)), len(sorted_V) - 1)  # last of equal scores

    def measure(weight_SV: np.ndarray) -> np.ndarray:
        sorted_SV = weight_SV[:, order_V]
        found_SE = np.cumsum(sorted_SV, axis=1)[:, ends]
        right_SE = np.cumsum(sorted_SV * true_V, axis=1)[:, ends]
        precision_SE = right_SE / np.maximum(found_SE, 1)  # weights are whole numbers
        step_SE = np.diff(right_SE, axis=1, prepend=0)
        total_S = right_SE[:, -1]
        value_S = (precision_SE * step_SE).sum(1) / np.maximum(total_S, 1)
        return np.where(total_S > 0, value_S, np.nan)

    return measure


@dataclass(frozen=True)
class Sample:
    """What videos a test is made on, and how its intervals are drawn.

    Attributes:
        groups: what each video belongs to (the recording that stretches are cut from, a person):
            intervals are drawn over whole groups. Empty: each video is its own.

    Raises:
        ValueError: not one group a video.
    """

    names: Sequence[str]
    groups: Sequence[str] = ()
    seed: int = 0
    draws: int = DRAWS

    def __post_init__(self) -> None:
        if not len(self.names):
            raise EvaluationError("there is no video to evaluate")
        name, count = Counter(self.names).most_common(1)[0]
        if count > 1:
            raise EvaluationError(f"{name}: {count} videos have this name: each needs its own")
        if len(self.groups) not in (0, len(self.names)):
            raise ValueError(f"{len(self.groups)} groups for {len(self.names)} videos")

    def part(self, places: Sequence[int]) -> Sample:
        """Some of the videos."""
        groups = [self.groups[place] for place in places] if len(self.groups) else ()
        return Sample([self.names[place] for place in places], groups, self.seed, self.draws)

    def intervals(self, measures: dict[str, Measure]) -> dict[str, Interval]:
        """Each measure with its interval."""
        rng = np.random.default_rng(self.seed)
        group_V = np.array([str(group) for group in self.groups]) if len(self.groups) else None
        return bootstrap(measures, len(self.names), rng, draws=self.draws, group_V=group_V)


def bootstrap(
    measures: Mapping[str, Measure],
    videos: int,
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
    group_V: np.ndarray | None = None,
) -> dict[str, Interval]:
    """Each measure on all videos with its 95 % percentile interval, from the same resamplings.

    Args:
        group_V: which videos belong together (stretches of one recording, or of one person), any
            kind of value: whole groups are drawn then, since their videos are not independent.

    Returns:
        Value, low and high end; a single video (or group) has no spread: its interval is the value.
    """
    if draws < 1:
        raise SettingsError(f"{draws} draws for an interval: 1 or more are needed")
    found: dict[str, list[np.ndarray]] = {name: [] for name in measures}
    for weight_SV in _resamplings(videos, rng, draws, group_V):
        for name, measure in measures.items():
            found[name].append(measure(weight_SV))
    intervals = {}
    for name, measure in measures.items():
        value = float(measure(np.ones((1, videos)))[0])
        value_S = np.concatenate(found[name])
        value_S = value_S[~np.isnan(value_S)]  # nothing to measure on in such a draw
        ends = np.quantile(value_S, [0.025, 0.975]) if len(value_S) else [value, value]
        intervals[name] = Interval(value, float(ends[0]), float(ends[1]))
    return intervals


def difference(first: Measure, second: Measure) -> Measure:
    """``second`` minus ``first`` on the same videos: both are drawn together."""
    return lambda weight_SV: second(weight_SV) - first(weight_SV)


def _resamplings(
    videos: int, rng: np.random.Generator, draws: int, group_V: np.ndarray | None
) -> Iterator[np.ndarray]:
    """How often each video was drawn: blocks of float64 ``(S, V)``."""
    own_V = np.arange(videos)
    if group_V is not None:
        own_V = np.unique(np.asarray(group_V), return_inverse=True)[1]
    groups = int(own_V.max()) + 1
    step = max(1, _BLOCK // max(videos, groups))
    for start in range(0, draws, step):
        several = min(step, draws - start)
        drawn_SG = rng.integers(0, groups, (several, groups)) + groups * np.arange(several)[:, None]
        count_SG = np.bincount(drawn_SG.ravel(), minlength=several * groups)
        yield count_SG.reshape(several, groups)[:, own_V].astype(np.float64)
