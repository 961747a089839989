import gc
import importlib.util
import json
import socket
import urllib.error
import urllib.request

import pytest

from helpers.classifiers import write_classifier
from helpers.shown import checkpoint, settings
from mofo.report.gallery import Runs, Views, find_runs, make_page, safely, serve
from mofo.types import MofoError


def test_motion_and_masks_are_drawn(video, tmp_path):
    views = Views(tmp_path)
    shown = safely(views.motion, str(video), "dis", "default")
    assert shown.picture == str(tmp_path / "motion.png")
    assert shown.clip == str(tmp_path / "motion.mp4")
    assert len(json.loads((tmp_path / "motion.json").read_text())["clip0"]) == 24
    assert "of 24 frames" in shown.text
    masks = safely(views.masks, str(video), "field", 0.9, 0.75)
    assert (tmp_path / "masks.png").stat().st_size > 1000
    assert "- motion: " in masks.text
    assert "- tube: " in masks.text


def test_models_found_in_a_folder_are_used(video, tmp_path):
    checkpoint(tmp_path / "runs" / "pretrain", settings())
    (tmp_path / "runs" / "pretrain" / "metrics.jsonl").write_text("")
    write_classifier(tmp_path / "runs" / "finetune", size=64)
    (tmp_path / "runs" / "finetune" / "metrics.jsonl").write_text("")
    runs = find_runs([tmp_path / "runs"], [video, tmp_path / "gone.mp4"])
    [pretrained], [classifier] = runs.pretrained, runs.classifiers
    assert runs.examples == (str(video),)
    views = Views(tmp_path)
    guess = safely(views.reconstruction, str(video), pretrained)
    assert guess.picture is not None
    assert "Error of the hidden patches" in guess.text
    answer = safely(views.prediction, str(video), classifier)
    assert answer.clip is not None
    assert "probability" in answer.text


def test_what_cannot_be_shown_is_said(tmp_path):
    views = Views(tmp_path)
    assert safely(views.motion, None, "dis", "default").picture is None
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    shown = safely(views.motion, str(text), "dis", "default")
    assert shown[1:] == (None, None, None)
    assert "notes.mp4" in shown.text
    with pytest.raises(MofoError, match="nowhere"):
        find_runs([tmp_path / "nowhere"])


def test_without_gradio_one_line_says_so(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "gradio" else real(name)
    )
    with pytest.raises(MofoError, match=r"pip install 'mofo\[app\]'"):
        make_page(Views(tmp_path), Runs())


def status(port, host="", **headers):
    """The answer of the page's server to a caller who names a host."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers=headers)
    if host:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=240) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def upload(port, size):
    """The answer to a file of so many bytes."""
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/gradio_api/upload",
        part + bytes(size) + b"\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    )
    try:
        with urllib.request.urlopen(request, timeout=240) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


# gradio leaves event loops open; they are let go of here, not in somebody else's test.
@pytest.mark.filterwarnings("ignore")
def test_the_page_is_for_this_machine_only_whatever_the_environment_says(
    video, tmp_path, monkeypatch
):
    pytest.importorskip("gradio", reason="gradio (the extra app) is not installed")
    monkeypatch.setenv("GRADIO_SHARE", "True")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/elsewhere")
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/nowhere")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "True")  # gradio sets it
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    runs = Runs(pretrained=("a", "b"), examples=(str(video),))
    page = serve(tmp_path, runs, port=port, most="1kb")
    try:
        assert page.share is False
        assert page.share_url is None
        assert page.server_name == "127.0.0.1"
        assert status(port) == 200
        assert status(port, "localhost") == 200
        assert status(port, "evil.example") == 400
        assert upload(port, 2000) == 413
        assert upload(port, 500) == 200
        (kept,) = (path for path in tmp_path.rglob("*.mp4") if path.stat().st_size == 500)
        assert kept.is_relative_to(tmp_path / "uploads")  # goes with the folder
        calls = {call.api_name: len(call.outputs) for call in page.fns.values()}
        assert {"motion": 4, "masks": 2, "reconstruction": 2}.items() <= calls.items()
        assert "prediction" not in calls  # it could not work
        assert "system-ui" in page.theme._get_theme_css()
        with pytest.raises(MofoError, match="port"):
            serve(tmp_path, Runs(), port=port)
    finally:
        page.close()
        gc.collect()
