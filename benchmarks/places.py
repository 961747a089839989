"""Motion areas of the same videos, wherever they lie and whatever works: are the rows equal?

    python benchmarks/places.py
    python benchmarks/places.py --ray        # with Ray installed

200 generated videos are detected from a folder by two processes, in four parts (``--shard i/4``),
from tar shards (``mofo data pack``), from an object store (``memory://`` of fsspec, one process,
since its memory is that of a process), and by two workers of Ray, of which one is killed by SIGKILL
while it works. Compared are all rows of the stores, without the place of the videos. ``--dry-run``
is asked for the time beforehand.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from areas import markdown, provenance, write_json
from mofo.datasets.pack import pack
from mofo.motion.detect import DetectReport, detect_many
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.video.writer import VideoWriter

SIZE = (96, 128)


def video(path: Path, number: int) -> None:
    """Two to six seconds of a block that moves over a still ground, at 10 frames a second."""
    rng = np.random.default_rng(number)
    ground_HW3 = np.kron(rng.integers(40, 160, (12, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    block_HW3 = np.kron(rng.integers(90, 255, (6, 6, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps=10) as writer:
        for frame in range(20 + 40 * (number % 5) // 4):
            image_HW3 = ground_HW3.copy()
            x, y = (10 + 2 * frame) % (SIZE[1] - 24), 20 + number % 40
            image_HW3[y : y + 24, x : x + 24] = block_HW3
            writer.write(image_HW3)


def in_memory(folder: Path) -> str:
    """The same files in fsspec's memory."""
    system = fsspec.filesystem("memory")
    for file in folder.rglob("*.mp4"):
        system.pipe_file(f"/videos/{file.relative_to(folder)}", file.read_bytes())
    return "memory://videos"


def rows(store: Path) -> list[tuple[Any, ...]]:
    """All rows of a store, without where its videos are."""
    with AreaStore.open(store) as opened:
        frames = opened.dataset().to_table()
        names = [name for name in frames.column_names if name != "video"]
        columns = [frames[name].to_pylist() for name in names]
        videos = [key.partition(".tar/")[2] or key for key in frames["video"].to_pylist()]
    return sorted(map(repr, zip(videos, *columns, strict=True)))  # type: ignore[arg-type]


def kill_a_ray_worker() -> None:
    """SIGKILL to the first process that is found at work."""
    while True:
        time.sleep(0.02)
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                is_working = place.read_bytes().startswith(b"ray::_work")
            except OSError:
                continue
            if is_working:
                time.sleep(0.5)
                os.kill(int(place.parent.name), signal.SIGKILL)
                print(f"killed {place.parent.name}, a worker of Ray")
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--flow", default="dis")
    parser.add_argument("--ray", action="store_true", help="with Ray, too")
    parser.add_argument("--out", type=Path, default=Path("bench/places.json"))
    args = parser.parse_args()
    settings = DetectSettings(flow=args.flow)
    seconds: dict[str, float] = {}
    equal: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(args.videos):
            video(folder / f"videos/{number % 7}/{number:03d}.mp4", number)
        first: list[tuple[Any, ...]] = []

        def case(what: str, source: str | Path, **how: Any) -> DetectReport:
            out = folder / f"areas of {what}"
            report = detect_many(source, out, settings=settings, progress=False, **how)
            seconds[what] = seconds.get(what, 0.0) + report.seconds
            if not report.failed and len(AreaStore.open(out)) == args.videos:
                found = rows(out)
                first[:] = first or found
                equal[what] = found == first
                print(f"{what}: {seconds[what]:.1f} s, rows equal: {equal[what]}")
            elif report.failed:
                print(f"{what}: {report.failures[:2]}")
            return report

        videos = folder / "videos"
        dry = detect_many(
            videos, folder / "o", settings=settings, workers=2, dry_run=True, progress=False
        )
        assert dry.estimate is not None
        case("local, 2 processes", videos, workers=2)
        ratio = dry.estimate.seconds / seconds["local, 2 processes"]
        print(
            f"--dry-run: {dry.estimate.seconds:.1f} s, {ratio:.2f} of what it took, by "
            f"{dry.estimate.tried} videos in {dry.seconds:.1f} s"
        )
        for part in range(1, 5):
            case("local, 4 parts", videos, workers=1, shard=(part, 4))
        shards = pack(videos, folder / "shards", size=0.2, progress=False)
        case(f"{len(shards.shards)} tar shards, 2 processes", folder / "shards", workers=2)
        case("memory://, this process", in_memory(videos), workers=0)
        if args.ray:
            import ray

            # Workers import mofo; the killer looks for them by name.
            ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
            threading.Thread(target=kill_a_ray_worker, daemon=True).start()
            case("Ray, 2 workers, one killed", videos, workers=2, engine="ray")
            ray.shutdown()
    table = [[what, f"{taken:.1f}", str(equal.get(what, False))] for what, taken in seconds.items()]
    print(markdown([["", "s", "rows equal"], *table]))
    found = {"videos": args.videos, "seconds": seconds, "equal": equal, "dry_run_of_run": ratio}
    write_json(args.out, {**provenance(), **found})
    print(args.out)
    if not all(equal.get(what) for what in seconds):
        raise SystemExit("rows are not equal everywhere")


if __name__ == "__main__":
    main()
