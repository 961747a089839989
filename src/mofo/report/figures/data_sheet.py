"""The page of ``mofo data check``: what is wrong in numbers, and a picture of some of the files."""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from mofo.datasets.check import CheckReport
from mofo.report.figures.layout import GAP, INK, INNER, QUIET, in_rows, page, save_png, text_block
from mofo.system.progress import clock

_COLUMNS = 8
_TILE = (INNER - (_COLUMNS - 1) * GAP) // _COLUMNS
_CAPTION = 34  # pixels: two lines
_SHOWN = 5  # of a count


def save_check_sheet(report: CheckReport, path: str | Path) -> None:
    """Write the page as PNG."""
    save_png(check_sheet(report), path)


def check_sheet(report: CheckReport) -> np.ndarray:
    """The page, uint8 RGB."""
    catalog = report.catalog
    files = report.inspected + report.skipped
    kinds = Counter(str(row["kind"]) for row in report.problems())
    lines = [
        f"{len(catalog):,} rows of {files:,} files, {report.frames:,} frames, "
        f"{clock(report.seconds)}",
        f"sizes: {_most(report.sizes)}; lengths: {_most(report.lengths)}; "
        f"codecs: {_most(report.codecs)}",
        *_classes(report),
    ]
    found = [f"{kind}: {count:,}" for kind, count in kinds.most_common()]
    return page(
        _tiles(report),
        title="Check of a data set",
        lines=lines,
        warnings=[", ".join(found)] if found else [],
        notes=[
            "Middle frames of files, evenly from all, with their labels.",
            "" if found else "Nothing is wrong with the files and labels.",
        ],
    )


def _tiles(report: CheckReport) -> np.ndarray:
    labels: dict[str, str] = {}
    for video in report.catalog:
        # The least general kind of label tells the most: "cut onion" of an action.
        labels.setdefault(video.path, video.labels[-1][1] if video.labels else "")
    tiles = []
    for path, picture in report.pictures:
        image_HW3 = _decoded(picture)
        caption = labels.get(path) or Path(path).name
        under = text_block(
            caption[:60], _TILE, size=13, colour=INK if labels.get(path) else QUIET, height=_CAPTION
        )
        tiles.append(np.vstack([image_HW3, under[:_CAPTION]]))
    if not tiles:
        return text_block("No file could be shown.", INNER, size=16, colour=QUIET)
    return in_rows(tiles, _COLUMNS)


def _decoded(picture: str) -> np.ndarray:
    """A picture in the middle of a square tile."""
    data = np.frombuffer(base64.b64decode(picture), np.uint8)
    image_HW3 = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    scale = _TILE / max(image_HW3.shape[:2])
    size = [max(1, round(side * scale)) for side in image_HW3.shape[1::-1]]
    image_HW3 = cv2.resize(np.ascontiguousarray(image_HW3), size, interpolation=cv2.INTER_AREA)
    tile_HW3 = np.full((_TILE, _TILE, 3), 235, np.uint8)
    top, left = (_TILE - size[1]) // 2, (_TILE - size[0]) // 2
    tile_HW3[top : top + size[1], left : left + size[0]] = image_HW3
    return tile_HW3


def _classes(report: CheckReport) -> list[str]:
    lines = []
    for head in dict.fromkeys(head for video in report.catalog for head, _ in video.labels):
        counts = Counter(name for video in report.catalog for h, name in video.labels if h == head)
        most, least = counts.most_common(1)[0], min(counts.items(), key=lambda pair: pair[1])
        rows = f"from {least[1]:,} ({least[0]}) to {most[1]:,} ({most[0]}) rows each"
        if least[1] == most[1]:
            rows = f"{most[1]:,} row{'s' if most[1] != 1 else ''} each"
        lines.append(f"{head}: {len(counts):,} classes, {rows}")
    return lines


def _most(counts: Counter[str]) -> str:
    shown = [f"{name} ({count:,})" for name, count in counts.most_common(_SHOWN)]
    more = len(counts) - _SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") or "none"
