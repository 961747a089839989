"""The multi-view test of a fine-tuned model: every view of every video once, in any processes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm import tqdm

from mofo.clips.view_clips import ViewDataset, ViewSettings
from mofo.datasets.catalog import Catalog, Video, read_catalog
from mofo.datasets.video import where
from mofo.evaluation.epic import check_submission, judge_apart, parts_apart, submit
from mofo.evaluation.intervals import DRAWS, Sample
from mofo.evaluation.provenance import choose_motion
from mofo.evaluation.results import Results
from mofo.evaluation.scoring import Scorer, ViewScores, joined, score_views
from mofo.evaluation.truth import ACTION, Truth
from mofo.evaluation.views import SPATIAL, TEMPORAL, EvaluationError, average_views
from mofo.system.processes import usable_cpus
from mofo.training.saved_models import SavedClassifier, open_classifier
from mofo.training.unreadable import TooManyUnreadableError
from mofo.types import MofoError

VALIDATION = "validation"
ALL = "all"
_WORKERS = 8


def evaluate(
    checkpoint: str | Path,
    sources: str | Path | Sequence[str | Path],
    *,
    split: str | None = None,
    views: tuple[int, int] = (TEMPORAL, SPATIAL),
    areas: str = "detected",
    store: str | Path | None = None,
    batch: int = 12,
    workers: int | None = None,
    precision: str = "auto",
    seed: int = 0,
    draws: int = DRAWS,
    max_unreadable: float = 0.05,
    submission: str | Path | None = None,
    progress: bool = False,
) -> Results:
    """Tests a fine-tuned model on labelled videos.

    Each video is judged by the average of the probabilities of its views. Under several processes
    (``torchrun``, ``accelerate launch``) each scores its share, and all get the same results.

    Args:
        checkpoint: its folder, or that of a run: then its best one.
        sources: labelled videos: CSV lists, data sets, see ``read_catalog``.
        split: take the videos of this split; "all": every video; None: "validation", where the
            sources tell splits.
        views: of each video: stretches of time, crops of each.
        areas, store: where motion areas come from, see ``choose_motion``.
        batch: views at once; it does not change the results.
        workers: processes that read, for each process that computes; None: one a processor.
        precision: "fp32", "bf16", or "auto": bf16 on a GPU.
        seed: of the intervals' draws and of shuffled areas.
        draws: resamplings for the intervals.
        max_unreadable: share of the videos that may be unreadable; they are left out and told.
        submission: file for the EPIC-KITCHENS-100 challenge, ``.zip`` or ``.json``. Segments
            without labels (``split="test"``) are then scored and not judged.
        progress: show a bar on stderr.

    Raises:
        CheckpointError: no checkpoint, or one of a pre-training.
        LabelError: a label is missing, or unknown to the model.
        SettingsError, StoreError: options that are impossible.
        TooManyUnreadableError: more videos than allowed cannot be read.
        EvaluationError: no videos.
    """
    state = PartialState(cpu=not _gpu())
    saved = open_classifier(checkpoint)
    catalog = read_catalog([sources] if isinstance(sources, str | Path) else sources)
    videos, chosen_split = _of_split(catalog, split)
    truth: Truth | None = None
    if submission is not None:
        check_submission(submission, videos, saved.classes, catalog.classes)
    if submission is None or any(video.labels for video in videos):
        truth = Truth(
            videos, saved.classes, several=saved.settings.labels == "multi", given=catalog.classes
        )
    settings = ViewSettings(
        grid=saved.settings.model.grid,
        sampling=saved.sampling.sampling,
        stride=saved.sampling.stride,
        temporal=views[0],
        spatial=views[1],
        motion=choose_motion(areas, store, saved, seed=seed),
    )
    dataset = ViewDataset(videos, settings)
    scorer = Scorer(saved.model, device=state.device, precision=precision)
    problems = catalog.problems
    every = len(catalog) + len(problems)
    if len(problems) > max_unreadable * every:  # of which split these are nobody knows
        raise _too_many(dict(problems), every, max_unreadable)
    most = max_unreadable * len(videos)
    workers = min(usable_cpus(), _WORKERS) if workers is None else workers
    rows = range(len(videos))[state.process_index :: state.num_processes]
    with tqdm(
        total=len(rows) * settings.views,
        unit="view",
        file=sys.stderr,
        dynamic_ncols=True,
        disable=not (progress and state.is_main_process),
    ) as bar:
        scores = _all(
            state, scorer, dataset, rows,
            batch=batch, workers=workers, most_failures=most, done=bar.update,
        )  # fmt: skip
    unreadable = {videos[row].path: reason for row, reason in scores.failures} | dict(problems)
    if len(scores.failures) > most:
        raise _too_many(unreadable, len(videos), max_unreadable)
    failed = {row for row, _ in scores.failures}
    kept = [row for row in range(len(videos)) if row not in failed]
    if not kept:
        raise EvaluationError("no video could be read: there is nothing to evaluate")
    names = _names(videos)
    sample = Sample(
        [names[row] for row in kept],
        [videos[row].group or videos[row].key for row in kept],
        seed,
        draws,
    )
    found = scores.of(kept)
    link = "sigmoid" if saved.settings.labels == "multi" else "softmax"
    averaged = {
        head: average_views(
            found.row_R, found.view_R, logits_RC,
            videos=len(kept), views=settings.views, names=sample.names, link=link,
        )
        for head, logits_RC in found.logits.items()
    }  # fmt: skip
    heads = {} if truth is None else truth.judge(averaged, kept, sample)
    if truth is not None and ACTION in heads:
        heads |= judge_apart(truth, averaged, kept, sample, parts_apart(videos, catalog))
    about = _about(saved, sources, chosen_split, settings, scorer, len(kept))
    if submission is not None and state.is_main_process:
        equal = submit(submission, averaged, kept, videos, saved.classes, catalog.classes)
        lacking = f"; {equal:,} unreadable ones with equal scores" if equal else ""
        about["submission"] = f"{submission}: {len(videos):,} segments{lacking}"
    return Results(
        heads,
        settings.views,
        about=about,
        left_out=tuple(sorted(unreadable.items())),
    )


def is_main() -> bool:
    """Whether this is the process that speaks: the only one, or number 0."""
    return bool(PartialState(cpu=not _gpu()).is_main_process)


def _gpu() -> bool:
    # Without being told, accelerate takes several processes without a GPU for strangers.
    return bool(torch.accelerator.is_available())


def _all(
    state: PartialState, scorer: Scorer, dataset: ViewDataset, rows: Sequence[int], **how: Any
) -> ViewScores:
    """The scores of all processes, in each of them."""
    found: ViewScores | MofoError
    try:
        found = score_views(scorer, dataset, rows, **how)
    except MofoError as error:
        found = error  # told by all: the others would wait for this one
    parts: list[ViewScores | MofoError] = [found]
    if state.num_processes > 1:
        parts = gather_object(parts)
    scores = []
    for part in parts:
        if isinstance(part, MofoError):
            raise part
        scores.append(part)
    return joined(scores)


def _of_split(catalog: Catalog, split: str | None) -> tuple[Sequence[Video], str]:
    """The videos to test on, and which these are."""
    there = Counter(video.split for video in catalog if video.split)
    wanted = split or (VALIDATION if there else ALL)
    if wanted == ALL:
        if not len(catalog):
            name, reason = catalog.problems[0]
            raise EvaluationError(f"{name}: {reason}; there is no video to evaluate")
        return catalog.videos, ALL
    found = where(catalog.videos, lambda video: video.split == wanted)
    if not found:
        told = ", ".join(f"{name} ({count})" for name, count in sorted(there.items()))
        raise EvaluationError(
            f"no video of the split {wanted!r}: the sources have {told or 'no splits'}; "
            f"--split {ALL} takes every video"
        )
    return found, wanted


def _too_many(unreadable: dict[str, str], videos: int, share: float) -> TooManyUnreadableError:
    path, reason = next(iter(unreadable.items()))
    return TooManyUnreadableError(
        f"{len(unreadable)} of {videos} videos cannot be read, more than the share {share:g} that "
        f"is allowed, the first {path}: {reason}; look at the files with `mofo detect`"
    )


def _names(videos: Sequence[Video]) -> list[str]:
    """A name for each row, all different: rows may be stretches of one file."""
    names = [video.key for video in videos]
    count = Counter(names)
    for row, video in enumerate(videos):
        if count[video.key] > 1:
            end = "end" if video.end is None else f"{video.end:g}"
            names[row] = f"{video.key} {video.start or 0:g}-{end} s"
    seen: Counter[str] = Counter()
    for row, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[row] = f"{name} ({seen[name]})"
    return names


def _about(
    saved: SavedClassifier,
    sources: str | Path | Sequence[str | Path],
    split: str,
    settings: ViewSettings,
    scorer: Scorer,
    videos: int,
) -> dict[str, str]:
    several = [sources] if isinstance(sources, str | Path) else sources
    frames = f"{settings.grid.frames} frames, {settings.sampling}"
    if settings.sampling == "dense":
        frames += f", stride {settings.stride}"
    return {
        "checkpoint": f"{saved.checkpoint.path}, step {saved.checkpoint.step:,}",
        "data": ", ".join(str(source) for source in several),
        "split": f"{split}, {videos:,} videos",
        "views": f"{settings.temporal} of time x {settings.spatial} of space; {frames}",
        "fusion": saved.settings.fusion,
        "areas": str(settings.motion),
        "precision": scorer.precision,
    }
