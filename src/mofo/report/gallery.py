"""A local gallery in the browser (gradio): drop a video, see what the system sees of it.

Each view is a function from a file to pictures and a few words; a view that cannot work, as its
model is missing, has no tab. The page talks to this machine only, and leaves nothing behind.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from mofo.clips.token_area import SHAPES
from mofo.datasets.sample_videos import real_clips
from mofo.evaluation.predict import load
from mofo.masking import MASKS, MaskSettings
from mofo.motion.boxes_json import to_entries
from mofo.motion.presets import FLOWS, PRESETS, DetectSettings
from mofo.report.figures.annotated import write_annotated
from mofo.report.figures.masks import show_masks
from mofo.report.figures.overlays import write_overlay
from mofo.report.figures.reconstruction import flat, reconstruct_checkpoint
from mofo.report.figures.stages import write_stages
from mofo.report.page.folders import FINETUNE, PRETRAIN, read_folders
from mofo.types import MofoError, SettingsError

HOST = "127.0.0.1"  # videos stay on this machine
_HOSTS = [HOST, "localhost"]  # names a browser may call it by, so that no other page can
_HEIGHT = 440  # pixels: a portrait video fills no more than a screen
_MAX_EXAMPLES = 8


class Shown(NamedTuple):
    """A view of one video: PNG, mp4 and a file to keep, where there are any, and Markdown."""

    text: str
    picture: str | None = None
    clip: str | None = None
    file: str | None = None


class Views:
    """All views, drawn in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def motion(self, video: str, flow: str, preset: str) -> Shown:
        """Motion area on the video, the stages that lead to it, and the boxes as JSON."""
        settings = DetectSettings(flow=flow, preset=preset)
        clip, picture = self._folder / "motion.mp4", self._folder / "motion.png"
        area = write_stages(video, settings, picture, rows=3)
        write_overlay(video, area, clip)
        boxes = self._folder / "motion.json"
        boxes.write_text(json.dumps({Path(video).stem: to_entries(area)}), encoding="utf-8")
        moving = f"{area.valid_T.mean():.0%} of {len(area)} frames have a motion area"
        notes = "".join(f"\n\nNote: {text}" for text in area.warnings)
        text = f"{moving}; flow {area.flow}.{notes}"
        return Shown(text, str(picture), str(clip), str(boxes))

    def masks(self, video: str, shape: str, ratio: float, inside_ratio: float) -> Shown:
        """What each mask strategy hides of the clip in the middle of the video."""
        path, mask = (
            self._folder / "masks.png",
            MaskSettings(ratio=ratio, inside_ratio=inside_ratio),
        )
        drawn = show_masks(video, path, mask=mask, strategies=tuple(MASKS), shape=shape)
        rows = [f"- {mask.settings.strategy}: {', '.join(mask.text)}" for mask in drawn.masks]
        return Shown("\n".join(rows), str(path))

    def reconstruction(self, video: str, run: str) -> Shown:
        """What a pre-trained model makes of the hidden parts; nothing hidden is added back."""
        path = self._folder / "reconstruction.png"
        made = reconstruct_checkpoint(run, [video], path, clips=1).made
        error, flat_error = float(made.error_B[0]), float(made.flat_error_B[0])
        verdict = "no better than a flat guess: it has not learned to see yet"
        if error < 0.98 * flat_error:
            verdict = f"{1 - error / flat_error:.0%} less than with {flat(made.normalised)}"
        return Shown(f"Error of the hidden patches {error:.3f}, {verdict}.", str(path))

    def prediction(self, video: str, run: str) -> Shown:
        """The likeliest classes, and the video with them written below."""
        prediction = _classifier(run).predict(video)
        path = self._folder / "prediction.mp4"
        write_annotated(video, [prediction], path)
        lines = ["| | class | probability |", "|---|---|---|"]
        lines += [
            f"| {head} | {score.name} | {score.probability:.1%} |"
            for head, scores in prediction.heads.items()
            for score in scores
        ]
        text = "\n".join([*lines, "", f"Motion areas: {prediction.areas}."])
        return Shown(text, clip=str(path))


@lru_cache(maxsize=2)
def _classifier(run: str) -> Any:
    return load(run)


def safely(view: Callable[..., Shown], video: str | None, *options: Any) -> Shown:
    """Returns a view, or the line that says why there is none."""
    if not video:
        return Shown("Choose a video first.")
    try:
        return view(video, *options)
    except MofoError as error:
        return Shown(f"**Not shown:** {error}")


class Runs(NamedTuple):
    """Models to choose from, by kind, and videos to begin with."""

    pretrained: tuple[str, ...] = ()
    classifiers: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


def find_runs(folders: Sequence[str | Path], examples: Sequence[str | Path] = ()) -> Runs:
    """Looks for runs with a checkpoint in folders, two levels deep.

    Args:
        folders: runs, or folders that have runs in them; may be empty.
        examples: videos to begin with, before those that stores in the folders know; none: real
            clips, where they are installed.
    """
    examples = [*examples] or list(real_clips().values())
    if not folders:
        return Runs(examples=tuple(map(str, examples)))
    contents = read_folders(folders)
    try:
        known = [
            path for each in contents.areas for path in each.store.videos()["path"].to_pylist()
        ]
    finally:
        contents.close()
    there = [path for path in (*examples, *known) if Path(path).is_file()]
    models = {
        kind: tuple(str(run.folder) for run in contents.of_kind(kind) if run.checkpoint)
        for kind in (PRETRAIN, FINETUNE)
    }
    return Runs(models[PRETRAIN], models[FINETUNE], tuple(map(str, there[:_MAX_EXAMPLES])))


def make_page(views: Views, runs: Runs) -> Any:
    """Returns the page as ``gradio.Blocks``."""
    if importlib.util.find_spec("gradio") is None:
        raise MofoError("the gallery needs gradio: pip install 'mofo[app]'")
    import gradio

    with gradio.Blocks(title="mofo", analytics_enabled=False) as page:
        gradio.Markdown("# mofo\nWhat moves in a video, and what a model makes of it.")
        with gradio.Row():
            with gradio.Column(scale=1):
                video = gradio.Video(label="Video", sources=["upload"], height=_HEIGHT)
                if runs.examples:
                    gradio.Examples([[path] for path in runs.examples], inputs=[video])
            with gradio.Column(scale=2), gradio.Tabs():
                with gradio.Tab("Motion area"):
                    gradio.Markdown(
                        "Where things move, whatever the camera does: orange, with a box around "
                        "all of it; thin blue boxes are single movers. No training is needed."
                    )
                    with gradio.Row():
                        flow = gradio.Dropdown([*FLOWS], value="dis", label="Optical flow")
                        preset = gradio.Dropdown([*PRESETS], value="default", label="Preset")
                    _show(gradio, views.motion, video, [flow, preset], "picture", "clip", "file")
                with gradio.Tab("Masks"):
                    gradio.Markdown(
                        f"A model learns by guessing what is hidden. Each of {len(MASKS)} "
                        "strategies hides other patches of the clip in the middle of the video: "
                        "dark is hidden."
                    )
                    with gradio.Row():
                        shape = gradio.Dropdown([*SHAPES], value="field", label="Motion as")
                        ratio = gradio.Slider(0.5, 0.95, 0.9, step=0.05, label="Share hidden")
                        inside = gradio.Slider(
                            0, 1, 0.75, step=0.05, label="Share hidden of what moves (motion)"
                        )
                    _show(gradio, views.masks, video, [shape, ratio, inside], "picture")
                for title, about, view, models, kind in (
                    ("Reconstruction", "What a pre-trained model makes of the hidden patches; "
                     "nothing of what is hidden is added back.",
                     views.reconstruction, runs.pretrained, "picture"),
                    ("Prediction", "What a fine-tuned model says the video shows.",
                     views.prediction, runs.classifiers, "clip"),
                ):  # fmt: skip
                    if models:  # a tab that cannot work is not there
                        with gradio.Tab(title):
                            gradio.Markdown(about)
                            model = gradio.Dropdown(
                                [*models], value=models[0], label="Run", visible=len(models) > 1
                            )
                            _show(gradio, view, video, [model], kind)
    return page


def _show(gradio: Any, view: Any, video: Any, options: list[Any], *kinds: str) -> None:
    """What the view makes of the video, drawn at once when the video or an option changes."""
    text = gradio.Markdown()
    made = {
        "clip": lambda: gradio.Video(
            label="Clip", autoplay=True, height=_HEIGHT, visible=False, buttons=["download"]
        ),
        "picture": lambda: gradio.Image(
            show_label=False, type="filepath", visible=False, buttons=["download", "fullscreen"]
        ),
        "file": lambda: gradio.File(label="Boxes, as JSON", visible=False),
    }
    parts = [made[kind]() for kind in kinds]

    def outputs(path: str | None, *values: Any) -> list[Any]:
        shown = safely(view, path, *values)
        files = [getattr(shown, kind) for kind in kinds]
        updates = [gradio.update(value=file, visible=file is not None) for file in files]
        return [shown.text, *updates]

    gradio.on(
        [video.change, *(option.change for option in options)],
        outputs,
        inputs=[video, *options],
        outputs=[text, *parts],
        api_name=view.__name__,
        trigger_mode="always_last",
    )


def serve(
    folder: Path, runs: Runs, *, port: int, open_browser: bool = False, most: str = "1gb"
) -> Any:
    """Starts the gallery and returns its page; ``page.block_thread()`` waits for Ctrl-C.

    Whatever the environment says, it is not shared, it answers to names of this machine only, and
    all that is uploaded or drawn lies in ``folder``. ``folder``: for everything; the caller removes
    it. ``runs``: see ``find_runs``.
    """
    if not 0 < port < 65536:
        raise SettingsError(f"port {port}: expected 1 to 65535")
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")  # read whenever a file arrives
    page = make_page(Views(folder), runs)
    import gradio
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    # Named fonts are the system's own: nothing is fetched from elsewhere.
    theme = gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    theme.set(
        block_info_text_color="*body_text_color", block_info_text_color_dark="*body_text_color"
    )
    try:
        page.launch(
            server_name=HOST,
            server_port=port,
            inbrowser=open_browser,
            quiet=True,
            share=False,
            strict_cors=True,
            max_file_size=most,
            allowed_paths=[str(folder)],
            root_path="",
            run_history=False,
            mcp_server=False,
            enable_monitoring=False,
            ssr_mode=False,
            footer_links=[],
            prevent_thread_lock=True,
            app_kwargs={"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS)]},
            theme=theme,
        )
    except OSError as error:
        raise MofoError(f"port {port}: {error}; choose another --port") from None
    return page
