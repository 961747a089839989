"""The multi-view test of a fine-tuned model: every view of every video once, in any processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mofo.clips.sources import MotionChoice
from mofo.clips.view_clips import ViewDataset, ViewSettings
from mofo.datasets.catalog import read_catalog
from mofo.evaluation.epic import check_submission, evaluate_apart, submit
from mofo.evaluation.ground_truth import GroundTruth
from mofo.evaluation.kept_scores import KeptScores
from mofo.evaluation.measures import DRAWS, EvaluationError, Sample
from mofo.evaluation.predict import choose_motion
from mofo.evaluation.results import Results
from mofo.evaluation.scoring import (
    SPATIAL,
    TEMPORAL,
    VideoScores,
    score_videos,
    write_predictions,
)
from mofo.evaluation.videos import group_of, held_out, read_split, video_names
from mofo.models.inference import Engine
from mofo.system.processes import usable_cpus
from mofo.training.journal import TooManyUnreadableError
from mofo.training.saved_models import open_classifier

_WORKERS = 8


def evaluate(
    checkpoint: str | Path,
    sources: str | Path | Sequence[str | Path],
    *,
    split: str | None = None,
    views: tuple[int, int] = (TEMPORAL, SPATIAL),
    motion_crop: bool = False,
    areas: str = "detected",
    store: str | Path | None = None,
    batch: int = 12,
    workers: int | None = None,
    precision: str = "auto",
    seed: int = 0,
    draws: int = DRAWS,
    max_unreadable: float = 0.05,
    submission: str | Path | None = None,
    keep: float | None = None,
    keep_by: str | None = None,
    merge: str | None = None,
    keep_least: float | None = None,
    predictions: str | Path | None = None,
    kept: str | Path | None = None,
    progress: bool = False,
) -> Results:
    """Tests a fine-tuned model on labelled videos.

    The probabilities of a video's views are averaged. Under several processes (``torchrun``,
    ``accelerate launch``) each scores its share, and all get the same results.

    Args:
        checkpoint: its folder, or that of a run: then its best one.
        sources: labelled videos: CSV lists, data sets, see ``read_catalog``.
        split: train, validation, test or all; None: "validation", else "test", where the sources
            tell splits.
        views: of each video: segments of time x crops.
        motion_crop: one more crop of each segment, around what moves; with 0 crops the only one.
        areas, store: where motion comes from, see ``choose_motion``.
        batch: views at once; it does not change the results.
        workers: processes that read, for each process that computes; None: one a processor.
        precision: "fp32", "bf16", or "auto": bf16 on a GPU.
        seed: of the intervals' draws and of shuffled motion.
        draws: resamplings for the intervals.
        max_unreadable: share of the videos that may be unreadable; they are left out and named.
        submission: .zip or .json to write for the EPIC-KITCHENS-100 challenge. Segments without
            labels (``split="test"``) are then scored and not evaluated.
        keep: share of the tokens that the encoder computes; None: as in training.
        keep_by: which, one of ``TOKEN_CHOICES``; None: as in training.
        merge: static: of tokens that stand still only the first is kept; None: as in training.
        keep_least: clips in which less moves keep fewer tokens, down to this share; None: all keep
            as many.
        predictions: CSV file to write, a row a video: path, label, prediction, and the probability
            of each class; see ``write_predictions``.
        kept: folder in which scores are kept until the test is over, so that the same call after a
            signal goes on from there.
        progress: show a bar on stderr.

    Raises:
        CheckpointError: no checkpoint, or one of a pre-training.
        LabelError: a label is missing, or unknown to the model.
        SettingsError, StoreError: options that are impossible.
        TooManyUnreadableError: more videos than allowed cannot be read.
        EvaluationError: no videos.
    """
    engine = Engine.shared(precision)
    saved = open_classifier(checkpoint, keep=keep, by=keep_by, merge=merge, least=keep_least)
    catalog = read_catalog(sources)
    split = split or held_out(catalog)
    videos = read_split(catalog, split)
    truth: GroundTruth | None = None
    if submission is not None:
        check_submission(submission, videos, saved.classes, catalog.classes)
    if submission is None or any(video.labels for video in videos):
        truth = GroundTruth(
            videos,
            saved.classes,
            several=saved.settings.labels == "multi",
            given=catalog.classes,
        )
    motion = choose_motion(areas, store, saved, seed=seed, motion_crop=motion_crop)
    settings = saved.views(*views, motion, motion_crop=motion_crop)
    dataset = ViewDataset(videos, settings)
    everything = len(catalog) + len(catalog.problems)
    if len(catalog.problems) > max_unreadable * everything:  # nobody knows of which split they are
        raise _too_many(dict(catalog.problems), everything, max_unreadable)
    model = saved.model.to(engine.device).eval()
    before = KeptScores(Path(kept) if kept else None, saved, dataset, engine.precision)
    done = set(before.scores.rows)
    rows = [row for row in range(len(videos)) if row not in done]

    def share() -> VideoScores:
        scores = score_videos(
            model,
            dataset,
            engine.share(rows),
            engine,
            batch=batch,
            workers=min(usable_cpus(), _WORKERS) if workers is None else workers,
            max_failures=max_unreadable * len(videos),
            progress=progress,
            keep=before.write,
        )
        if engine.processes > 1:  # others are still at it, and may be stopped
            before.write(scores)
        return scores

    with before.explained():
        parts = engine.gather(share)
    scores = VideoScores.joined([before.scores, *parts])
    before.forget(engine)
    unreadable = {videos[row].path: reason for row, reason in scores.failures.items()}
    unreadable |= dict(catalog.problems)
    if len(scores.failures) > max_unreadable * len(videos):
        raise _too_many(unreadable, len(videos), max_unreadable)
    if not scores.rows:
        raise EvaluationError("no video could be read: there is nothing to evaluate")
    names = video_names(videos)
    sample = Sample(
        [names[row] for row in scores.rows],
        [group_of(videos[row]) for row in scores.rows],
        seed,
        draws,
    )
    heads = {} if truth is None else truth.evaluate(scores.score, scores.rows, sample)
    if truth is not None:
        heads |= evaluate_apart(truth, scores, sample, videos, catalog)
    if predictions is not None and engine.is_main:
        write_predictions(predictions, scores, videos, saved.classes)
    several = [sources] if isinstance(sources, str | Path) else sources
    metadata = {
        "checkpoint": f"{saved.checkpoint.path}, step {saved.checkpoint.step:,}",
        "data": ", ".join(str(source) for source in several),
        "split": f"{split}, {len(scores.rows):,} videos",
        "views": _views_text(settings),
        "fusion": saved.settings.fusion,
        "areas": str(settings.motion),
        "precision": engine.precision,
    }
    if saved.settings.tokens.leaves_out:
        metadata["tokens"] = str(saved.settings.tokens)
    if submission is not None and engine.is_main:
        equal = submit(submission, scores, videos, saved.classes, catalog.classes)
        lacking = f"; {equal:,} unreadable ones with equal scores" if equal else ""
        metadata["submission"] = f"{submission}: {len(videos):,} segments{lacking}"
    return Results(
        heads,
        settings.views,
        about=metadata,
        left_out=tuple(sorted(unreadable.items())),
        motion=MotionChoice.parse(settings.motion).source,
    )


def is_main() -> bool:
    """Whether this is the process that reports: the only one, or number 0."""
    return Engine.shared().is_main


def _too_many(unreadable: dict[str, str], videos: int, share: float) -> TooManyUnreadableError:
    path, reason = next(iter(unreadable.items()))
    return TooManyUnreadableError(
        f"{len(unreadable)} of {videos} videos cannot be read, more than the share {share:g} that "
        f"is allowed, the first {path}: {reason}; look at the files with `mofo detect`"
    )


def _views_text(settings: ViewSettings) -> str:
    crops = [f"{settings.spatial} of space"] if settings.spatial else []
    crops += ["1 around what moves"] if settings.motion_crop else []
    text = f"{settings.temporal} of time x {' and '.join(crops)}; {settings.grid.frames} frames"
    if settings.seconds:
        text += f" over {settings.seconds:g} s"
    else:
        stride = f", stride {settings.stride}" if settings.sampling == "dense" else ""
        text += f", {settings.sampling}{stride}"
    return text if settings.fit == "crop" else f"{text}, {settings.fit}"
