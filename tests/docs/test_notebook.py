"""The notebook runs from top to bottom; its cells are run as a notebook would."""

from __future__ import annotations

import json

import matplotlib as mpl
import pytest

from helpers.pages import ROOT
from helpers.realclips import real_clip

NOTEBOOK = ROOT / "docs/notebooks/first-steps.ipynb"


@pytest.fixture
def _drawn(monkeypatch):
    from matplotlib import pyplot as plt

    used = mpl.get_backend()
    mpl.use("agg")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    yield
    plt.close("all")
    mpl.use(used)


@pytest.mark.usefixtures("_drawn")
def test_the_notebook_runs(tmp_path, monkeypatch, capsys):
    real_clip("carphone_pristine.mp4")
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(NOTEBOOK.read_text())["cells"]):
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {number}", "exec")
            exec(code, names)
    told = capsys.readouterr().out
    assert "something moves in" in told
    assert names["found"].heads["label"]
    for picture in ("stages.png", "masks.png", "reconstruction.png"):
        assert (tmp_path / "first-steps" / picture).stat().st_size > 10_000


def test_it_is_kept_without_outputs():
    content = json.loads(NOTEBOOK.read_text())
    assert content["nbformat"] == 4
    for cell in content["cells"]:
        assert cell["cell_type"] == "markdown" or cell["outputs"] == []
