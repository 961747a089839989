"""Motion areas as rows: the two tables of a store, and the facts kept beside them.

``areas``: one row a frame (``AREAS``). ``videos``: one row a video (``VIDEOS``). Settings, package
versions and the format's number travel in the metadata of every file, as one JSON text.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa

from mofo.motion.presets import DetectSettings
from mofo.types import MotionArea, SettingsError, StoreError

FORMAT = 1
IMPORTED = "imported boxes"
META_KEY = b"mofo"
BOX = pa.list_(pa.field("element", pa.float32(), nullable=False), 4)

AREAS = pa.schema(
    [
        pa.field("video", pa.string(), nullable=False),
        pa.field("frame", pa.int32(), nullable=False),
        pa.field("time", pa.float64(), nullable=False),
        *(pa.field(name, pa.float32(), nullable=False) for name in ("x1", "y1", "x2", "y2")),
        pa.field("valid", pa.bool_(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("movers", pa.list_(pa.field("element", BOX, nullable=False)), nullable=False),
        pa.field("shot", pa.int32(), nullable=False),
    ]
)
VIDEOS = pa.schema(
    [
        pa.field("video", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("frames", pa.int64(), nullable=False),
        pa.field("duration", pa.float64(), nullable=False),
        pa.field("flow", pa.string(), nullable=False),
        pa.field("shots", pa.int32(), nullable=False),
        pa.field("moving", pa.float64(), nullable=False),
        pa.field(
            "warnings", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False
        ),
    ]
)


@dataclass(frozen=True)
class Meta:
    """What a file of a store says about itself.

    Attributes:
        kind: "areas", "videos" or "part".
        settings: of the detection; None for boxes that were imported rather than detected.
        versions: package name -> versions that took part (several after an update in between).
        video: the row of ``VIDEOS``, in a part only.
    """

    kind: str
    settings: DetectSettings | None
    versions: Mapping[str, tuple[str, ...]]
    video: Mapping[str, Any] = field(default_factory=dict)

    def attach(self, schema: pa.Schema) -> pa.Schema:
        """``schema`` with this in its metadata; equal content gives equal bytes."""
        content = {
            "format": FORMAT,
            "kind": self.kind,
            "settings": asdict(self.settings) if self.settings else {IMPORTED: True},
            "versions": {name: list(found) for name, found in self.versions.items()},
            "video": dict(self.video),
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return schema.with_metadata({META_KEY: text.encode()})

    @classmethod
    def read(cls, schema: pa.Schema, name: str) -> Meta:
        """From the metadata of file ``name``.

        Raises:
            StoreError: no metadata of ours, or a newer format.
        """
        try:
            content = json.loads((schema.metadata or {})[META_KEY])
            number = int(content["format"])
        except (KeyError, TypeError, ValueError):
            raise StoreError(f"{name}: a Parquet file, but not of a mofo store") from None
        if number > FORMAT:
            raise StoreError(f"{name}: made by a newer mofo (store format {number}): update mofo")
        try:
            settings = _settings(content["settings"], name)
            versions = {key: tuple(found) for key, found in content["versions"].items()}
            return cls(content["kind"], settings, versions, content["video"])
        except (KeyError, TypeError, AttributeError):
            raise StoreError(f"{name}: its metadata is damaged: delete it, detect again") from None


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
    for one in several:
        for name, found in one.items():
            joined.setdefault(name, set()).update(found)
    return {name: tuple(sorted(found)) for name, found in sorted(joined.items())}


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


def video_row(key: str, path: str, size: int, area: MotionArea) -> dict[str, Any]:
    """The row of ``VIDEOS`` for one video; ``size`` is the file's in bytes."""
    frames = len(area)
    span = float(area.time_T[-1] - area.time_T[0]) if frames > 1 else 0.0
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
        "moving": float(np.mean(area.valid_T)) if frames else 0.0,
        "warnings": [storable(text) for text in area.warnings],
    }


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
    ]
    return pa.Table.from_arrays(columns, schema=AREAS)


def from_rows(rows: pa.Table, video: Mapping[str, Any]) -> MotionArea:
    """The inverse of ``to_rows``; ``video`` is the video's row of ``VIDEOS``."""
    rows = rows.combine_chunks()

    def column(name: str, dtype: type) -> np.ndarray:
        return rows[name].to_numpy().astype(dtype)

    movers = rows["movers"].combine_chunks()
    if isinstance(movers, pa.ChunkedArray):  # what combine_chunks makes of no rows at all
        movers = pa.array([], AREAS.field("movers").type)
    flat_K4 = movers.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    stops = np.cumsum(movers.value_lengths().to_numpy(zero_copy_only=False))
    shot_T = column("shot", np.int64)
    box_T4 = np.stack([column(side, np.float32) for side in ("x1", "y1", "x2", "y2")], axis=1)
    return MotionArea(
        width=int(video["width"]),
        height=int(video["height"]),
        frame_T=column("frame", np.int64),
        time_T=column("time", np.float64),
        box_T4=box_T4,
        valid_T=column("valid", np.bool_),
        movers=tuple(boxes.copy() for boxes in np.split(flat_K4, stops[:-1])) if len(rows) else (),
        cuts=tuple(int(at) for at in np.flatnonzero(np.diff(shot_T)) + 1),
        flow=video["flow"],
        warnings=tuple(video["warnings"]),
    )
