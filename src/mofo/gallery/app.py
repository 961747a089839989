"""The gallery's page, in gradio: a video on the left, what the system sees of it on the right."""

from __future__ import annotations

import importlib.util
from typing import Any

from mofo.datasets.sample_videos import real_clips
from mofo.gallery.views import Views, told
from mofo.motion.presets import FLOWS, PRESETS
from mofo.types import MofoError

HOST = "127.0.0.1"  # videos stay on this machine
_HIGH = 440  # pixels: a portrait video fills no more than a screen


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
    theme.set(
        block_info_text_color="*body_text_color", block_info_text_color_dark="*body_text_color"
    )
    examples = [str(path) for path in real_clips().values()]
    with gradio.Blocks(title="mofo", analytics_enabled=False) as page:
        gradio.Markdown("# mofo\nWhat moves in a video, and what a model makes of it.")
        with gradio.Row():
            with gradio.Column(scale=1):
                video = gradio.Video(label="Video", sources=["upload"], height=_HIGH)
                if examples:
                    gradio.Examples([[path] for path in examples], inputs=[video])
            with gradio.Column(scale=2), gradio.Tabs():
                with gradio.Tab("Motion area"):
                    gradio.Markdown(
                        "Where things move, whatever the camera does: the orange box; thin blue "
                        "boxes are single movers. No training is needed."
                    )
                    with gradio.Row():
                        flow = gradio.Dropdown(
                            list(FLOWS), value="dis", label="Optical flow",
                            info="how motion between two frames is found; dis is fast and good, "
                            "codec faster and coarse, tvl1 slow",
                        )  # fmt: skip
                        preset = gradio.Dropdown(
                            list(PRESETS), value="default", label="Preset",
                            info="how boxes are made of it: ours (default) or as published (paper)",
                        )  # fmt: skip
                    _shows(gradio, views.motion, video, flow, preset)
                with gradio.Tab("Masks"):
                    gradio.Markdown(
                        "A model learns by guessing what is hidden. Each strategy hides other "
                        "patches of the clip in the middle of the video: dark is hidden."
                    )
                    with gradio.Row():
                        ratio = gradio.Slider(
                            0.5, 0.95, 0.9, step=0.05, label="Share hidden in all"
                        )
                        inside = gradio.Slider(
                            0, 1, 0.75, step=0.05, label="Share of the motion area hidden",
                            info="by the strategy motion, where that fits",
                        )  # fmt: skip
                    _shows(gradio, views.masks, video, ratio, inside, clip=False)
                with gradio.Tab("Reconstruction"):
                    gradio.Markdown(
                        "What a pre-trained model makes of the hidden patches; nothing of what is "
                        "hidden is added back."
                    )
                    _shows(gradio, views.reconstruction, video, clip=False)
                with gradio.Tab("Prediction"):
                    gradio.Markdown("What a fine-tuned model says the video shows.")
                    _shows(gradio, views.prediction, video, picture=False)
    page.theme = theme  # for launch
    return page


def _shows(
    gradio: Any, view: Any, video: Any, *options: Any, clip: bool = True, picture: bool = True
) -> None:
    """A button, and below it what the view makes of the video; nothing before it is pressed."""
    button = gradio.Button("Show", variant="primary")
    text = gradio.Markdown()
    shown = gradio.Video(label="Clip", autoplay=True, height=_HIGH, visible=False) if clip else None
    drawn = gradio.Image(show_label=False, type="filepath", visible=False) if picture else None

    def outputs(path: str | None, *values: Any) -> list[Any]:
        found = told(view, path, *values)
        pairs = ((shown, found.clip), (drawn, found.picture))
        files = [
            gradio.update(value=file, visible=file is not None)
            for part, file in pairs
            if part is not None
        ]
        return [found.text, *files]

    button.click(
        outputs,
        inputs=[video, *options],
        outputs=[text, *(part for part in (shown, drawn) if part is not None)],
        api_name=view.__name__,
    )
