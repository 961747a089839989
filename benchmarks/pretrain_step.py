"""A step of masked pre-training, forward and backward: ours against Hugging Face's VideoMAE.

    python benchmarks/pretrain_step.py                  # CPU, float32, one thread
    python benchmarks/pretrain_step.py --device cuda    # bf16, eager and compiled

Both have the same weights, clips and mask, and their losses are compared first. Hugging Face's
model has its best attention ("sdpa") and gets its input, normalised floats, ready made; ours gets
bytes. On a GPU theirs is the faster one of eager and compiled.

Time: all cases take turns in every repetition (in turned order every other time); each case's ratio
to Hugging Face is formed within a repetition, and the median of the ratios is shown. On a CPU these
are CPU seconds of the process, so that other programs do not count; wall-clock seconds stand in the
JSON. On a GPU wall-clock seconds around several steps.

Memory on a CPU: one process for each case. After a first step and freeing its gradients, the
system's high-water mark of resident memory is reset; the peak of a second step less what was
resident before it is what the step needs: activations, gradients and temporaries, without weights
and input. The allocator gives memory back at once in these processes (MALLOC_MMAP_THRESHOLD_), so
that nothing free counts. On a GPU: the same by torch's own allocator.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from areas import markdown, provenance, write_json
from pretrain_models import COMPILED, HF, OURS, PART, STAGES, Models, Stages, Step, Work, flops


def timed(models: Models, forward: Step, steps: int) -> dict[str, float]:
    """Seconds of a step."""
    models.clear()
    if models.device == "cuda":
        torch.cuda.synchronize()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(steps):
        models.clear()
        forward().backward()
    if models.device == "cuda":
        torch.cuda.synchronize()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu": cpu / steps, "wall": wall / steps}


def resident() -> dict[str, float]:
    """Resident memory of this process in MB: now, and its high-water mark."""
    status = Path("/proc/self/status")
    if not status.exists():  # no Linux: only the mark
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        return {"VmRSS": most, "VmHWM": most}
    lines = (line.split() for line in status.read_text().splitlines())
    return {line[0][:-1]: int(line[1]) / 1000 for line in lines if line[0] in ("VmRSS:", "VmHWM:")}


def memory_here(models: Models, case: str, forward: Step) -> dict[str, float]:
    """MB that a step needs in this process; the first one is done before."""
    models.clear()
    gc.collect()
    if models.device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 1e6
        forward().backward()
        peak = torch.cuda.max_memory_allocated() / 1e6
    else:
        marks = Path("/proc/self/clear_refs")
        if marks.exists():
            marks.write_text("5")  # the high-water mark comes down to what is resident now
        before = resident()["VmRSS"]
        forward().backward()
        peak = resident()["VmHWM"]
    return {"step": peak - before, "weights": models.weights_mb(case), "process": peak}


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


def same_loss(models: Models, case: str) -> None:
    wanted, found = (models.step(name)().item() for name in (HF, case))
    if abs(wanted - found) > (2e-2 if models.low else 1e-4):
        raise RuntimeError(f"not the same work: loss {found} of {case}, {wanted} of {HF}")


def measure(work: Work, cases: list[str], repeat: int, threads: int) -> dict[str, Any]:
    models = Models(work, HF, OURS)
    same_loss(models, OURS)
    forwards = {case: models.step(case) for case in cases}
    steps = 1 if work.device == "cpu" or work.small else 10
    for forward in forwards.values():  # compiles, and warms up
        for _ in range(1 if work.device == "cpu" else 3):
            forward().backward()
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for turn in tqdm(range(repeat), unit="repetition", desc=f"{work.size}, time"):
        for case in cases[:: 1 - 2 * (turn % 2)]:
            runs[case].append(timed(models, forwards[case], steps))
    settings, hidden, decoded = work.settings, models.hidden, models.decoded
    needed = {}
    for case in tqdm(cases, unit="case", desc=f"{work.size}, memory"):
        if work.device == "cuda":
            needed[case] = memory_here(models, case, forwards[case])
        else:
            needed[case] = memory_apart(work, case, threads)
    shares = {}
    for case in (HF, OURS):
        stages = Stages(models, case)
        found = [stages.run() for _ in range(max(1, repeat // 2))]
        stages.close()
        shares[case] = {s: statistics.median(run[s] for run in found) for s in STAGES}

    clock = "cpu" if work.device == "cpu" else "wall"
    base = HF if HF + COMPILED not in cases else min(
        (HF, HF + COMPILED), key=lambda case: statistics.median(r[clock] for r in runs[case])
    )  # fmt: skip
    theirs = [needed[case] for case in cases if case.startswith(HF)]
    least = min(used["step"] for used in theirs)
    least_with = min(used["step"] + used["weights"] for used in theirs)
    lines = []
    for case in cases:
        pairs = zip(runs[case], runs[base], strict=True)
        seconds = statistics.median(run[clock] for run in runs[case])
        tokens = decoded if PART in case else hidden
        work_done = work.batch * flops(settings, settings.grid.tokens - hidden, tokens)
        lines.append(
            {
                "size": work.size,
                "case": case,
                "seconds": seconds,
                "seconds_wall": statistics.median(run["wall"] for run in runs[case]),
                "clips_per_s": work.batch / seconds,
                "time_of_theirs": statistics.median(a[clock] / b[clock] for a, b in pairs),
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
            "runs": dict(runs)}  # fmt: skip


def promises(results: list[dict], device: str) -> list[dict]:
    checks = []
    for result in results:
        lines = {line["case"]: line for line in result["lines"]}
        line = lines[OURS] if device == "cpu" else lines[OURS + COMPILED]
        limits = {"time": ("time_of_theirs", 1.0), "memory": ("memory_of_theirs", 0.8)}
        if device == "cuda":
            limits = {"time": ("time_of_theirs", 1 / 1.5)}
        for name, (key, most) in limits.items():
            text = f"{line['case']}: {name} <= {most:.3g} of {result['compared_with']}"
            checks.append({"promise": text, "size": result["work"]["size"], "measured": line[key],
                           "kept": line[key] <= most})  # fmt: skip
    return checks


def show(results: list[dict], device: str) -> None:
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
    kept = [["promise", "size", "measured", "kept"]]
    kept += [[check["promise"], check["size"], f"{check['measured']:.3f}",
              "yes" if check["kept"] else "NO"] for check in promises(results, device)]  # fmt: skip
    print("\n" + "\n\n".join(markdown(table) for table in (cells, stages, kept)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="small,base")
    parser.add_argument("--batch", type=int, help="clips in a step; 2 on a CPU, 64 on a GPU")
    parser.add_argument("--repeat", type=int, default=11)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="smoke test: numbers mean nothing")
    parser.add_argument("--out", type=Path, default=Path("bench/pretrain_step.json"))
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    batch = chosen.batch or (2 if chosen.device == "cpu" or chosen.quick else 64)
    torch.set_num_threads(chosen.threads)
    torch.set_float32_matmul_precision("high")  # without effect on a CPU
    sizes = [name for name in chosen.sizes.split(",") if name][: 1 if chosen.quick else None]
    works = [Work(name, batch, chosen.device, chosen.quick) for name in sizes]
    if chosen.memory_of:
        print(json.dumps(memory_of(works[0], chosen.memory_of)))
        return
    cases = [HF, OURS, PART]
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
    grid = works[0].settings.grid
    how = "bf16" if chosen.device == "cuda" else f"float32, {chosen.threads} thread(s)"
    print(
        f"\nMedians of {repeat} interleaved repetitions, {batch} clips of {grid.frames}x"
        f"{grid.height}x{grid.width}, 90 % hidden, {how}; {where}, {about['date']}."
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
