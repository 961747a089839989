import gc
import importlib.util

import pytest

from mofo.gallery.app import make_page
from mofo.gallery.views import Views, told
from mofo.synth.clips import ClipRecipe, make_clip, write_clip
from mofo.types import MofoError


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    clip = make_clip(ClipRecipe(seed=1, movers=1, frames=20, width=96, height=72))
    return str(write_clip(clip, tmp_path_factory.mktemp("gallery") / "clip.mp4"))


def test_motion_and_masks_are_drawn(video, tmp_path):
    views = Views(tmp_path)
    shown = told(views.motion, video, "dis", "default")
    assert shown.picture == str(tmp_path / "motion.png")
    assert shown.clip == str(tmp_path / "motion.mp4")
    assert "of 20 frames have a motion area; flow dis" in shown.text
    masks = told(views.masks, video, 0.9, 0.75)
    assert (tmp_path / "masks.png").stat().st_size > 1000
    assert "- motion: " in masks.text
    assert "- tube: " in masks.text


def test_what_is_not_there_is_said(video, tmp_path):
    views = Views(tmp_path)
    assert "--pretrained" in told(views.reconstruction, video).text
    assert "--classifier" in told(views.prediction, video).text
    assert told(views.motion, None, "dis", "default").text == "Choose a video first."
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    shown = told(views.motion, str(text), "dis", "default")
    assert shown[:2] == (None, None)
    assert "notes.mp4" in shown.text


def test_without_gradio_one_line_says_so(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "gradio" else real(name)
    )
    with pytest.raises(MofoError, match=r"pip install 'mofo\[app\]'"):
        make_page(Views(tmp_path))


# gradio leaves event loops open; they are let go of here, not in somebody else's test.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_page_has_all_views(tmp_path):
    pytest.importorskip("gradio", reason="gradio (the extra app) is not installed")
    page = make_page(Views(tmp_path))
    calls = {call.api_name: len(call.outputs) for call in page.fns.values()}
    shown = {"motion": 3, "masks": 2, "reconstruction": 2, "prediction": 2}
    assert shown.items() <= calls.items()
    # Launch has to be given it, or fonts come from elsewhere.
    assert "system-ui" in page.theme._get_theme_css()
    del page
    gc.collect()
