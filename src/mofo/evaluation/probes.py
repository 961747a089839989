"""Probes: what a plain classifier makes of frozen features, by name in ``PROBES``.

All of them learn from the training part only, its mean and spread included, and choose what there
is to choose on a share of the training part that is held out by group (video, recording).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from mofo.evaluation.features import Features
from mofo.evaluation.measures import (
    EvaluationError,
    label_ranks,
    mean_class_accuracy,
    predictions,
)
from mofo.evaluation.pools import POOLS
from mofo.registry import Registry
from mofo.types import SettingsError

PROBES: Registry[type[Probe]] = Registry(
    "probe", lambda: importlib.import_module("mofo.evaluation.attentive_probe")
)
GRID = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)  # of C, the inverse strength of the penalty
_HELD_OUT = 0.2  # share of the groups of the training part
_SPLITS = 20  # splits drawn, of which the one with most classes on both sides is taken
_TREES = 300


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Features of videos with their labels.

    Attributes:
        label_V: classes, from 0.
        group_V: what must not be torn apart when something is held out, any kind of value; None:
            each video by itself.
    """

    feature_VD: np.ndarray
    label_V: np.ndarray
    group_V: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.feature_VD.size:
            raise EvaluationError("a probe got no features")
        wrong_V = ~np.isfinite(self.feature_VD).all(1)
        if wrong_V.any():
            raise EvaluationError(
                f"the features of video {wrong_V.argmax()} are not finite numbers"
                + (f" (and of {wrong_V.sum() - 1} more)" if wrong_V.sum() > 1 else "")
            )


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What a probe found on the test part.

    ``score_VC``: float64, votes or probabilities; more from it by ``recognise``.
    ``label_V``: int64, true classes.
    """

    score_VC: np.ndarray
    label_V: np.ndarray
    chosen: str = ""
    converged: bool = True

    @property
    def predicted_V(self) -> np.ndarray:
        """The likeliest class of each video, int64; in a tie one that is wrong."""
        return predictions(self.score_VC, self.label_V)

    @property
    def top1(self) -> float:
        """Share of the videos that got their label; ties count as missed."""
        return float((label_ranks(self.score_VC, self.label_V) == 0).mean())

    @property
    def balanced_accuracy(self) -> float:
        """The same for each class that has test videos, averaged."""
        measure = mean_class_accuracy(label_ranks(self.score_VC, self.label_V), self.label_V)
        return float(measure(np.ones((1, len(self.label_V))))[0])


class Probe:
    """A kind of probe.

    Args:
        seed: of everything random.
        device: where to compute, where it is not the CPU anyway.
        progress: show a bar.
        options: of the kind.

    Attributes:
        about: one line for lists and help.
        pool: the pool that it needs, see ``POOLS``; None: any that gives one vector a video.
    """

    about: ClassVar[str]
    pool: ClassVar[str | None] = None

    def __init__(
        self, *, seed: int = 0, device: Any = "cpu", progress: bool = False, **options: Any
    ) -> None:
        self.seed, self.device, self.progress = seed, device, progress

    def feature_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options of ``FeatureSettings`` with what this probe needs filled in.

        Raises:
            SettingsError: a pool that it cannot use.
        """
        name = options.get("pool")
        if self.pool is not None and name is not None:
            raise SettingsError("this probe takes no pool")
        if self.pool is None and name is not None and POOLS[name].per_token:
            raise SettingsError("this probe takes pooled features; `attentive` takes tokens")
        return options | {"pool": self.pool or name or "mean"}

    def run(
        self, train: Features, test: Features, label_V: np.ndarray, label_W: np.ndarray,
        group_V: np.ndarray,
    ) -> ProbeResult:  # fmt: skip
        """Learns on ``train`` with labels and groups V, and scores ``test`` with labels W."""
        return self.fit(
            LabelledFeatures(train.all(), label_V, group_V), LabelledFeatures(test.all(), label_W)
        )

    def fit(self, train: LabelledFeatures, test: LabelledFeatures) -> ProbeResult:
        """The same of features in memory."""
        raise NotImplementedError


@PROBES.register("knn")
class NearestProbe(Probe):
    """Nearest neighbours by cosine; each of the k votes with weight ``exp(cosine / temperature)``.

    As in "Unsupervised feature learning via non-parametric instance discrimination" (arXiv
    1805.01978), section 3.4, on standardised features; exact. ``k``: neighbours; all, if the
    training part has fewer. ``temperature``: above 0; the smaller, the more the nearest ones count.
    """

    about = "nearest neighbours by cosine"

    def __init__(self, *, k: int = 20, temperature: float = 0.07, **others: Any) -> None:
        super().__init__(**others)
        if k < 1 or not temperature > 0:
            raise SettingsError(
                f"nearest neighbours: k {k}, temperature {temperature}: must be above 0"
            )
        self._k, self._temperature = k, temperature

    def fit(self, train: LabelledFeatures, test: LabelledFeatures) -> ProbeResult:
        """See the class."""
        from sklearn.neighbors import KNeighborsClassifier

        def votes(distance_Vk: np.ndarray) -> np.ndarray:
            # The nearest one gets weight 1: only the ratio of votes matters, and none overflows.
            nearest_V1 = distance_Vk.min(1, keepdims=True)
            return np.exp((nearest_V1 - distance_Vk) / self._temperature)

        k = min(self._k, len(train.label_V))
        model = KNeighborsClassifier(k, weights=votes, metric="cosine", algorithm="brute")
        return _fit(model, train, test)


@PROBES.register("linear")
class LinearProbe(Probe):
    """Logistic regression on standardised features.

    C is chosen by balanced accuracy on held-out groups of the training part (of equally good ones
    the smallest), then all of the training part is used. One value needs no choice. ``grid``:
    values of C, above 0. ``steps``: of the solver, at most.
    """

    about = "logistic regression on pooled features"

    def __init__(self, *, grid: Sequence[float] = GRID, steps: int = 1000, **others: Any) -> None:
        super().__init__(**others)
        if not grid or min(grid) <= 0:
            raise SettingsError(f"linear probe: C out of {tuple(grid)}: must be above 0")
        self._grid, self._steps = grid, steps

    def fit(self, train: LabelledFeatures, test: LabelledFeatures) -> ProbeResult:
        """See the class."""
        rng = np.random.default_rng(self.seed)
        return _best(_regressions(self._grid, self._steps), train, test, rng)


@PROBES.register("areas")
class AreaProbe(Probe):
    """The control on ``area_coordinates``: how far boxes alone give the label away.

    A control must not be weak, or it would excuse what it should find: logistic regression and
    forests of trees, which see thresholds and combinations, compete on held-out groups of the
    training part, and the best one is what is reported. All of them weigh classes equally, however
    few videos one has.
    """

    about = "control: where the motion area is over time, and no picture at all"
    pool = "boxes"

    def fit(self, train: LabelledFeatures, test: LabelledFeatures) -> ProbeResult:
        """See the class."""
        from sklearn.ensemble import RandomForestClassifier

        rng = np.random.default_rng(self.seed)
        models = _regressions((0.01, 0.1, 1.0), 1000, "balanced")
        forest_seed = int(rng.integers(1 << 31))
        for leaf in (1, 5):  # small leaves for many videos, larger ones where classes overlap
            models[f"forest, leaves of {leaf}"] = partial(
                RandomForestClassifier,
                _TREES,
                min_samples_leaf=leaf,
                class_weight="balanced",
                random_state=forest_seed,
                n_jobs=1,
            )
        return _best(models, train, test, rng)


def _regressions(
    grid: Sequence[float], steps: int, weight: str | None = None
) -> dict[str, Callable[[], Any]]:
    # scikit-learn takes a second to import, and draws from Python's global random numbers then.
    from sklearn.linear_model import LogisticRegression

    return {
        f"C={c:g}": partial(LogisticRegression, C=c, max_iter=steps, class_weight=weight)
        for c in sorted(set(grid))
    }


def _best(
    models: dict[str, Callable[[], Any]],
    train: LabelledFeatures,
    test: LabelledFeatures,
    rng: np.random.Generator,
) -> ProbeResult:
    """The best of several classifiers on held-out groups, fitted to the whole training part."""
    check_classes(train.label_V)
    chosen = next(iter(models))
    if len(models) > 1:
        fit_V, held_V = held_out(train.label_V, train.group_V, rng)
        fit, held = (
            LabelledFeatures(train.feature_VD[part_V], train.label_V[part_V])
            for part_V in (fit_V, held_V)
        )
        results = {name: _fit(make(), fit, held) for name, make in models.items()}
        chosen = max(results, key=lambda name: results[name].balanced_accuracy)  # first of equals
    return replace(_fit(models[chosen](), train, test), chosen=chosen)


def _fit(model: Any, train: LabelledFeatures, test: LabelledFeatures) -> ProbeResult:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        pipeline.fit(train.feature_VD, train.label_V)
    classes = 1 + max(int(part.label_V.max()) for part in (train, test))
    score_VC = np.zeros((len(test.label_V), classes))
    score_VC[:, model.classes_] = pipeline.predict_proba(test.feature_VD)
    converged = not any(issubclass(each.category, ConvergenceWarning) for each in caught)
    return ProbeResult(score_VC, test.label_V, converged=converged)


def check_classes(label_V: np.ndarray) -> None:
    """Raises an EvaluationError unless there are two classes at least."""
    if len(np.unique(label_V)) < 2:
        raise EvaluationError("a probe needs training videos of two classes at least")


def held_out(
    label_V: np.ndarray, group_V: np.ndarray | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Indices to fit on and indices held out: of some splits by group the one with most classes."""
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
