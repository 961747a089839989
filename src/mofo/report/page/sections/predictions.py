"""Right and wrong predictions as clips, with the motion area and what the model looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mofo.clips.batch import collate
from mofo.clips.sources import MotionChoice
from mofo.clips.view_clips import ViewDataset, ViewSettings
from mofo.datasets.catalog import Video, read_catalog
from mofo.evaluation.provenance import USING_AREAS, choose_motion
from mofo.evaluation.results import Recognition, VideoRow
from mofo.motion.store import AreaStore
from mofo.report.attention import Looked, frame_tiles, look
from mofo.report.overlays import draw_box
from mofo.report.page.gathered import FINETUNE, Gathered, Test
from mofo.report.page.media import Clip, ClipMaker
from mofo.report.page.sections.section import Section
from mofo.report.sheet import GAP
from mofo.training.saved_models import SavedClassifier, open_classifier
from mofo.types import ClipSample, MofoError, StoreError, TokenGrid

_FPS = 8.0  # slower than life, for looking
_TILE, _SIDE, _PAPER = 168, 160, 128  # pixels, and the grey between pictures
_TESTS = 3
_ATTENDS = ("cross_attention", "attentive")
_LEGENDS = {
    "cross_attention": "attention: what the motion area looks at outside of itself (dark all over "
    "where nothing moves)",
    "attentive": "attention: what the model looks at",
}


@dataclass(frozen=True)
class Predicted:
    """One video.

    Attributes:
        name, label, said: video, its class, the model's answer.
        right: whether these are the same.
        clip: None if the file is not there any more.
        sure: probability of the answer in the clip shown; None without the model.
    """

    name: str
    label: str
    said: str
    right: bool
    clip: Clip | None
    sure: float | None = None


@dataclass(frozen=True)
class Predictions:
    """Some of one test.

    Attributes:
        name: of the test.
        right, wrong: examples.
        pictures: what each clip shows, from left to right.
        parts: the same in a word or two, where there are several.
        note: what a reader has to know; may be empty.
    """

    name: str
    right: tuple[Predicted, ...]
    wrong: tuple[Predicted, ...]
    pictures: tuple[str, ...]
    parts: tuple[str, ...]
    note: str


def predictions(found: Gathered, maker: ClipMaker, most: int) -> Section | None:
    """The section; None if no test names its videos."""
    shown = []
    tests = [
        (test, head, one)
        for test in found.tests[:_TESTS]
        for head, one in list(test.results.heads.items())[:1]
        if one.videos
    ]
    for test, head, one in tests:
        shown.append(_of_test(found, test, head, one, maker, max(2, most // len(tests))))
    if not shown:
        return None
    return Section(
        "predictions",
        "Right and wrong answers",
        "Some test videos that the model named rightly and some that it did not, chosen over as "
        "many classes and mix-ups as fit, not for their looks.",
        {"tests": shown},
    )


def _of_test(
    found: Gathered, test: Test, head: str, one: Recognition, maker: ClipMaker, most: int
) -> Predictions:
    right, wrong = _examples(one.videos, most)
    note, saved, choice, videos = "", None, None, {}
    try:
        videos = _videos(test)
        saved = _model(found, test)
        if saved is not None:
            choice = _areas(test, saved)
    except MofoError as error:
        note = f"{error}"
    looking = _Looking(saved, choice, [each.store for each in found.areas])
    groups = [
        tuple(_shown(row, one, videos.get((row.name, one.classes[row.label].name)), looking,
                     head, maker) for row in rows)
        for rows in (right, wrong)
    ]  # fmt: skip
    if not any(each.clip for group in groups for each in group):
        note = note or "the videos are not where they were, so there are only their names"
    parts = tuple(text.partition(":")[0].partition(",")[0] for text in looking.pictures)
    parts = parts if len(parts) > 1 else ()
    return Predictions(test.name, groups[0], groups[1], looking.pictures, parts, note)


def _examples(rows: Sequence[VideoRow], most: int) -> tuple[list[VideoRow], list[VideoRow]]:
    """Right and wrong ones, in turn from each class, or from each mix-up, the frequent first."""
    chosen = []
    for right in (True, False):
        groups: dict[tuple[int, int], list[VideoRow]] = {}
        for row in rows:
            if (row.label == row.predicted) == right:
                groups.setdefault((row.label, row.predicted), []).append(row)
        ordered = sorted(groups.values(), key=lambda group: -len(group))
        turns = max(map(len, ordered), default=0)
        several = [group[k] for k in range(turns) for group in ordered if k < len(group)]
        chosen.append(several[:most])
    return chosen[0], chosen[1]


def _videos(test: Test) -> dict[tuple[str, str], Video]:
    """Videos by the name that the results give them, and their class."""
    data = test.results.about.get("data", "")
    if not data:
        return {}
    try:
        catalog = read_catalog([data])
    except MofoError:
        catalog = read_catalog(data.split(", "))
    found: dict[tuple[str, str], Video] = {}
    for video in catalog:
        names = [video.key]
        if video.start is not None or video.end is not None:
            end = "end" if video.end is None else f"{video.end:g}"
            names.append(f"{video.key} {video.start or 0:g}-{end} s")
        for _, label in video.labels:
            for name in names:
                found.setdefault((name, label), video)
    return found


def _model(found: Gathered, test: Test) -> SavedClassifier | None:
    """The model that was tested; None for a probe, whose classifier is not kept."""
    where = test.results.about.get("checkpoint", "").rsplit(", step", 1)[0]
    if not where:
        return None
    try:
        return open_classifier(where)
    except MofoError:
        # The folder may have moved, together with its run.
        runs = [run for run in found.runs if run.kind == FINETUNE]
        same = [run for run in runs if f"/{run.folder.name}/checkpoints/" in where]
        if len(same) != 1:
            raise
        return open_classifier(same[0].folder)


def _areas(test: Test, saved: SavedClassifier) -> MotionChoice | None:
    """The areas that the model was given; None: those of other videos, which mean nothing here."""
    told = test.results.about.get("areas", "")
    store = told.rpartition("store ")[2] if "store " in told else None
    if "shuffled" in told:
        return None
    if told.startswith("the middle"):
        return choose_motion("centre", None, saved)
    if told.startswith("none"):
        return choose_motion("none", None, saved)
    return choose_motion("truth" if told.startswith("the truth") else "detected", store, saved)


class _Looking:
    """Makes the pictures of a clip: with the model if it is there."""

    def __init__(
        self, saved: SavedClassifier | None, choice: MotionChoice | None, stores: list[AreaStore]
    ) -> None:
        self._saved = saved if choice is not None else None
        self._choice, self._stores = choice, stores
        if self._saved is not None:
            self._saved.model.to("cuda" if torch.cuda.is_available() else "cpu")
            sampling, self._grid = saved.sampling, saved.settings.model.grid  # type: ignore[union-attr]
            how: dict[str, Any] = {"sampling": sampling.sampling, "stride": sampling.stride}
        else:
            self._grid = TokenGrid(16, _SIDE, _SIDE, 2, _SIDE // 10)
            how = {"sampling": "segments", "stride": 1}
        self._how = how

    @property
    def pictures(self) -> tuple[str, ...]:
        """What they are, from left to right."""
        if self._saved is None:
            return ("the clip, with its motion area where one is known",)
        fusion = self._saved.settings.fusion
        area = ", with its motion area" if fusion in USING_AREAS else ""
        shown = [f"the clip{area}"]
        shown += [_LEGENDS[fusion]] if fusion in _ATTENDS else []
        return (*shown, "relevance: what speaks for the answer")

    def clip(self, video: Video, said: str, maker: ClipMaker) -> tuple[Clip | None, float | None]:
        """The clip and the probability of the answer.

        Raises:
            MofoError: the video cannot be used.
        """
        sample = self._sample(video)
        if self._saved is None:
            return maker.clip(self._plain(sample), _FPS), None
        looked = look(self._saved, collate([sample]), said)
        return maker.clip(self._attended(looked), _FPS), looked.probability

    def _sample(self, video: Video) -> ClipSample:
        if self._choice is not None:
            motion = self._choice
        else:
            store = next((s for s in self._stores if _has(s, video)), None)
            motion = MotionChoice.parse(store.folder if store else "none")
        settings = ViewSettings(grid=self._grid, temporal=1, spatial=1, motion=motion, **self._how)
        view = ViewDataset([video], settings)[0, 0]
        if view.clip is None:
            raise MofoError(f"{video.path}: {view.reason}")
        return view.clip

    def _plain(self, sample: ClipSample) -> Iterator[np.ndarray]:
        for t, frame_HW3 in enumerate(sample.frames_THWC):
            drawn_HW3 = frame_HW3.copy()
            if sample.valid_T[t]:
                draw_box(drawn_HW3, sample.box_T4[t], 2)
            yield drawn_HW3

    def _attended(self, looked: Looked) -> Iterator[np.ndarray]:
        token = max(4, _TILE // self._grid.w)
        attends = self._saved is not None and self._saved.settings.fusion in _ATTENDS
        for t in range(self._grid.frames):
            tiles = frame_tiles(looked, self._grid, t, token)
            tiles = tiles if attends else [tiles[0], tiles[2]]
            gap_HW3 = np.full((len(tiles[0]), GAP // 2, 3), _PAPER, np.uint8)
            yield np.hstack([part for tile in tiles for part in (tile, gap_HW3)][:-1])


def _has(store: AreaStore, video: Video) -> bool:
    try:
        return video.key in store or bool(store.find(video.path))
    except StoreError:
        return False


def _shown(
    row: VideoRow,
    one: Recognition,
    video: Video | None,
    looking: _Looking,
    head: str,
    maker: ClipMaker,
) -> Predicted:
    label, said = one.classes[row.label].name, one.classes[row.predicted].name
    clip, sure = None, None
    if video is not None:
        try:
            clip, sure = looking.clip(video, said, maker)
        except MofoError:
            clip = None  # its name is on the page all the same
    return Predicted(row.name, label, said, row.label == row.predicted, clip, sure)
