"""A step of masked pre-training, forward and backward: ours against Hugging Face's VideoMAE.

    python benchmarks/pretrain_step.py                  # CPU, float32, one thread
    python benchmarks/pretrain_step.py --device cuda    # bf16, eager and compiled

Both have the same weights, clips and mask, and their losses are compared first. Hugging Face's
model has its best attention ("sdpa"). Both begin with the clips' bytes; making floats of them costs
theirs about half a percent of a step. On a GPU theirs is the faster one of eager and compiled. How
time and memory are measured: ``step_cost.py``.
"""

from __future__ import annotations

import statistics
from argparse import Namespace
from typing import Any

from pretrain_models import COMPILED, HF, OURS, PART, STAGES, Models, Stages, Work, flops
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


def measure(work: Work, cases: list[str], options: Namespace) -> dict[str, Any]:
    models = Models(work, HF, OURS)
    check_same_loss(models, OURS, HF)
    forwards = {case: models.step(case) for case in cases}
    if options.processes == 1:
        runs = timed_in_turn(models, forwards, work, options.repeat)
    else:
        runs = timed_apart(__file__, work, cases, options)
    settings, hidden, decoded = work.settings, *models.num_targets()
    needed = memory_of_all(__file__, models, forwards, work, options.threads)
    shares = {}
    for case in (HF, OURS):
        stages = Stages(models, case)
        found = [stages.run() for _ in range(max(1, options.repeat // 2))]
        stages.close()
        shares[case] = {s: statistics.median(run[s] for run in found) for s in STAGES}

    which = clock(work.device)
    theirs = [case for case in cases if case.startswith(HF)]
    base = min(theirs, key=lambda case: median(runs[case], which))
    least = min(needed[case]["step"] for case in theirs)
    least_with = min(needed[case]["step"] + needed[case]["weights"] for case in theirs)
    lines = []
    for case in cases:
        seconds = median(runs[case], which)
        tokens = decoded if PART in case else hidden
        work_done = work.batch * flops(settings, settings.grid.tokens - hidden, tokens)
        lines.append(
            {
                "size": work.size,
                "case": case,
                "seconds": seconds,
                "seconds_wall": median(runs[case], "wall"),
                "clips_per_s": work.batch / seconds,
                **ratios(runs, case, base, which, "time_of_theirs"),
                # Of theirs it is the work that is needed, not all that it does.
                "gflops_per_s": work_done / seconds / 1e9,
                "memory_mb": needed[case],
                "memory_of_theirs": needed[case]["step"] / least,
                "memory_with_weights_of_theirs": (
                    (needed[case]["step"] + needed[case]["weights"]) / least_with
                ),
            }
        )
    return {"work": vars(work), "compared_with": base, "lines": lines, "stages": shares,
            "runs": runs}  # fmt: skip


def promises(results: list[dict], device: str) -> list[dict]:
    case = OURS if device == "cpu" else OURS + COMPILED
    limits = {"time": ("time_of_theirs", 1.03), "memory": ("memory_of_theirs", 0.7)}
    if device == "cuda":
        limits = {"time": ("time_of_theirs", 1 / 1.5)}
    return [
        promise(result, case, key, most, f"{case}: {name} <= {most:.3g} of {base}")
        for result in results
        for base in [result["compared_with"]]
        for name, (key, most) in limits.items()
    ]


def tables(results: list[dict]) -> tuple[list[list[str]], list[list[str]]]:
    head = ["size", "model", "s a step", "clips/s", "time of theirs", "GFLOP/s"]
    cells = [[*head, "memory of a step, MB", "of theirs", "weights, MB", "of theirs with weights"]]
    stages = [["size", "model", *(f"{stage} %" for stage in STAGES)]]
    for result in results:
        for line in result["lines"]:
            used = line["memory_mb"]
            cells.append([line["size"], line["case"], f"{line['seconds']:.4g}",
                          f"{line['clips_per_s']:.3g}", f"{line['time_of_theirs']:.3f}",
                          f"{line['gflops_per_s']:.4g}", f"{used['step']:.0f}",
                          f"{line['memory_of_theirs']:.3f}", f"{used['weights']:.0f}",
                          f"{line['memory_with_weights_of_theirs']:.3f}"])  # fmt: skip
        for case, seconds in result["stages"].items():
            total = sum(seconds.values())
            shares = [f"{100 * seconds[stage] / total:.1f}" for stage in STAGES]
            if case == HF:
                shares[STAGES.index("target")] = "(in rest)"
            stages.append([result["work"]["size"], case, *shares])
    return cells, stages


def main() -> None:
    options = chosen(arguments(__doc__ or "", __file__, gpu_batch=64))
    given = (options.batch, options.device, options.quick)
    works = [Work(name, *given) for name in options.sizes]
    if options.memory_of:
        print(memory_of(Models(works[0], options.memory_of), options.memory_of))
        return
    if options.time_of:
        models = Models(works[0], *options.time_of)
        print(time_of(models, options.time_of, works[0], options.repeat))
        return
    cases = [HF, OURS, PART]
    if options.device == "cuda":
        cases += [case + COMPILED for case in cases]
    results = [measure(work, cases, options) for work in works]
    grid = works[0].settings.grid
    what = f"{grid.frames}x{grid.height}x{grid.width}, 90 % hidden"
    finish(options, tables(results), results, promises(results, options.device), what)


if __name__ == "__main__":
    main()
