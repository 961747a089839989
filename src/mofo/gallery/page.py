"""The gallery's page, in gradio: a video on the left, what the system sees of it on the right."""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import Any

from mofo.data.real_clips import real_clips
from mofo.gallery.views import Views, told
from mofo.motion.settings import FLOWS, PRESETS
from mofo.types import MofoError

HOST = "127.0.0.1"  # videos stay on this machine


def make_page(views: Views) -> Any:
    """The page as ``gradio.Blocks``; ``launch`` serves it.

    Raises:
        MofoError: gradio is not installed.
    """
    if importlib.util.find_spec("gradio") is None:
        raise MofoError("the gallery needs gradio: pip install 'mofo[app]'")
    import gradio

    # Named fonts are the system's own: nothing is fetched from elsewhere.
    theme = gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    examples = [str(path) for path in real_clips().values()]
    with gradio.Blocks(title="mofo", analytics_enabled=False) as page:
        gradio.Markdown("# mofo\nWhat moves in a video, and what a model makes of it.")
        with gradio.Row():
            with gradio.Column(scale=1):
                video = gradio.Video(label="Video", sources=["upload"])
                if examples:
                    gradio.Examples([[path] for path in examples], inputs=[video])
            with gradio.Column(scale=2), gradio.Tabs():
                with gradio.Tab("Motion area"):
                    flow = gradio.Dropdown(list(FLOWS), value="dis", label="Optical flow")
                    preset = gradio.Dropdown(list(PRESETS), value="default", label="Preset")
                    _shows(gradio, views.motion, video, flow, preset)
                with gradio.Tab("Masks"):
                    ratio = gradio.Slider(0.5, 0.95, 0.9, step=0.05, label="Share hidden in all")
                    inside = gradio.Slider(0, 1, 0.75, step=0.05, label="Share of the area hidden")
                    _shows(gradio, views.masks, video, ratio, inside)
                with gradio.Tab("Reconstruction"):
                    _shows(gradio, views.reconstruction, video)
                with gradio.Tab("Prediction"):
                    _shows(gradio, views.prediction, video)
    page.theme = theme
    return page


def _shows(gradio: Any, view: Any, video: Any, *options: Any) -> None:
    """A button, and below it what the view makes of the video."""
    button = gradio.Button("Show", variant="primary")
    text = gradio.Markdown()
    clip = gradio.Video(label="Clip", autoplay=True)
    picture = gradio.Image(label="Picture", type="filepath")
    button.click(
        partial(_outputs, view),
        inputs=[video, *options],
        outputs=[picture, clip, text],
        api_name=view.__name__,
    )


def _outputs(view: Any, video: str | None, *options: Any) -> tuple[str | None, str | None, str]:
    picture, clip, text = told(view, video, *options)
    return picture, clip, text
