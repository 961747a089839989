"""Movers as one long table: a row a box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mofo.motion.exports import EXPORTS, AreaExport
from mofo.motion.identities import movers_of
from mofo.motion.records import SIDES
from mofo.motion.store import AreaStore
from mofo.system.files import replaced
from mofo.types import MotionArea

MOVERS = pa.schema(
    [
        pa.field("video", pa.string()),
        pa.field("frame", pa.int64()),
        pa.field("time", pa.float64()),
        pa.field("shot", pa.int32()),
        pa.field("mover", pa.int64()),
        *(pa.field(side, pa.float32()) for side in SIDES),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
    ]
)


@EXPORTS.register("table")
class MoverTable(AreaExport):
    """Parquet, or CSV if the file is called so; for pandas, Polars, DuckDB."""

    line = "a row a box: .parquet or .csv, for pandas, Polars, DuckDB"

    def write(self, store: AreaStore, file: Path, *, clip_union: bool = False) -> int:
        """See ``AreaExport.write``."""
        csv = file.suffix.lower() == ".csv"
        writer = pyarrow.csv.CSVWriter if csv else pq.ParquetWriter
        with replaced(file) as temporary, writer(temporary, MOVERS) as out:
            for key in store:
                out.write_table(mover_table(key, store[key], clip_union=clip_union))
        return len(store)


def mover_table(key: str, area: MotionArea, *, clip_union: bool = False) -> pa.Table:
    """The movers of one video, see ``MOVERS``."""
    movers = list(movers_of(area, clip_union=clip_union))
    row_N = np.array([mover.row for mover in movers], np.int64)
    box_N4 = np.array([mover.box_4 for mover in movers], np.float32).reshape(-1, 4)
    shot_T = np.zeros(len(area), np.int32)
    shot_T[list(area.cuts)] = 1
    columns = [
        [key] * len(movers),
        area.frame_T[row_N],
        area.time_T[row_N],
        np.cumsum(shot_T)[row_N],
        np.array([mover.number for mover in movers], np.int64),
        *box_N4.T,
        np.full(len(movers), area.width),
        np.full(len(movers), area.height),
    ]
    return pa.table(
        [pa.array(column, kind.type) for column, kind in zip(columns, MOVERS, strict=True)],
        schema=MOVERS,
    )
