"""A step of fine-tuning, forward and backward: ours against Hugging Face's VideoMAE classifier.

    python benchmarks/finetune_step.py                  # CPU, float32, one thread
    python benchmarks/finetune_step.py --device cuda    # bf16, eager and compiled

All have the same encoder and clips; the losses of theirs and of ours with ``mean`` are compared
first. Motion areas cover 4 to 49 % of the frame, in turn. How time and memory are measured:
``pretrain_step.py``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from areas import markdown, provenance, write_json
from finetune_models import OURS, Models, Work
from pretrain_models import COMPILED, HF
from pretrain_step import memory_here, same_loss, timed

MEAN, CROSS = OURS["mean"], OURS["cross_attention"]


def memory_of(work: Work, case: str) -> dict[str, float]:
    models = Models(work, case)
    forward = models.step(case)
    forward().backward()
    return memory_here(models, case, forward)


def memory_apart(work: Work, case: str, threads: int) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", case, "--sizes", work.size]
    command += ["--batch", str(work.batch), "--threads", str(threads)]
    command += ["--quick"] if work.small else []
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=os.environ | settings, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(work: Work, cases: list[str], repeat: int, threads: int) -> dict[str, Any]:
    models = Models(work, *cases)
    same_loss(models, MEAN)
    forwards = {case: models.step(case) for case in cases}
    steps = 1 if work.device == "cpu" or work.small else 10
    for forward in forwards.values():  # compiles, and warms up
        for _ in range(1 if work.device == "cpu" else 3):
            forward().backward()
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for turn in tqdm(range(repeat), unit="repetition", desc=f"{work.size}, time"):
        for case in cases[:: 1 - 2 * (turn % 2)]:
            runs[case].append(timed(models, forwards[case], steps))
    area = models.inside_BN.float().mean().item()
    needed = {}
    if work.device == "cuda":
        needed = {case: memory_here(models, case, forwards[case]) for case in cases}
    else:
        models.modules.clear()
        for case in tqdm(cases, unit="case", desc=f"{work.size}, memory"):
            needed[case] = memory_apart(work, case, threads)

    clock = "cpu" if work.device == "cpu" else "wall"
    lines = []
    for case in cases:
        end = COMPILED if case.endswith(COMPILED) else ""

        def ratio(other: str, case: str = case) -> float:
            pairs = zip(runs[case], runs[other], strict=True)
            return statistics.median(a[clock] / b[clock] for a, b in pairs)

        seconds = statistics.median(run[clock] for run in runs[case])
        step_mb = needed[case]["step"]
        lines.append(
            {
                "size": work.size,
                "case": case,
                "seconds": seconds,
                "seconds_wall": statistics.median(run["wall"] for run in runs[case]),
                "clips_per_s": work.batch / seconds,
                "time_of_theirs": ratio(HF + end),
                "time_of_mean": ratio(MEAN + end),
                "memory_mb": needed[case],
                "memory_of_theirs": step_mb / needed[HF + end]["step"],
                "memory_of_mean": step_mb / needed[MEAN + end]["step"],
            }
        )
    return {"work": vars(work), "area": area, "lines": lines, "runs": dict(runs)}


def promises(results: list[dict], device: str) -> list[dict]:
    end = "" if device == "cpu" else COMPILED
    checks = []
    for result in results:
        lines = {line["case"]: line for line in result["lines"]}
        for case, key, most in (
            (MEAN, "time_of_theirs", 1.0),
            (CROSS, "time_of_mean", 1.05),
            (CROSS, "memory_of_mean", 1.03),
        ):
            measured = lines[case + end][key]
            text = f"{case + end}: {key.replace('_', ' ')} <= {most:.3g}"
            checks.append({"promise": text, "size": result["work"]["size"], "measured": measured,
                           "kept": measured <= most})  # fmt: skip
    return checks


def show(results: list[dict], device: str) -> None:
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
    kept = [["promise", "size", "measured", "kept"]]
    kept += [[check["promise"], check["size"], f"{check['measured']:.3f}",
              "yes" if check["kept"] else "NO"] for check in promises(results, device)]  # fmt: skip
    print("\n" + "\n\n".join(markdown(table) for table in (cells, kept)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="small,base")
    parser.add_argument("--fusions", default="mean,cross_attention", help="mean among them")
    parser.add_argument("--batch", type=int, help="clips in a step; 2 on a CPU, 32 on a GPU")
    parser.add_argument("--repeat", type=int, default=11)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="smoke test: numbers mean nothing")
    parser.add_argument("--out", type=Path, default=Path("bench/finetune_step.json"))
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    batch = chosen.batch or (2 if chosen.device == "cpu" or chosen.quick else 32)
    torch.set_num_threads(chosen.threads)
    torch.set_float32_matmul_precision("high")  # without effect on a CPU
    sizes = [name for name in chosen.sizes.split(",") if name][: 1 if chosen.quick else None]
    works = [Work(name, batch, chosen.device, chosen.quick) for name in sizes]
    if chosen.memory_of:
        print(json.dumps(memory_of(works[0], chosen.memory_of)))
        return
    cases = [HF, *(OURS[fusion] for fusion in chosen.fusions.split(","))]
    if chosen.device == "cuda":
        cases += [case + COMPILED for case in cases]
    repeat = 1 if chosen.quick else chosen.repeat
    results = [measure(work, cases, repeat, chosen.threads) for work in works]
    show(results, chosen.device)
    about = provenance()
    about["versions"]["transformers"] = importlib.metadata.version("transformers")
    if chosen.device == "cuda":
        about["hardware"]["gpu"] = torch.cuda.get_device_name()
    where = about["hardware"].get("gpu", about["hardware"]["cpu"])
    grid = works[0].model.grid
    how = "bf16" if chosen.device == "cuda" else f"float32, {chosen.threads} thread(s)"
    print(
        f"\nMedians of {repeat} interleaved repetitions, {batch} clips of {grid.frames}x"
        f"{grid.height}x{grid.width}, motion areas of {100 * results[0]['area']:.0f} % on average, "
        f"{how}; {where}, {about['date']}."
    )
    content = {
        **about,
        "options": {"batch": batch, "repeat": repeat, "threads": chosen.threads},
        "results": results,
        "promises": promises(results, chosen.device),
    }
    write_json(chosen.out, content)
    print(f"Written: {chosen.out}")


if __name__ == "__main__":
    main()
