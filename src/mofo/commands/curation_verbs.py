"""``mofo score`` and ``mofo filter``: which of many videos to keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

from mofo.commands.motion_verbs import print_report
from mofo.commands.remote_output import Output
from mofo.commands.verb import verb


@verb(
    "score",
    calls="mofo.curation.score_files:score_many",
    settings={"settings": "mofo.curation.scores:ScoreSettings"},
)
def score(
    call: Callable[..., Any],
    *,
    out: Output,
    shard: tuple[int, int] = (1, 1),
    page: Path | None = None,
    examples: int = 9,
) -> int:
    """Tell what moves by itself in many videos, and what the camera does.

    Args:
        sources: files, folders, globs, lists, data sets.
        out: table to write, .parquet, here or at a URL; a row for each video, shot and window.
        flow: where motion comes from: {motion.FLOWS}.
        shard: I/N: only part I of N, into a table beside PATH; without it all come into PATH.
        window: seconds of a window; 0: no windows.
        short_side: frames are scaled down (never up) to it, pixels.
        workers: processes (default: all processors).
        timeout: give a video up after so many seconds without progress.
        engine: what runs the processes: {system.ENGINES}.
        page: HTML page to write: histograms, and clips from the stillest to the liveliest.
        examples: clips on the page.

    The same command goes on after a stop, and adds what is new. Columns: moving (share of the time
    in which something moves by itself), moving_frames, area_10 to area_90 (share of the frame),
    speed_10 to speed_90 and camera (short sides a second), camera_kind, cuts, black, frozen,
    letterbox, brightness.

    example:
      mofo score videos/ --out scores.parquet --page scores.html
      mofo filter scores.parquet 'moving > .5 and camera < .5' --out kept.csv
    """
    report = call(out=out, shard=shard)
    print_report(report)
    if page is not None and report.done + report.skipped:
        from mofo.report.page.score_page import score_page

        print(f"  {score_page(report.paths[0], page, examples=examples)}")
    if shard != (1, 1):
        print(f"when all {shard[1]} are done, the same command without --shard puts them together")
    elif report.done + report.skipped:
        print(f"next: mofo filter {quote(str(out))} 'moving > .5' --out kept.csv")
    return 1 if report.failed else 0


@verb("filter", calls="mofo.curation.selection:filter_scores")
def filter_(call: Callable[..., Any], *, out: Output) -> int:
    """List the videos, shots or windows that an expression keeps.

    Args:
        scores: table that `mofo score` made, here or at a URL.
        expression: over its columns, in quotes: 'moving > .2 and camera < .5'.
        out: list to write, .csv or .parquet; every verb takes it as a source.
        per: what is kept or dropped: video, shot or window; of the last two, segments are listed.

    Known are and, or, not, in, < <= > >= == !=, + - * /, numbers, 'texts' and the columns of the
    table.

    example:
      mofo filter scores.parquet 'moving > .5 and frozen < .1' --out kept.csv
      mofo filter scores.parquet 'moving > .8' --per window --out lively.csv
    """
    selection = call(out=out)
    for dropped in selection.dropped:
        print(f"{dropped.part}: drops {dropped.rows:,}, {dropped.alone:,} of them as the only part")
    print(f"{selection.kept:,} of {selection.total:,} kept\n  {selection.path}")
    print(f"next: mofo pretrain --data.source {quote(str(selection.path))} ...")
    return 0
