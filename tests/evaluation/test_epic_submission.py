from __future__ import annotations

import json
from zipfile import ZipFile

import numpy as np
import pytest

from mofo.evaluation.epic import write_epic_submission
from mofo.evaluation.measures import EvaluationError

NAMES = ["P01_101_0", "P01_101_1", "P18_09_12"]


def scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 97)).astype(np.float32), rng.normal(size=(3, 300))


def test_what_the_challenge_reads(tmp_path):
    verb_VC, noun_VC = scores()
    write_epic_submission(tmp_path / "out" / "my.zip", verb_VC, noun_VC, NAMES, data=4)
    with ZipFile(tmp_path / "out" / "my.zip") as archive:
        assert archive.namelist() == ["test.json"]
        document = json.loads(archive.read("test.json"))
    assert {key: value for key, value in document.items() if key != "results"} == {
        "version": "0.2", "challenge": "action_recognition",
        "sls_pt": 4, "sls_tl": 3, "sls_td": 4,
    }  # fmt: skip
    assert list(document["results"]) == NAMES
    for row, name in enumerate(NAMES):
        one = document["results"][name]
        assert list(one) == ["verb", "noun"]
        assert [float(one["verb"][str(c)]) for c in range(97)] == verb_VC[row].tolist()
        assert [float(one["noun"][str(c)]) for c in range(300)] == noun_VC[row].tolist()


def test_same_scores_same_bytes(tmp_path):
    for name in ("1.zip", "2.zip", "1.json"):
        write_epic_submission(tmp_path / name, *scores(), NAMES)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with ZipFile(tmp_path / "1.zip") as archive:
        assert archive.read("test.json") == (tmp_path / "1.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"verb_VC": np.zeros((3, 96))}, r"scores of verbs have the shape \(3, 96\)"),
        ({"noun_VC": np.zeros((2, 300))}, "3 segments by 300 classes"),
        ({"noun_VC": np.full((3, 300), np.nan)}, "P01_101_0: a noun score is no number"),
        ({"narration_ids": ["a", "b", "a"]}, "a: has scores twice"),
        ({"data": 6}, "sls_td is 6"),
    ],
)
def test_what_it_would_refuse(tmp_path, monkeypatch, change, expected):
    monkeypatch.chdir(tmp_path)
    verb_VC, noun_VC = scores()
    given = {"path": "my.zip", "verb_VC": verb_VC, "noun_VC": noun_VC, "narration_ids": NAMES}
    with pytest.raises(EvaluationError, match=expected):
        write_epic_submission(**{**given, **change})
    assert not list(tmp_path.iterdir())
