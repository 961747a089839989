"""Ask how much a frozen model knows: a plain classifier on features that no longer change.

Videos come with labels and splits (a CSV list with columns path, label, split, or a data set).
Prints accuracies with 95 % intervals, and what chance alone would give.
Each probe has its own help: mofo probe linear --help
"""

from __future__ import annotations

import argparse
from typing import Any

from mofo.commands.embed import add_features, add_work, tell_left_out

EPILOG = """\
examples:
  mofo probe knn runs/first videos.csv
  mofo probe attentive --init random --config recipes/small.yaml videos.csv
  mofo probe areas videos.csv --areas areas
  mofo probe linear runs/first videos.csv --pool both --out results/linear
"""

# Probe -> one line about it.
_PROBES = {
    "knn": "nearest neighbours by cosine",
    "linear": "logistic regression on pooled features",
    "attentive": "a learned query, or another fusion, on tokens",
    "areas": "control: where the motion area is over time, and no picture at all",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``mofo probe`` takes."""
    parser.epilog = EPILOG
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="PROBE", title="probes")
    for kind, text in _PROBES.items():
        one = kinds.add_parser(kind, help=text, description=f"Probe: {text}.", allow_abbrev=False)
        _add(kind, one)


def _add(kind: str, parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    if kind == "areas":
        add("sources", nargs="+", metavar="SOURCE", help="videos with labels and splits")
    else:
        add("checkpoint", metavar="CHECKPOINT", help="or run; left out with --init random")
        add("sources", nargs="*", metavar="SOURCE", help="videos with labels and splits")
        add("--init", choices=("random",), help="random weights; then no CHECKPOINT is named")
        add("--config", metavar="FILE", help="--init random: recipe or run to take the sizes from")
    if kind in ("knn", "linear"):
        add("--pool", default="mean", metavar="HOW", help="mean, inside or both (mean)")
    if kind == "knn":
        add("--k", type=int, default=20, metavar="N", help="neighbours that vote (20)")
        add("--temperature", type=float, default=0.07, metavar="T", help="of their votes (0.07)")
    if kind == "attentive":
        add("--fusion", default="attentive", metavar="NAME",
            help="attentive, cross_attention, mean or weighted_mean (attentive)")  # fmt: skip
        add("--epochs", type=int, default=20, metavar="N", help="passes over the videos (20)")
    if kind == "areas":
        add("--frames", type=int, default=16, metavar="N", help="frames of a clip (16)")
        add("--size", type=int, default=224, metavar="N", help="height and width, pixels (224)")
    add_features(add)
    add("--head", default="label", metavar="NAME", help="kind of label: label, verb ... (label)")
    add("--train-split", default="train", metavar="NAME", help="videos to learn from (train)")
    add("--test-split", default="validation", metavar="NAME", help="and to test on (validation)")
    add("--seed", type=int, default=0, metavar="N", help="of all that is random (0)")
    add_work(add)
    add("--out", metavar="DIR", help="folder for results.json and pictures")


def run(args: argparse.Namespace) -> int:
    """Probe; 0 when every video could be read, 1 when some were left out."""
    from mofo.evaluation.attentive_probe import AttentiveSettings
    from mofo.evaluation.probe import probe
    from mofo.types import SettingsError, TokenGrid

    checkpoint, sources, config = None, args.sources, None
    own: dict[str, Any] = {}
    if args.kind == "areas":
        # Patches as large as can be: there are no tokens here.
        own["grid"] = TokenGrid(args.frames, args.size, args.size, 1, args.size)
    elif args.init:
        if args.config is None:
            raise SettingsError("--init random: --config says which sizes (a recipe, or a run)")
        sources, config = [args.checkpoint, *args.sources], args.config
    else:
        if args.config is not None:
            raise SettingsError("--config goes with --init random; a checkpoint has its own sizes")
        checkpoint = args.checkpoint
        if not sources:
            raise SettingsError("name a CHECKPOINT, then one SOURCE or more")
    if args.kind == "knn":
        own |= {"k": args.k, "temperature": args.temperature}
    if args.kind == "attentive":
        own["attentive"] = AttentiveSettings(fusion=args.fusion, epochs=args.epochs)
    report = probe(
        args.kind,
        checkpoint,
        sources,
        config=config,
        pool=getattr(args, "pool", None),
        layer=args.layer,
        areas=args.areas,
        clips=args.clips,
        sampling=args.sampling,
        stride=args.stride,
        head=args.head,
        train_split=args.train_split,
        test_split=args.test_split,
        seed=args.seed,
        cache=args.cache,
        batch=args.batch,
        workers=args.workers,
        precision=args.precision,
        progress=not args.quiet,
        **own,
    )
    if not report.main or report.results is None:
        return 0
    from mofo.report.recognised import results_table, write_evaluation

    tell_left_out(report.results.left_out)
    for note in report.notes:
        print(f"note: {note}")
    print(results_table(report.results))
    if args.out:
        print()
        for path in write_evaluation(report.results, args.out):
            print(f"  {path}")
    print(f"next: {_next(args)}")
    return 1 if report.results.left_out else 0


def _next(args: argparse.Namespace) -> str:
    if args.out:
        return f"mofo report {args.out}"
    if args.kind == "areas":
        return "mofo probe linear CHECKPOINT with the same videos: it should know more than this"
    return "mofo probe areas with the same videos: how much the areas alone give away"
