"""What long lists, long videos and many files cost: time and memory, each in a process of its own.

    python benchmarks/catalog.py

* rows: a table of a million rows (class, times, split, group) of 100,000 files becomes a catalog;
  the catalog is read, and sent to a reading process (its pickle).
* segments: 10,000 actions over 100 videos of 20 minutes in the layout of EPIC-KITCHENS-100: reading
  the list, indexing every video, and reading a second of a video by where it lies.
* check: ``mofo data check`` on 200 and on 2,000 files, two processes.

Memory is the largest that a process has taken, less what it took before the work, with imports
done; of workers, all that they take. Long videos are links to one file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from areas import markdown, provenance, write_json
from mofo.video.writer import VideoWriter

ROWS, FILES = 1_000_000, 100_000
VIDEOS, SEGMENTS, MINUTES, FPS, GOP = 100, 10_000, 20, 50, 50
CHECKED = (200, 2000)

CONVERT = """
import resource, sys, time
import numpy, pyarrow.parquet
import mofo.datasets.catalog_file
from mofo.cli import main
def peak():  # kB; ru_maxrss has what the parent took when it made this process, too
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
before, started = peak(), time.process_time()
assert main(["data", "convert", sys.argv[1], "--to", sys.argv[2], "--quiet"]) == 0
print(time.process_time() - started, (peak() - before) / 1024)
"""

READ = """
import pickle, resource, sys, time
import numpy, pyarrow.parquet
from mofo.datasets.catalog import read_catalog
def peak():  # kB; ru_maxrss has what the parent took when it made this process, too
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
before, started = peak(), time.process_time()
catalog = read_catalog([sys.argv[1]])
taken, memory = time.process_time() - started, peak() - before
assert len(catalog) == int(sys.argv[2])
print(taken, memory / 1024, len(pickle.dumps(catalog)) / 2**20)
"""

SEGMENTS_OF = """
import sys, time
from mofo.datasets.catalog import read_catalog
from mofo.video.clip import read_frames
from mofo.video.index import IndexCache
root, fps, minutes = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
clock = time.process_time
started = clock()
catalog = read_catalog([root])
listed = clock() - started
cache = IndexCache()
started = clock()
for video in catalog:
    first, stop = cache.get(video.path).segment(video.start, video.end)
    assert first < stop
indexed = clock() - started
path = catalog[0].path
index = cache.get(path)
print(len(catalog), listed, indexed)
for place in range(10):
    first = int(place / 10 * (len(index) - 2 * fps)) // fps * fps + fps // 2
    taken = []
    for _ in range(5):
        started = clock()
        assert sum(1 for _ in read_frames(path, index, range(first, first + fps))) == fps
        taken.append(clock() - started)
    print(first / fps, sorted(taken)[2])
"""

CHECK = """
import resource, sys, time
import mofo.datasets.check
from mofo.cli import main
def peak():  # kB; ru_maxrss has what the parent took when it made this process, too
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
before, started = peak(), time.monotonic()
words = ["data", "check", sys.argv[1], "--out", sys.argv[2], "--workers", "2", "--quiet"]
assert main(words) == 0
of_workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(time.monotonic() - started, (peak() - before) / 1024, of_workers / 1024)
"""


def run(program: str, *words: object) -> list[list[float]]:
    """The numbers in the last lines that a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    lines = [line.split() for line in done.stdout.splitlines()]
    return [[float(word) for word in words] for words in lines if all(map(_is_number, words))]


def _is_number(word: str) -> bool:
    return word.replace(".", "").replace("-", "").replace("e", "").isdigit()


def video(path: Path, seconds: float, shift: int = 0) -> Path:
    """A moving ramp, small, with a key frame a second."""
    ramp_HW = np.tile(np.linspace(0, 255, 160, dtype=np.uint8), (96, 1))
    with VideoWriter(path, fps=FPS, gop=GOP) as writer:
        for frame in range(int(seconds * FPS)):
            rolled_HW = np.roll(ramp_HW, shift + frame, 1)
            writer.write(np.repeat(rolled_HW[..., None], 3, 2))
    return path


def rows(folder: Path, count: int, files: int) -> dict[str, float]:
    """A long table to a catalog, and the catalog read."""
    (folder / "videos").mkdir(parents=True)
    names = [f"videos/{number:06d}.mp4" for number in range(files)]
    for name in names:
        (folder / name).write_bytes(b"v")  # lists are read without opening what they list
    with (folder / "all.csv").open("w") as table:
        table.write("path,label,start,end,split,group\n")
        for row in range(count):
            at, start = row % files, row // files
            split = "validation" if row % 5 == 4 else "train"
            table.write(f"{names[at]},class {row % 400},{start},{start + 1},{split},P{at % 37}\n")
    ((converting, memory),) = run(CONVERT, folder / "all.csv", folder / "all.parquet")
    ((reading, held, sent),) = run(READ, folder / "all.parquet", count)
    return {
        "rows": count, "files": files, "convert_s": converting, "convert_mb": memory,
        "read_s": reading, "read_mb": held, "pickle_mb": sent,
    }  # fmt: skip


def segments(folder: Path, videos: int, count: int, minutes: float) -> dict[str, object]:
    """Actions in long videos."""
    folder.mkdir()
    one = video(folder / "one.mp4", minutes * 60)
    lists = folder / "epic-kitchens-100-annotations"
    lists.mkdir()
    table = ["narration_id,participant_id,video_id,start_timestamp,stop_timestamp,verb_class,"
             "noun_class"]  # fmt: skip
    for number in range(videos):
        name = f"P{number // 10 + 1:02d}_{100 + number % 10}"
        target = folder / name[:3] / "videos" / f"{name}.MP4"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(one, target)
        each = count // videos
        for action in range(each):
            start = action / each * (minutes * 60 - 2)
            stamps = ",".join(
                f"{int(at // 3600):02d}:{int(at % 3600 // 60):02d}:{at % 60:05.2f}"
                for at in (start, start + 1)
            )
            table.append(f"{name}_{action},{name[:3]},{name},{stamps},0,0")
    one.unlink()
    (lists / "EPIC_100_train.csv").write_text("\n".join(table))
    for kind in ("verb", "noun"):
        (lists / f"EPIC_100_{kind}_classes.csv").write_text(f"id,key\n0,{kind} 0\n")
    (found, listed, indexed), *read = run(SEGMENTS_OF, folder, FPS, minutes)
    assert found == videos * (count // videos)
    return {
        "segments": found, "videos": videos, "minutes": minutes, "list_s": listed,
        "index_s": indexed, "second_read_ms": {f"{at:.1f}": 1000 * taken for at, taken in read},
    }  # fmt: skip


def check(folder: Path, count: int) -> dict[str, float]:
    """Every file of a folder looked at."""
    (folder / "videos").mkdir(parents=True)
    content = video(folder / "one.mp4", 1).read_bytes()
    for number in range(count):
        tail = (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")  # no two are the same
        (folder / "videos" / f"{number:04d}.mp4").write_bytes(content + tail)
    ((taken, memory, of_workers),) = run(CHECK, folder / "videos", folder / "out")
    return {"files": count, "s": taken, "mb": memory, "worker_mb": of_workers}


def told_rows(found: dict) -> str:
    return f"{found['rows']:,} rows of {found['files']:,} files:\n" + markdown([
        ["", "processor seconds", "MB more"],
        ["table to catalog", f"{found['convert_s']:.1f}", f"{found['convert_mb']:.0f}"],
        ["catalog read", f"{found['read_s']:.1f}", f"{found['read_mb']:.0f}"],
        ["sent to a process", "", f"{found['pickle_mb']:.0f}"],
    ])  # fmt: skip


def told_segments(found: dict) -> str:
    reads = found["second_read_ms"]
    return (
        f"{found['segments']:,.0f} segments of {found['videos']} videos of {found['minutes']:g} "
        f"minutes: listed in {found['list_s']:.1f} s, videos indexed in {found['index_s']:.1f} s; "
        "a second read, by where it begins:\n"
    ) + markdown([["at, s", *reads], ["ms", *(f"{taken:.1f}" for taken in reads.values())]])


def told_check(found: list[dict]) -> str:
    rows = [
        [f"{one['files']:,}", f"{one['s']:.1f}", f"{one['mb']:.0f}", f"{one['worker_mb']:.0f}"]
        for one in found
    ]
    head = ["files", "s", "MB more, this process", "MB in all, larger worker"]
    return "mofo data check, two processes:\n" + markdown([head, *rows])


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="rows, segments, check (all)")
    parser.add_argument("--quick", action="store_true", help="small numbers, to try it")
    parser.add_argument("--out", type=Path, default=Path("bench/catalog.json"))
    args = parser.parse_args()
    if unknown := set(args.parts) - {"rows", "segments", "check"}:
        parser.error(f"{', '.join(sorted(unknown))}: choose from rows, segments, check")
    return args


def main() -> None:
    args = options()
    few = args.quick
    found: dict[str, Any] = {}
    for part in args.parts or ["rows", "segments", "check"]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if part == "rows":
                found[part] = rows(folder / part, *((5000, 500) if few else (ROWS, FILES)))
                print(told_rows(found[part]))
            elif part == "segments":
                sizes = (4, 40, 0.5) if few else (VIDEOS, SEGMENTS, MINUTES)
                found[part] = segments(folder / part, *sizes)
                print(told_segments(found[part]))
            else:
                counts = (5, 20) if few else CHECKED
                found[part] = [check(folder / str(count), count) for count in counts]
                print(told_check(found[part]))
        print()
        write_json(args.out, {**provenance(), **found})
    print(args.out)


if __name__ == "__main__":
    main()
