"""Parts of a store: pairs of Parquet files that are written once and never changed.

``areas/NAME.parquet`` has a row a frame, ``videos/NAME.parquet`` a row a video. Each finished video
is a part at once; at the end of a run its parts are put together into a larger one. Any Parquet
reader takes a folder of them as one table (``pyarrow.dataset``, pandas, DuckDB, Polars).

The videos file is the commit point: it is renamed into place after its areas file and removed
before it, and both say when they were made. So a part is whole or not there, whenever a process
was killed. Single parts are not flushed to the disk: after a power failure, a torn one is found by
its footer and its video is done again. Larger parts are flushed before what they replace goes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mofo.motion.presets import DetectSettings
from mofo.motion.records import AREAS, VIDEOS, Meta, storable, to_rows, versions, video_row
from mofo.system.files import replaced
from mofo.types import MotionArea, StoreError

# Rows of a row group: reading a video reads one or two groups (2 ms for the field of 64 frames, 3.5
# with twice the rows), and a group costs a kilobyte of the file's footer.
GROUP_ROWS = 4096
_WRITING: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": {"field": 9},  # 237 bytes a frame instead of 255, for 35 microseconds
    "use_dictionary": ["video", "path", "flow", "width", "height", "shot"],
    "write_page_checksum": True,
}


_MERGED = "merged-"


class DamagedError(StoreError):
    """A file of a store that is torn or missing; what it held has to be made again."""


@dataclass(frozen=True)
class Part:
    """One part of the store in ``folder``."""

    folder: Path
    name: str

    @property
    def areas(self) -> Path:
        """One row a frame."""
        return self.folder / "areas" / f"{self.name}.parquet"

    @property
    def videos(self) -> Path:
        """One row a video."""
        return self.folder / "videos" / f"{self.name}.parquet"

    @property
    def is_merged(self) -> bool:
        """Whether it was put together from others."""
        return self.name.startswith(_MERGED)

    def open(self, file: Path) -> Any:
        """What Arrow reads one of the files from."""
        return file

    def meta(self) -> Meta:
        """What both files say about themselves.

        Raises:
            DamagedError: a file is torn or missing, or they are of two detections.
            StoreError: not of a store, or of another version's.
        """
        several = []
        for file, columns in ((self.videos, VIDEOS), (self.areas, AREAS)):
            with damage_named(file):
                schema = pq.read_schema(self.open(file))
                several.append(Meta.read(schema, str(file)))
                if not schema.remove_metadata().equals(columns):
                    raise pa.ArrowInvalid("other columns than a store has")
        if several[0].made != several[1].made:
            raise DamagedError(
                f"{self.videos}: the areas file of this name is of another detection: run the "
                "detection again to mend the store"
            )
        return several[0]

    def read_videos(self) -> pa.Table:
        """The table of videos."""
        with damage_named(self.videos):
            return pq.read_table(
                self.open(self.videos), partitioning=None, page_checksum_verification=True
            )

    def remove(self) -> None:
        """Deletes both files, the commit point first."""
        self.videos.unlink(missing_ok=True)
        self.areas.unlink(missing_ok=True)


def parts(folder: Path) -> list[Part]:
    """All parts of the store in ``folder``, sorted by name."""
    names = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        names = [entry.name for entry in os.scandir(folder / "videos")]
    return [
        Part(folder, name.removesuffix(".parquet"))
        for name in sorted(names)
        if name.endswith(".parquet") and not name.startswith(".")
    ]


def digest(key: str) -> int:
    """A number for a video's key: the first 8 bytes of BLAKE2b. Decides its part and its shard."""
    return int.from_bytes(hashlib.blake2b(storable(key).encode(), digest_size=8).digest(), "big")


def in_shard(key: str, shard: tuple[int, int]) -> bool:
    """Whether ``key`` belongs to shard ``(I, N)``, I from 1.

    Depends on the key alone, so videos that are added later do not move the others.
    """
    return digest(key) % shard[1] == shard[0] - 1


def part_of(folder: Path, key: str) -> Part:
    """The part that holds one video alone: a readable stem, and the digest that makes it unique."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", storable(key))[-60:].strip("._") or "video"
    return Part(folder, f"{stem}-{digest(key):016x}")


def write_part(
    folder: Path, key: str, path: str, size: int, area: MotionArea, settings: DetectSettings | None
) -> Part:
    """Writes one finished video; ``size`` is the video file's in bytes."""
    part = part_of(folder, key)
    with new_part(part, settings, versions(), flush=False) as writer:
        writer.add(video_row(key, path, size, area), to_rows(key, area))
    return part


def merged_part(folder: Path) -> Part:
    """A new part for several videos."""
    return Part(folder, f"{_MERGED}{time.time_ns():x}-{secrets.token_hex(2)}")


@contextlib.contextmanager
def new_part(
    part: Part,
    settings: DetectSettings | None,
    package_versions: Mapping[str, tuple[str, ...]],
    *,
    flush: bool = True,
) -> Iterator[PartWriter]:
    """Writes a part, video by video; it is there when the block ends well.

    Args:
        flush: wait until the files are on the disk.
    """
    made = time.time_ns()
    for file in (part.areas, part.videos):
        file.parent.mkdir(exist_ok=True)
    # Renamed in the order of leaving, the last first: so the videos file, the commit point, last.
    with (
        replaced(part.videos, flush=flush) as videos_file,
        replaced(part.areas, flush=flush) as areas_file,
    ):
        schema = Meta("areas", settings, package_versions, made).attach(AREAS)
        with pq.ParquetWriter(areas_file, schema, **_WRITING) as areas:
            writer = PartWriter(areas)
            yield writer
            writer.flush(len(writer))
        schema = Meta("videos", settings, package_versions, made).attach(VIDEOS)
        pq.write_table(pa.Table.from_pylist(writer.videos, schema), videos_file, **_WRITING)


class PartWriter:
    """Appends videos to a part; see ``new_part``. Little is held in memory.

    Attributes:
        videos: rows of ``VIDEOS`` so far.
    """

    def __init__(self, areas: pq.ParquetWriter) -> None:
        self._areas = areas
        self._waiting = [AREAS.empty_table()]
        self._rows = 0
        self.videos: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return sum(map(len, self._waiting))

    def add(self, video: Mapping[str, Any], rows: pa.Table) -> None:
        """Appends a video: its row of ``VIDEOS`` and its rows of ``AREAS``."""
        self.videos.append({**video, "first_row": self._rows})
        self._waiting.append(rows.replace_schema_metadata(None))
        self._rows += len(rows)
        if len(self) >= 4 * GROUP_ROWS:
            self.flush(len(self) // GROUP_ROWS * GROUP_ROWS)

    def flush(self, count: int) -> None:
        """Writes the first ``count`` rows that wait."""
        table = pa.concat_tables(self._waiting)
        rows = table.slice(0, count).replace_schema_metadata(self._areas.schema.metadata)
        self._areas.write_table(rows, row_group_size=GROUP_ROWS)
        self._waiting = [table.slice(count)]


class AreasFile:
    """The areas file of a part, read by rows.

    Raises:
        StoreError: damaged, missing, or something else than a table of areas.
    """

    def __init__(self, part: Part) -> None:
        self.path = part.areas
        with damage_named(self.path):
            self._file = pq.ParquetFile(part.open(self.path), page_checksum_verification=True)
        content = self._file.metadata
        sizes = [content.row_group(group).num_rows for group in range(content.num_row_groups)]
        self._ends = np.cumsum(sizes, dtype=np.int64)

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def rows(self, video: Mapping[str, Any], columns: list[str] | None = None) -> pa.Table:
        """The rows of one video, given its row of ``VIDEOS``.

        Raises:
            DamagedError: they are not there.
        """
        first, count = video["first_row"], video["frames"]
        if count == 0:
            return AREAS.empty_table()
        low = int(np.searchsorted(self._ends, first, side="right"))
        high = int(np.searchsorted(self._ends, first + count, side="left"))
        if high >= len(self._ends):
            raise self.missing(video["video"])
        with damage_named(self.path):
            groups = list(range(low, high + 1))
            table = self._file.read_row_groups(groups, columns=columns, use_threads=False)
        before = int(self._ends[low - 1]) if low else 0
        return table.slice(first - before, count)

    def read(self, columns: list[str]) -> pa.Table:
        """Some columns of all rows."""
        with damage_named(self.path):
            return self._file.read(columns)

    def missing(self, key: str) -> DamagedError:
        """The error that the rows of a video are not there."""
        return DamagedError(
            f"{self.path}: the frames of {key} are missing: delete it, then detect again"
        )


@contextlib.contextmanager
def damage_named(file: Path) -> Iterator[None]:
    """Turns Arrow's complaints about ``file`` into one line that says what to do."""
    try:
        yield
    except FileNotFoundError:
        raise DamagedError(f"{file}: it is gone: was the store written to meanwhile?") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # permissions and disks have their own words
        said = " ".join(str(error).split())[:120]
        raise DamagedError(f"{file}: damaged ({said}): delete it, then detect again") from None
