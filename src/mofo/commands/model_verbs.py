"""``mofo evaluate``, ``mofo probe`` and ``mofo embed``: what a trained model is worth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

from mofo.commands.remote_output import Output
from mofo.commands.verb import print_rows, verb

_ATTENTIVE = "mofo.evaluation.attentive_probe:AttentiveSettings"


@verb("evaluate", calls="mofo.evaluation.evaluate:evaluate", skip=("draws", "checkpoint", "kept"))
def evaluate(
    call: Callable[..., Any],
    *,
    encoder: str,
    out: Path | None = None,
    submission: Path | None = None,
    predictions: Path | None = None,
) -> int:
    """Test a fine-tuned model: several views of each video, with intervals.

    Prints the metrics with 95 % intervals and a table of classes; --out writes results.json and
    pictures.

    Args:
        encoder: fine-tuned model: a checkpoint, or a run: then its best one.
        motion_crop: one more crop of each segment, around what moves; with --views 2x0 the only
            one.
        areas: motion areas, see below.
        store: store of motion areas, as `mofo detect` makes it.
        keep_by: which tokens, where not all are computed: {masking.TOKEN_CHOICES}.
        out: folder for results.json and pictures.
        predictions: also write FILE.csv: path, label, prediction, a probability for each class.

    --areas says which motion areas the model gets: detected (its own; from --store, or found now as
    in training), none, shuffled (another video's), centre (the middle of the frame), truth (exact
    ones, from --store); or codec, dis, or the folder of a store.
    Several processes: torchrun --nproc-per-node 2 -m mofo evaluate ...
    With --out, a test that a signal has stopped goes on with the same command.

    examples:
      mofo evaluate --encoder runs/fine test.csv --store areas --out results
      mofo evaluate --encoder runs/ek100 epic/ --split test --submission ek100.zip
    """
    kept = out / "scores" if out else None
    results = call(checkpoint=encoder, submission=submission, predictions=predictions, kept=kept)
    from mofo.evaluation.evaluate import is_main

    if not is_main():
        return 0
    _print_results(results, out)
    for file in filter(None, (submission, predictions)):
        print(f"\n  {file}")
    print(f"next: mofo predict --encoder {quote(encoder)} VIDEO")
    return 0


def _probe(kind: str, *skip: str, **settings: str) -> Callable[[Any], Any]:
    """Registers ``mofo probe KIND`` without the options of other kinds."""
    return verb(
        f"probe {kind}",
        calls="mofo.evaluation.probe:probe",
        settings={"**": "mofo.evaluation.feature_settings:FeatureSettings"} | settings,
        skip=("kind", "grid", "attentive", "checkpoint", *skip),
    )


@_probe("knn")
def knn(call: Callable[..., Any], *, encoder: str, out: Path | None = None) -> int:
    """Nearest neighbours by cosine.

    Args:
        encoder: checkpoint, run, or hf:PATH; random: untrained, sizes of --config.
        pool: mean, inside or both.
        keep_by: which tokens, where not all are computed: {masking.TOKEN_CHOICES}.
        out: folder for results.json and pictures.

    example:
      mofo probe knn --encoder runs/first videos.csv
    """
    return _print_probe(call("knn", _unless_random(encoder)), out)


@_probe("linear", "k", "temperature")
def linear(call: Callable[..., Any], *, encoder: str, out: Path | None = None) -> int:
    """Logistic regression on pooled features.

    Args:
        encoder: checkpoint, run, or hf:PATH; random: untrained, sizes of --config.
        pool: mean, inside or both.
        keep_by: which tokens, where not all are computed: {masking.TOKEN_CHOICES}.
        out: folder for results.json and pictures.

    example:
      mofo probe linear --encoder runs/first videos.csv --pool both --out linear
    """
    return _print_probe(call("linear", _unless_random(encoder)), out)


@_probe(
    "attentive", "k", "temperature", "pool", "heads", "rates", "weight_decay", attentive=_ATTENTIVE
)
def attentive(call: Callable[..., Any], *, encoder: str, out: Path | None = None) -> int:
    """A learned query, or another fusion, on tokens.

    Args:
        encoder: checkpoint, run, or hf:PATH; random: untrained, sizes of --config.
        fusion: {models.FUSIONS}.
        keep_by: which tokens, where not all are computed: {masking.TOKEN_CHOICES}.
        out: folder for results.json and pictures.

    examples:
      mofo probe attentive --encoder runs/first videos.csv --fusion cross_attention
      mofo probe attentive --encoder random videos.csv --config small
    """
    return _print_probe(call("attentive", _unless_random(encoder)), out)


@_probe(
    "areas",
    "k",
    "temperature",
    "pool",
    "layer",
    "motion_crop",
    "keep",
    "keep_by",
    "merge",
    "config",
)
def areas(
    call: Callable[..., Any], *, frames: int = 16, size: int = 224, out: Path | None = None
) -> int:
    """Control: where the motion area is over time, and no picture at all.

    Args:
        frames: frames of a clip.
        size: height and width, pixels.
        out: folder for results.json and pictures.

    example:
      mofo probe areas videos.csv --areas areas
    """
    from mofo.types import TokenGrid

    # Patches as large as can be: there are no tokens here.
    report = call("areas", None, grid=TokenGrid(frames, size, size, 1, size))
    return _print_probe(report, out, "mofo finetune with the same videos: what pictures add to it")


@verb(
    "embed",
    calls="mofo.evaluation.embed:write_embedding",
    settings={"**": "mofo.evaluation.feature_settings:FeatureSettings"},
    skip=("checkpoint",),
)
def embed(call: Callable[..., Any], sources: list[str], *, encoder: str, out: Output) -> int:
    """Write the features that a model has of videos, as Parquet or npz.

    One row a video, with path, labels, split and feature. The middle clip of each video is taken,
    cut as in the model's training. Run the same command again to continue after a stop.

    Args:
        encoder: checkpoint, run, or hf:PATH, an encoder of Hugging Face.
        sources: videos, folders, globs, CSV lists or data sets.
        out: FILE.parquet, FILE.npz, or a folder; here or at a URL.
        split: only train, validation or test (default: all).
        window: one for each window of so many seconds, not one a video.
        hop: seconds from one window to the next (half a window).
        cache: keep features here for the next time.
        batch: clips at once.
        workers: processes that read.
        precision: fp32, bf16, or auto: bf16 on a GPU.
        pool: mean, inside, both or tokens.
        keep_by: which tokens, where not all are computed: {masking.TOKEN_CHOICES}.

    --pool inside (or both) needs motion areas, found on the way (codec) or from `mofo detect`.
    Several processes: torchrun --nproc-per-node 2 -m mofo embed ...

    example:
      mofo embed --encoder runs/first videos/ --out features.parquet
    """
    report = call(checkpoint=encoder, sources=sources, out=out)
    if report.main:
        print_rows("left out", report.failures)
        size = " x ".join(f"{side:,}" for side in report.shape)
        print(f"{report.videos:,} videos, a feature of {size} numbers each: {report.path}")
        if str(out).lower().endswith(".npz"):
            print(f'next: numpy.load("{report.path}")["feature"] in Python')
        else:
            print(f"next: mofo search CLIP.mp4 {quote(str(report.path))}")
    return 1 if report.failures else 0


@verb("search", calls="mofo.evaluation.search:search")
def search(call: Callable[..., Any], query: str, features: str) -> int:
    """Videos and moments that look like a clip, by features of embed.

    Prints similarity (cosine, 1 for the same), file, moment and label, the nearest first. Features
    that were made with --window give moments.

    Args:
        query: a video.
        features: Parquet file or folder of `mofo embed`.
        encoder: model of the features (default: where it was when they were made).
        start: begin of a segment of the query, seconds.
        end: its end.
        top: how many.
        per_video: moments of one file at most.

    examples:
      mofo embed --encoder runs/first videos/ --window 4 --out features.parquet
      mofo search clip.mp4 features.parquet
    """
    matches = call(query=query, features=features)
    for match in matches:
        print(match)
    if matches:
        print(f"next: mofo show motion {quote(matches[0].path)}")
    return 0


def _unless_random(name: str) -> str | None:
    return None if name == "random" else name


_CONTROL = "mofo probe areas with the same videos: how much the areas alone give away"


def _print_probe(report: Any, out: Path | None, then: str = _CONTROL) -> int:
    if not report.main or report.results is None:
        return 0
    for note in report.notes:
        print(f"note: {note}")
    _print_results(report.results, out)
    print(f"next: mofo report {quote(str(out))}" if out else f"next: {then}")
    return 1 if report.results.left_out else 0


def _print_results(results: Any, out: Path | None) -> None:
    """Prints what was measured, and writes it into a folder if there is one."""
    from mofo.report.results_table import results_table, write_evaluation

    print_rows("left out", results.left_out, shown=20)
    print(results_table(results))
    if out:
        print()
        for file in write_evaluation(results, out):
            print(f"  {file}")
