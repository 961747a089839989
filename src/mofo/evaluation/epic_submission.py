"""The file that the EPIC-KITCHENS-100 action recognition challenge takes.

Its layout is that of the challenge's own tool (C1-Action-Recognition, version 0.2): a JSON object
with a score for each verb and each noun of each segment, and three levels that say what a model
was trained with (see github.com/epic-kitchens/sls). It is handed in as ``test.json`` in a zip file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np

from mofo.evaluation.views import EvaluationError
from mofo.system.files import replaced

VERBS, NOUNS = 97, 300
"""Classes of the challenge."""
_VERSION, _CHALLENGE, _MEMBER = "0.2", "action_recognition", "test.json"
_HIGHEST = 5
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip file has dates; the same scores give the same bytes


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
    """Write the scores of segments as the challenge wants them.

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
    if target.suffix.lower() not in (".zip", ".json"):
        raise EvaluationError(f"{target}: the name must end in .zip or .json")
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
