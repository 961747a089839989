from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.classifiers import CLASSES, settings, write_videos
from mofo.clips.view_clips import ViewDataset, ViewSettings
from mofo.datasets.catalog import read_catalog
from mofo.evaluation.measures import EvaluationError
from mofo.evaluation.scoring import VideoScores, score_videos
from mofo.models.inference import Engine, in_batches, run_model
from mofo.types import SettingsError

ENGINE = Engine.alone("cpu", "fp32")
LOGITS = torch.tensor([[10.0, 0], [0, 3], [0, 3]])  # of the three views of a video


class Fixed(torch.nn.Module):
    """Says the same of each view, whatever it shows."""

    settings = settings({"label": ("a", "b")})

    def motion(self, clips):
        return clips.index_B

    def kept_groups(self, clips):
        return None

    kept = kept_groups

    def forward(self, frames_BTHWC, inside_BN, keep_BV):
        logits_B2 = LOGITS.roll(-self.seen, 0)[: len(frames_BTHWC)]
        self.seen = (self.seen + len(frames_BTHWC)) % 3
        return {"label": logits_B2}

    seen = 0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    table = write_videos(tmp_path_factory.mktemp("scored") / "videos", 3, CLASSES["label"])
    (table.parent / "clip1.mp4").write_bytes(b"no video")
    grid = settings().model.grid
    views = ViewSettings(grid=grid, stride=2, temporal=1, motion="none")
    return ViewDataset(read_catalog([table]).videos, views)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_it_is_probabilities_that_are_averaged_not_logits(dataset, batch):
    """One view that is very sure does not outvote two that are sure."""
    scores = score_videos(Fixed(), dataset, [0, 1, 2], ENGINE, batch=batch)
    sure = 1 / (1 + np.exp(-3))
    expected = (2 * sure + 1 / (1 + np.exp(10))) / 3
    np.testing.assert_allclose(scores.score["label"][:, 1], [expected] * 2, atol=1e-12)
    assert scores.rows == [0, 2]
    assert list(scores.failures) == [1]
    assert "not a video" in scores.failures[1]


def test_logits_that_are_not_finite_are_named(dataset, monkeypatch):
    monkeypatch.setitem(globals(), "LOGITS", LOGITS.clone().fill_(float("nan")))
    with pytest.raises(EvaluationError, match=r"clip0\.mp4, view 0: .* not finite"):
        score_videos(Fixed(), dataset, [0], ENGINE, batch=1)


def test_more_failures_than_allowed_end_it(dataset):
    scores = score_videos(Fixed(), dataset, [1, 0, 2], ENGINE, batch=3, max_failures=0)
    assert list(scores.failures) == [1]


def test_scores_of_several_processes():
    parts = [
        VideoScores([0, 4], {"a": np.array([[0.1], [0.5]])}, {2: "no"}),
        VideoScores([1], {"a": np.array([[0.2]])}, {}),
        VideoScores([], {"a": np.zeros((0, 1))}, {3: "bad"}),
    ]
    joined = VideoScores.joined(parts)
    assert joined.rows == [0, 1, 4]
    assert joined.score["a"].ravel().tolist() == [0.1, 0.2, 0.5]
    assert joined.failures == {2: "no", 3: "bad"}


def test_the_loop(dataset):
    order = in_batches(range(3), 3, 4)
    assert [len(keys) for keys in order] == [4, 4, 1]
    shapes = [
        (step.output, len(step.views.failures))
        for step in run_model(lambda clips: len(clips), dataset, order, ENGINE)
    ]
    assert shapes == [(3, 1), (2, 2), (1, 0)]
    for wrong in ({"batch": 0}, {"workers": -1}):
        with pytest.raises(SettingsError):
            score_videos(Fixed(), dataset, [0], ENGINE, **({"batch": 1} | wrong))


def test_an_error_of_one_process_is_raised_by_all():
    def fail():
        raise SettingsError("no")

    with pytest.raises(SettingsError):
        ENGINE.gather(fail)
    assert ENGINE.gather(lambda: 3) == [3]
