"""Time and memory of training steps side by side; what the benchmarks of a step share.

Time: all cases take turns in every repetition (in turned order every other time). On a CPU these
are CPU seconds of the process, so that other programs do not count; on a GPU wall-clock seconds
around several steps. Where in memory models happen to lie moves their times on a CPU by some per
cent for as long as the process lives: so the repetitions are spread over several processes, in
which the models are made in different orders.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from areas import markdown, provenance, write_json

Step = Callable[[], Tensor]
Seconds = dict[str, list[dict[str, float]]]
_STEPS, _WARM = 10, 3  # on a GPU


@dataclass(frozen=True)
class StepWork:
    """What is computed. ``small`` cuts everything down to a smoke test."""

    size: str
    batch: int
    device: str
    small: bool = False


def arguments(about: str, script: str, gpu_batch: int) -> argparse.ArgumentParser:
    """The options that benchmarks of a step have in common."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--sizes", default="small,base")
    parser.add_argument(
        "--batch", type=int, help=f"clips in a step; 2 on a CPU, {gpu_batch} on a GPU"
    )
    parser.add_argument("--repeat", type=int, default=12)
    parser.add_argument(
        "--processes", type=int, help="that the repetitions are spread over; 6 on a CPU, 1 on a GPU"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="smoke test: numbers mean nothing")
    parser.add_argument("--out", type=Path, default=Path("bench") / f"{Path(script).stem}.json")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--time-of", type=json.loads, help=argparse.SUPPRESS)
    parser.set_defaults(gpu_batch=gpu_batch)
    return parser


def chosen(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, each with its value; torch set up by them."""
    options = parser.parse_args()
    small = options.device == "cpu" or options.quick
    options.batch = options.batch or (2 if small else options.gpu_batch)
    options.repeat = 1 if options.quick else options.repeat
    if options.device == "cuda":
        options.processes = 1
    options.processes = options.processes or (1 if options.quick else 6)
    options.repeat = -(-options.repeat // options.processes) * options.processes
    sizes = [name for name in options.sizes.split(",") if name]
    options.sizes = sizes[:1] if options.quick else sizes
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")  # without effect on a CPU
    return options


def clock(device: str) -> str:
    """Which seconds count: of ``timed``."""
    return "cpu" if device == "cpu" else "wall"


def timed(models: Any, forward: Step, steps: int) -> dict[str, float]:
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


def timed_in_turn(models: Any, forwards: dict[str, Step], work: Any, repeat: int) -> Seconds:
    """Seconds of all cases, after warming up (and compiling)."""
    on_gpu = work.device == "cuda"
    for forward in forwards.values():
        for _ in range(_WARM if on_gpu else 1):
            forward().backward()
    runs: Seconds = defaultdict(list)
    cases = list(forwards)
    for turn in tqdm(range(repeat), unit="repetition", desc=f"{work.size}, time"):
        for case in cases[:: 1 - 2 * (turn % 2)]:
            steps = _STEPS if on_gpu and not work.small else 1
            runs[case].append(timed(models, forwards[case], steps))
    return dict(runs)


def timed_apart(script: str, work: Any, cases: list[str], options: argparse.Namespace) -> Seconds:
    """The same in several processes, each of which runs ``script --time-of cases``."""
    runs: Seconds = defaultdict(list)
    repeat = options.repeat // options.processes
    for number in range(options.processes):
        first = number % len(cases)
        order = (cases[first:] + cases[:first])[:: 1 - 2 * (number // len(cases) % 2)]
        told = ["--time-of", json.dumps(order), "--repeat", str(repeat), "--processes", "1"]
        for case, seconds in _apart(script, work, options.threads, told).items():
            runs[case] += seconds
    return dict(runs)


def time_of(models: Any, cases: list[str], work: Any, repeat: int) -> str:
    """What ``timed_apart`` reads."""
    return json.dumps(timed_in_turn(models, {c: models.step(c) for c in cases}, work, repeat))


def median(runs: list[dict[str, float]], which: str) -> float:
    """Of one case."""
    return statistics.median(run[which] for run in runs)


def ratios(runs: Seconds, case: str, other: str, which: str, key: str) -> dict[str, Any]:
    """``key``: median of the repetitions' ratios; ``key_95``: its 95 % interval by bootstrap."""
    pairs = zip(runs[case], runs[other], strict=True)
    all_R = np.array([ours[which] / theirs[which] for ours, theirs in pairs])
    chosen_SR = np.random.default_rng(0).integers(len(all_R), size=(4000, len(all_R)))
    low, high = np.quantile(np.median(all_R[chosen_SR], axis=1), [0.025, 0.975])
    return {key: float(np.median(all_R)), f"{key}_95": [float(low), float(high)]}


def resident() -> dict[str, float]:
    """Resident memory of this process in MB: now, and its high-water mark."""
    status = Path("/proc/self/status")
    if not status.exists():  # no Linux: only the mark
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        return {"VmRSS": most, "VmHWM": most}
    lines = (line.split() for line in status.read_text().splitlines())
    return {line[0][:-1]: int(line[1]) / 1000 for line in lines if line[0] in ("VmRSS:", "VmHWM:")}


def memory_here(models: Any, case: str, forward: Step) -> dict[str, float]:
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


def memory_apart(script: str, work: Any, case: str, threads: int) -> dict[str, float]:
    """The same in a process of its own, which runs ``script --memory-of case``."""
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    return _apart(script, work, threads, ["--memory-of", case], settings)


def _apart(
    script: str, work: Any, threads: int, told: list[str], settings: dict[str, str] | None = None
) -> dict[str, Any]:
    """The JSON that another process of the script prints at its end."""
    command = [sys.executable, script, *told, "--sizes", work.size]
    command += ["--batch", str(work.batch), "--threads", str(threads)]
    command += ["--quick"] if work.small else []
    env = os.environ | (settings or {})
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def memory_of(models: Any, case: str) -> str:
    """What ``memory_apart`` reads."""
    forward = models.step(case)
    forward().backward()
    return json.dumps(memory_here(models, case, forward))


def memory_of_all(
    script: str, models: Any, forwards: dict[str, Step], work: Any, threads: int
) -> dict[str, dict[str, float]]:
    """MB of all cases."""
    if work.device == "cuda":
        return {case: memory_here(models, case, forward) for case, forward in forwards.items()}
    bar = tqdm(forwards, unit="case", desc=f"{work.size}, memory")
    if work.small:  # numbers mean nothing there: one of them tries the way
        return dict.fromkeys(bar, memory_apart(script, work, next(iter(forwards)), threads))
    return {case: memory_apart(script, work, case, threads) for case in bar}


def check_same_loss(models: Any, case: str, other: str) -> None:
    """Raises RuntimeError: they do not do the same work."""
    wanted, found = (models.step(name)().item() for name in (other, case))
    if abs(wanted - found) > (2e-2 if models.low else 1e-4):
        raise RuntimeError(f"not the same work: loss {found} of {case}, {wanted} of {other}")


def promise(result: dict, case: str, key: str, most: float, text: str) -> dict:
    """One line of the table of promises: a case's value of ``key`` is ``most`` at the most."""
    line = next(line for line in result["lines"] if line["case"] == case)
    return {"promise": text, "size": result["work"]["size"], "measured": line[key],
            "interval": line.get(f"{key}_95"), "kept": line[key] <= most}  # fmt: skip


def finish(
    options: argparse.Namespace, tables: Sequence[list], results: list[dict],
    promises: list[dict], what: str,
) -> None:  # fmt: skip
    """Prints the tables, and writes everything as JSON. ``what``: the clips, for the last line."""
    kept = [["promise", "size", "measured", "95 %", "kept"]]
    kept += [[check["promise"], check["size"], f"{check['measured']:.3f}",
              " to ".join(f"{end:.3f}" for end in check["interval"] or ()),
              "yes" if check["kept"] else "NO"] for check in promises]  # fmt: skip
    print("\n" + "\n\n".join(markdown(table) for table in (*tables, kept)))
    about = provenance()
    about["versions"]["transformers"] = importlib.metadata.version("transformers")
    if options.device == "cuda":
        about["hardware"]["gpu"] = torch.cuda.get_device_name()
    where = about["hardware"].get("gpu", about["hardware"]["cpu"])
    how = "bf16" if options.device == "cuda" else f"float32, {options.threads} thread(s)"
    print(
        f"\nMedians of {options.repeat} interleaved repetitions, in {options.processes} "
        f"process(es), {options.batch} clips of {what}, "
        f"{how}; {where}, {about['date']}."
    )
    counts = {key: getattr(options, key) for key in ("batch", "repeat", "processes", "threads")}
    content = {**about, "options": counts, "results": results, "promises": promises}
    write_json(options.out, content)
    print(f"Written: {options.out}")
