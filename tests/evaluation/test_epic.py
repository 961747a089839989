from __future__ import annotations

import json

import numpy as np
import pytest

from mofo.datasets.catalog import Catalog, Video
from mofo.evaluation.epic import check_submission, evaluate_apart, submit
from mofo.evaluation.ground_truth import GroundTruth
from mofo.evaluation.measures import EvaluationError, Sample
from mofo.evaluation.scoring import VideoScores

CLASSES = {"verb": ("take", "turn-on", "cut"), "noun": ("tap", "board", "onion")}
ACTIONS = {"action": ("take board", "turn-on tap", "cut onion", "take tap")}
APART = {"tail": {"verb": ("cut",), "noun": ("board",)}, "unseen": {"validation": ("P18",)}}
# Name of the segment, verb, noun; then the scores of both heads, the best one in capitals.
SEGMENTS = (
    ("P01_1_0", "take", "tap", (0.6, 0.3, 0.1), (0.7, 0.2, 0.1)),  # right, right
    ("P01_1_1", "cut", "tap", (0.1, 0.2, 0.7), (0.2, 0.5, 0.3)),  # RARE right, wrong
    ("P18_1_0", "take", "board", (0.2, 0.7, 0.1), (0.1, 0.8, 0.1)),  # wrong, RARE right
    ("P18_1_1", "turn-on", "onion", (0.1, 0.8, 0.1), (0.1, 0.2, 0.7)),  # right, right
    ("P18_1_2", "cut", "board", (0.1, 0.2, 0.7), (0.1, 0.6, 0.3)),  # RARE right, RARE right
)


def segments():
    videos = []
    for name, verb, noun, *_ in SEGMENTS:
        labels = (("verb", verb), ("noun", noun), ("action", f"{verb} {noun}"))
        videos.append(Video(f"/{name}", name, labels, 0, 1, "validation", name[:5], name))
    return tuple(videos)


def judged(rows=range(5)):
    videos, rows = segments(), list(rows)
    catalog = Catalog(videos, classes=CLASSES, apart=APART)
    verb_VC = np.array([SEGMENTS[row][3] for row in rows])
    noun_VC = np.array([SEGMENTS[row][4] for row in rows])
    sample = Sample([videos[row].key for row in rows], [videos[row].group for row in rows], draws=9)
    scores = VideoScores(rows, {"verb": verb_VC, "noun": noun_VC}, {})
    return evaluate_apart(GroundTruth(videos, CLASSES), scores, sample, videos, catalog)


def test_rare_classes_and_new_persons_written_out():
    found = {name: (part.count, part.measures["top1"].mean) for name, part in judged().items()}
    assert found == {
        "verb (tail)": (2, 1.0),
        "noun (tail)": (2, 1.0),
        "action (tail)": (3, pytest.approx(1 / 3)),  # a rare verb or a rare noun
        "verb (unseen)": (3, pytest.approx(2 / 3)),
        "noun (unseen)": (3, 1.0),
        "action (unseen)": (3, pytest.approx(2 / 3)),
    }


def test_segments_that_could_not_be_read_are_in_no_part():
    found = {name: part.count for name, part in judged([0, 1, 3]).items()}
    assert found == {
        "verb (tail)": 1, "action (tail)": 1,
        "verb (unseen)": 1, "noun (unseen)": 1, "action (unseen)": 1,
    }  # fmt: skip


def official():
    return {
        "verb": tuple(f"verb{n}" for n in range(97)),
        "noun": tuple(f"noun{n}" for n in range(300)),
    }


def test_what_is_handed_in_is_softmax_of_logarithms(tmp_path):
    given, rng = official(), np.random.default_rng(0)
    scores = {head: rng.dirichlet(np.ones(len(names)), 4) for head, names in given.items()}
    path = tmp_path / "out.json"
    assert submit(path, VideoScores([0, 1, 2, 4], scores, {}), segments(), given, given) == 1
    results = json.loads(path.read_text())["results"]
    assert list(results) == [name for name, *_ in SEGMENTS]
    for head, score_VC in scores.items():
        given_V = [list(results[SEGMENTS[row][0]][head].values()) for row in (0, 1, 2, 4)]
        np.testing.assert_allclose(np.exp(given_V), score_VC, rtol=1e-9)
        assert set(results["P18_1_1"][head].values()) == {0.0}  # not read


def test_actions_are_handed_in_as_sums(tmp_path):
    given = official()
    classes = {"action": ("verb0 noun0", "verb0 noun7", "verb5 noun7")}
    scores = {"action": np.array([[0.2, 0.3, 0.5]])}
    submit(tmp_path / "out.json", VideoScores([0], scores, {}), segments()[:1], classes, given)
    one = json.loads((tmp_path / "out.json").read_text())["results"]["P01_1_0"]
    found = [np.exp(one["verb"]["0"]), np.exp(one["verb"]["5"]), np.exp(one["noun"]["7"])]
    assert found == pytest.approx([0.5, 0.5, 0.8])
    assert one["verb"]["1"] < np.log(1e-9)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"path": "out.csv"}, r"must end in \.zip or \.json"),
        ({"given": CLASSES}, "3 verbs and 3 nouns, not 97 and 300"),
        ({"classes": {"label": ("a",)}}, "the model has the heads label"),
        ({"classes": {**official(), "noun": official()["noun"][::-1]}}, "other classes of head"),
        ({"videos": (Video("/a", "a"),)}, "/a: a segment has no narration id"),
    ],
)
def test_what_cannot_be_handed_in(changed, expected):
    good = {"path": "o.zip", "videos": segments(), "classes": official(), "given": official()}
    check_submission(**good)
    with pytest.raises(EvaluationError, match=expected):
        check_submission(**(good | changed))
