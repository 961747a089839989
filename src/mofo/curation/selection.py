"""Lists of the videos to keep, by an expression over their scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mofo.curation.expression import evaluate
from mofo.curation.score_table import read_scores, video_of
from mofo.curation.scores import PARTS
from mofo.datasets.catalog import Catalog
from mofo.datasets.catalog_file import write_catalog
from mofo.registry import choice
from mofo.types import MofoError, SettingsError
from mofo.video.storage import is_url


@dataclass(frozen=True)
class Dropped:
    """What one part of an expression has dropped.

    Attributes:
        part: of the expression.
        rows: dropped by it.
        alone: of these, dropped by no other part.
    """

    part: str
    rows: int
    alone: int


@dataclass(frozen=True)
class Selection:
    """What ``filter_scores`` did.

    Attributes:
        total, kept: rows.
        dropped: by part of the expression.
        path: the list.
    """

    total: int
    kept: int
    dropped: tuple[Dropped, ...]
    path: Path


def filter_scores(
    scores: str | Path, expression: str, out: str | Path, *, per: str = "video"
) -> Selection:
    """Writes a list of the videos, shots or windows for which an expression holds.

    Args:
        scores: table that ``score_many`` made; a path or a URL.
        expression: over its columns, such as ``moving > .2 and camera < .5``; see ``evaluate``.
        out: a ``.csv`` table or a ``.parquet`` catalog; each is a source of every verb.
        per: "video", "shot" or "window": what is kept or dropped; parts of videos become segments.

    Raises:
        SettingsError: what is wrong with the expression, ``per`` or the name of ``out``.
        MofoError: ``scores`` is no table of scores; nothing is left.
    """
    choice("per", per, PARTS)
    target = Path(out)
    if target.suffix not in (".csv", ".parquet"):
        raise SettingsError(f"{out}: the name of a list ends in .csv or .parquet")
    if not is_url(str(scores)) and target.exists() and target.samefile(scores):
        raise SettingsError(f"{out}: is the table of scores: write the list to another file")
    table = read_scores(scores).filter(pc.field("per") == per)
    parts = evaluate(expression, table)
    fails = [pc.invert(part.keeps_V) for part in parts]
    count_V = pc.cast(fails[0], pa.int64())
    for fail_V in fails[1:]:
        count_V = pc.add(count_V, pc.cast(fail_V, pa.int64()))
    dropped = tuple(
        Dropped(part.text, _number(fail_V), _number(pc.and_(fail_V, pc.equal(count_V, 1))))
        for part, fail_V in zip(parts, fails, strict=True)
    )
    kept = table.filter(pc.equal(count_V, 0))
    if not len(kept):
        why = ", ".join(f"{each.part} drops {each.rows:,}" for each in dropped)
        raise MofoError(f"{scores}: nothing is left of {len(table):,} {per}s ({why})")
    # Twice the same segment, as the only shot of a listed one, would be a repetition.
    videos = tuple(dict.fromkeys(map(video_of, kept.to_pylist())))
    write_catalog(target, Catalog(videos))
    return Selection(len(table), len(kept), dropped, target)


def _number(mask_V: pa.Array) -> int:
    return int(pc.sum(mask_V).as_py() or 0)
