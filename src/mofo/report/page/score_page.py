"""The page of a table of scores: how they are spread, and clips from the stillest on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mofo.curation.score_table import Row, read_scores
from mofo.datasets.video import why_unusable
from mofo.motion.analyse import analyse
from mofo.motion.presets import DetectSettings
from mofo.report.figures.films import moments
from mofo.report.figures.overlays import area_share
from mofo.report.page.build import page_text, write_page
from mofo.report.page.charts import Chart, histogram, timeline
from mofo.report.page.conclusion import Sentence, Tile
from mofo.report.page.media import ClipMaker
from mofo.report.page.motion_section import ShownArea, area_clip
from mofo.report.wording import Paths, counted, hours, percent
from mofo.types import MofoError
from mofo.video.clip import read_frames
from mofo.video.index import index_frames
from mofo.video.inputs import Frames
from mofo.video.picture import crop_picture

_MOVES = 0.5  # of the time from which on something moves in a video
_MAX_SECONDS, _SIDE = 6.0, 240  # of a clip; short side, pixels
# Column, heading, name of the axis, whether it is a share.
_CHARTS = (
    ("moving", "How much of the time something moves by itself", "of the time", True),
    ("area_50", "How much of the frame moves by itself", "of the frame", True),
    ("speed_50", "How fast it moves", "short sides a second", False),
    ("camera", "How fast the camera moves", "short sides a second", False),
)


def score_page(scores: str | Path, out: str | Path, *, examples: int = 9) -> Path:
    """Writes one HTML page about a table of scores.

    Args:
        scores: the table.
        out: the page; its folder is made.
        examples: clips of windows (videos, if there are no windows) at equal steps from the one
            that moves least to the one that moves most.

    Raises:
        MofoError: the table cannot be read, or the page cannot be written.
    """
    table, maker = read_scores(scores), ClipMaker()
    videos = table.filter(pc.field("per") == "video")
    windows = table.filter(pc.field("per") == "window")
    if not len(videos):
        raise MofoError(f"{scores}: has no video that could be scored")
    rows = _spread(windows if len(windows) else videos, examples)
    shown = [each for row in rows if (each := _shown(row, maker)) is not None]
    charts = [
        (title, chart)
        for name, title, axis, is_share in _CHARTS
        if (chart := _chart(videos, name, title, axis, is_share)) is not None
    ]
    content = {"shown": shown, "charts": charts, "total": len(videos)}
    text = page_text(
        Paths([Path(scores).parent, *{Path(path).parent for path in videos["path"].to_pylist()}]),
        title=Path(scores).stem,
        note="",
        sentences=_sentences(videos),
        tiles=_tiles(videos),
        sections=[("motion", "What moves by itself", content)],
        left_out=maker.left_out,
    )
    write_page(Path(out), text)
    return Path(out)


def _chart(videos: pa.Table, name: str, title: str, axis: str, is_share: bool) -> Chart | None:
    values = videos[name].to_numpy()
    return histogram(values, title=title, x_name=axis, shares=is_share)


def _sentences(videos: pa.Table) -> list[Sentence]:
    moving = int((videos["moving"].to_numpy() > _MOVES).sum())
    kinds = Counter(videos["camera_kind"].to_pylist()).most_common()
    sentences = [
        Sentence(f"Something moves by itself most of the time in {moving:,} of "
                 f"{counted(len(videos), 'video')}."),
        Sentence("The camera: " + ", ".join(f"{kind} in {count:,}" for kind, count in kinds) + "."),
    ]  # fmt: skip
    for name, words in (("black", "black"), ("frozen", "a picture that stands")):
        count = int((videos[name].to_numpy() > 0.1).sum())
        if count:
            about = f"More than a tenth of {counted(count, 'video')} is {words}."
            sentences.append(Sentence(about, "warning"))
    count = int((videos["letterbox"].to_numpy() > 0).sum())
    if count:
        sentences.append(Sentence(f"Black bars are in {counted(count, 'video')}.", "warning"))
    return sentences


def _tiles(videos: pa.Table) -> list[Tile]:
    seconds = float(pc.sum(pc.subtract(videos["end"], videos["start"])).as_py())
    shares = videos["moving"].to_numpy()
    return [
        Tile(f"{len(videos):,}", "videos", hours(seconds)),
        Tile(percent(float((shares > _MOVES).mean()), 0), "with motion of their own"),
        Tile(f"{float(np.median(videos['camera'].to_numpy())):.2g}", "motion of the camera",
             "short sides a second, the middle one"),
        Tile(f"{int(pc.sum(videos['cuts']).as_py()):,}", "cuts"),
    ]  # fmt: skip


def _spread(rows: pa.Table, count: int) -> list[Row]:
    """Rows at equal steps of ``moving``, of files that are still there."""
    ordered = rows.sort_by("moving")
    chosen = ordered.take(moments(len(ordered), count)) if count else ordered.slice(0, 0)
    return [row for row in chosen.to_pylist() if why_unusable(row["path"]) is None]


def _shown(row: Row, maker: ClipMaker) -> ShownArea | None:
    """A clip of a row with what moves in it; None if it cannot be read any more."""
    try:
        frames = _frames(row)
        # Frames have no vectors; those of the file need not begin where the clip does.
        area = analyse(frames, DetectSettings(flow="dis"))
        clip, parts = area_clip(frames, area, (0, len(area)), maker)
    except MofoError:
        return None
    text = (
        f"moving {row['moving']:.2f}: {percent(row['area_50'], 0)} of the frame at "
        f"{row['speed_50']:.2f} short sides a second; camera: {row['camera_kind']}, "
        f"{row['camera']:.2f}"
    )
    chart = timeline(area_share(area), area.cuts, (0, len(area)), len(area) / frames.fps)
    name = f"{row['key']}, {row['start']:.1f} to {row['end']:.1f} s"
    return ShownArea(name, clip, parts, chart, text, "")


def _frames(row: Row) -> Frames:
    """The first seconds of what a row is about, small."""
    index = index_frames(row["path"])
    upright = index.width, index.height
    first, stop = index.segment(row["start"], row["end"])
    rate = float(np.clip(row["frames"] / (row["end"] - row["start"]), 1, 120))
    stop = min(stop, first + round(_MAX_SECONDS * rate))
    scale = min(1.0, _SIDE / min(upright))
    width, height = (max(32, 2 * round(side * scale / 2)) for side in upright)
    pictures = [
        crop_picture(
            frame,
            (0, 0, *upright),
            (width, height),
            upright=upright,
            rotation=index.rotation,
            mirrored=index.mirrored,
        )
        for _, frame in read_frames(row["path"], index, range(first, stop))
    ]
    return Frames(pictures, fps=rate)
