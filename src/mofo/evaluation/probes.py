"""Probes: what a plain classifier makes of frozen features.

All of them learn from the training part only, its mean and spread included, and choose what there
is to choose on a share of the training part that is held out by group (video, recording).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mofo.evaluation.measures import EvaluationError, label_ranks, mean_class_accuracy, predictions
from mofo.types import SettingsError

GRID = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)  # of C, the inverse strength of the penalty
_HELD_OUT = 0.2  # share of the groups of the training part
_SPLITS = 20  # splits drawn, of which the one with most classes on both sides is taken
_BLOCK = 1 << 22  # similarities held at once
_TREES = 300


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Features of videos with their labels.

    Attributes:
        feature_VD: any real numbers.
        label_V: classes, from 0.
        group_V: what must not be torn apart when something is held out, any kind of value; None:
            each video by itself.

    Raises:
        EvaluationError: no videos, or features that are not finite.
        ValueError: sizes that do not fit.
    """

    feature_VD: np.ndarray
    label_V: np.ndarray
    group_V: np.ndarray | None = None

    def __post_init__(self) -> None:
        videos = len(self.feature_VD)
        groups = videos if self.group_V is None else len(self.group_V)
        if self.feature_VD.ndim != 2 or self.label_V.shape != (videos,) or groups != videos:
            raise ValueError(
                f"features of {self.feature_VD.shape}, labels of {self.label_V.shape}, "
                f"{groups} groups"
            )
        if not self.feature_VD.size:
            raise EvaluationError("a probe got no features")
        wrong_V = ~np.isfinite(self.feature_VD).all(1)
        if wrong_V.any():
            raise EvaluationError(
                f"the features of video {wrong_V.argmax()} are not finite numbers"
                + (f" (and of {wrong_V.sum() - 1} more)" if wrong_V.sum() > 1 else "")
            )
        if not np.issubdtype(self.label_V.dtype, np.integer) or self.label_V.min() < 0:
            raise EvaluationError("labels of a probe must be whole numbers from 0 on")


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What a probe found on the test part.

    Attributes:
        top1: share of the videos that got their label; ties count as missed.
        balanced_accuracy: the same for each class that has test videos, averaged.
        score_VC: float64, votes or probabilities; more from it by ``recognise``.
        predicted_V: int64 classes.
        chosen: what was chosen on held-out training videos.
        converged: False if the solver stopped before its end.
    """

    top1: float
    balanced_accuracy: float
    score_VC: np.ndarray
    predicted_V: np.ndarray
    chosen: str = ""
    converged: bool = True


def knn_probe(
    train: LabelledFeatures, test: LabelledFeatures, *, k: int = 20, temperature: float = 0.07
) -> ProbeResult:
    """Nearest neighbours by cosine; each of the k votes with weight ``exp(cosine / temperature)``.

    As in "Unsupervised feature learning via non-parametric instance discrimination"
    (arXiv 1805.01978), section 3.4, on standardised features. Exact: all similarities are computed,
    in blocks. Of equally near neighbours those earlier in the training part count.

    Args:
        train, test: features of one width.
        k: neighbours; all, if the training part has fewer.
        temperature: above 0; the smaller, the more the nearest ones count.

    Raises:
        SettingsError: k or temperature not above 0.
    """
    if k < 1 or not temperature > 0:
        raise SettingsError(
            f"nearest neighbours: k {k}, temperature {temperature}: must be above 0"
        )
    scale = _Scale(train.feature_VD)
    train_ND, test_VD = (_unit(scale(part.feature_VD)) for part in (train, test))
    count, classes = len(train_ND), _class_count(train, test)
    k = min(k, count)
    score_VC = np.zeros((len(test_VD), classes))
    step = max(1, _BLOCK // count)
    for start in range(0, len(test_VD), step):
        near_BN = test_VD[start : start + step] @ train_ND.T
        row_X, one_X = _nearest(near_BN, k)
        near_Bk = near_BN[row_X, one_X].reshape(-1, k).astype(np.float64)
        # The nearest one gets weight 1: only the ratio of votes matters, and nothing overflows.
        vote_Bk = np.exp((near_Bk - near_Bk.max(1, keepdims=True)) / temperature)
        cell_X = row_X * classes + train.label_V[one_X]
        size = len(near_BN) * classes
        vote_BC = np.bincount(cell_X, vote_Bk.ravel(), size).reshape(-1, classes)
        score_VC[start : start + step] = vote_BC / vote_BC.sum(1, keepdims=True)
    return probe_result(score_VC, test.label_V)


def linear_probe(
    train: LabelledFeatures,
    test: LabelledFeatures,
    rng: np.random.Generator,
    *,
    grid: Sequence[float] = GRID,
    steps: int = 1000,
) -> ProbeResult:
    """Logistic regression on standardised features.

    C is chosen by balanced accuracy on held-out groups of the training part (of equally good ones
    the smallest), then all of the training part is used. One value needs no choice.

    Args:
        train, test: features of one width.
        rng: draws what is held out.
        grid: values of C, above 0.
        steps: of the solver, at most.

    Raises:
        SettingsError: an impossible grid.
        EvaluationError: one class only, or one group only while there is something to choose.
    """
    if not grid or min(grid) <= 0:
        raise SettingsError(f"linear probe: C out of {tuple(grid)}: must be above 0")
    return _fitted(_regressions(grid, steps), train, test, rng)


def area_probe(
    train: LabelledFeatures, test: LabelledFeatures, rng: np.random.Generator
) -> ProbeResult:
    """The control on ``area_coordinates``: how far boxes alone give the label away.

    A control must not be weak, or it would excuse what it should find: logistic regression and
    forests of trees, which see thresholds and combinations, compete on held-out groups of the
    training part, and the best one is what is reported. All of them weigh classes equally, however
    few videos one has.

    Args:
        train, test: coordinates as features.
        rng: draws what is held out, and the forest.

    Raises:
        EvaluationError: as ``linear_probe``.
    """
    from sklearn.ensemble import RandomForestClassifier

    several = _regressions((0.01, 0.1, 1.0), 1000, "balanced")
    seed = int(rng.integers(1 << 31))
    for leaf in (1, 5):  # small leaves for many videos, larger ones where classes overlap
        several[f"forest, leaves of {leaf}"] = partial(
            RandomForestClassifier,
            _TREES,
            min_samples_leaf=leaf,
            class_weight="balanced",
            random_state=seed,
            n_jobs=1,
        )
    return _fitted(several, train, test, rng)


class _Scale:
    """Mean 0 and spread 1, as the training part has it; what never changes there becomes 0."""

    def __init__(self, train_VD: np.ndarray) -> None:
        self._dtype = np.float64 if train_VD.dtype == np.float64 else np.float32
        self._mean_D = train_VD.mean(0, dtype=np.float64)
        self._spread_D = train_VD.std(0, dtype=np.float64)
        # By rounding, equal numbers have a spread a little above 0.
        self._still_D = self._spread_D <= 1e-7 * np.abs(self._mean_D)

    def __call__(self, feature_VD: np.ndarray) -> np.ndarray:
        if feature_VD.shape[1] != len(self._mean_D):
            raise EvaluationError(
                f"features of width {feature_VD.shape[1]} to be judged by a training part of width "
                f"{len(self._mean_D)}"
            )
        scaled_VD = (feature_VD - self._mean_D) / np.where(self._still_D, 1, self._spread_D)
        return np.where(self._still_D, 0, scaled_VD).astype(self._dtype)


def _unit(feature_VD: np.ndarray) -> np.ndarray:
    length_V1 = np.linalg.norm(feature_VD, axis=1, keepdims=True)
    return feature_VD / np.maximum(length_V1, np.finfo(feature_VD.dtype).tiny)


def _nearest(near_BN: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the k highest in each row, k a row; of equal ones the first."""
    least_B1 = np.partition(near_BN, near_BN.shape[1] - k, axis=1)[:, -k][:, None]
    above_BN, same_BN = near_BN > least_B1, near_BN == least_B1
    room_B1 = k - above_BN.sum(1, keepdims=True)
    return np.nonzero(above_BN | (same_BN & (np.cumsum(same_BN, axis=1) <= room_B1)))  # type: ignore[return-value]


def _regressions(
    grid: Sequence[float], steps: int, weight: str | None = None
) -> dict[str, Callable[[], Any]]:
    # scikit-learn takes a second to import, and draws from Python's global random numbers then.
    from sklearn.linear_model import LogisticRegression

    return {
        f"C={c:g}": partial(LogisticRegression, C=c, max_iter=steps, class_weight=weight)
        for c in sorted(set(grid))
    }


def _fitted(
    several: dict[str, Callable[[], Any]],
    train: LabelledFeatures,
    test: LabelledFeatures,
    rng: np.random.Generator,
) -> ProbeResult:
    """The best of several classifiers on held-out groups, fitted to the whole training part."""
    if len(np.unique(train.label_V)) < 2:
        raise EvaluationError("a probe needs training videos of two classes at least")
    chosen = next(iter(several))
    if len(several) > 1:
        fit_V, held_V = held_out(train.label_V, train.group_V, rng)
        fit, held = (
            LabelledFeatures(train.feature_VD[part_V], train.label_V[part_V])
            for part_V in (fit_V, held_V)
        )
        found = {name: _fit(make(), fit, held) for name, make in several.items()}
        chosen = max(found, key=lambda name: found[name].balanced_accuracy)  # the first of equals
    result = _fit(several[chosen](), train, test)
    return replace(result, chosen=chosen)


def _fit(model: Any, train: LabelledFeatures, test: LabelledFeatures) -> ProbeResult:
    scale = _Scale(train.feature_VD)
    train_VD, test_VD = scale(train.feature_VD), scale(test.feature_VD)
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(train_VD, train.label_V)
    score_VC = np.zeros((len(test_VD), _class_count(train, test)))
    score_VC[:, model.classes_] = model.predict_proba(test_VD)
    converged = not any(issubclass(one.category, ConvergenceWarning) for one in told)
    return probe_result(score_VC, test.label_V, converged)


def held_out(
    label_V: np.ndarray, group_V: np.ndarray | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Indices to fit on and indices held out: of some splits by group the one with most classes.

    Raises:
        EvaluationError: one group only, or one class only is left to fit on.
    """
    if group_V is None:
        group_V = np.arange(len(label_V))
    groups, own_V = np.unique(group_V, return_inverse=True)
    if len(groups) < 2:
        raise EvaluationError(
            "all training videos are of one group: none can be held out for choosing"
        )
    best, most = (own_V[:0], own_V[:0]), (0, 0)
    for _ in range(_SPLITS):
        held_G = rng.permutation(len(groups)) < max(1, round(_HELD_OUT * len(groups)))
        split = np.flatnonzero(~held_G[own_V]), np.flatnonzero(held_G[own_V])
        fit, held = (len(np.unique(label_V[part_V])) for part_V in split)
        if (fit, held) > most:
            best, most = split, (fit, held)
    if most[0] < 2:
        raise EvaluationError(
            "too few groups in the training part: without those held out one class is left"
        )
    return best


def _class_count(*parts: LabelledFeatures) -> int:
    return 1 + max(int(part.label_V.max()) for part in parts)


def probe_result(score_VC: np.ndarray, label_V: np.ndarray, converged: bool = True) -> ProbeResult:
    """What scores, higher for more likely classes, say about videos with these labels."""
    rank_V = label_ranks(score_VC, label_V)
    balanced_1 = mean_class_accuracy(rank_V, label_V)(np.ones((1, len(label_V))))
    return ProbeResult(
        float((rank_V == 0).mean()),
        float(balanced_1[0]),
        score_VC,
        predictions(score_VC, label_V),
        converged=converged,
    )
