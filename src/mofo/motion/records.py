"""Motion areas as rows: the two tables of a store, and the metadata of their files.

``areas``: one row a frame (``AREAS``). ``videos``: one row a video (``VIDEOS``). Settings, package
versions and the format's number travel in the metadata of every file, as one JSON text.
"""

from __future__ import annotations

import importlib.metadata
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from mofo.motion.listed import Spans, frames_seen
from mofo.motion.presets import DetectSettings
from mofo.types import MotionArea, SettingsError, StoreError

FORMAT = 3
IMPORTED = "imported boxes"
META_KEY, CRC_KEY = b"mofo", b"mofo_crc"
SIDES = ("x1", "y1", "x2", "y2")
BOX = pa.list_(pa.field("element", pa.float32(), nullable=False), 4)
SPAN = pa.list_(pa.field("element", pa.float64(), nullable=False), 2)  # seconds


def _column(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


AREAS = pa.schema(
    [
        _column("video", pa.string()),
        _column("frame", pa.int32()),
        _column("time", pa.float64()),
        *(_column(side, pa.float32()) for side in SIDES),
        _column("valid", pa.bool_()),
        _column("width", pa.int32()),
        _column("height", pa.int32()),
        _column("movers", pa.list_(pa.field("element", BOX, nullable=False))),
        _column("shot", pa.int32()),
        # uint8, rows and columns of the grid as in the videos table; null: no field was made.
        pa.field("field", pa.binary()),
    ]
)
VIDEOS = pa.schema(
    [
        _column("video", pa.string()),
        _column("path", pa.string()),
        _column("bytes", pa.int64()),
        _column("width", pa.int32()),
        _column("height", pa.int32()),
        _column("frames", pa.int64()),
        _column("duration", pa.float64()),
        _column("flow", pa.string()),
        _column("shots", pa.int32()),
        _column("looked_at", pa.int64()),  # frames
        _column("moving", pa.float64()),  # share of these
        _column("warnings", pa.list_(pa.field("element", pa.string(), nullable=False))),
        _column("spans", pa.list_(pa.field("element", SPAN, nullable=False))),  # none: all of it
        _column("field_rows", pa.int32()),  # 0: no field
        _column("field_columns", pa.int32()),
        _column("crc", pa.int64()),  # of all frames, see ``area_crc``
        _column("first_row", pa.int64()),  # of the video in the file of areas of the same name
    ]
)


@dataclass(frozen=True)
class Meta:
    """What a file of a store says about itself.

    Attributes:
        kind: "areas" or "videos".
        settings: of the detection; None for boxes that were imported rather than detected.
        versions: package name -> versions that took part (several after an update in between).
        made: nanoseconds since 1970. The two files of a part have the same.
    """

    kind: str
    settings: DetectSettings | None
    versions: Mapping[str, tuple[str, ...]]
    made: int

    def attach(self, schema: pa.Schema) -> pa.Schema:
        """``schema`` with this in its metadata."""
        content = {
            "format": FORMAT,
            "kind": self.kind,
            "settings": asdict(self.settings) if self.settings else {IMPORTED: True},
            "versions": {name: list(several) for name, several in self.versions.items()},
            "made": self.made,
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=True).encode()
        return schema.with_metadata({META_KEY: text, CRC_KEY: str(zlib.crc32(text)).encode()})

    @classmethod
    def read(cls, schema: pa.Schema, name: str) -> Meta:
        """From the metadata of file ``name``.

        Raises:
            StoreError: no metadata of ours, a damaged one, or a newer format.
        """
        metadata = schema.metadata or {}
        text = metadata.get(META_KEY)
        if text is None:
            raise StoreError(f"{name}: a Parquet file, but not of a mofo store")
        if metadata.get(CRC_KEY) != str(zlib.crc32(text)).encode():
            raise StoreError(f"{name}: its metadata is damaged: delete it, then detect again")
        content = json.loads(text)
        if content["format"] != FORMAT:
            other = "a newer" if content["format"] > FORMAT else "an older"
            raise StoreError(f"{name}: made by {other} mofo (store format {content['format']})")
        versions = {key: tuple(several) for key, several in content["versions"].items()}
        settings = _settings(content["settings"], name)
        return cls(content["kind"], settings, versions, content["made"])


def _settings(content: dict[str, Any], name: str) -> DetectSettings | None:
    if IMPORTED in content:
        return None
    unknown = set(content) - {field.name for field in fields(DetectSettings)}
    if unknown:
        raise StoreError(f"{name}: made by a newer mofo (setting {min(unknown)!r}): update mofo")
    try:
        return DetectSettings(**content)
    except SettingsError as error:
        raise StoreError(f"{name}: made with settings unknown here: {error}") from None


def changes(old: DetectSettings | None, new: DetectSettings | None) -> str:
    """What differs, for people: ``"flow: dis -> codec"``; empty when nothing does."""
    if old is None or new is None:
        sides = [IMPORTED if side is None else side.flow for side in (old, new)]
        return "" if old is new else " -> ".join(sides)
    before, after = asdict(old), asdict(new)
    return ", ".join(f"{k}: {before[k]} -> {after[k]}" for k in before if before[k] != after[k])


def versions() -> dict[str, tuple[str, ...]]:
    """Versions of the packages that decide over the numbers, without importing any of them."""
    named: dict[str, tuple[str, ...]] = {name: (name,) for name in ("mofo", "torch", "av", "numpy")}
    # The same module comes under four names.
    named["cv2"] = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless")
    return {key: (_version(names),) for key, names in sorted(named.items())}


def join_versions(several: Iterable[Mapping[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Every version seen, each once, sorted."""
    joined: dict[str, set[str]] = {}
    for versions_of_one in several:
        for name, numbers in versions_of_one.items():
            joined.setdefault(name, set()).update(numbers)
    return {name: tuple(sorted(numbers)) for name, numbers in sorted(joined.items())}


def _version(names: tuple[str, ...]) -> str:
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def storable(text: str) -> str:
    """``text`` as a store can hold it: a file name's bytes outside UTF-8 become ``\\udcXX``."""
    return text.encode("utf-8", "backslashreplace").decode()


def area_crc(area: MotionArea) -> int:
    """A checksum of all frames of an area: a flipped bit anywhere in its rows changes it."""
    crc = zlib.crc32(np.asarray(area.cuts, np.int64).tobytes())
    columns = [
        (area.frame_T, np.int32),
        (area.time_T, np.float64),
        (area.box_T4, np.float32),
        (area.valid_T, np.bool_),
        ([len(boxes_K4) for boxes_K4 in area.movers], np.int32),
        *((boxes_K4, np.float32) for boxes_K4 in area.movers),
    ]
    if area.field_Tyx is not None:
        columns.append((area.field_Tyx, np.uint8))
    for values, kind in columns:
        crc = zlib.crc32(np.ascontiguousarray(values, kind).tobytes(), crc)
    return crc


def video_row(key: str, path: str, size: int, area: MotionArea) -> dict[str, Any]:
    """The row of ``VIDEOS`` for one video; ``size`` is the file's in bytes."""
    frames, seen = len(area), frames_seen(area)
    span = float(area.time_T[-1] - area.time_T[0]) if frames > 1 else 0.0
    rows, columns = (0, 0) if area.field_Tyx is None else area.field_Tyx.shape[1:]
    return {
        "video": storable(key),
        "path": storable(path),
        "bytes": int(size),
        "width": int(area.width),
        "height": int(area.height),
        "frames": frames,
        # From the first frame to the end of the last, which lasts as long as the average one.
        "duration": span * frames / (frames - 1) if frames > 1 else 0.0,
        "flow": area.flow,
        "shots": len(area.cuts) + 1 if frames else 0,
        "looked_at": seen,
        "moving": float(np.sum(area.valid_T) / seen) if seen else 0.0,
        "warnings": [storable(text) for text in area.warnings],
        "spans": [list(span) for span in area.spans],
        "field_rows": rows,
        "field_columns": columns,
        "crc": area_crc(area),
        "first_row": 0,
    }


def spans_of(video: Mapping[str, Any]) -> Spans:
    """What was looked at, by the video's row of ``VIDEOS``."""
    return tuple((start, end) for start, end in video["spans"])


def to_rows(key: str, area: MotionArea) -> pa.Table:
    """``area`` as rows of ``AREAS``, one a frame."""
    frames = len(area)
    box_T4 = np.ascontiguousarray(area.box_T4, np.float32).reshape(frames, 4)
    movers = [np.asarray(boxes, np.float32).reshape(-1, 4) for boxes in area.movers]
    offsets = np.concatenate([[0], np.cumsum([len(boxes) for boxes in movers], dtype=np.int32)])
    flat = np.concatenate([np.zeros((0, 4), np.float32), *movers]).ravel()
    shot_T = np.zeros(frames, np.int32)
    shot_T[np.asarray(area.cuts, np.int64)] = 1
    boxes = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), type=BOX)
    movers_type = AREAS.field("movers").type
    field = pa.nulls(frames, pa.binary())
    if area.field_Tyx is not None:
        field = pa.array([grid_yx.tobytes() for grid_yx in area.field_Tyx], pa.binary())
    columns = [
        pa.array([storable(key)] * frames, pa.string()),
        pa.array(np.asarray(area.frame_T), pa.int32()),
        pa.array(np.asarray(area.time_T, np.float64)),
        *(pa.array(np.ascontiguousarray(box_T4[:, side])) for side in range(4)),
        pa.array(np.asarray(area.valid_T, bool)),
        pa.array(np.full(frames, area.width, np.int32)),
        pa.array(np.full(frames, area.height, np.int32)),
        pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), boxes, type=movers_type),
        pa.array(np.cumsum(shot_T, dtype=np.int32)),
        field,
    ]
    return pa.Table.from_arrays(columns, schema=AREAS)


def from_rows(rows: pa.Table, video: Mapping[str, Any]) -> MotionArea:
    """The inverse of ``to_rows``; ``video`` is the video's row of ``VIDEOS``.

    Raises:
        StoreError: the rows are not those that were written.
    """
    rows = rows.combine_chunks()

    def column(name: str, dtype: type) -> np.ndarray:
        return rows[name].to_numpy().astype(dtype)

    movers = rows["movers"].combine_chunks()
    if isinstance(movers, pa.ChunkedArray):  # what combine_chunks makes of no rows at all
        movers = pa.array([], AREAS.field("movers").type)
    flat_K4 = movers.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    stops = np.cumsum(movers.value_lengths().to_numpy(zero_copy_only=False))
    shot_T = column("shot", np.int64)
    try:
        field_Tyx = None
        if video["field_rows"]:
            grid = (len(rows), video["field_rows"], video["field_columns"])
            joined = b"".join(rows["field"].to_pylist())
            field_Tyx = np.frombuffer(joined, np.uint8).reshape(grid).copy()
        area = MotionArea(
            width=int(video["width"]),
            height=int(video["height"]),
            frame_T=column("frame", np.int64),
            time_T=column("time", np.float64),
            box_T4=np.stack([column(side, np.float32) for side in SIDES], axis=1),
            valid_T=column("valid", np.bool_),
            movers=tuple(boxes.copy() for boxes in np.split(flat_K4, stops[:-1]))
            if len(rows)
            else (),
            cuts=tuple(int(at) for at in np.flatnonzero(np.diff(shot_T)) + 1),
            flow=video["flow"],
            warnings=tuple(video["warnings"]),
            field_Tyx=field_Tyx,
            spans=spans_of(video),
        )
    except (ValueError, TypeError):
        area = None
    if area is None or area_crc(area) != video["crc"]:
        raise StoreError(
            f"the rows of {video['video']} are not those that were written: delete the file, then "
            "detect again"
        )
    return area
