"""Right and wrong answers as clips, with the motion area and what the model attends to."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mofo.clips.batch import collate
from mofo.clips.sources import MotionChoice
from mofo.clips.view_clips import ViewDataset, ViewSettings
from mofo.datasets.catalog import Video, read_catalog
from mofo.evaluation.predict import choose_motion
from mofo.evaluation.results import Recognition, VideoRow
from mofo.models.fusion import FUSIONS
from mofo.report.figures.attention import attention_film, attention_of, clip_for
from mofo.report.figures.chosen_clips import has_video
from mofo.report.figures.films import FPS, ClipFrames, Film, film_frames
from mofo.report.page.folders import FINETUNE, Contents, Test
from mofo.report.page.media import Clip, ClipMaker
from mofo.training.saved_models import SavedClassifier, open_classifier
from mofo.types import MofoError, TokenGrid, VideoError

_TILE = 168  # pixels of a picture in a clip
_PLAIN_GRID = TokenGrid(16, 160, 160)  # of clips without a model
_MAX_TESTS = 3
_PARTS = ("clip with its motion", "what it attends to", "what speaks for the answer")


@dataclass(frozen=True)
class Answer:
    """One video.

    Attributes:
        name, label, predicted: video, its class, the model's answer.
        clip: None if the file is not there any more.
        probability: of the answer in the clip shown; None without the model.
    """

    name: str
    label: str
    predicted: str
    right: bool
    clip: Clip | None
    probability: float | None = None


@dataclass(frozen=True)
class Answers:
    """Some of one test. ``note``: what a reader has to know; may be empty."""

    name: str
    answers: tuple[Answer, ...]
    parts: tuple[str, ...]
    note: str


def examples(contents: Contents, maker: ClipMaker, clips: int) -> list[Answers]:
    """Returns examples of tests that name their videos; controls come last."""
    tests = sorted(contents.tests, key=lambda test: test.is_control)[:_MAX_TESTS]
    named = [
        (test, head, result)
        for test in tests
        for head, result in list(test.results.heads.items())[:1]
        if result.videos
    ]
    answers = [
        _answers(contents, test, result, maker, max(2, clips // len(named)))
        for test, _, result in named
    ]
    # Names alone say little: they stand in where there is no clip at all.
    return [each for each in answers if any(a.clip for a in each.answers)] or answers[:1]


def _answers(
    contents: Contents, test: Test, result: Recognition, maker: ClipMaker, clips: int
) -> Answers:
    note, saved, motion, videos = "", None, None, {}
    pictures = [0]  # of a film: the clip, what the model attends to, what speaks for the answer
    try:
        videos, saved = _videos(test), _model(contents, test)
        motion = _areas(test, saved) if saved is not None else None
    except MofoError as error:
        note = str(error)
    if saved is not None and motion is not None:
        saved.model.to("cuda" if torch.cuda.is_available() else "cpu")
        pictures = [0, 1, 2] if FUSIONS[saved.settings.fusion].has_attention else [0, 2]
    answers = []
    for row in spread_answers(result.videos, clips):
        label, predicted = (result.classes[k].name for k in (row.label, row.predicted))
        video, clip, probability = videos.get((row.name, label)), None, None
        if video is not None:
            with contextlib.suppress(MofoError):  # its name is on the page all the same
                if saved is not None and motion is not None:
                    made = attention_of(saved, clip_for(saved, video, motion), predicted)
                    film, probability = attention_film(made), made.probability
                else:
                    film = _plain_film(video, contents)
                clip = maker.clip(film_frames(film, _TILE, pictures=pictures), FPS)
        right = row.label == row.predicted
        answers.append(Answer(row.name, label, predicted, right, clip, probability))
    if not any(each.clip for each in answers):
        note = note or "the videos are not where they were, so there are only their names"
    parts = tuple(_PARTS[k] for k in pictures) if len(pictures) > 1 else ()
    return Answers(test.name, tuple(answers), parts, note)


def _plain_film(video: Video, contents: Contents) -> Film:
    """A clip with its motion area, where there is no model to ask."""
    stores = [each.store for each in contents.areas if has_video(each.store, video)]
    motion = MotionChoice.parse(stores[0].folder if stores else "none")
    settings = ViewSettings(
        grid=_PLAIN_GRID, sampling="segments", stride=1, temporal=1, spatial=1, motion=motion
    )
    view = ViewDataset([video], settings)[0, 0]
    if view.clip is None:
        raise VideoError(video.path, view.reason)
    frames = ClipFrames.of(collate([view.clip]), 0, _PLAIN_GRID)
    return Film(_PLAIN_GRID, (frames.row,), lambda t, token: [frames.marked(t, token)])


def spread_answers(rows: Sequence[VideoRow], count: int) -> list[VideoRow]:
    """Returns right and wrong ones, in turn from each class or mix-up, the frequent ones first."""
    chosen: list[list[VideoRow]] = []
    for right in (True, False):
        groups: dict[tuple[int, int], list[VideoRow]] = {}
        for row in rows:
            if (row.label == row.predicted) == right:
                groups.setdefault((row.label, row.predicted), []).append(row)
        ordered = sorted(groups.values(), key=lambda group: -len(group))
        turns = max(map(len, ordered), default=0)
        chosen.append([group[k] for k in range(turns) for group in ordered if k < len(group)])
    right_count = min(len(chosen[0]), max((count + 1) // 2, count - len(chosen[1])))
    return chosen[0][:right_count] + chosen[1][: count - right_count]


def _videos(test: Test) -> dict[tuple[str, str], Video]:
    """Videos by the name that the results give them, and their class."""
    data = test.results.about.get("data", "")
    if not data:
        return {}
    try:
        catalog = read_catalog([data])
    except MofoError:
        catalog = read_catalog(data.split(", "))
    videos: dict[tuple[str, str], Video] = {}
    for video in catalog:
        names = [video.key]
        if video.start is not None or video.end is not None:
            end = "end" if video.end is None else f"{video.end:g}"
            names.append(f"{video.key} {video.start or 0:g}-{end} s")
        for _, label in video.labels:
            for name in names:
                videos.setdefault((name, label), video)
    return videos


def _model(contents: Contents, test: Test) -> SavedClassifier | None:
    """The model that was tested; None for a probe, whose classifier is not kept."""
    where = test.results.about.get("checkpoint", "").rsplit(", step", 1)[0]
    if not where:
        return None
    try:
        return open_classifier(where)
    except MofoError:
        # The folder may have moved, together with its run.
        runs = contents.of_kind(FINETUNE)
        same = [run for run in runs if f"/{run.folder.name}/checkpoints/" in where]
        if len(same) != 1:
            raise
        return open_classifier(same[0].folder)


def _areas(test: Test, saved: SavedClassifier) -> MotionChoice | None:
    """The areas that the model was given; None: those of other videos, which mean nothing here."""
    text = test.results.about.get("areas", "")
    store = text.rpartition("store ")[2] if "store " in text else None
    if "shuffled" in text:
        return None
    if text.startswith("the middle"):
        return choose_motion("centre", None, saved)
    if text.startswith("none"):
        return choose_motion("none", None, saved)
    return choose_motion("truth" if text.startswith("the truth") else "detected", store, saved)
