from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mofo.evaluation.results import VideoRow
from mofo.report.page.charts import Curve, Dot, histogram, interval_chart, line_chart, timeline
from mofo.report.page.examples import spread_answers
from mofo.report.page.media import ClipMaker
from mofo.report.page.motion_section import best_segment
from mofo.report.wording import Paths, hours
from mofo.types import MotionArea


def points(svg, number=0):
    """Corners of the line of one series."""
    colour = ("accent", "s1")[number]
    pattern = rf'<path d="([^"]*)" style="fill: none; stroke: var\(--{colour}\)'
    text = re.findall(pattern, str(svg))[0]
    return np.array(re.findall(r"[ML] (\S+) (\S+)", text), float)


def test_curves_keep_their_course_and_stay_small():
    y_P = 1 + 2 / (1 + np.arange(5000) / 100)
    chart = line_chart([Curve("a", np.arange(5000), y_P)], title="t")
    drawn_P2 = points(chart.svg)
    assert len(chart.svg) < 15_000
    assert (np.diff(drawn_P2[:, 0]) >= 0).all()
    assert (np.diff(drawn_P2[:, 1]) >= 0).all()  # downwards in the drawing
    assert "from 3 to 1.03" in chart.text


def test_drawings_have_no_ids_no_colours_of_their_own_and_names_as_they_are():
    curves = [Curve(name, np.arange(3), np.arange(3.0)) for name in ("<a> $x^2$", "b & c")]
    svg = str(line_chart(curves, title="t").svg)
    assert " id=" not in svg
    assert not re.search(r"#[0-9a-f]{6}", svg)
    assert "&lt;a&gt; $x^2$" in svg
    assert "b &amp; c" in svg
    assert "font-family" not in svg


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("y_P", "log"),
    [([1.0], False), ([0.0, 0.0], True), ([5, 5, 5], True), ([1e-9, 2e-9], False),
     ([1, np.nan, 3, np.inf], False), ([-1e9, 1e9], True), ([1e-5, 1e5], True)],
)  # fmt: skip
def test_curves_of_any_numbers_are_drawn_inside(y_P, log):
    curve = Curve("a", np.arange(len(y_P)), np.array(y_P, float))
    chart = line_chart([curve], title="t", log=log)
    drawn_P2 = points(chart.svg)
    assert np.isfinite(drawn_P2).all()
    assert (drawn_P2 >= 0).all()
    assert (drawn_P2 <= [440, 240]).all()


def test_names_stand_above_the_curves_and_at_the_left():
    curves = [Curve(f"a rather long name {k}", np.arange(9), np.arange(9.0)) for k in range(4)]
    svg = str(line_chart(curves, title="t").svg)
    places_K2 = np.array(re.findall(r'x="(\S+)" y="(\S+)">a rather', svg), float)
    assert len(places_K2) == 4
    assert places_K2[:, 0].max() < 100
    assert places_K2[:, 1].max() < points(svg)[:, 1].min()


def test_no_points_no_chart():
    empty = Curve("a", np.array([]), np.array([]))
    lost = Curve("b", np.arange(3), np.full(3, np.nan))
    assert line_chart([empty, lost], title="t") is None
    assert interval_chart([], title="t") is None
    assert histogram(np.array([np.nan]), title="t", x_name="x") is None


def test_intervals_lie_where_they_belong():
    chart = interval_chart([Dot("<a>", 0.5, 0.25, 1.0, chance=0.0)], title="t")
    (low, _), (high, _) = points(chart.svg)
    line = re.findall(r'd="M (\S+) \S+ \nL \1 \S+ \n" style="[^"]*var\(--ink\)', str(chart.svg))
    left = float(line[0])
    assert (low - left) * 4 == pytest.approx(high - left, abs=1)
    assert "between 25.0 and 100.0 %" in chart.text
    assert "&lt;a&gt;" in chart.svg


def test_timelines_and_histograms():
    share_T = np.array([0, 0, 0.5, 0.5])
    chart = timeline(share_T, (2,), (0, 4), 2.0)
    assert "motion in 50 % of 4 frames" in chart.text
    assert "1 cut" in chart.text
    assert timeline(np.array([]), (), (0, 0), 0.0).text.startswith("motion in 0 %")
    assert "3 videos" in histogram(np.array([0, 0.5, 1]), title="t", x_name="x").text


def noise(seed, frames=8, size=(64, 96)):
    return np.random.default_rng(seed).integers(0, 256, (frames, *size, 3), dtype=np.uint8)


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
    assert free.clip(noise(0, size=(65, 97)), 8.0).video


def test_the_segment_with_most_motion_is_shown():
    valid_T = np.zeros(500, bool)
    valid_T[300:420] = True
    boxes_T4 = np.where(valid_T[:, None], np.array([0, 0, 5, 5.0], np.float32), 0)
    movers = tuple(
        box_4[None] if moves else np.zeros((0, 4))
        for box_4, moves in zip(boxes_T4, valid_T, strict=True)
    )
    times_T = np.arange(500) / 20
    area = MotionArea(9, 9, np.arange(500), times_T, boxes_T4, valid_T, movers)
    assert best_segment(area) == (300, 420)


def test_answers_are_of_many_kinds():
    pairs = [(0, 0)] * 9 + [(1, 1)] * 3 + [(0, 1)] * 5 + [(1, 0)]
    rows = [VideoRow(f"v{k}", "g", *pair, 0) for k, pair in enumerate(pairs)]
    chosen = [(row.label, row.predicted) for row in spread_answers(rows, 8)]
    assert chosen == [(0, 0), (1, 1), (0, 0), (1, 1), (0, 1), (1, 0), (0, 1), (0, 1)]
    assert len(spread_answers(rows[:12], 6)) == 6  # all are right


def test_times_in_plain_words():
    assert [hours(n) for n in (5, 600, 7200)] == ["5 s", "10 min", "2.0 h"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("/data/me/runs/one/x.mp4: not a video", "runs/one/x.mp4: not a video"),
     ("mofo detect '/other/a/b c.mp4' --out x", "mofo detect 'a/b c.mp4' --out x"),
     ("needs /q/w/e/r.mp4 (see /t/z)", "needs e/r.mp4 (see t/z)"),
     ("12 clips/s, 1 / 2 and https://a.b/c", "12 clips/s, 1 / 2 and https://a.b/c")],
)  # fmt: skip
def test_paths_tell_nothing_of_the_disk(text, wanted):
    assert Paths([Path("/data/me/runs")])(text) == wanted
