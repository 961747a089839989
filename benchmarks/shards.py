"""Tar shards against files: start-up and memory of long lists, and speed of the loader.

    python benchmarks/shards.py

* members: 10,000 members in ten shards are listed for the first time, and again from the list that
  is kept; then by a table of a million rows (segments), converted to a catalog and read.
* loader: ``ClipDataset`` reads the same clips from files and from a shard of them, by turns in one
  process. Shown is the time from a shard over that from files: the median of the ratios of turns,
  processor time.

Memory is the largest that a process has taken, less what it took before the work, imports done.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from areas import markdown, provenance, write_json
from catalog import CONVERT, READ, run, video
from mofo.clips.dataset import ClipDataset, ClipSettings
from mofo.datasets.catalog import Catalog, read_catalog
from mofo.datasets.pack import pack
from mofo.types import TokenGrid

MEMBERS, SHARDS, ROWS = 10_000, 10, 1_000_000
VIDEOS, TURNS = 24, 15


def shards(folder: Path, members: int, count: int) -> None:
    """Shards of small members with a class each."""
    folder.mkdir(parents=True)
    for shard in range(count):
        with tarfile.open(folder / f"{shard:03d}.tar", "w") as tar:
            for number in range(shard, members, count):
                for ending, content in (("mp4", b"v" * 600), ("cls", b"%d" % (number % 400))):
                    about = tarfile.TarInfo(f"{number:06d}.{ending}")
                    about.size = len(content)
                    tar.addfile(about, io.BytesIO(content))
                tar.members = []  # type: ignore[attr-defined]


def members(folder: Path, count: int, parts: int, rows: int) -> dict[str, float]:
    """Lists of members, and a long table of them."""
    shards(folder / "shards", count, parts)
    ((first, first_mb, sent),) = run(READ, folder / "shards", count)
    ((again, again_mb, _),) = run(READ, folder / "shards", count)
    with (folder / "all.csv").open("w") as table:
        table.write("path,label,start,end\n")
        for row in range(rows):
            number, start = row % count, row // count
            name = f"shards/{number % parts:03d}.tar/{number:06d}.mp4"
            table.write(f"{name},class {row % 400},{start},{start + 1}\n")
    ((converted, converted_mb),) = run(CONVERT, folder / "all.csv", folder / "all.parquet")
    ((read, read_mb, catalog_mb),) = run(READ, folder / "all.parquet", rows)
    kept = sum(file.stat().st_size for file in (folder / "kept").rglob("*.arrow"))
    return {
        "members": count, "rows": rows, "first_s": first, "first_mb": first_mb, "again_s": again,
        "again_mb": again_mb, "sent_mb": sent, "kept_mb": kept / 2**20,
        "convert_s": converted, "convert_mb": converted_mb,
        "read_s": read, "read_mb": read_mb, "pickle_mb": catalog_mb,
    }  # fmt: skip


def loader(folder: Path, count: int, turns: int) -> dict[str, Any]:
    """The same clips from files and from a shard."""
    (folder / "files").mkdir(parents=True)
    for number in range(count):
        video((folder / "files" / f"{number:03d}.mp4"), 2, number)
    pack(folder / "files", folder / "shards", progress=False)
    settings = ClipSettings(grid=TokenGrid(16, 96, 96), motion="none", stride=2)

    def reader(catalog: Catalog) -> ClipDataset:
        return ClipDataset(catalog.videos, settings, seed=0)

    sources = {"files": folder / "files", "shards": folder / "shards"}
    sets = {name: reader(read_catalog([source])) for name, source in sources.items()}
    ratios, taken = [], dict.fromkeys(sets, 0.0)
    for turn in range(turns + 1):  # the first one makes the indexes
        turn_s = {}
        for name in sorted(sets, reverse=turn % 2 == 1):
            started = time.process_time()
            for row in range(count):
                sets[name][turn, row]
            turn_s[name] = time.process_time() - started
        if turn:
            ratios.append(turn_s["shards"] / turn_s["files"])
            taken = {name: taken[name] + turn_s[name] for name in taken}
    clips = count * turns
    return {
        "clips": clips, "shards_of_files": statistics.median(ratios),
        "ms": {name: 1000 * seconds / clips for name, seconds in taken.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small numbers, to try it")
    parser.add_argument("--out", type=Path, default=Path("bench/shards.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["MOFO_CACHE"] = f"{name}/members/kept"
        sizes = (200, 4, 2000) if args.quick else (MEMBERS, SHARDS, ROWS)
        listed = members(Path(name, "members"), *sizes)
        read = loader(Path(name, "loader"), *((4, 3) if args.quick else (VIDEOS, TURNS)))
    many = f"{listed['members']:,.0f} members"
    print(f"{many} in tar shards, and {listed['rows']:,.0f} rows of them:\n" + markdown([
        ["", "processor seconds", "MB more"],
        [f"{many} listed, first time", f"{listed['first_s']:.2f}", f"{listed['first_mb']:.0f}"],
        ["again", f"{listed['again_s']:.2f}", f"{listed['again_mb']:.0f}"],
        ["kept for all processes", "", f"{listed['kept_mb']:.1f}"],
        ["table to catalog", f"{listed['convert_s']:.1f}", f"{listed['convert_mb']:.0f}"],
        ["catalog read", f"{listed['read_s']:.1f}", f"{listed['read_mb']:.0f}"],
        ["catalog sent to a process", "", f"{listed['pickle_mb']:.0f}"],
    ]))  # fmt: skip
    ms = read["ms"]
    print(
        f"\nloader, {read['clips']:,} clips by turns: {ms['files']:.2f} ms a clip from files, "
        f"{ms['shards']:.2f} from a shard; shard / file {read['shards_of_files']:.3f}"
    )
    write_json(args.out, {**provenance(), "members": listed, "loader": read})
    print(args.out)


if __name__ == "__main__":
    main()
