"""Motion areas inside tar shards: a part of a store beside the videos that it is of.

``mofo data pack --areas`` puts two members into each shard, ``__mofo__/areas.parquet`` and
``__mofo__/videos.parquet``, as a store has them. The webdataset library passes over these.
``AreaStore.open`` takes a shard, or a folder of shards, as a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mofo.datasets.listing import is_shard, video_files
from mofo.motion.parts import Part, new_part
from mofo.motion.presets import DetectSettings
from mofo.motion.records import to_rows, video_row
from mofo.system.files import temporary_folder
from mofo.types import MotionArea
from mofo.video.location import locate
from mofo.video.shard import open_shard

FOLDER = "__mofo__"


class PackedPart(Part):
    """A part in a tar shard: ``folder`` is the shard."""

    @property
    def areas(self) -> Path:
        """One row a frame."""
        return self.folder / FOLDER / "areas.parquet"

    @property
    def videos(self) -> Path:
        """One row a video."""
        return self.folder / FOLDER / "videos.parquet"

    def open(self, file: Path) -> Any:
        """The bytes where they lie in the shard, not copied."""
        location = locate(str(file))
        with pa.memory_map(location.file) as shard:
            shard.seek(location.offset)
            return pa.BufferReader(shard.read_buffer(location.size))


def packed_parts(place: Path) -> list[Part]:
    """The parts in a shard, or in the shards of a folder, by name."""
    files = [str(place)] if place.is_file() else video_files(place, [], is_shard)
    return [
        PackedPart(Path(file), Path(file).stem)
        for file in sorted(files)
        if open_shard(file).find(f"{FOLDER}/videos.parquet") is not None
    ]


def packed_members(
    shard: str,
    areas: Iterable[tuple[str, int, MotionArea]],
    settings: DetectSettings | None,
    versions: Mapping[str, tuple[str, ...]],
) -> dict[str, bytes]:
    """What is to be put into a shard.

    Args:
        shard: its name.
        areas: name of the member, its bytes, and its motion area.
        settings, versions: of the store.
    """
    with temporary_folder() as folder:
        part = Part(folder, "packed")
        with new_part(part, settings, versions, flush=False) as writer:
            for member, size, area in areas:
                key = f"{shard}/{member}"
                writer.add(video_row(key, key, size, area), to_rows(key, area))
        return {
            f"{FOLDER}/areas.parquet": part.areas.read_bytes(),
            f"{FOLDER}/videos.parquet": part.videos.read_bytes(),
        }
