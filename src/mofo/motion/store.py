"""A store of motion areas, for reading: one folder, many videos.

    store = AreaStore.open("areas")
    area = store["walk/clip_01"]

The folder holds ``areas.parquet`` (one row a frame) and ``videos.parquet`` (one row a video), or
one such pair for each shard; any Parquet reader opens them (pandas, DuckDB, Polars). ``mofo
detect`` writes them; what is in them depends on the videos and the settings only, byte for byte.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mofo.motion.parts import part_files
from mofo.motion.presets import DetectSettings
from mofo.motion.records import Meta, changes, from_rows, join_versions, storable
from mofo.motion.tables import AreasFile, Pair, pairs
from mofo.types import MotionArea, StoreError


class AreaStore:
    """The finished motion areas of a folder: a mapping from a video's key to its ``MotionArea``.

    Open it with ``AreaStore.open``. Reading one video costs one row group, whatever the size of
    the store. Videos still waiting in ``parts/`` are not seen before they are merged.
    """

    def __init__(self, folder: Path, tables: list[Pair], meta: Meta, videos: pa.Table) -> None:
        self.folder = folder
        self._tables = tables
        self._meta = meta
        self._videos = videos
        self._row = {key: row for row, key in enumerate(videos["video"].to_pylist())}
        self._open: dict[int, AreasFile] = {}
        self._names: dict[str, list[int]] | None = None

    @classmethod
    def open(cls, folder: str | Path) -> AreaStore:
        """Open the store in ``folder``.

        Raises:
            StoreError: the folder is missing, holds no store or an unfinished one, mixes
                settings, is damaged, or was made by a newer mofo.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise StoreError(f"{folder}: no such folder: a store is what `mofo detect` makes")
        tables = pairs(folder)
        if not tables:
            waiting = sum(1 for _ in part_files(folder))
            if waiting:
                raise StoreError(
                    f"{folder}: the detection was broken off with {waiting} videos finished: "
                    f"run it again, or `mofo areas merge {folder}` to use these"
                )
            raise StoreError(f"{folder}: not a store of motion areas (no videos.parquet in it)")
        metas = [pair.meta() for pair in tables]
        for pair, meta in zip(tables, metas, strict=True):
            difference = changes(metas[0].settings, meta.settings)
            if difference:
                raise StoreError(
                    f"{folder}: two settings in one store ({difference} in {pair.videos.name}): "
                    f"finish the new detection, then `mofo areas merge {folder}`"
                )
        meta = Meta("videos", metas[0].settings, join_versions(meta.versions for meta in metas))
        return cls(folder, tables, meta, _joined(tables))

    @property
    def settings(self) -> DetectSettings | None:
        """Settings of the detection; None for boxes imported from JSON."""
        return self._meta.settings

    @property
    def versions(self) -> dict[str, tuple[str, ...]]:
        """Package name -> versions that the store was made with."""
        return dict(self._meta.versions)

    def videos(self) -> pa.Table:
        """One row a video, sorted by ``video``: path, bytes, width, height, frames, duration (s),
        flow, shots, moving (share of frames with motion), warnings.
        """
        return self._videos.drop_columns(["_table"])

    def __len__(self) -> int:
        return len(self._row)

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and storable(key) in self._row

    def __getitem__(self, key: str) -> MotionArea:
        """The motion area of one video.

        Raises:
            KeyError: no such video.
            StoreError: the files are damaged or do not belong together.
        """
        row = self._row.get(storable(key))
        if row is None:
            raise KeyError(key)
        video = self._videos.slice(row, 1).to_pylist()[0]
        rows = self._areas(video["_table"]).rows(video["video"])
        self._check_frames(row, len(rows))
        return from_rows(rows, video)

    def boxes(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Key, ``box_T4`` and ``valid_T`` of every video, in no certain order.

        The store is read through once: for many videos, far faster than one after the other.

        Raises:
            StoreError: the files are damaged or do not belong together.
        """
        sides = ["x1", "y1", "x2", "y2"]
        columns = ["video", *sides, "valid"]
        in_table = self._videos["_table"].to_numpy()
        for number in range(len(self._tables)):
            runs = self._areas(number).runs(columns)
            for key, several in itertools.groupby(runs, lambda run: run[0]):
                row = self._row.get(key)
                if row is None or in_table[row] != number:
                    continue  # an older detection of the same video
                rows = pa.concat_tables([rows for _, rows in several])
                self._check_frames(row, len(rows))
                box_T4 = np.stack([rows[side].to_numpy() for side in sides], 1)
                yield key, box_T4, rows["valid"].to_numpy()

    def _check_frames(self, row: int, found: int) -> None:
        video = self._videos.slice(row, 1).select(["video", "frames", "_table"]).to_pylist()[0]
        if found != video["frames"]:
            file = self._tables[video["_table"]].areas
            raise StoreError(
                f"{file}: {found} frames of {video['video']}, expected {video['frames']}: "
                "the detection did not end well, run it again to mend the store"
            )

    def find(self, path: str | Path) -> str:
        """The key of the video whose stored path shares the longest end with ``path``.

        Whole components are compared, at least the file name, so a data set may have moved.

        Raises:
            StoreError: no video fits, or several fit equally well.
        """
        parts = PurePath(storable(str(path))).parts
        best: list[str] = []
        longest = 1
        for row in self._named(parts[-1] if parts else ""):
            there = PurePath(self._videos["path"][row].as_py()).parts
            length = _common_end(parts, there)
            if length > longest:
                best, longest = [], length
            if length == longest:
                best.append(self._videos["video"][row].as_py())
        if not best:
            raise StoreError(f"{self.folder}: no video {path} in this store of {len(self)}")
        if len(best) > 1:
            raise StoreError(
                f"{self.folder}: {path} could be {best[0]!r} or {best[1]!r}: give more of its path"
            )
        return best[0]

    def close(self) -> None:
        """Let go of the open files; the store opens them again when needed."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def __enter__(self) -> AreaStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        # Open files do not cross process borders (data loader workers).
        return {**self.__dict__, "_open": {}}

    def _areas(self, table: int) -> AreasFile:
        if table not in self._open:
            file = AreasFile(self._tables[table].areas)
            if file.meta.settings != self._meta.settings:
                raise StoreError(
                    f"{file.path}: other settings than {self._tables[table].videos.name}: "
                    "the detection did not end well, run it again to mend the store"
                )
            self._open[table] = file
        return self._open[table]

    def _named(self, name: str) -> list[int]:
        if self._names is None:
            self._names = {}
            for row, path in enumerate(self._videos["path"].to_pylist()):
                self._names.setdefault(PurePath(path).name, []).append(row)
        return self._names.get(name, [])


def _joined(tables: list[Pair]) -> pa.Table:
    """All videos, sorted by key; ``_table`` says in which pair. Later pairs win (shards are newer
    than the undivided table, which a merge makes of them).
    """
    several = []
    for number, pair in enumerate(tables):
        table = pair.read_videos().replace_schema_metadata(None)
        several.append(table.append_column("_table", pa.array([number] * len(table), pa.int32())))
    videos = pa.concat_tables(several)
    if len(several) > 1:
        videos = videos.sort_by([("video", "ascending"), ("_table", "ascending")]).combine_chunks()
        names = videos["video"]
        with contextlib.suppress(IndexError):  # no videos at all
            last = pc.not_equal(names.slice(0, len(names) - 1), names.slice(1))
            keep = pa.chunked_array([*last.chunks, pa.array([True])])
            videos = videos.filter(keep)
    return videos


def _common_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    length = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        length += 1
    return length
