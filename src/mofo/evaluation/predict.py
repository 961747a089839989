"""A fine-tuned model that names what videos show.

model = mofo.load("runs/fine")
print(model.predict("clip.mp4"))
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mofo.clips.sources import MOTION_SOURCES, MotionChoice
from mofo.clips.view_clips import ViewDataset
from mofo.datasets.video import Video, why_unusable
from mofo.evaluation.scoring import SPATIAL, TEMPORAL, score_videos
from mofo.models.fusion import FUSIONS
from mofo.models.inference import Engine
from mofo.motion.analyse import analyse
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.registry import unknown
from mofo.training.saved_models import SavedClassifier, open_classifier
from mofo.types import Displayed, MotionArea, SettingsError, StoreError, VideoError
from mofo.video.index import FrameIndex, index_frames
from mofo.video.inputs import VideoInput, file_input

DETECTED = "detected"
_WITHOUT_STORE = "dis"  # instead of a store that is not named
_WITHOUT_TRAINED = "codec"  # where the training had none, but tokens or crops go by motion
_LEFT = 0.1  # of a hop
WINDOW_VIEWS = (1, 1)


@dataclass(frozen=True)
class ClassScore:
    """A class and how likely it is, 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True)
class Prediction(Displayed):
    """What a video, or a segment of it, shows.

    Attributes:
        path: the file.
        start, end: of the segment, seconds since the first frame; None: the video's own.
        heads: by head ("label"; "verb", "noun" ...) the likeliest classes, best first.
        areas: where motion areas came from.
    """

    path: str
    start: float | None
    end: float | None
    heads: dict[str, tuple[ClassScore, ...]]
    areas: str

    @property
    def label(self) -> str:
        """The likeliest class; of several heads one after the other."""
        return " ".join(scores[0].name for scores in self.heads.values())

    def __str__(self) -> str:
        parts = [
            f"{scores[0].name} {100 * scores[0].probability:.1f} %"
            for scores in self.heads.values()
        ]
        when = "" if self.start is None and self.end is None else f" {self.when}"
        return f"{self.path}{when}: {', '.join(parts)}"

    @property
    def when(self) -> str:
        """The segment for a reader, such as "1.0-3.0 s"."""
        end = "end" if self.end is None else f"{self.end:.1f} s"
        return f"{self.start or 0:.1f}-{end}"


class VideoClassifier:
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
        self._engine = Engine.alone(device, precision)
        saved.model.to(self._engine.device).eval()

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Names of the classes by head."""
        return self.saved.classes

    def choose_motion(
        self, areas: str | MotionChoice = "detected", motion_crop: bool = False
    ) -> MotionChoice:
        """Where motion comes from, see ``predict``."""
        return choose_motion(areas, None, self.saved, motion_crop=motion_crop)

    def predict(
        self,
        source: VideoInput,
        *,
        start: float | None = None,
        end: float | None = None,
        top: int = 5,
        views: tuple[int, int] = (TEMPORAL, SPATIAL),
        areas: str | MotionChoice = "detected",
        motion_crop: bool = False,
        fps: float | None = None,
    ) -> Prediction:
        """What a video, or a segment of it, shows, from several views.

        Args:
            source: a path; the bytes or an open binary file of a video; frames in memory, see
                ``video.inputs.Frames``.
            start, end: of the segment, seconds since the first frame; None: the file's own.
            top: so many classes of each head.
            views: segments of time, crops of each.
            areas: motion areas: "detected": found as in training; "codec", "dis"; "none"; or the
                folder of a store.
            motion_crop: one more crop of each segment, around what moves; with ``views`` (1, 0)
                the only one.
            fps: frames a second of frames in memory; None: a decoder's own, or 25.

        Raises:
            VideoError: the video cannot be used.
            SettingsError, StoreError: impossible options.
        """
        with file_input(source, fps) as path:
            video = replace(_video(path), start=start, end=end)
            [found] = self._predicted([video], [(start, end)], top, views, areas, motion_crop)
        found = _named(found, source)
        if isinstance(found, VideoError):
            raise found
        return found

    __call__ = predict

    def windows(
        self,
        source: VideoInput,
        *,
        window: float,
        hop: float | None = None,
        top: int = 5,
        views: tuple[int, int] = WINDOW_VIEWS,
        areas: str | MotionChoice = "detected",
        motion_crop: bool = False,
        fps: float | None = None,
    ) -> Iterator[Prediction | VideoError]:
        """What a long video shows, window after window; only one of them is in memory at a time.

        Args:
            source, fps: the video, as in ``predict``.
            window: length of a window, seconds.
            hop: from one beginning to the next; None: half a window.
            top, views, areas, motion_crop: as in ``predict``, of each window.

        Yields:
            A prediction for each window; or an error, where a part of the file cannot be read.

        Raises:
            VideoError: nothing can be read.
            SettingsError, StoreError: impossible options.
        """
        window_spans(1.0, window, hop or window / 2)  # wrong numbers are told before any work
        with file_input(source, fps) as path:
            video = _video(path)
            spans = window_spans(duration_of(index_frames(video.path)), window, hop or window / 2)
            videos = [replace(video, start=start, end=end) for start, end in spans]
            for found in self._predicted(videos, spans, top, views, areas, motion_crop):
                yield _named(found, source)

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
        motion_crop: bool,
    ) -> Iterator[Prediction | VideoError]:
        if top < 1:
            raise SettingsError(f"top {top}: expected 1 or more")
        motion = self.choose_motion(areas, motion_crop)
        settings = self.saved.views(*views, motion, motion_crop=motion_crop)
        dataset = ViewDataset(videos, settings)
        for row, span in enumerate(spans):
            scores = score_videos(
                self.saved.model, dataset, [row], self._engine, batch=settings.views
            )
            if scores.failures:
                yield VideoError(videos[row].path, scores.failures[row])
                continue
            heads = {}
            for head, [share_C] in scores.score.items():
                best = (-share_C).argsort(kind="stable")[:top]
                names = self.saved.classes[head]
                heads[head] = tuple(ClassScore(names[c], float(share_C[c])) for c in best)
            yield Prediction(videos[row].path, *span, heads, str(settings.motion))


def _named(found: Prediction | VideoError, source: VideoInput) -> Prediction | VideoError:
    """By its path, or as what it is, rather than by the file that it is held in for a while."""
    if isinstance(source, str | os.PathLike):
        return found
    if isinstance(found, VideoError):
        return VideoError("in memory", found.reason)
    return replace(found, path="in memory")


def load(
    checkpoint: str | Path,
    *,
    device: torch.device | str | None = None,
    precision: str = "auto",
    keep: float | None = None,
    keep_by: str | None = None,
    merge: str | None = None,
    keep_least: float | None = None,
) -> VideoClassifier:
    """A fine-tuned model, ready for videos.

    Args:
        checkpoint: its folder, or that of a run: then its best one.
        device: None: a GPU if there is one.
        precision: "fp32", "bf16", or "auto": bf16 on a GPU.
        keep: share of the tokens that the encoder computes; None: as in training.
        keep_by: which, one of ``TOKEN_CHOICES``; None: as in training.
        merge: static: of tokens that stand still only the first is kept; None: as in training.
        keep_least: clips in which less moves keep fewer tokens, down to this share; None: all keep
            as many.

    Raises:
        CheckpointError: no checkpoint, or one of a pre-training, which has no classes.
        SettingsError: tokens that cannot be kept so.
    """
    saved = open_classifier(checkpoint, keep=keep, by=keep_by, merge=merge, least=keep_least)
    return VideoClassifier(saved, device=device, precision=precision)


def _video(path: str | os.PathLike[str]) -> Video:
    name = os.fspath(path)
    reason = why_unusable(name)
    if reason is not None:
        raise VideoError(name, reason)
    return Video(str(Path(name).absolute()), Path(name).name)


def choose_motion(
    areas: str | MotionChoice,
    store: str | Path | None,
    saved: SavedClassifier,
    *,
    seed: int = 0,
    motion_crop: bool = False,
) -> MotionChoice:
    """What a test does about motion.

    Args:
        areas: "detected": from the store or, without one, found as in the model's training; a name
            in ``MOTION_SOURCES``; the folder of a store. None in any case where neither fusion,
            nor kept tokens, nor crops use motion.
        store: folder with motion areas, for "detected", "truth" and "shuffled".
    """
    if isinstance(areas, MotionChoice):
        return areas
    folder = str(store) if store is not None else None
    if areas != DETECTED and areas not in MOTION_SOURCES:
        if folder is not None:
            raise SettingsError(f"areas {areas!r} and store {folder}: give one store")
        if not Path(areas).is_dir():
            known = (DETECTED, *MOTION_SOURCES)
            raise StoreError(f"no such folder of a store; {unknown('areas', areas, known)}")
        areas, folder = DETECTED, areas
    fusion, trained = saved.settings.fusion, saved.sampling.areas
    beside = motion_crop or saved.settings.tokens.uses_motion
    if beside and trained == "none":
        trained = _WITHOUT_TRAINED
    choice = _choice(areas, folder, trained, seed)
    if not FUSIONS[fusion].uses_motion and not beside:
        return MotionChoice("none", note=f"the fusion {fusion!r} does not use motion")
    return choice


def _choice(areas: str, folder: str | None, trained: str, seed: int) -> MotionChoice:
    if areas not in (DETECTED, "shuffled"):
        return MotionChoice(areas, store=folder)
    if folder is not None:
        source, note = "store", ""
    else:
        source = _WITHOUT_STORE if trained == "store" else trained
        note = "in training it came from a store, name it" if trained == "store" else ""
    if areas == "shuffled":
        if source == "none":
            raise SettingsError("the model was trained without areas: shuffled ones need a store")
        return MotionChoice("shuffled", store=folder, of=source, seed=seed, note=note)
    if source == "none":
        note = "as in training"
    return MotionChoice(source, store=folder, note=note)


def window_spans(duration: float, window: float, hop: float) -> list[tuple[float, float]]:
    """Begin and end of each window, in seconds since the first frame.

    Windows begin every ``hop`` seconds; the last one ends with the video, so that nothing is left
    out: it begins earlier, or is a little longer where less than a tenth of a hop is left. A video
    that is not longer than a window is one window.
    """
    if not (0 < window < float("inf") and 0 < hop < float("inf")):
        raise SettingsError(f"window {window} s, hop {hop} s: expected more than 0")
    if hop > window:
        raise SettingsError(f"hop {hop:g} s is longer than the window of {window:g} s: leaves gaps")
    if duration <= window:
        return [(0.0, duration)]
    steps = int((duration - window) / hop + _LEFT)
    spans = [(step * hop, step * hop + window) for step in range(steps + 1)]
    if duration - spans[-1][1] > _LEFT * hop:
        spans.append((duration - window, duration))
    else:
        spans[-1] = (spans[-1][0], duration)
    return spans


def duration_of(index: FrameIndex) -> float:
    """Seconds from the first frame to the end of the last one, which lasts as long as most do."""
    seconds_T = index.seconds_T
    steps_T = np.diff(seconds_T)
    last = float(np.median(steps_T)) if len(steps_T) else 1 / 25
    return float(seconds_T[-1] - seconds_T[0]) + last
