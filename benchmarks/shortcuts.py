"""Can a set of clips be solved without motion? Probes that see no order, or no picture at all.

Each probe is fitted to the training clips and judged on the others, and its accuracy is told with a
95 % interval beside chance:

* a *single frame*: pixels of one frame, among the classes of a family (which show the same things);
* *shuffled frames*: all frames of a clip without their order, for pairs of classes of which one is
  the other run backwards;
* the *union box* of a clip's motion area, for the same pairs;
* and, so that a probe at chance means something, *frames in order* for the same pairs with the same
  network: that has to be well above chance.

Classes weigh the same where their numbers differ. Boxes over time are another matter
(``mofo.evaluation.pools.area_coordinates``): they tell a direction by right.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from area_scores import mean_interval
from mofo.evaluation.measures import Interval

if TYPE_CHECKING:
    import torch

METHODS = ("linear", "nearest neighbour", "network")
_LINEAR_SIDE = 16  # pixels a side that the linear probe sees
_NEAR_SIDE = 24
_PASSES = 12  # of the network over the training clips
_MANY_FRAMES = 8  # of a clip that are seen one by one; they make up for half of the passes


@dataclass(frozen=True, eq=False)
class LabelledClips:
    """Clips in memory.

    Attributes:
        video_VTHWC: uint8 RGB, square.
        label_V: int, number of the class.
        train_V: bool, whether a clip is for training; the others are for judging.
    """

    video_VTHWC: np.ndarray
    label_V: np.ndarray
    train_V: np.ndarray

    def of(self, classes: Sequence[int]) -> LabelledClips:
        """The clips of some classes, renumbered in that order."""
        kept_V = np.isin(self.label_V, classes)
        number = {label: i for i, label in enumerate(classes)}
        label_V = np.array([number[label] for label in self.label_V[kept_V]], np.int64)
        return LabelledClips(self.video_VTHWC[kept_V], label_V, self.train_V[kept_V])


@dataclass(frozen=True)
class Control:
    """How well one probe tells some classes apart.

    Attributes:
        what: what it sees.
        method: how it decides, one of ``METHODS`` or "forest".
        classes: what it decides between.
        accuracy: share of the clips judged right, classes weighing the same.
        chance: what guessing gives.
        clips: number of clips judged.
    """

    what: str
    method: str
    classes: str
    accuracy: Interval
    chance: float
    clips: int

    @property
    def at_chance(self) -> bool:
        """Whether the interval does not lie above chance."""
        return self.accuracy.low <= self.chance


def single_frame(
    clips: LabelledClips,
    frame: int,
    what: str,
    classes: str,
    *,
    methods: Sequence[str] = METHODS,
    seed: int = 0,
) -> list[Control]:
    """Probes on frame ``frame`` of each clip, among all classes of ``clips``."""
    one = LabelledClips(clips.video_VTHWC[:, frame][:, None], clips.label_V, clips.train_V)
    count = int(clips.label_V.max()) + 1
    return [
        _control(what, method, classes, one, _PROBES[method](one, count, seed, False), seed)
        for method in methods
    ]


def frames_of_pairs(
    clips: LabelledClips,
    pairs: Sequence[tuple[int, int]],
    names: Sequence[str],
    *,
    ordered: bool,
    methods: Sequence[str] = METHODS,
    seed: int = 0,
) -> list[Control]:
    """Probes on all frames of each clip, fitted to all classes, judged on each pair of them.

    Args:
        clips: the clips.
        pairs: classes by number.
        names: of all classes.
        ordered: whether probes may know the order of frames. Without it the network takes the mean
            and the maximum of what it makes of each frame; the other probes see each pixel's mean
            and deviation over the frames.
        methods: which probes.
        seed: of the network and the intervals.
    """
    count = len(names)
    what = "frames in order" if ordered else "shuffled frames"
    found = []
    for method in methods:
        score_VC = _PROBES[method](clips, count, seed, ordered)
        judged_V = clips.label_V[~clips.train_V]
        every = []
        for pair in pairs:
            rows_V = np.isin(judged_V, pair)
            right_V = np.array(pair)[score_VC[rows_V][:, list(pair)].argmax(1)] == judged_V[rows_V]
            every.append((judged_V[rows_V], right_V))
            classes = " / ".join(names[i] for i in pair)
            found.append(_judged(what, method, classes, *every[-1], 0.5, seed))
        label_V, right_V = (np.concatenate(part) for part in zip(*every, strict=True))
        found.append(_judged(what, method, "all pairs", label_V, right_V, 0.5, seed))
    return found


def union_boxes(
    box_V4: np.ndarray,
    label_V: np.ndarray,
    train_V: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    names: Sequence[str],
    *,
    seed: int = 0,
) -> list[Control]:
    """A random forest on the union boxes of clips: for each pair, and among all classes.

    Args:
        box_V4: union box of each clip, as shares of the frame; zeros where nothing moves.
        label_V, train_V: as in ``LabelledClips``.
        pairs, names, seed: as in ``frames_of_pairs``.
    """
    from sklearn.ensemble import RandomForestClassifier

    side_V2 = box_V4[:, 2:] - box_V4[:, :2]
    area_V, aspect_V = side_V2.prod(1), np.log((side_V2[:, 0] + 1e-3) / (side_V2[:, 1] + 1e-3))
    feature_VD = np.column_stack([box_V4, side_V2, area_V, aspect_V])
    found: list[Control] = []
    every: list[tuple[np.ndarray, np.ndarray]] = []
    groups = [(tuple(pair), " / ".join(names[i] for i in pair)) for pair in pairs]
    for group, classes in [*groups, (tuple(range(len(names))), "all classes")]:
        fit_V, judge_V = (np.isin(label_V, group) & part for part in (train_V, ~train_V))
        forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=seed)
        forest.fit(feature_VD[fit_V], label_V[fit_V])
        right_V = forest.predict(feature_VD[judge_V]) == label_V[judge_V]
        one = label_V[judge_V], right_V
        if len(every) < len(pairs):
            every.append(one)
        found.append(_judged("union box", "forest", classes, *one, 1 / len(group), seed))
    if every:
        label, right = (np.concatenate(part) for part in zip(*every, strict=True))
        found.insert(-1, _judged("union box", "forest", "all pairs", label, right, 0.5, seed))
    return found


def _control(
    what: str, method: str, classes: str, clips: LabelledClips, score_VC: np.ndarray, seed: int
) -> Control:
    label_V = clips.label_V[~clips.train_V]
    chance = 1 / score_VC.shape[1]
    return _judged(what, method, classes, label_V, score_VC.argmax(1) == label_V, chance, seed)


def _judged(
    what: str,
    method: str,
    classes: str,
    label_V: np.ndarray,
    right_V: np.ndarray,
    chance: float,
    seed: int,
) -> Control:
    found, number_V, count = np.unique(label_V, return_inverse=True, return_counts=True)
    weighted_V = right_V * (len(label_V) / len(found) / count)[number_V]
    interval = mean_interval(weighted_V, seed=seed)
    return Control(what, method, classes, interval, chance, len(label_V))


def _features(clips: LabelledClips, side: int, ordered: bool) -> np.ndarray:
    """Small grey-and-colour pictures as rows, float32 ``(V, D)``, each column standardised."""
    import cv2

    videos, frames = clips.video_VTHWC.shape[:2]
    small_VTD = np.empty((videos, frames, side * side * 3), np.float32)
    for v, t in np.ndindex(videos, frames):
        picture = cv2.resize(clips.video_VTHWC[v, t], (side, side), interpolation=cv2.INTER_AREA)
        small_VTD[v, t] = picture.ravel()
    if frames == 1 or ordered:
        feature_VD = small_VTD.reshape(videos, -1)
    else:
        feature_VD = np.concatenate([small_VTD.mean(1), small_VTD.std(1)], 1)
    train_VD = feature_VD[clips.train_V]
    return (feature_VD - train_VD.mean(0)) / (train_VD.std(0) + 1e-3)


def _linear(clips: LabelledClips, count: int, seed: int, ordered: bool) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    feature_VD = _features(clips, _LINEAR_SIDE if not ordered else 8, ordered)
    model = LogisticRegression(C=1e-3, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(feature_VD[clips.train_V], clips.label_V[clips.train_V])
    return _placed(model.predict_proba(feature_VD[~clips.train_V]), model.classes_, count)


def _nearest(clips: LabelledClips, count: int, seed: int, ordered: bool) -> np.ndarray:
    from sklearn.neighbors import KNeighborsClassifier

    feature_VD = _features(clips, _NEAR_SIDE if not ordered else 12, ordered)
    # Weights by distance: among 15 the nearest counts most, and a pair of classes still has votes.
    model = KNeighborsClassifier(15, weights="distance")
    model.fit(feature_VD[clips.train_V], clips.label_V[clips.train_V])
    score_VC = _placed(model.predict_proba(feature_VD[~clips.train_V]), model.classes_, count)
    return score_VC + 1e-6 * np.random.default_rng(seed).random(score_VC.shape)  # ties: by lot


def _placed(score_VK: np.ndarray, classes_K: np.ndarray, count: int) -> np.ndarray:
    score_VC = np.zeros((len(score_VK), count))
    score_VC[:, classes_K] = score_VK
    return score_VC


def _network(clips: LabelledClips, count: int, seed: int, ordered: bool) -> np.ndarray:
    """A small convolutional network on frames of 32 x 32, trained from scratch.

    Without order a clip is a set of ``_MANY_FRAMES`` frames, spread over it.
    """
    import cv2
    import torch
    from torch import nn

    video_VTHWC, passes = clips.video_VTHWC, _PASSES
    if not ordered and video_VTHWC.shape[1] > 1:
        spread_T = np.linspace(0, video_VTHWC.shape[1] - 1, _MANY_FRAMES).round().astype(int)
        video_VTHWC, passes = video_VTHWC[:, spread_T], _PASSES // 2
    videos, frames = video_VTHWC.shape[:2]
    small = np.empty((videos, frames, 32, 32, 3), np.uint8)
    for v, t in np.ndindex(videos, frames):
        small[v, t] = cv2.resize(video_VTHWC[v, t], (32, 32), interpolation=cv2.INTER_AREA)
    video_VTCHW = torch.from_numpy(small).permute(0, 1, 4, 2, 3)
    label_V = torch.from_numpy(clips.label_V)
    fit_V, judge_V = (torch.from_numpy(np.flatnonzero(p)) for p in (clips.train_V, ~clips.train_V))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        eye = _eye(3 * frames if ordered else 3)
        head = nn.Sequential(nn.Dropout(0.3), nn.Linear(1024 if ordered else 2048, count))
        weights = [*eye.parameters(), *head.parameters()]
        optimiser = torch.optim.AdamW(weights, lr=2e-3, weight_decay=0.02)
        steps = passes * (len(fit_V) // 64 + 1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)

        def seen(rows_B: torch.Tensor) -> torch.Tensor:
            video_BTCHW = video_VTCHW[rows_B].float() / 127.5 - 1
            if ordered:
                return head(eye(video_BTCHW.flatten(1, 2)))
            each_BTD = eye(video_BTCHW.flatten(0, 1)).unflatten(0, (len(rows_B), frames))
            return head(torch.cat([each_BTD.mean(1), each_BTD.amax(1)], 1))

        for _ in range(passes):
            for rows_B in fit_V[torch.randperm(len(fit_V))].split(64):
                loss = nn.functional.cross_entropy(seen(rows_B), label_V[rows_B])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        eye.eval()
        head.eval()
        with torch.no_grad():
            return torch.cat([seen(rows_B) for rows_B in judge_V.split(256)]).numpy()


def _eye(channels: int) -> torch.nn.Module:
    """Pictures ``(B, channels, 32, 32)`` to features ``(B, 1024)``; places are kept, 4 x 4."""
    from torch import nn

    layers: list[nn.Module] = []
    for before, after in ((channels, 24), (24, 48), (48, 64)):
        layers += [
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(8, after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Flatten())


_PROBES: dict[str, Callable[[LabelledClips, int, int, bool], np.ndarray]] = {
    "linear": _linear,
    "nearest neighbour": _nearest,
    "network": _network,
}
