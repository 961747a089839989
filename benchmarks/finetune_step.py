"""A step of fine-tuning, forward and backward: ours against Hugging Face's VideoMAE classifier.

    python benchmarks/finetune_step.py                  # CPU, float32, one thread
    python benchmarks/finetune_step.py --device cuda    # bf16, eager and compiled

All have the same encoder and clips, and begin with the clips' bytes; the losses of theirs and of
ours with ``mean`` are compared first. Motion areas cover 4 to 49 % of the frame, in turn. How time
and memory are measured: ``step_cost.py``.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from finetune_models import OURS, Models, Work
from pretrain_models import COMPILED, HF
from step_cost import (
    arguments,
    check_same_loss,
    chosen,
    clock,
    finish,
    median,
    memory_of,
    memory_of_all,
    promise,
    ratios,
    time_of,
    timed_apart,
    timed_in_turn,
)

MEAN, CROSS = OURS["mean"], OURS["cross_attention"]


def measure(work: Work, cases: list[str], options: Namespace) -> dict[str, Any]:
    models = Models(work, *cases)
    check_same_loss(models, MEAN, HF)
    forwards = {case: models.step(case) for case in cases}
    if options.processes == 1:
        runs = timed_in_turn(models, forwards, work, options.repeat)
    area = models.inside_BN.float().mean().item()
    if work.device == "cpu":
        models.modules.clear()  # what follows happens in other processes
    if options.processes > 1:
        runs = timed_apart(__file__, work, cases, options)
    needed = memory_of_all(__file__, models, forwards, work, options.threads)
    which = clock(work.device)
    lines = []
    for case in cases:
        end = COMPILED if case.endswith(COMPILED) else ""
        seconds, step_mb = median(runs[case], which), needed[case]["step"]
        lines.append(
            {
                "size": work.size,
                "case": case,
                "seconds": seconds,
                "seconds_wall": median(runs[case], "wall"),
                "clips_per_s": work.batch / seconds,
                **ratios(runs, case, HF + end, which, "time_of_theirs"),
                **ratios(runs, case, MEAN + end, which, "time_of_mean"),
                "memory_mb": needed[case],
                "memory_of_theirs": step_mb / needed[HF + end]["step"],
                "memory_of_mean": step_mb / needed[MEAN + end]["step"],
            }
        )
    return {"work": vars(work), "area": area, "lines": lines, "runs": runs}


def promises(results: list[dict], device: str) -> list[dict]:
    end = "" if device == "cpu" else COMPILED
    limits = (
        (MEAN, "time_of_theirs", 1.03),
        (MEAN, "memory_of_theirs", 0.7),
        (CROSS, "time_of_mean", 1.08),
    )
    return [
        promise(
            result, case + end, key, most, f"{case + end}: {key.replace('_', ' ')} <= {most:.3g}"
        )
        for result in results
        for case, key, most in limits
    ]


def table(results: list[dict]) -> list[list[str]]:
    head = ["size", "model", "s a step", "clips/s", "time of theirs", "of ours, mean"]
    cells = [[*head, "memory of a step, MB", "of theirs", "of ours, mean", "weights, MB"]]
    for result in results:
        for line in result["lines"]:
            used = line["memory_mb"]
            cells.append([line["size"], line["case"], f"{line['seconds']:.4g}",
                          f"{line['clips_per_s']:.3g}", f"{line['time_of_theirs']:.3f}",
                          f"{line['time_of_mean']:.3f}", f"{used['step']:.0f}",
                          f"{line['memory_of_theirs']:.3f}", f"{line['memory_of_mean']:.3f}",
                          f"{used['weights']:.0f}"])  # fmt: skip
    return cells


def main() -> None:
    parser = arguments(__doc__ or "", __file__, gpu_batch=32)
    parser.add_argument("--fusions", default="mean,cross_attention", help="mean among them")
    options = chosen(parser)
    given = (options.batch, options.device, options.quick)
    works = [Work(name, *given) for name in options.sizes]
    if options.memory_of:
        print(memory_of(Models(works[0], options.memory_of), options.memory_of))
        return
    if options.time_of:
        models = Models(works[0], *options.time_of)
        print(time_of(models, options.time_of, works[0], options.repeat))
        return
    cases = [HF, *(OURS[fusion] for fusion in options.fusions.split(","))]
    if options.device == "cuda":
        cases += [case + COMPILED for case in cases]
    results = [measure(work, cases, options) for work in works]
    grid = works[0].model.grid
    what = (
        f"{grid.frames}x{grid.height}x{grid.width}, motion areas of "
        f"{100 * results[0]['area']:.0f} % on average"
    )
    finish(options, [table(results)], results, promises(results, options.device), what)


if __name__ == "__main__":
    main()
