"""A store of motion areas, for reading: one folder, many videos.

    store = AreaStore.open("areas")
    area = store["walk/clip_01.mp4"]

The folder holds ``areas/*.parquet`` (one row a frame) and ``videos/*.parquet`` (one row a video);
any Parquet reader takes each folder as one table (pandas, DuckDB, Polars). ``mofo detect`` writes
them; see parts.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq

from mofo.datasets.listing import is_shard
from mofo.motion.packed import packed_parts
from mofo.motion.parts import AreasFile, DamagedError, Part, parts
from mofo.motion.presets import DetectSettings
from mofo.motion.records import SIDES, Meta, changes, from_rows, join_versions, storable
from mofo.types import Displayed, MotionArea, StoreError, pandas


class AreaStore(Displayed):
    """The finished motion areas of a folder: a mapping from a video's key to its ``MotionArea``.

    Open it with ``AreaStore.open``. Reading one video costs one row group, whatever the size of
    the store.

    Attributes:
        folder: where it is.
        settings: of the detection; None for boxes imported from JSON.
    """

    def __init__(self, folder: Path, several: list[tuple[Meta, Part, pa.Table]]) -> None:
        self.folder = folder
        self._metas = [meta for meta, _, _ in several]
        self._parts = [part for _, part, _ in several]
        self._videos = _joined([table for _, _, table in several])
        self._row = {key: row for row, key in enumerate(self._videos["video"].to_pylist())}
        self.settings: DetectSettings | None = self._metas[-1].settings
        for number in pc.unique(self._videos["_part"]).to_pylist():
            difference = changes(self._metas[number].settings, self.settings)
            if difference:
                raise StoreError(
                    f"{folder}: two settings in one store ({difference}): finish the new "
                    "detection: run the same command again"
                )
        self._open: dict[int, AreasFile] = {}
        self._names: dict[str, list[int]] | None = None

    @classmethod
    def open(cls, folder: str | Path) -> AreaStore:
        """Open the store in ``folder``; what a detection under way has finished is in it.

        Tar shards that were packed with their motion areas are a store, too.

        Raises:
            StoreError: the folder is missing, holds no store, mixes settings, is damaged, or was
                made by another version of mofo.
        """
        folder = Path(folder)
        if not folder.is_dir() and not (folder.is_file() and is_shard(folder.name)):
            raise StoreError(f"{folder}: no such folder: a store is what `mofo detect` makes")
        found = parts(folder) or packed_parts(folder)
        several = [(part.meta(), part, part.read_videos()) for part in found]
        if not several:
            raise StoreError(f"{folder}: not a store of motion areas (no videos/*.parquet in it)")
        several.sort(key=lambda one: one[0].made)
        return cls(folder, several)

    @property
    def versions(self) -> dict[str, tuple[str, ...]]:
        """Package name -> versions that the store was made with."""
        return join_versions(meta.versions for meta in self._metas)

    def videos(self) -> pa.Table:
        """One row a video, sorted by ``video``: path, bytes, width, height, frames, duration (s),
        flow, shots, looked_at (frames), moving (share of these with motion), warnings, spans (what
        was looked at, where not all was), rows and columns of the field (0: none).
        """
        return self._videos.drop_columns(["crc", "first_row", "_part"])

    def to_pandas(self) -> Any:
        """``videos()`` as a ``pandas.DataFrame``; Polars takes the table itself.

        Frames: ``dataset().to_table()``; movers: ``mofo areas export --form table``.

        Raises:
            MofoError: pandas is not installed.
        """
        pandas()
        return self.videos().to_pandas()

    def __repr__(self) -> str:
        return f"AreaStore: {len(self)} videos in {self.folder}"

    def dataset(self) -> pyarrow.dataset.Dataset:
        """All frames of all videos as one ``pyarrow.dataset``, a row a frame.

        After a detection that was killed or is under way, a video may be in it twice; ``mofo areas
        merge`` mends that.
        """
        files = [part.open(part.areas) for part in self._parts]
        if not all(isinstance(file, Path) for file in files):  # inside tar shards
            return pyarrow.dataset.dataset([pq.read_table(file) for file in files])
        return pyarrow.dataset.dataset([str(file) for file in files], format="parquet")

    def fingerprint(self) -> str:
        """A digest of everything in the store, however it is spread over files."""
        columns = ("video", "width", "height", "crc")
        rows = zip(*(self._videos[name].to_pylist() for name in columns), strict=True)
        content = hashlib.sha256(repr(self.settings).encode())
        for row in rows:
            content.update(repr(row).encode())
        return content.hexdigest()

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
        file = self._areas(video["_part"])
        try:
            return from_rows(file.rows(video), video)
        except DamagedError:
            raise
        except StoreError as error:
            raise StoreError(f"{file.path}: {error}") from None

    def field(self, key: str, start: int = 0, stop: int | None = None) -> np.ndarray | None:
        """The motion field of some frames of one video, uint8 ``(T, y, x)``; None if it has none.

        Reads nothing else of the video: for clips out of long videos.

        Args:
            key: the video.
            start, stop: positions of the first frame and of the one after the last.

        Raises:
            KeyError: no such video.
            StoreError: the file is damaged.
        """
        row = self._row.get(storable(key))
        if row is None:
            raise KeyError(key)
        video = self._videos.slice(row, 1).to_pylist()[0]
        grid = video["field_rows"], video["field_columns"]
        if grid[0] == 0:
            return None
        first, last, _ = slice(start, stop).indices(video["frames"])
        part = {
            **video,
            "first_row": video["first_row"] + first,
            "frames": max(0, last - first),
        }
        rows = self._areas(video["_part"]).rows(part, ["field"])
        joined = b"".join(rows["field"].to_pylist())
        return np.frombuffer(joined, np.uint8).reshape(len(rows), *grid)

    def boxes(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Key, ``box_T4`` and ``valid_T`` of every video, in no certain order.

        The store is read through once: for many videos, far faster than one after the other.

        Raises:
            StoreError: the files are damaged or do not belong together.
        """
        about = self._videos.select(["video", "first_row", "frames", "_part"])
        for number in range(len(self._parts)):
            videos = about.filter(pc.equal(about["_part"], number)).drop_columns(["_part"])
            file = self._areas(number)
            rows = file.read([*SIDES, "valid"])
            box_F4 = np.stack([rows[side].to_numpy() for side in SIDES], 1)
            valid_F = rows["valid"].to_numpy()
            for key, first, frames in zip(*videos.to_pydict().values(), strict=True):
                if first + frames > len(rows):
                    raise file.missing(key)
                yield key, box_F4[first : first + frames], valid_F[first : first + frames]

    def fields(self) -> Iterator[tuple[str, np.ndarray]]:
        """Key and ``field_Tyx`` of every video that has one, as ``boxes`` reads them.

        Raises:
            StoreError: the files are damaged or do not belong together.
        """
        about = self._videos.select(
            ["video", "first_row", "frames", "field_rows", "field_columns", "_part"]
        ).filter(pc.greater(self._videos["field_rows"], 0))
        for number in range(len(self._parts)):
            videos = about.filter(pc.equal(about["_part"], number)).drop_columns(["_part"])
            if not len(videos):
                continue
            file = self._areas(number)
            column = file.read(["field"])["field"]
            for key, first, frames, *shape in zip(*videos.to_pydict().values(), strict=True):
                grids = column.slice(first, frames).to_pylist()
                if len(grids) < frames or any(
                    grid is None or len(grid) != shape[0] * shape[1] for grid in grids
                ):
                    raise file.missing(key)
                field_F = np.frombuffer(b"".join(grids), np.uint8)
                yield key, field_F.reshape(frames, *shape)

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

    def _areas(self, part: int) -> AreasFile:
        if part not in self._open:
            self._open[part] = AreasFile(self._parts[part])
        return self._open[part]

    def _named(self, name: str) -> list[int]:
        if self._names is None:
            self._names = {}
            for row, path in enumerate(self._videos["path"].to_pylist()):
                self._names.setdefault(PurePath(path).name, []).append(row)
        return self._names.get(name, [])


def _joined(tables: list[pa.Table]) -> pa.Table:
    """All videos, sorted by key; ``_part`` says in which part. The latest of equal keys counts."""
    several = [
        table.replace_schema_metadata(None).append_column(
            "_part", pa.array([number] * len(table), pa.int32())
        )
        for number, table in enumerate(tables)
    ]
    videos = pa.concat_tables(several).combine_chunks()
    latest = {key: row for row, key in enumerate(videos["video"].to_pylist())}
    return videos.take([latest[key] for key in sorted(latest)])


def _common_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    length = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        length += 1
    return length
