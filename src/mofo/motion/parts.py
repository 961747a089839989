"""Parts: one small file for each finished video, until the end of a run merges them.

A part is complete or absent: it is written beside its place and renamed into it. It is not
flushed to the disk (fsync): a killed process loses nothing that was renamed, and after a power
failure a torn part is found by its missing Parquet footer and its video is simply done again; a
flush for each of a million small files would cost more than that. The merged tables are flushed,
because their parts are deleted afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mofo.motion.presets import DetectSettings
from mofo.motion.records import AREAS, Meta, storable, to_rows, versions, video_row
from mofo.system.files import replaced
from mofo.types import MotionArea, StoreError

PARTS = "parts"
COMPRESSION = "zstd"


class DamagedError(StoreError):
    """A file of a store that is torn or missing; what it held has to be made again."""


@dataclass(frozen=True)
class Part:
    """One finished video: the file, and what the file says about it."""

    file: Path
    meta: Meta

    @property
    def video(self) -> dict[str, Any]:
        """The row of the videos table."""
        return dict(self.meta.video)


def digest(key: str) -> int:
    """A number for a video's key: the first 8 bytes of BLAKE2b. Decides its part and its shard."""
    return int.from_bytes(hashlib.blake2b(storable(key).encode(), digest_size=8).digest(), "big")


def in_shard(key: str, shard: tuple[int, int]) -> bool:
    """Whether ``key`` belongs to shard ``(I, N)``, I from 1.

    Depends on the key alone, so videos that are added later do not move the others.
    """
    return digest(key) % shard[1] == shard[0] - 1


def part_file(folder: Path, key: str) -> Path:
    """Where the part of ``key`` lies: readable stem, and the digest that makes it unique."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", storable(key))[-60:].strip("._") or "video"
    return folder / PARTS / f"{stem}-{digest(key):016x}.parquet"


def write_part(
    folder: Path, key: str, path: str, size: int, area: MotionArea, settings: DetectSettings | None
) -> Path:
    """Write the part of one finished video; ``size`` is the video file's in bytes."""
    meta = Meta("part", settings, versions(), video_row(key, path, size, area))
    rows = to_rows(key, area)
    file = part_file(folder, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replaced(file) as temporary:
        rows = rows.replace_schema_metadata(meta.attach(AREAS).metadata)
        pq.write_table(rows, temporary, compression=COMPRESSION)
    return file


def read_part(file: Path) -> Part:
    """What the part says; its rows stay on the disk.

    Raises:
        DamagedError: torn.
        StoreError: no part, or made by a newer mofo.
    """
    meta = Meta.read(read_schema(file), str(file))
    if meta.kind != "part" or "video" not in meta.video:
        raise StoreError(f"{file}: not a part of a mofo store")
    return Part(file, meta)


def part_files(folder: Path) -> Iterator[Path]:
    """Every part under ``folder``, temporary files left out, in no order."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder / PARTS) as entries:
        for entry in entries:
            if entry.name.endswith(".parquet") and not entry.name.startswith("."):
                yield Path(entry.path)


def read_schema(file: Path) -> pa.Schema:
    """The schema of a Parquet file, with its metadata.

    Raises:
        DamagedError: not readable as Parquet.
    """
    with damage_named(file):
        return pq.read_schema(file)


@contextlib.contextmanager
def damage_named(file: Path) -> Iterator[None]:
    """Turn Arrow's complaints about ``file`` into one line that says what to do."""
    try:
        yield
    except FileNotFoundError:
        raise DamagedError(f"{file}: it is gone: was the store written to meanwhile?") from None
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # permissions and disks have their own words
        said = " ".join(str(error).split())[:120]
        raise DamagedError(f"{file}: damaged ({said}): delete it, then detect again") from None
