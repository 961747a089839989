"""Write the features that a model has of videos: for search, clustering, your own classifier.

One row a video, with path, labels, split and feature. CHECKPOINT may be a pre-training's, a
fine-tuning's, or a run. The middle clip of each video is taken, cut as in the model's training.
Run the same command again to go on after a stop.
"""

from __future__ import annotations

import argparse
import sys

EPILOG = """\
--pool inside (or both) needs motion areas, found on the way (codec) or from `mofo detect`.
Several processes: torchrun --nproc-per-node 2 -m mofo embed ...

example:
  mofo embed runs/first videos/ --out features.parquet
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo embed`` takes."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="its folder, or that of a run")
    add("sources", nargs="+", metavar="SOURCE", help="video, folder, glob, CSV list or data set")
    add("--out", required=True, metavar="PATH", help="FILE.parquet, FILE.npz, or a folder")
    add("--pool", default="mean", metavar="HOW", help="mean, inside, both or tokens (mean)")
    add_features(add)
    add("--split", metavar="NAME", help="only train, validation or test (default: all)")
    add_work(add)


def add_features(add: object) -> None:
    """Options that say what features are made of."""
    assert callable(add)
    add("--layer", type=int, metavar="N", help="0 (patches) to the last; -1 is the last (-1)")
    add("--areas", metavar="WHERE", help="codec, dis, none, or a store (codec, where needed)")
    add("--clips", type=int, default=1, metavar="N", help="of each video, averaged (1)")
    add("--sampling", metavar="HOW", help="dense or segments (as in the model's training)")
    add("--stride", type=int, metavar="N", help="dense: every how many frames one")


def add_work(add: object) -> None:
    """Options that change nothing but the way there."""
    assert callable(add)
    add("--cache", metavar="DIR", help="keep features here for the next time")
    add("--batch", type=int, default=16, metavar="N", help="clips at once (16)")
    add("--workers", type=int, default=4, metavar="N", help="processes that read (4)")
    add("--precision", default="auto", metavar="P", help="fp32, bf16 or auto: bf16 on a GPU (auto)")
    add("--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Write; 0 when every video could be read, 1 when some were left out."""
    from mofo.evaluation.embed import write_embedding

    report = write_embedding(
        args.checkpoint,
        args.sources,
        args.out,
        split=args.split,
        layer=args.layer,
        pool=args.pool,
        areas=args.areas,
        clips=args.clips,
        sampling=args.sampling,
        stride=args.stride,
        cache=args.cache,
        batch=args.batch,
        workers=args.workers,
        precision=args.precision,
        progress=not args.quiet,
    )
    code = 1 if report.failures else 0
    if not report.main:
        return code
    tell_left_out(report.failures)
    size = " x ".join(f"{side:,}" for side in report.shape)
    print(f"{report.videos:,} videos, a feature of {size} numbers each: {report.path}")
    print(f"next: {_next(str(report.path))}")
    return code


def tell_left_out(failures: tuple[tuple[str, str], ...]) -> None:
    """Names the videos that could not be read, on stderr."""
    if failures:
        print(f"left out ({len(failures)}):", file=sys.stderr)
        for path, reason in failures:
            print(f"  {path}: {reason}", file=sys.stderr)


def _next(path: str) -> str:
    if path.lower().endswith(".npz"):
        return f'numpy.load("{path}")["feature"] in Python'
    return f'pyarrow.parquet.read_table("{path}") in Python, or any Parquet reader'
