"""A fine-tuned model that names what videos show.

model = mofo.load("runs/fine")
print(model.predict("clip.mp4"))
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mofo.clips.sources import MOTION_SOURCES, MotionChoice
from mofo.clips.view_clips import ViewDataset, ViewSettings
from mofo.datasets.catalog import Video
from mofo.datasets.video import why_unusable
from mofo.evaluation.provenance import choose_motion
from mofo.evaluation.scoring import Scorer, score_views
from mofo.evaluation.views import SPATIAL, TEMPORAL, average_views
from mofo.evaluation.windows import duration_of, window_spans
from mofo.motion.analyse import analyse
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.training.saved_models import SavedClassifier, open_classifier
from mofo.types import MotionArea, SettingsError, VideoError
from mofo.video.index import index_frames

WINDOW_VIEWS = (1, 1)


@dataclass(frozen=True)
class Guess:
    """A class and how likely it is, 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a video, or a stretch of it, shows.

    Attributes:
        path: the file.
        start, end: of the stretch, seconds since the first frame; None: the video's own.
        heads: by head ("label"; "verb", "noun" ...) the likeliest classes, best first.
        areas: where motion areas came from.
    """

    path: str
    start: float | None
    end: float | None
    heads: dict[str, tuple[Guess, ...]]
    areas: str

    @property
    def label(self) -> str:
        """The likeliest class; of several heads one after the other."""
        return " ".join(guesses[0].name for guesses in self.heads.values())

    def __str__(self) -> str:
        parts = [
            f"{guesses[0].name} {100 * guesses[0].probability:.1f} %"
            for guesses in self.heads.values()
        ]
        when = "" if self.start is None and self.end is None else f" {self.when}"
        return f"{self.path}{when}: {', '.join(parts)}"

    @property
    def when(self) -> str:
        """The stretch for a reader, such as "1.0-3.0 s"."""
        end = "end" if self.end is None else f"{self.end:.1f} s"
        return f"{self.start or 0:.1f}-{end}"


class Recogniser:
    """A fine-tuned model, ready for videos.

    Args:
        saved: model, names of its classes, and how clips are taken for it.
        device: None: a GPU if there is one.
        precision: "fp32", "bf16", or "auto": bf16 on a GPU.
    """

    def __init__(
        self,
        saved: SavedClassifier,
        *,
        device: torch.device | str | None = None,
        precision: str = "auto",
    ) -> None:
        self.saved = saved
        self._scorer = Scorer(saved.model, device=device, precision=precision)

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Names of the classes by head."""
        return self.saved.classes

    def choose_motion(self, areas: str | MotionChoice = "detected") -> MotionChoice:
        """Where motion comes from, see ``predict``."""
        return choose_motion(areas, None, self.saved)

    def predict(
        self,
        path: str | os.PathLike[str],
        *,
        start: float | None = None,
        end: float | None = None,
        top: int = 5,
        views: tuple[int, int] = (TEMPORAL, SPATIAL),
        areas: str | MotionChoice = "detected",
    ) -> Prediction:
        """What a video, or a stretch of it, shows, from several views.

        Args:
            path: the file.
            start, end: of the stretch, seconds since the first frame; None: the file's own.
            top: so many classes of each head.
            views: stretches of time, crops of each.
            areas: motion areas: "detected": found as in training; "codec", "dis"; "none"; or the
                folder of a store.

        Raises:
            VideoError: the video cannot be used.
            SettingsError, StoreError: impossible options.
        """
        video = replace(_video(path), start=start, end=end)
        [found] = self._predicted([video], [(start, end)], top, views, areas)
        if isinstance(found, VideoError):
            raise found
        return found

    def windows(
        self,
        path: str | os.PathLike[str],
        *,
        window: float,
        hop: float | None = None,
        top: int = 5,
        views: tuple[int, int] = WINDOW_VIEWS,
        areas: str | MotionChoice = "detected",
    ) -> Iterator[Prediction | VideoError]:
        """What a long video shows, window after window; only one of them is in memory at a time.

        Args:
            path: the file.
            window: length of a window, seconds.
            hop: from one beginning to the next; None: half a window.
            top, views, areas: as in ``predict``, of each window.

        Yields:
            A prediction for each window; or an error, where a part of the file cannot be read.

        Raises:
            VideoError: nothing can be read.
            SettingsError, StoreError: impossible options.
        """
        video = _video(path)
        window_spans(1.0, window, hop or window / 2)  # wrong numbers are told before any work
        spans = window_spans(duration_of(index_frames(video.path)), window, hop or window / 2)
        videos = [replace(video, start=start, end=end) for start, end in spans]
        yield from self._predicted(videos, spans, top, views, areas)

    def area(self, path: str | os.PathLike[str], choice: MotionChoice) -> MotionArea | None:
        """The motion area of all frames of a file, for a picture; None if there is none.

        Found in the file as a whole, it may differ a little from what a clip is given, which is
        found in the clip's own stretch.

        Raises:
            VideoError: the file cannot be read.
            StoreError: the store does not have it.
        """
        video = _video(path)
        if not MOTION_SOURCES[choice.source].is_own:
            return None
        if choice.store is not None:
            with AreaStore.open(choice.store) as store:
                return store[video.key if video.key in store else store.find(video.path)]
        return analyse(video.path, DetectSettings(flow=choice.source))

    def _predicted(
        self,
        videos: Sequence[Video],
        spans: Sequence[tuple[float | None, float | None]],
        top: int,
        views: tuple[int, int],
        areas: str | MotionChoice,
    ) -> Iterator[Prediction | VideoError]:
        if top < 1:
            raise SettingsError(f"top {top}: expected 1 or more")
        settings = ViewSettings(
            grid=self.saved.settings.model.grid,
            sampling=self.saved.sampling.sampling,
            stride=self.saved.sampling.stride,
            temporal=views[0],
            spatial=views[1],
            motion=self.choose_motion(areas),
        )
        dataset = ViewDataset(videos, settings)
        for row, span in enumerate(spans):
            yield self._one(dataset, row, span, top, str(settings.motion))

    def _one(
        self,
        dataset: ViewDataset,
        row: int,
        span: tuple[float | None, float | None],
        top: int,
        areas: str,
    ) -> Prediction | VideoError:
        video, views = dataset.videos[row], dataset.settings.views
        scores = score_views(self._scorer, dataset, [row], batch=views)
        if scores.failures:
            return VideoError(video.path, scores.failures[0][1])
        found = scores.of([row])
        link = "sigmoid" if self.saved.settings.labels == "multi" else "softmax"
        heads = {}
        for head, logits_RC in found.logits.items():
            [share_C] = average_views(
                found.row_R, found.view_R, logits_RC,
                videos=1, views=views, names=[video.path], link=link,
            )  # fmt: skip
            best = (-share_C).argsort(kind="stable")[:top]
            names = self.saved.classes[head]
            heads[head] = tuple(Guess(names[c], float(share_C[c])) for c in best)
        return Prediction(video.path, *span, heads, areas)


def load(
    checkpoint: str | Path,
    *,
    device: torch.device | str | None = None,
    precision: str = "auto",
) -> Recogniser:
    """A fine-tuned model, ready for videos.

    Args:
        checkpoint: its folder, or that of a run: then its best one.
        device: None: a GPU if there is one.
        precision: "fp32", "bf16", or "auto": bf16 on a GPU.

    Raises:
        CheckpointError: no checkpoint, or one of a pre-training, which has no classes.
    """
    return Recogniser(open_classifier(checkpoint), device=device, precision=precision)


def _video(path: str | os.PathLike[str]) -> Video:
    name = os.fspath(path)
    reason = why_unusable(name)
    if reason is not None:
        raise VideoError(name, reason)
    return Video(str(Path(name).absolute()), Path(name).name)
