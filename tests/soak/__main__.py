"""``python -m soak MINUTES``: detection, loader and training for long; do they grow?

Memory of all processes, open files and processes are noted every second; the slope is fitted to the
least of every half minute, since workers of one round come and go. It leaves out the first fifth of
the time, at least two minutes: libraries are imported, pools of memory filled. And it leaves out
pages of files: the system drops them when it likes, and other programs share them.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from helpers.forked import forked, processes_of

NANO = (
    "--model.size nano --data.size 32 --data.frames 4 --data.areas codec --optim.batch 4 "
    "--optim.warmup_epochs 1 --optim.epochs 1000000 --run.save_every 50 --run.log_every 1000 "
    "--run.workers 2 --run.trackers [] --quiet"
)
MOST = 1.0  # MB a minute
WARM = 120.0  # seconds


def detection(folder: Path, seconds: float) -> int:
    """Stores, one after the other, by the calling process and by workers."""
    from mofo.motion.detect import detect_many

    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        out = folder / f"areas{count % 2}"
        detect_many(folder / "videos", out, workers=2 * (count % 10 == 0), progress=False)
        for file in out.rglob("*.parquet"):
            file.unlink()
        count += 1
    return count


def loader(folder: Path, seconds: float) -> int:
    """Batches of clips with motion, from two workers."""
    from mofo.clips.loader import batches
    from mofo.clips.view_clips import ViewDataset, ViewSettings, collate_views
    from mofo.datasets.catalog import read_catalog
    from mofo.types import TokenGrid

    videos = read_catalog([folder / "videos"]).videos
    settings = ViewSettings(grid=TokenGrid(4, 32, 32), temporal=2, spatial=1)
    dataset = ViewDataset(videos, settings)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        order = [[(row, view) for row in range(len(videos))] for view in (0, 1)] * 500
        read = batches(dataset, order, collate_views, workers=2, pin=False)
        for _ in read:
            count += 1
            if time.monotonic() > end:
                break
        read.close()
    return count


def training(folder: Path, seconds: float) -> int:
    """``mofo pretrain``, until it is stopped by SIGTERM."""
    from mofo import cli
    from mofo.training.checkpoint import CheckpointFolder

    os.chdir(folder)
    cli.main(f"pretrain --data.source videos --run.out run {NANO}".split())
    return max(CheckpointFolder(folder / "run/checkpoints", 3).steps())  # exit code 1: stopped


def measure(work: Callable[[Path, float], int], folder: Path, seconds: float) -> str:
    """Runs it; a row of the table."""
    samples: list[tuple[float, float, int, int]] = []

    def note(pid: int, passed: float) -> None:
        if passed > len(samples) * max(0.5, seconds / 600):
            processes = processes_of(pid)
            memory = sum(map(_memory, processes)) / 1024
            samples.append(
                (passed, memory, len(list(Path(f"/proc/{pid}/fd").iterdir())), len(processes))
            )
        if passed > seconds and work is training and not stopped:
            stopped.append(os.kill(pid, signal.SIGTERM))

    stopped: list[None] = []
    ended = forked(partial(work, folder, seconds), seconds=seconds + 120, during=note)
    problems = [ended.hung, ended.left, "Traceback" in ended.err]
    assert not any(problems), ended
    late = np.array([sample for sample in samples if max(seconds / 5, WARM) < sample[0] < seconds])
    parts = np.split(late, np.flatnonzero(np.diff(late[:, 0] // 30)) + 1)
    least = np.array([part[part[:, 1].argmin()] for part in parts])
    slope = 60 * np.polyfit(least[:, 0], least[:, 1], 1)[0]
    files, processes = (f"{late[:, k].min():.0f} to {late[:, k].max():.0f}" for k in (2, 3))
    bad.extend([work.__name__] if slope > MOST else [])
    cells = [
        work.__name__, f"{seconds / 60:.1f}", f"{ended.value:,}", f"{late[:, 1].mean():.0f} MB",
        f"{slope:+.2f} MB", files, processes,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


bad: list[str] = []


def _memory(pid: int) -> int:
    """kB that are no pages of a file; those that processes share are counted in shares."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon", "Pss_Shmem")))


def main() -> int:
    """Prints the table; the exit code is 1 if memory grows."""
    from helpers.drawn import moving
    from mofo.video.writer import VideoWriter

    seconds = 60 * float(sys.argv[1]) / 3
    if seconds < 2 * WARM:
        sys.exit(
            f"soak: {2 * WARM / 20:g} minutes are the least: {WARM:g} s of each part are warm-up"
        )
    print("| what | minutes | rounds | memory | growth a minute | open files | processes |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "videos").mkdir()
        for number in range(6):
            with VideoWriter(folder / f"videos/{number}.mp4") as writer:
                for image in moving(24, 96, 64, seed=number):
                    writer.write(image)
        for work in (detection, loader, training):
            print(measure(work, folder, seconds), flush=True)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
