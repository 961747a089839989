"""How far ``mofo plan`` is from what happens: memory and time of a few real steps on this machine.

    python benchmarks/plan.py VIDEOS --sizes nano,tiny,small

Plan and training run one after the other in processes of their own, with the same threads; the
training reads in its own process. Time is that of computing, which is what the plan tells: with one
thread processor time, so that others on the machine do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from areas import markdown

_STEPS = 5


def mofo(*words: object) -> float:
    """Runs a command; returns the largest memory that it held, bytes."""
    clock = "import time; time.perf_counter = time.process_time;"
    code = (clock if os.environ["OMP_NUM_THREADS"] == "1" else "") + (
        "import resource, sys; from mofo.cli import main; code = main(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):  # 1: stopped at run.stop_at
        raise SystemExit(done.stderr)
    return 1024.0 * int(done.stderr.split()[-1])


def row(videos: list[str], size: str, micro: int, folder: Path) -> dict[str, object]:
    """Plan and truth of one size."""
    keys = {
        "data.source": json.dumps(videos), "data.areas": "none", "model.size": size,
        "optim.batch": micro, "run.micro_batch": micro, "run.workers": 0, "run.trackers": "[]",
        "data.clips_per_video": micro, "optim.epochs": _STEPS + 1, "optim.warmup_epochs": 0,
        "run.pictures_every": 0,
    }  # fmt: skip
    options = [word for key, value in keys.items() for word in (f"--{key}", value)]
    mofo("plan", "tiny", *options, "--json", folder / "plan.json")
    plan = json.loads((folder / "plan.json").read_text())
    run = ("--run.out", folder / "run", "--run.stop_at", _STEPS, "--run.save_every", 10**6)
    memory = mofo("pretrain", "--config", "tiny", *options, *run, "--quiet")
    steps = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    seconds = statistics.median(step["compute_s"] for step in steps[1:])
    return {
        "size": size,
        "clips": micro,
        "memory, MB": round(memory / 1e6),
        "planned": round(plan["memory"] / 1e6),
        "memory ratio": round(plan["memory"] / memory, 2),
        "step, s": round(seconds, 2),
        "planned, s": round(plan["step_seconds"], 2),
        "time ratio": round(plan["step_seconds"] / seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--sizes", default="nano,tiny,small")
    parser.add_argument("--micro", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    videos = [str(Path(video).absolute()) for video in args.videos]
    rows: list[dict[str, object]] = []
    for size in args.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(videos, size, args.micro, Path(folder)))
    print(markdown([list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]))


if __name__ == "__main__":
    main()
