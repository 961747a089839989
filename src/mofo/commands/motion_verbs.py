"""``mofo detect`` and ``mofo areas``: motion areas of videos, and stores of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mofo.commands.remote_output import Output
from mofo.commands.verb import print_rows, verb

_NEXT = 'next: mofo.AreaStore.open("{}") in Python, or any Parquet reader'


@verb(
    "detect",
    calls="mofo.motion.detect:detect_many",
    settings={"settings": "mofo.motion.presets:DetectSettings"},
    skip=("draw",),
)
def detect(
    call: Callable[..., Any],
    *,
    out: Output,
    shard: tuple[int, int] = (1, 1),
    overlay: bool = False,
) -> int:
    """Find where things move in videos, whatever the camera does.

    Writes a store of Parquet tables into the folder PATH. Run the same command again to continue
    after a stop: finished videos are skipped.

    Args:
        sources: videos, folders (searched through), globs, CSV lists, data sets; exclude:LIST.
        out: folder of the store, here or at a URL.
        shard: I/N: only part I of N.
        overlay: also write a video and a contact sheet for each video into PATH/overlays.
        flow: optical flow: {motion.FLOWS} (default: that of the preset).
        preset: how movers are found: {motion.PRESETS}.
        engine: what runs the processes: {system.ENGINES}.

    Several machines share a folder: --shard 1/4, 2/4 ...

    example:
      mofo detect videos/ --out areas --overlay
    """
    draw: Any = None
    if overlay:
        from mofo.report.figures.overlays import OVERLAYS

        draw = OVERLAYS
    report = call(out=out, shard=shard, draw=draw)
    if report.estimate is not None:
        print_estimate(report)
        return 1 if report.failed else 0
    print_report(report)
    if shard != (1, 1):
        print(f"when all {shard[1]} shards are done, the store is complete")
    elif report.done + report.skipped:
        from mofo.motion.store import AreaStore
        from mofo.motion.summary import MotionSummary

        with AreaStore.open(out) as store:
            print(MotionSummary.of(store))
        print(_NEXT.format(out))
    return 1 if report.failed else 0


def print_estimate(report: Any) -> None:
    """Prints what a ``DetectReport`` of a dry run says."""
    from mofo.system.progress import clock

    found = report.estimate
    print_rows("cannot be used", report.failures)
    known = f" ({report.skipped:,} finished before)" if report.skipped else ""
    print(
        f"{found.videos:,} videos{known}, {found.bytes / 1e6:,.1f} MB: about "
        f"{clock(found.seconds)} with {max(1, found.workers)} "
        f"process{'es' if found.workers > 1 else ''} ({found.tried} videos were tried)"
    )


def print_report(report: Any) -> None:
    """Prints a ``DetectReport``: warnings and failures to stderr, counts and files to stdout."""
    print_rows("warnings", report.warnings)
    print_rows("failed", report.failures)
    parts = [f"{report.done} done"]
    parts += [f"{report.skipped} finished before"] if report.skipped else []
    parts += [f"{report.failed} failed"] if report.failed else []
    line = f"{report.total} video{'s' if report.total != 1 else ''}: {', '.join(parts)}"
    if report.frames:
        line += f"; {report.frames:,} frames, {report.frames / report.seconds:,.0f} a second"
    print(line)
    for path in report.paths:
        print(f"  {path}")


@verb("areas merge", calls="mofo.motion.detect:merge_shards")
def merge(call: Callable[..., Any], folder: Path) -> int:
    """Put everything in a store into one file of frames and one of videos.

    Args:
        folder: folder of the store.

    example:
      mofo areas merge areas
    """
    store = call(folder=folder)
    print(f"{len(store)} videos")
    print(_NEXT.format(folder))
    return 0


@verb("areas export", calls="mofo.motion.exports:export_areas")
def export(call: Callable[..., Any], store: Path, *, to: Path) -> int:
    """Write what moves in the videos of a store in a form that other programs read.

    Args:
        store: folder of the store.
        to: file or folder to write.
        form: the form: {motion.EXPORTS}.
        clip_union: one box a video, repeated in every frame.

    A mover keeps its number over time. The form mofo, without numbers, is the JSON of the released
    MOFO code: {file stem: [{"labels": [{"box2d": {"x1": ..., "y1": ..., "x2": ..., "y2": ...},
    "gt_annotation": "union"}]}, ...]}, an entry a frame.

    example:
      mofo areas export areas --to movers.json --form coco
    """
    print(f"{call(store=store, to=to)} videos\n  {to}")
    return 0


@verb("areas import", calls="mofo.motion.boxes_json:import_boxes", skip=("sources",))
def import_(call: Callable[..., Any], file: Path, *, videos: list[str], out: Path) -> int:
    """Make a store of the boxes in a JSON file.

    Args:
        file: JSON file to read, as `mofo areas export` writes it.
        videos: the videos: sizes and times come from them.
        out: folder of the store.

    example:
      mofo areas import boxes.json --videos videos/ --out imported
    """
    report = call(file=file, sources=videos, out=out)
    print_rows("left out", report.failures)
    print(f"{report.done} videos\n  {out}")
    print(_NEXT.format(out))
    return 1 if report.failures else 0
