from __future__ import annotations

import re

import numpy as np
import pytest

from mofo.evaluation.results import VideoRow
from mofo.report.page.charts import Curve, Dot, interval_chart, line_chart
from mofo.report.page.media import ClipMaker
from mofo.report.page.moving import best_stretch
from mofo.report.page.sections.predictions import _examples
from mofo.report.page.timeline import timeline
from mofo.report.page.words import areas_text, passes, views_text
from mofo.types import MotionArea


def points(svg):
    [text] = re.findall(r'<polyline[^>]*points="([^"]*)"', str(svg))
    return np.array([pair.split(",") for pair in text.split()], float)


def test_curves_keep_their_course():
    y_P = np.linspace(3, 1, 5000)
    chart = line_chart([Curve("a", np.arange(5000), y_P)], title="t", y_name="y")
    drawn_P2 = points(chart.svg)
    assert len(drawn_P2) <= 200
    assert (np.diff(drawn_P2[:, 0]) > 0).all()
    assert (np.diff(drawn_P2[:, 1]) >= 0).all()  # downwards in the drawing
    assert "from 3 to 1" in chart.text
    assert not chart.legend


@pytest.mark.parametrize(
    ("y_P", "log"),
    [([1.0], False), ([0.0, 0.0], True), ([5, 5, 5], True), ([1e-9, 2e-9], False),
     ([1, np.nan, 3, np.inf], False), ([-1e9, 1e9], True), ([1e-5, 1e5], True)],
)  # fmt: skip
def test_curves_of_any_numbers_are_drawn_inside(y_P, log):
    curve = Curve("a", np.arange(len(y_P)), np.array(y_P, float))
    chart = line_chart([curve], title="t", y_name="y", log=log)
    drawn_P2 = points(chart.svg)
    assert np.isfinite(drawn_P2).all()
    assert (drawn_P2 >= 0).all()
    assert (drawn_P2 <= [440, 240]).all()
    labels = re.findall(r'text-anchor="end">([^<]*)<', str(chart.svg))[:-1]
    assert len(labels) == len(set(labels))  # ticks differ as they are written


def test_no_points_no_chart():
    empty = Curve("a", np.array([]), np.array([]))
    lost = Curve("b", np.arange(3), np.full(3, np.nan))
    assert line_chart([empty, lost], title="t", y_name="y") is None
    assert interval_chart([], title="t") is None


def test_intervals_lie_where_they_belong():
    chart = interval_chart([Dot("<a>", 0.5, 0.25, 1.0, chance=0.0)], title="t")
    [x] = re.findall(r'cx="([\d.]+)"', str(chart.svg))
    [ends] = re.findall(r'whisker s0" x1="([\d.]+)" x2="([\d.]+)"', str(chart.svg))
    low, high = map(float, ends)
    left = float(re.findall(r'chance" x1="([\d.]+)"', str(chart.svg))[0])
    assert (float(x) - left) * 2 == pytest.approx(high - left, abs=0.3)
    assert (low - left) * 4 == pytest.approx(high - left, abs=0.6)
    assert "&lt;a&gt;" in chart.svg


def test_timelines():
    share_T = np.array([0, 0, 0.5, 0.5])
    chart = timeline(share_T, (2,), (0, 4), 2.0)
    assert "motion in 50 % of 4 frames" in chart.text
    assert "1 cut" in chart.text
    assert timeline(np.array([]), (), (0, 0), 0.0).text.startswith("motion in 0 %")


def noise(seed, frames=8):
    return np.random.default_rng(seed).integers(0, 256, (frames, 64, 96, 3), dtype=np.uint8)


def test_clips_take_no_more_room_than_there_is():
    free = ClipMaker()
    one = free.clip(noise(0), 8.0)
    assert one.video
    assert one.seconds == 1.0
    size = sum(len(uri) * 3 // 4 for uri in (one.video, one.poster))
    scarce = ClipMaker(round(2.5 * size))
    made = [scarce.clip(noise(k), 8.0) for k in range(6)]
    assert [bool(clip and clip.video) for clip in made] == [True, True] + [False] * 4
    used = sum(len(c.video + c.poster) * 3 // 4 for c in made if c is not None)
    assert used <= 2.6 * size
    assert scarce.left_out == 4
    assert ClipMaker(0).clip(noise(0), 8.0) is None
    assert free.clip([], 8.0) is None


def test_the_stretch_with_most_motion_is_shown():
    valid_T = np.zeros(500, bool)
    valid_T[300:420] = True
    boxes_T4 = np.where(valid_T[:, None], np.array([0, 0, 5, 5.0], np.float32), 0)
    movers = tuple(
        box_4[None] if moves else np.zeros((0, 4))
        for box_4, moves in zip(boxes_T4, valid_T, strict=True)
    )
    times_T = np.arange(500) / 20
    area = MotionArea(9, 9, np.arange(500), times_T, boxes_T4, valid_T, movers)
    assert best_stretch(area) == (300, 420)


def test_examples_are_of_many_kinds():
    pairs = [(0, 0)] * 9 + [(1, 1)] * 3 + [(0, 1)] * 5 + [(1, 0)]
    rows = [VideoRow(f"v{k}", "g", *pair, 0) for k, pair in enumerate(pairs)]
    right, wrong = _examples(rows, 4)
    assert [row.label for row in right] == [0, 1, 0, 1]
    assert [(row.label, row.predicted) for row in wrong] == [(0, 1), (1, 0), (0, 1), (0, 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [("1 of time x 1 of space; 16 frames, dense, stride 1", "once; 16 frames in a row"),
     ("2 of time x 3 of space; 16 frames, dense, stride 4",
      "2 stretches of time x 3 places, averaged; 16 frames, one of every 4"),
     ("2 of time x 1 of space; 8 frames, segments",
      "2 stretches of time x 1 place, averaged; 8 frames, one of each equal part of the video")],
)  # fmt: skip
def test_views_in_plain_words(text, said):
    assert views_text(text) == said


def test_areas_and_passes_in_plain_words():
    assert areas_text("none: the fusion 'mean' does not use motion").startswith(
        "nowhere: this model"
    )
    assert areas_text("store /x/areas") == "the folder /x/areas"
    assert areas_text("detected: store /x") == "detected: the folder /x"
    assert areas_text("codec") == "codec"
    assert [passes(n) for n in (5.714285, 5.0, 1200.0)] == ["5.7", "5", "1,200"]
