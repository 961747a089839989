"""The files of a store: pairs ``areas*.parquet`` and ``videos*.parquet``, sorted by video.

The videos file is the commit point of a pair: it is renamed into place after its areas file and
deleted before it, so an areas file without its videos file is a leftover and never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mofo.motion.parts import COMPRESSION, damage_named, read_schema
from mofo.motion.records import Meta
from mofo.types import StoreError

# Rows of one row group. One video of some hundred frames is read by reading one group (about a
# millisecond), and 200,000 videos make only about a thousand groups.
GROUP_ROWS = 65536
_SHARD = re.compile(r"videos-(\d{5})-of-(\d{5})\.parquet")


@dataclass(frozen=True)
class Pair:
    """The two files of an undivided store (``shard`` None) or of shard ``(I, N)``."""

    folder: Path
    shard: tuple[int, int] | None = None

    @property
    def suffix(self) -> str:
        """``""`` or ``"-00002-of-00004"``."""
        return "" if self.shard is None else f"-{self.shard[0]:05d}-of-{self.shard[1]:05d}"

    @property
    def areas(self) -> Path:
        """One row a frame."""
        return self.folder / f"areas{self.suffix}.parquet"

    @property
    def videos(self) -> Path:
        """One row a video."""
        return self.folder / f"videos{self.suffix}.parquet"

    def meta(self) -> Meta:
        """Settings and versions.

        Raises:
            StoreError: damaged, or something else than a videos table.
        """
        meta = Meta.read(read_schema(self.videos), str(self.videos))
        if meta.kind != "videos":
            raise StoreError(f"{self.videos}: holds {meta.kind}, expected a table of videos")
        return meta

    def read_videos(self, columns: list[str] | None = None) -> pa.Table:
        """The videos table, sorted by ``video``."""
        with damage_named(self.videos):
            return pq.read_table(self.videos, columns=columns, partitioning=None)

    def remove(self) -> None:
        """Delete both files, the commit point first."""
        self.videos.unlink(missing_ok=True)
        self.areas.unlink(missing_ok=True)


def pairs(folder: Path) -> list[Pair]:
    """The pairs in ``folder``, the undivided one first, then the shards in order."""
    found = [Pair(folder)] if Pair(folder).videos.is_file() else []
    matches = (_SHARD.fullmatch(file.name) for file in folder.glob("videos-*.parquet"))
    shards = sorted((int(match[2]), int(match[1])) for match in matches if match)
    return found + [Pair(folder, (number, of)) for of, number in shards]


class AreasFile:
    """An areas file (or a part) that finds the rows of a video by the row groups' statistics.

    Raises:
        StoreError: damaged, missing, or something else than an areas table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with damage_named(path):
            self._file = pq.ParquetFile(path, read_dictionary=["video"], memory_map=False)
        self.meta = Meta.read(self._file.schema_arrow, str(path))
        if self.meta.kind not in ("areas", "part"):
            raise StoreError(f"{path}: holds {self.meta.kind}, expected a table of areas")
        content = self._file.metadata
        self._spans: list[tuple[str, str]] = []
        for group in range(content.num_row_groups):
            statistics = content.row_group(group).column(0).statistics
            # Without statistics (a key of several kilobytes) the group may hold anything.
            known = statistics is not None and statistics.has_min_max
            span = (statistics.min, statistics.max) if known else ("", "\U0010ffff")
            self._spans.append(span)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def rows(self, key: str) -> pa.Table:
        """The rows of one video in file order; no rows if it is not here."""
        groups = [at for at, (low, high) in enumerate(self._spans) if low <= key <= high]
        with damage_named(self.path):
            table = self._file.read_row_groups(groups)
        return table.filter(pc.equal(table["video"], key))

    def runs(self, columns: list[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
        """All rows in order, as ``(video, rows)``; a long video may come in several runs.

        ``columns``: only these, ``video`` among them.
        """
        for group in range(self._file.num_row_groups):
            with damage_named(self.path):
                table = self._file.read_row_groups([group], columns=columns).combine_chunks()
            names = table["video"].cast(pa.string())
            ends = pc.run_end_encode(names.combine_chunks() if len(names) else pa.array([], "str"))
            start = 0
            for end, name in zip(ends.run_ends.to_pylist(), ends.values.to_pylist(), strict=True):
                yield name, table.slice(start, end - start)
                start = end


class TableWriter:
    """Writes rows, handed over in pieces of any size, in row groups of exactly ``GROUP_ROWS``.

    So the file depends on the rows only, not on the pieces, and little is held in memory.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(
            path, schema, compression=COMPRESSION, use_dictionary=["video"]
        )
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, rows: pa.Table) -> None:
        """Append ``rows`` (same columns; a dictionary-encoded ``video`` is fine)."""
        if len(rows) == 0:
            return
        self._waiting.append(rows.replace_schema_metadata(None).cast(self._plain()))
        self._rows += len(rows)
        if self._rows >= GROUP_ROWS:
            self._flush(whole_groups_only=True)

    def close(self) -> None:
        """Write the rest and the footer."""
        self._flush(whole_groups_only=False)
        self._writer.close()

    def _plain(self) -> pa.Schema:
        return self._schema.remove_metadata()

    def _flush(self, *, whole_groups_only: bool) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting).combine_chunks()
        table = table.replace_schema_metadata(self._schema.metadata)
        start = 0
        while len(table) - start >= GROUP_ROWS:
            self._writer.write_table(table.slice(start, GROUP_ROWS), row_group_size=GROUP_ROWS)
            start += GROUP_ROWS
        rest = table.slice(start)
        if not whole_groups_only and len(rest):
            self._writer.write_table(rest, row_group_size=GROUP_ROWS)
            rest = rest.slice(len(rest))
        self._waiting = [rest.replace_schema_metadata(None)] if len(rest) else []
        self._rows = len(rest)
