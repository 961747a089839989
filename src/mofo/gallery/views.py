"""What the gallery shows of a video: each view is a function from a file to files and a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mofo.evaluation.predict import load
from mofo.motion.analyse import analyse
from mofo.motion.presets import DetectSettings
from mofo.report.figures.annotated import write_annotated
from mofo.report.figures.masks import show_masks
from mofo.report.figures.overlays import write_overlay
from mofo.report.figures.reconstruction import show_reconstruction
from mofo.report.figures.stages import write_stages


class Shown(NamedTuple):
    """A view of one video.

    Attributes:
        picture, clip: PNG and mp4, where there are any.
        text: one line or a few, Markdown.
    """

    picture: str | None
    clip: str | None
    text: str


class Views:
    """All views, made in one folder.

    Args:
        folder: for what is drawn; each view overwrites its last file.
        pretrained: checkpoint or run for reconstructions; "": there are none.
        classifier: checkpoint or run for predictions; "": there are none.

    Raises:
        CheckpointError: no fine-tuned checkpoint.
    """

    def __init__(self, folder: Path, pretrained: str = "", classifier: str = "") -> None:
        self.folder, self._pretrained = folder, pretrained
        self._model = load(classifier) if classifier else None

    def motion(self, video: str, flow: str, preset: str) -> Shown:
        """Motion area on the video, and the stages that lead to it."""
        settings = DetectSettings(flow=flow, preset=preset)
        area = analyse(video, settings)
        overlay, stages = self.folder / "motion.mp4", self.folder / "motion.png"
        write_overlay(video, area, overlay)
        write_stages(video, settings, stages, rows=3)
        moving = f"{area.valid_T.mean():.0%} of {len(area)} frames have a motion area"
        notes = "".join(f"\n\nNote: {text}" for text in area.warnings)
        return Shown(str(stages), str(overlay), f"{moving}; flow {area.flow}.{notes}")

    def masks(self, video: str, ratio: float, inside: float) -> Shown:
        """What each mask strategy hides of the clip in the middle of the video."""
        path = self.folder / "masks.png"
        drawn = show_masks(video, path, strategies=None, ratio=ratio, inside_ratio=inside)
        rows = "\n".join(f"- {m.settings.strategy}: {', '.join(m.text)}" for m in drawn.masks)
        return Shown(str(path), None, rows)

    def reconstruction(self, video: str) -> Shown:
        """What a pre-trained model makes of the hidden parts; nothing hidden is added back."""
        if not self._pretrained:
            return Shown(None, None, "Start with --pretrained RUN to see reconstructions.")
        path = self.folder / "reconstruction.png"
        show_reconstruction(self._pretrained, [video], path, clips=2)
        return Shown(
            str(path), None, "Error: of the hidden patches. Flat: of their neighbours' mean."
        )

    def prediction(self, video: str) -> Shown:
        """The likeliest classes, and the video with them written below."""
        if self._model is None:
            return Shown(None, None, "Start with --classifier RUN to see predictions.")
        found = self._model.predict(video)
        path = self.folder / "prediction.mp4"
        write_annotated(video, [found], path)
        lines = ["| | class | probability |", "|---|---|---|"]
        lines += [
            f"| {head} | {guess.name} | {guess.probability:.1%} |"
            for head, guesses in found.heads.items()
            for guess in guesses
        ]
        return Shown(None, str(path), "\n".join([*lines, "", f"Motion areas: {found.areas}."]))


def told(view: Callable[..., Shown], video: str | None, *options: Any) -> Shown:
    """A view, or the line that says why there is none."""
    from mofo.types import MofoError

    if not video:
        return Shown(None, None, "Choose a video first.")
    try:
        return view(video, *options)
    except MofoError as error:
        return Shown(None, None, f"**Not shown:** {error}")
