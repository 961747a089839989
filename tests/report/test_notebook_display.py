import numpy as np
import pytest

import mofo
from helpers.made import Page
from mofo.evaluation.measures import Sample
from mofo.evaluation.predict import ClassScore, Prediction
from mofo.evaluation.recognition import recognise
from mofo.evaluation.results import Results
from mofo.report.notebook import load_ipython_extension, show
from mofo.types import MofoError

SAMPLE = Sample([str(v) for v in range(20)], draws=2)


class Formatter:
    """Of IPython, what is asked of it."""

    def __init__(self):
        self.known = {}
        self.formatters = {"text/html": self}
        self.display_formatter = self

    def for_type_by_name(self, module, name, function):
        self.known[module, name] = function


def test_areas_and_stores_are_shown(video, tmp_path):
    area = mofo.detect(video)
    plain, with_frames = show(area), show(area, video)
    assert Page(plain.html).faults == []
    assert "<svg" in plain.html
    assert "<img" not in plain.html
    assert "data:image/png;base64," in with_frames.html
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


def test_ipython_is_told_by_type(video):
    ipython = Formatter()
    load_ipython_extension(ipython)
    area = mofo.detect(video)
    kind = type(area)
    assert "<svg" in ipython.known[kind.__module__, kind.__qualname__](area)
    assert mofo.load_ipython_extension is load_ipython_extension
    assert mofo.show is show
