"""From the scores of single views to one row of scores for each video.

A view is one clip out of a video: a stretch of time and a crop. The scores of all views of a video
are turned into probabilities first and averaged then; the average is what a video is judged by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mofo.types import MofoError, SettingsError

TEMPORAL, SPATIAL = 2, 3  # views of a video, where nothing else is asked for
LINKS = ("softmax", "sigmoid")
_BLOCK = 1 << 22  # numbers worked on at once
_SAME = 0.1  # probabilities of one view, computed twice, differ by rounding only


class EvaluationError(MofoError):
    """Scores, labels or results that cannot be used for an evaluation."""


def view_index(time: int, place: int, spatial: int = SPATIAL) -> int:
    """Number of a view, by its stretch of time and its crop, both counted from 0."""
    return time * spatial + place


def average_views(
    video_R: np.ndarray,
    view_R: np.ndarray,
    logits_RC: np.ndarray,
    *,
    videos: int,
    views: int = TEMPORAL * SPATIAL,
    names: Sequence[str] | None = None,
    link: str = "softmax",
) -> np.ndarray:
    """Probabilities of each video: those of its views, averaged.

    The rows may come from any number of processes, in any order, and some of them more than once
    (samplers pad the last batch): the result is the same to the last bit. Of rows for the same view
    one is taken, chosen by its values and not by its place.

    Args:
        video_R: whole numbers, 0 to ``videos`` - 1.
        view_R: whole numbers, 0 to ``views`` - 1.
        logits_RC: what the model gives for that view, before any softmax.
        videos, views: how many there should be.
        names: of the videos, for messages.
        link: "softmax" for one class a video, "sigmoid" for any number of them.

    Returns:
        ``score_VC``, float64 in 0..1.

    Raises:
        EvaluationError: there is no video; a view is missing, unknown, has scores that are not
            finite, or was scored twice with different results: which, in one line.
        SettingsError: no views, or an unknown link.
        ValueError: the three arrays do not fit each other.
    """
    video_R, view_R, logits_RC = (np.asarray(a) for a in (video_R, view_R, logits_RC))
    if logits_RC.ndim != 2 or not len(logits_RC) == video_R.size == view_R.size:
        raise ValueError(
            f"average_views: {video_R.shape} videos and {view_R.shape} views for logits of "
            f"{logits_RC.shape}"
        )
    if views < 1:
        raise SettingsError(f"{views} views of a video: 1 or more are needed")
    if link not in LINKS:
        raise SettingsError(f"link {link!r} is unknown: choose from {', '.join(LINKS)}")
    if videos < 1:
        raise EvaluationError("there is no video to evaluate")
    video_R, view_R = video_R.ravel().astype(np.int64), view_R.ravel().astype(np.int64)
    _check_known(video_R, view_R, videos, views)
    place_R = video_R * views + view_R

    def called(place: int) -> str:
        return f"{video_name(names, place // views)}, view {place % views}"

    wrong_R = ~np.isfinite(logits_RC).all(1)
    if wrong_R.any():
        places = np.unique(place_R[wrong_R])
        raise EvaluationError(
            f"{called(places[0])}: the model's scores are not finite numbers{_more(places, 'view')}"
        )
    _check_complete(place_R, videos, views, names)
    as_shares = _softmax if link == "softmax" else _sigmoid
    row_Vk = _one_row_each(place_R, logits_RC, as_shares, called).reshape(videos, views)
    classes = logits_RC.shape[1]
    score_VC = np.empty((videos, classes))
    step = max(1, _BLOCK // (views * max(classes, 1)))
    for start in range(0, videos, step):
        block = slice(start, start + step)
        score_VC[block] = as_shares(logits_RC[row_Vk[block]].astype(np.float64)).mean(1)
    return score_VC


def video_name(names: Sequence[str] | None, video: int) -> str:
    """How messages call a video."""
    return f"video {video}" if names is None else str(names[video])


def _check_known(video_R: np.ndarray, view_R: np.ndarray, videos: int, views: int) -> None:
    strange_R = (video_R < 0) | (video_R >= videos) | (view_R < 0) | (view_R >= views)
    if strange_R.any():
        row = int(strange_R.argmax())
        raise EvaluationError(
            f"scores for video {video_R[row]}, view {view_R[row]}: there are only {videos} videos "
            f"with {views} views each, counted from 0"
        )


def _check_complete(
    place_R: np.ndarray, videos: int, views: int, names: Sequence[str] | None
) -> None:
    seen_Vk = np.bincount(place_R, minlength=videos * views).reshape(videos, views) > 0
    if seen_Vk.all():
        return
    lacking = np.flatnonzero(~seen_Vk.all(1))
    told = []
    for video in lacking[:3]:
        views_gone = np.flatnonzero(~seen_Vk[video])
        which = "all views" if len(views_gone) == views else f"view {_list(views_gone)}"
        told.append(f"{video_name(names, int(video))} ({which})")
    if len(lacking) > 3:
        told.append(f"{len(lacking) - 3} more")
    raise EvaluationError(
        f"{(~seen_Vk).sum()} of {videos * views} views have no scores: {', '.join(told)}"
    )


def _one_row_each(
    place_R: np.ndarray,
    logits_RC: np.ndarray,
    as_shares: Callable[[np.ndarray], np.ndarray],
    called: Callable[[int], str],
) -> np.ndarray:
    """For each place the row to take."""
    order_R = np.argsort(place_R, kind="stable")
    _, first, count = np.unique(place_R[order_R], return_index=True, return_counts=True)
    chosen = order_R[first]
    for place in np.flatnonzero(count > 1):
        rows = order_R[first[place] : first[place] + count[place]]
        several = logits_RC[rows]
        if (several == several[0]).all():
            continue
        shares = as_shares(several.astype(np.float64))
        if np.ptp(shares, axis=0).max() > _SAME:
            raise EvaluationError(
                f"{called(int(place))}: scored {len(rows)} times with different results: is a "
                "random layer at work, or a wrong index?"
            )
        chosen[place] = min(rows, key=lambda row: logits_RC[row].tolist())
    return chosen


def _softmax(logits_RC: np.ndarray) -> np.ndarray:
    powers = np.exp(logits_RC - logits_RC.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _sigmoid(logits_RC: np.ndarray) -> np.ndarray:
    # exp of negative numbers only, which cannot overflow
    small = np.exp(-np.abs(logits_RC))
    return np.where(logits_RC >= 0, 1, small) / (1 + small)


def _list(numbers: np.ndarray) -> str:
    return ", ".join(str(number) for number in numbers)


def _more(found: np.ndarray, noun: str) -> str:
    others = len(found) - 1
    return f" (and {others} more {noun}{'s' if others > 1 else ''})" if others else ""
