"""What EPIC-KITCHENS-100 asks of an evaluation, beside verb, noun and action of all segments.

Rare classes and persons who are not in the training set are measured apart, as the challenge does;
and scores become the file that it takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np

from mofo.datasets.catalog import Catalog
from mofo.datasets.formats.epic_kitchens import TAIL, UNSEEN, person
from mofo.datasets.video import Video
from mofo.evaluation.ground_truth import ACTION, NOUN, VERB, GroundTruth, action_parts
from mofo.evaluation.measures import EvaluationError, Sample
from mofo.evaluation.results import Recognition
from mofo.evaluation.scoring import VideoScores
from mofo.system.files import replaced

VERBS, NOUNS = 97, 300
"""Classes of the challenge."""
_VERSION, _CHALLENGE, _MEMBER = "0.2", "action_recognition", "test.json"
_HIGHEST = 5  # level of supervision
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip file has dates; the same scores give the same bytes
_LEAST = 1e-12  # a probability whose logarithm is still a number


def evaluate_apart(
    truth: GroundTruth,
    scores: VideoScores,
    sample: Sample,
    videos: Sequence[Video],
    catalog: Catalog,
) -> dict[str, Recognition]:
    """Results of parts of the segments, by "action (tail)", "verb (unseen)" and so on.

    A segment counts as rare for the verb if its verb is, for the noun likewise, and for the action
    if one of the two is. Parts without videos are left out. ``catalog``: knows what is rare or
    unseen, if its sources do.
    """
    results: dict[str, Recognition] = {}
    by_places: dict[tuple[int, ...], dict[str, Recognition]] = {}
    for name, mask_V in _parts(videos, catalog).items():
        places = tuple(np.flatnonzero(mask_V[scores.rows]).tolist())
        if not places:
            continue
        if places not in by_places:
            part = {head: score_VC[list(places)] for head, score_VC in scores.score.items()}
            rows = [scores.rows[place] for place in places]
            by_places[places] = truth.evaluate(part, rows, sample.part(places))
        head = name.partition(" ")[0]
        if head in by_places[places]:
            results[name] = by_places[places][head]
    return results


def _parts(videos: Sequence[Video], catalog: Catalog) -> dict[str, np.ndarray]:
    """Which videos count for each part, bool ``(V,)``."""
    tail = {head: frozenset(names) for head, names in catalog.apart.get(TAIL, {}).items()}
    unseen = catalog.apart.get(UNSEEN, {})
    parts: dict[str, np.ndarray] = {}
    if {VERB, NOUN} <= set(tail):
        is_rare = {
            head: np.array([dict(video.labels).get(head) in tail[head] for video in videos], bool)
            for head in (VERB, NOUN)
        }
        is_rare[ACTION] = is_rare[VERB] | is_rare[NOUN]
        parts |= {f"{head} ({TAIL})": rare_V for head, rare_V in is_rare.items()}
    if unseen:
        is_new_V = np.array([person(v) in unseen.get(v.split or "", ()) for v in videos], bool)
        parts |= {f"{head} ({UNSEEN})": is_new_V for head in (VERB, NOUN, ACTION)}
    return parts


def check_submission(
    path: str | Path,
    videos: Sequence[Video],
    classes: Mapping[str, Sequence[str]],
    given: Mapping[str, Sequence[str]],
) -> None:
    """Raises unless a submission will be possible, before anything is computed."""
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
    scores: VideoScores,
    videos: Sequence[Video],
    classes: Mapping[str, Sequence[str]],
    given: Mapping[str, Sequence[str]],
) -> int:
    """Writes the challenge's file: logarithms of probabilities, whose softmax it takes.

    ``path``: ``.zip`` or ``.json``.
    ``videos``: all segments; those that were not read get equal scores for all classes.

    Returns:
        How many segments have equal scores, since they could not be read.
    """
    score = scores.score
    if ACTION in classes and VERB not in classes:
        score = action_parts(score[ACTION], classes[ACTION], given)
    table = {}
    for head, count in ((VERB, VERBS), (NOUN, NOUNS)):
        table[head] = np.zeros((len(videos), count))
        table[head][scores.rows] = np.log(np.maximum(score[head], _LEAST))
    write_epic_submission(path, table[VERB], table[NOUN], [video.name or "" for video in videos])
    return len(videos) - len(scores.rows)


def write_epic_submission(
    path: str | Path,
    verb_VC: np.ndarray,
    noun_VC: np.ndarray,
    narration_ids: Sequence[str],
    *,
    pretraining: int = 4,
    labels: int = 3,
    data: int = 3,
) -> None:
    """Writes the scores of segments as the challenge wants them: whole or not at all.

    The layout is that of the challenge's own tool (C1-Action-Recognition, version 0.2): a JSON
    object with a score for each verb and each noun of each segment, and three levels that say what
    a model was trained with (see github.com/epic-kitchens/sls), as ``test.json`` in a zip file.

    Args:
        path: ``.zip`` to hand in, or ``.json`` to look at.
        verb_VC: scores of verbs ``(V, 97)``, higher is likelier; any numbers, all finite.
        noun_VC: scores of nouns ``(V, 300)``.
        narration_ids: of the segments (``Video.name``), such as "P01_101_0", no two the same.
        pretraining: supervision level SLS-PT, 0 to 5: 3 is self-supervised on public data, 4 is
            that with EPIC-KITCHENS among it.
        labels: SLS-TL, 0 to 5: 3 is all labels with their times.
        data: SLS-TD, 0 to 5: 3 is the training set, 4 that and the validation set.

    Raises:
        EvaluationError: scores or ids that the challenge would refuse.
    """
    target = Path(path)
    levels = {"sls_pt": pretraining, "sls_tl": labels, "sls_td": data}
    for name, level in levels.items():
        if not 0 <= level <= _HIGHEST:
            raise EvaluationError(f"{name} is {level}: levels go from 0 to {_HIGHEST}")
    names = [str(name) for name in narration_ids]
    scores = {"verb": (np.asarray(verb_VC), VERBS), "noun": (np.asarray(noun_VC), NOUNS)}
    for head, (score_VC, classes) in scores.items():
        if score_VC.shape != (len(names), classes):
            raise EvaluationError(
                f"scores of {head}s have the shape {score_VC.shape}: the challenge wants "
                f"{len(names)} segments by {classes} classes"
            )
        wrong_V = ~np.isfinite(score_VC).all(1)
        if wrong_V.any():
            raise EvaluationError(f"{names[int(wrong_V.argmax())]}: a {head} score is no number")
    if len(set(names)) < len(names):
        double = next(name for place, name in enumerate(names) if name in names[:place])
        raise EvaluationError(f"{double}: has scores twice")
    document = {
        "version": _VERSION,
        "challenge": _CHALLENGE,
        **levels,
        "results": {
            name: {
                head: {str(c): float(score) for c, score in enumerate(score_VC[row])}
                for head, (score_VC, _) in scores.items()
            }
            for row, name in enumerate(names)
        },
    }
    text = json.dumps(document)
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    with replaced(target, flush=True) as part:
        if target.suffix.lower() == ".json":
            part.write_text(text, encoding="utf-8")
        else:
            with ZipFile(part, "w", ZIP_DEFLATED) as archive:
                archive.writestr(ZipInfo(_MEMBER, _EARLIEST), text, ZIP_DEFLATED)
