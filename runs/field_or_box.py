"""Does the motion field help over the paper's box? Three seeds, everything else equal.

    python runs/field_or_box.py --out runs/out/field-or-box --markdown docs/tables/field-or-box.md

Data and motion areas are made once, as in runs/actions.py. Each chain is: pre-training with motion
masks, fine-tuning with motion cross-attention, evaluation on the test split, all with
`motion.shape` box or field. The same command goes on after a stop. Prints each seed's top-1 with
its interval over the test videos, and the difference of the two shapes seed by seed.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from statistics import mean, stdev

from actions import Study, options_of_study, publish
from mofo.evaluation.results import read_results

SHAPES = ("box", "field")
FUSION = "cross_attention"
RESULT = f"results/motion-{FUSION}-detected/results.json"


def chain(study: Study) -> dict[str, float]:
    """Runs one chain of commands; returns top-1 with its interval."""
    study.pretrain("motion")
    study.finetune("motion", FUSION)
    top1 = read_results(study.out / RESULT).heads["label"].measures["top1"]
    return {"top1": top1.mean, "low": top1.low, "high": top1.high}


def markdown(table: dict[str, dict[int, dict[str, float]]]) -> str:
    seeds = sorted(table["box"])
    lines = ["| seed | " + " | ".join(SHAPES) + " | field - box |", "|---|---|---|---|"]
    for seed in seeds:
        cells = [table[shape][seed] for shape in SHAPES]
        texts = [f"{c['top1']:.3f} ({c['low']:.3f} to {c['high']:.3f})" for c in cells]
        lines.append(
            f"| {seed} | {' | '.join(texts)} | {cells[1]['top1'] - cells[0]['top1']:+.3f} |"
        )
    differences = [table["field"][s]["top1"] - table["box"][s]["top1"] for s in seeds]
    spread = f", standard deviation {stdev(differences):.3f}" if len(seeds) > 1 else ""
    means = " | ".join(f"{mean(table[shape][s]['top1'] for s in seeds):.3f}" for shape in SHAPES)
    lines += [f"| mean | {means} | {mean(differences):+.3f}{spread} |"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = options_of_study(__doc__, "runs/out/field-or-box")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    Study(args.out, 0, 1).prepare(args.level, args.clips)
    keys = [(seed, shape) for seed in range(args.seeds) for shape in SHAPES]
    studies = [
        Study(args.out / f"{shape}-{seed}", seed, 1, shape, prepared=args.out)
        for seed, shape in keys
    ]
    with ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(chain, studies))
    table: dict[str, dict[int, dict[str, float]]] = {shape: {} for shape in SHAPES}
    for (seed, shape), top1 in zip(keys, results, strict=True):
        table[shape][seed] = top1
    (args.out / "results.json").write_text(json.dumps({"level": args.level, "top1": table}))
    publish(markdown(table), args.markdown)


if __name__ == "__main__":
    main()
