"""Confidence intervals of recognition measures: bootstrap over videos, or over groups of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mofo.evaluation.area_scores import Interval
from mofo.evaluation.measures import Measure
from mofo.evaluation.views import EvaluationError
from mofo.types import SettingsError

DRAWS = 1000
_BLOCK = 1 << 21  # weights held at once


@dataclass(frozen=True)
class Sample:
    """What videos a test is made on, and how its intervals are drawn.

    Attributes:
        names: of the videos, all different.
        groups: what each video belongs to (the recording that stretches are cut from, a person):
            intervals are drawn over whole groups. Empty: each video is its own.
        seed: decides the draws.
        draws: resamplings for an interval.

    Raises:
        EvaluationError: no videos, or two of one name.
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

    def intervals(self, measures: dict[str, Measure]) -> dict[str, Interval]:
        """Each measure with its interval."""
        rng = np.random.default_rng(self.seed)
        group_V = np.array([str(group) for group in self.groups]) if len(self.groups) else None
        return bootstrap_measures(measures, len(self.names), rng, draws=self.draws, group_V=group_V)


def bootstrap_measures(
    measures: Mapping[str, Measure],
    videos: int,
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
    group_V: np.ndarray | None = None,
) -> dict[str, Interval]:
    """Each measure on all videos with its 95 % percentile interval, from the same resamplings.

    Args:
        measures: by name.
        videos: V.
        rng: where the draws come from.
        draws: resamplings with replacement.
        group_V: which videos belong together (stretches of one recording, or of one person), any
            kind of value: whole groups are drawn then, since their videos are not independent.

    Returns:
        Value, low and high end; a single video (or group) has no spread: its interval is the value.

    Raises:
        SettingsError: no draws.
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
