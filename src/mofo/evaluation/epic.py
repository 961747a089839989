"""What EPIC-KITCHENS-100 asks of an evaluation, beside verb, noun and action of all segments.

Rare classes and persons who are not in the training set are measured apart, as the challenge does;
and scores become the file that it takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mofo.datasets.catalog import Catalog, Video
from mofo.datasets.formats.epic_kitchens import TAIL, UNSEEN, person
from mofo.evaluation.epic_submission import NOUNS, VERBS, write_epic_submission
from mofo.evaluation.intervals import Sample
from mofo.evaluation.results import Recognition
from mofo.evaluation.truth import ACTION, NOUN, VERB, Truth, action_parts
from mofo.evaluation.views import EvaluationError

_LEAST = 1e-12  # a probability whose logarithm is still a number


def parts_apart(videos: Sequence[Video], catalog: Catalog) -> dict[str, np.ndarray]:
    """Which videos count for what is measured apart, bool ``(V,)`` by "action (tail)" and so on.

    A segment counts as rare for the verb if its verb is, for the noun likewise, and for the action
    if one of the two is. Parts without videos are left out.

    Args:
        videos: segments with labels.
        catalog: knows what is rare or unseen, if its sources do.
    """
    tail = {head: frozenset(names) for head, names in catalog.apart.get(TAIL, {}).items()}
    unseen = catalog.apart.get(UNSEEN, {})
    chosen: dict[str, np.ndarray] = {}
    if {VERB, NOUN} <= set(tail):
        is_rare = {
            head: np.array([dict(video.labels).get(head) in tail[head] for video in videos], bool)
            for head in (VERB, NOUN)
        }
        is_rare[ACTION] = is_rare[VERB] | is_rare[NOUN]
        chosen |= {f"{head} ({TAIL})": rare_V for head, rare_V in is_rare.items()}
    if unseen:
        is_new_V = np.array([person(v) in unseen.get(v.split or "", ()) for v in videos], bool)
        chosen |= {f"{head} ({UNSEEN})": is_new_V for head in (VERB, NOUN, ACTION)}
    return {name: mask_V for name, mask_V in chosen.items() if mask_V.any()}


def judge_apart(
    truth: Truth,
    scores: Mapping[str, np.ndarray],
    rows: Sequence[int],
    sample: Sample,
    parts: Mapping[str, np.ndarray],
) -> dict[str, Recognition]:
    """Results of each part, by its name.

    Args:
        truth: of all videos.
        scores: probabilities of the videos ``rows`` by head.
        rows: the videos that were read.
        sample: the same videos.
        parts: see ``parts_apart``, over all videos.
    """
    found = {}
    done: dict[tuple[int, ...], dict[str, Recognition]] = {}
    for name, mask_V in parts.items():
        places = np.flatnonzero(mask_V[list(rows)]).tolist()
        if not places:
            continue
        key = tuple(places)
        if key not in done:
            some = Sample(
                [sample.names[place] for place in places],
                [sample.groups[place] for place in places] if sample.groups else (),
                sample.seed,
                sample.draws,
            )
            several = {head: score_VC[places] for head, score_VC in scores.items()}
            done[key] = truth.judge(several, [rows[place] for place in places], some)
        head = name.partition(" ")[0]
        if head in done[key]:
            found[name] = done[key][head]
    return found


def check_submission(
    path: str | Path,
    videos: Sequence[Video],
    classes: Mapping[str, Sequence[str]],
    given: Mapping[str, Sequence[str]],
) -> None:
    """Find out whether a submission will be possible, before anything is computed.

    Args:
        path: of the submission.
        videos: segments.
        classes: of the model by head.
        given: official classes of the source.

    Raises:
        EvaluationError: a model or a source that the challenge does not know; one line.
    """
    if Path(path).suffix.lower() not in (".zip", ".json"):
        raise EvaluationError(f"{path}: the name of a submission must end in .zip or .json")
    official = {head: tuple(given.get(head, ())) for head in (VERB, NOUN)}
    if (len(official[VERB]), len(official[NOUN])) != (VERBS, NOUNS):
        raise EvaluationError(
            f"a submission is for EPIC-KITCHENS-100, but the source names {len(official[VERB])} "
            f"verbs and {len(official[NOUN])} nouns, not {VERBS} and {NOUNS}: give the folder of "
            "the data set, or a catalog made from it"
        )
    if {VERB, NOUN} <= set(classes):
        other = [head for head in official if tuple(classes[head]) != official[head]]
        if other:
            raise EvaluationError(
                f"the model has other classes of head {other[0]!r} than the data set: fine-tune on "
                "the data set itself"
            )
    elif set(classes) != {ACTION}:
        raise EvaluationError(
            f"the model has the heads {', '.join(classes)}: a submission needs verb and noun, or "
            "action"
        )
    nameless = [video.path for video in videos if not video.name]
    if nameless:
        raise EvaluationError(f"{nameless[0]}: a segment has no narration id")


def submit(
    path: str | Path,
    scores: Mapping[str, np.ndarray],
    rows: Sequence[int],
    videos: Sequence[Video],
    classes: Mapping[str, Sequence[str]],
    given: Mapping[str, Sequence[str]],
) -> int:
    """Write the challenge's file: logarithms of probabilities, whose softmax it takes.

    Args:
        path: ``.zip`` or ``.json``.
        scores: probabilities of the videos ``rows`` by head.
        rows: the videos that were read.
        videos: all segments; those that were not read get equal scores for all classes.
        classes: of the model by head.
        given: official classes of the source.

    Returns:
        How many segments have equal scores, since they could not be read.
    """
    if ACTION in classes and VERB not in classes:
        scores = action_parts(scores[ACTION], classes[ACTION], given)
    table = {}
    for head, count in ((VERB, VERBS), (NOUN, NOUNS)):
        table[head] = np.zeros((len(videos), count))
        table[head][list(rows)] = np.log(np.maximum(scores[head], _LEAST))
    names = [video.name or "" for video in videos]
    write_epic_submission(path, table[VERB], table[NOUN], names)
    return len(videos) - len(rows)
