"""What videos really show, in the words of a model: from labels and scores to results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mofo.clips.labels import LabelError, LabelTable
from mofo.datasets.catalog import Video
from mofo.evaluation.measures import Sample
from mofo.evaluation.recognition import (
    part_scores,
    recognise,
    recognise_actions,
    recognise_heads,
    recognise_several,
)
from mofo.evaluation.results import Recognition

VERB, NOUN, ACTION = "verb", "noun", "action"


class GroundTruth:
    """The labels of videos as numbers of a model's classes.

    A model with a head "action" and no others whose classes are "verb noun" (EPIC-KITCHENS-100) is
    asked for verbs and nouns, too; one with heads "verb" and "noun" for actions.

    Args:
        classes: of the model: names by head.
        several: whether a video may have several classes of a head.
        given: official order of classes by head, where the source of the videos tells one.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        classes: Mapping[str, Sequence[str]],
        *,
        several: bool = False,
        given: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._classes, self._several = classes, several
        self._joint: _JointActions | None = None
        if set(classes) == {ACTION} and not several:
            self._joint = _JointActions.of(videos, classes[ACTION], given or {})
        if self._joint is None:
            self._table = LabelTable.of(videos, tuple(classes), classes, several=several)

    def evaluate(
        self, scores: Mapping[str, np.ndarray], rows: Sequence[int], sample: Sample
    ) -> dict[str, Recognition]:
        """Results by head.

        Args:
            scores: probabilities (videos, classes) by head.
            rows: which of the videos these are.
            sample: the same videos.
        """
        chosen = np.asarray(rows, np.int64)
        if self._joint is not None:
            return self._joint.evaluate(scores[ACTION], chosen, sample)
        table, classes = self._table, self._classes
        if self._several:
            return {
                head: recognise_several(
                    scores[head], table.target_BC(head, rows) > 0, classes[head], sample
                )
                for head in classes
            }
        label = {head: table.number_V(head)[chosen] for head in classes}
        found: dict[str, Recognition] = {}
        if {VERB, NOUN} <= set(classes) and ACTION not in classes:
            pair_V2 = np.stack([label[VERB], label[NOUN]], axis=1)
            found = recognise_heads(
                scores[VERB], scores[NOUN], pair_V2, classes[VERB], classes[NOUN], sample
            )
        return {
            head: found.get(head) or recognise(scores[head], label[head], classes[head], sample)
            for head in classes
        } | found


class _JointActions:
    """A head for pairs of verb and noun."""

    def __init__(
        self,
        pairs_A2: np.ndarray,
        pair_V2: np.ndarray,
        verbs: Sequence[str],
        nouns: Sequence[str],
    ) -> None:
        self._pairs_A2, self._pair_V2 = pairs_A2, pair_V2
        self._verbs, self._nouns = verbs, nouns

    @classmethod
    def of(
        cls, videos: Sequence[Video], actions: Sequence[str], given: Mapping[str, Sequence[str]]
    ) -> _JointActions | None:
        """None if the classes' names are no pairs."""
        names = [_halves(action) for action in actions]
        if None in names:
            return None
        pairs = [pair for pair in names if pair is not None]
        truth = [_pair_of(video) for video in videos]
        known = [
            tuple(given.get(head, ())) or tuple(sorted({pair[k] for pair in (*pairs, *truth)}))
            for k, head in enumerate((VERB, NOUN))
        ]
        number = [{name: place for place, name in enumerate(part)} for part in known]

        def numbered(some: Sequence[tuple[str, str]]) -> np.ndarray:
            try:
                rows = [[number[k][pair[k]] for k in (0, 1)] for pair in some]
            except KeyError as error:
                raise LabelError(
                    f"{error.args[0]!r} is no verb or noun that the source lists: mend the labels"
                ) from None
            return np.array(rows, np.int64).reshape(-1, 2)

        return cls(numbered(pairs), numbered(truth), *known)

    def evaluate(
        self, score_VA: np.ndarray, rows: np.ndarray, sample: Sample
    ) -> dict[str, Recognition]:
        """Results for verb, noun and action."""
        return recognise_actions(
            score_VA, self._pairs_A2, self._pair_V2[rows], self._verbs, self._nouns, sample
        )


def action_parts(
    action_VA: np.ndarray, actions: Sequence[str], given: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """Scores of verbs and of nouns from those of actions, in the source's order of classes."""
    number = {head: {name: c for c, name in enumerate(given[head])} for head in (VERB, NOUN)}
    pairs = [_halves(action) or (action, "") for action in actions]
    scores = {}
    for k, head in enumerate((VERB, NOUN)):
        strange = [pair for pair in pairs if pair[k] not in number[head]]
        if strange:
            raise LabelError(f"{' '.join(strange[0])!r}: is no verb and noun of the source")
        part_A = np.array([number[head][pair[k]] for pair in pairs], np.int64)
        scores[head] = part_scores(action_VA, part_A, len(given[head]))
    return scores


def _halves(action: str) -> tuple[str, str] | None:
    verb, space, noun = action.partition(" ")
    return (verb, noun) if space and noun else None


def _pair_of(video: Video) -> tuple[str, str]:
    labels = dict(video.labels)
    if VERB in labels and NOUN in labels:
        return labels[VERB], labels[NOUN]
    pair = _halves(labels.get(ACTION, ""))
    if pair is None:
        raise LabelError(f"{video.path}: no verb and noun, and no action such as 'cut onion'")
    return pair
