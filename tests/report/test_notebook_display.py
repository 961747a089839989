import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot

import mofo
from helpers.made import Page
from mofo.evaluation.measures import Sample
from mofo.evaluation.predict import ClassScore, Prediction
from mofo.evaluation.recognition import recognise
from mofo.evaluation.results import Results
from mofo.report.notebook import show
from mofo.types import MofoError

SAMPLE = Sample([str(v) for v in range(20)], draws=2)


def test_areas_and_stores_are_shown(video, tmp_path):
    area = mofo.detect(video)
    plain, with_frames = show(area), show(area, video)
    assert Page(plain.html).faults == []
    for html in (plain.html, with_frames.html, show(video).html, area._repr_html_()):
        assert "<svg" in html
        assert "data:image/png;base64," in html
    assert len(with_frames.html) > 2 * len(plain.html)
    assert show(video).html == with_frames.html
    assert area._repr_html_() == plain.html
    mofo.detect_many([video], tmp_path / "areas", workers=0, progress=False)
    with mofo.AreaStore.open(tmp_path / "areas") as store:
        assert "1 video, 24 frames" in show(store)._repr_html_()


def test_results_and_predictions_are_shown_with_names_as_text():
    label_V = np.arange(20) % 2
    result = recognise(np.eye(2)[label_V], label_V, ["<i>a</i>", "b"], SAMPLE)
    html = show(Results({"<label>": result}, 1)).html
    assert "20 videos, 2 classes" in html
    assert "<label>" not in html
    scores = (ClassScore("<script>", 0.75), ClassScore("b", 0.25))
    html = show(Prediction("/x/<a>.mp4", None, None, {"label": scores}, "none")).html
    assert Page(html).faults == []
    assert "75.0 %" in html
    assert "<script>" not in html
    with pytest.raises(MofoError, match="int"):
        show(3)


def test_an_area_draws_itself(video, monkeypatch, tmp_path):
    mpl.use("agg")
    shown = []
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(True))
    area = mofo.detect(video)
    axes = area.plot()
    assert axes.get_xlabel() == "seconds"
    assert area.plot(axes) is axes
    sizes = [figure.get_size_inches()[1] for figure in (area.show(), area.show(video))]
    assert shown == [True, True]
    assert 2 < sizes[0] < sizes[1]
    assert area[:0].show().get_size_inches()[1] == 2
    assert "0 frames" in area[:0]._repr_html_()
    pyplot.close("all")
