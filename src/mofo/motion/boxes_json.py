"""Boxes as the released MOFO code keeps them: one JSON file for a whole data set.

    {stem: [{"labels": [{"box2d": {"x1": 1, "y1": 2, "x2": 30, "y2": 40},
                         "gt_annotation": "union"}]}, ...], ...}

``stem`` is the video's file name without its ending; the list has one entry a frame, in display
order. An entry without labels is a frame without motion. Coordinates are pixels of the upright
full-resolution frame.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mofo.datasets.catalog import read_catalog
from mofo.motion.detect_plan import WHOLE, failures_file, write_failures
from mofo.motion.exports import EXPORTS, AreaExport
from mofo.motion.merge import merge, scan
from mofo.motion.parts import write_part
from mofo.motion.records import SIDES, storable
from mofo.motion.store import AreaStore
from mofo.system.files import folder_lock, replaced
from mofo.types import MofoError, MotionArea, StoreError, VideoError, hull
from mofo.video.location import locate
from mofo.video.reader import VideoReader

UNION = "union"  # the label of the box around all others


@dataclass(frozen=True)
class ImportReport:
    """What an import did: videos written, and (name, reason) of what was left out."""

    done: int
    failures: tuple[tuple[str, str], ...]


@EXPORTS.register("mofo")
class ReleaseBoxes(AreaExport):
    """The JSON of the released MOFO code; ``clip_union`` gives it as its training uses it."""

    line = "JSON of the released MOFO code"

    def write(self, store: AreaStore, file: Path, *, clip_union: bool = False) -> int:
        """See ``AreaExport.write``; two videos of one file name are a StoreError."""
        keys: dict[str, str] = {}
        videos = store.videos()
        for key, path in zip(videos["video"].to_pylist(), videos["path"].to_pylist(), strict=True):
            stem = Path(path).stem
            if stem in keys:
                raise StoreError(
                    f"{store.folder}: {keys[stem]!r} and {key!r} have the same file name: JSON "
                    "boxes tell videos apart by it alone"
                )
            keys[stem] = key
        # Written video by video: the text of a large store would not fit into memory.
        with replaced(file) as temporary, temporary.open("w", encoding="utf-8") as out:
            between = "{\n"
            for stem in sorted(keys):
                entries = to_entries(store[keys[stem]], clip_union=clip_union)
                out.write(f"{between}{json.dumps(stem)}: {json.dumps(entries)}")
                between = ",\n"
            out.write("{}\n" if between == "{\n" else "\n}\n")
        return len(keys)


def to_entries(area: MotionArea, *, clip_union: bool = False) -> list[dict[str, Any]]:
    """One entry a frame."""
    whole = area.union()
    entries = []
    for box_4, valid in zip(area.box_T4, area.valid_T, strict=True):
        if clip_union:
            box_4, valid = whole
        # str() of a float32 has the digits that bring back the same float32, and no more.
        box2d = {side: float(str(value)) for side, value in zip(SIDES, box_4, strict=True)}
        labels = [{"box2d": box2d, "gt_annotation": UNION}] if valid else []
        entries.append({"labels": labels})
    return entries


def read_boxes(file: str | Path) -> dict[str, list[np.ndarray]]:
    """Boxes of a JSON file: stem -> one float32 ``(K, 4)`` array a frame.

    Where a frame has a box labelled "union" beside others, only the union is taken: it is the area.

    Raises:
        MofoError: no such file, not JSON, or an entry that is not as the format says; the message
            names file, video and frame.
    """
    file = Path(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MofoError(f"{file}: no such file") from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        said = str(error).splitlines()[0]
        raise MofoError(f"{file}: not JSON ({said})") from None
    _expect(isinstance(content, dict), f"{file}", "expected an object of videos", content)
    boxes = {}
    for stem, entries in content.items():
        where = f"{file}: video {stem!r}"
        _expect(isinstance(entries, list), where, "expected a list of frames", entries)
        boxes[stem] = [
            _frame(entry, f"{where}, frame {number}") for number, entry in enumerate(entries)
        ]
    return boxes


def to_area(
    boxes: Sequence[np.ndarray], *, width: int, height: int, time_T: np.ndarray
) -> MotionArea:
    """A motion area of the boxes of one video.

    Args:
        boxes: float32 ``(K, 4)`` a frame, as from ``read_boxes``; cut off at the frame's edges.
        width, height: of the upright full-resolution frame, pixels.
        time_T: presentation time of each frame, seconds. Frames for which boxes are missing have
            no motion, and a warning says so.

    Raises:
        MofoError: more boxes than frames, or a box outside the frame.
    """
    frames = len(time_T)
    if len(boxes) > frames:
        raise MofoError(f"{len(boxes)} frames of boxes, but the video has {frames}: another video?")
    edge = np.array([width, height, width, height], np.float32)
    movers = []
    for number, boxes_K4 in enumerate(boxes):
        cut = np.clip(boxes_K4, 0, edge).astype(np.float32)
        if ((cut[:, 2] <= cut[:, 0]) | (cut[:, 3] <= cut[:, 1])).any():
            raise MofoError(f"frame {number}: a box lies outside the {width}x{height} frame")
        movers.append(cut)
    movers += [np.zeros((0, 4), np.float32)] * (frames - len(boxes))
    valid_T = np.array([len(boxes_K4) > 0 for boxes_K4 in movers], bool)
    box_T4 = np.zeros((frames, 4), np.float32)
    for frame, boxes_K4 in enumerate(movers):
        box_T4[frame] = hull(boxes_K4).box_4
    short = f"boxes for {len(boxes)} of {frames} frames: no motion in the others"
    return MotionArea(
        width=width,
        height=height,
        frame_T=np.arange(frames, dtype=np.int64),
        time_T=np.asarray(time_T, np.float64),
        box_T4=box_T4,
        valid_T=valid_T,
        movers=tuple(movers),
        flow="imported",
        warnings=(short,) if len(boxes) < frames else (),
    )


def import_boxes(file: str | Path, sources: Sequence[str | Path], out: str | Path) -> ImportReport:
    """Make a store in ``out`` of the boxes in ``file``; sizes and times come from the videos.

    Boxes without a video, videos without boxes, and videos that cannot be read are left out and
    listed in the report and in ``failures.csv``.

    Raises:
        MofoError: the JSON is not as it should be, or a source does not exist.
        StoreError: ``out`` holds a detection.
    """
    boxes = read_boxes(file)
    catalog = read_catalog([str(source) for source in sources])
    folder = Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        if scan(folder, None).others:
            raise StoreError(f"{folder}: holds a detection: choose another folder for boxes")
        failures = {storable(name): reason for name, reason in catalog.problems}
        used: dict[str, str] = {}
        done = 0
        for video in catalog.videos:
            key, stem = storable(video.key), Path(video.path).stem
            if stem not in boxes:
                failures[key] = f"no boxes for {stem!r} in {file}"
            elif stem in used and used[stem] != video.path:
                failures[key] = f"has the same file name as {used[stem]}"
            else:
                used[stem] = video.path
                try:
                    area = _area_of(video.path, boxes[stem])
                    size = locate(video.path).size
                    write_part(folder, key, video.path, size, area, None)
                    done += 1
                except VideoError as error:
                    failures[key] = error.reason
                except MofoError as error:
                    failures[key] = str(error)
        failures.update((stem, "boxes without a video") for stem in boxes if stem not in used)
        merge(scan(folder, None))
        listed = tuple(sorted(failures.items()))
        write_failures(failures_file(folder, WHOLE), listed)
    return ImportReport(done, listed)


def _area_of(path: str, boxes: Sequence[np.ndarray]) -> MotionArea:
    with VideoReader(path, colour=None) as reader:
        times = [frame.time for frame in reader]
        info = reader.info
    return to_area(boxes, width=info.width, height=info.height, time_T=np.array(times, np.float64))


def _frame(entry: Any, where: str) -> np.ndarray:
    _expect(isinstance(entry, Mapping), where, "expected an object with labels", entry)
    labels = _member(entry, "labels", where)
    _expect(isinstance(labels, list), where, "expected a list of labels", labels)
    boxes, unions = [], []
    for label in labels:
        _expect(isinstance(label, Mapping), where, "expected a label with box2d", label)
        box_4 = list(_sides(_member(label, "box2d", where), where))
        boxes.append(box_4)
        if label.get("gt_annotation") == UNION:
            unions.append(box_4)
    return np.array(unions or boxes, np.float32).reshape(-1, 4)


def _sides(box2d: Any, where: str) -> Iterator[float]:
    _expect(isinstance(box2d, Mapping), where, "expected box2d with x1, y1, x2, y2", box2d)
    values = [_member(box2d, side, where) for side in SIDES]
    for side, value in zip(SIDES, values, strict=True):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _expect(number and math.isfinite(value), where, f"expected a number as {side}", value)
    for low, high in (("x1", "x2"), ("y1", "y2")):
        one, other = values[SIDES.index(low)], values[SIDES.index(high)]
        if one >= other:
            raise MofoError(f"{where}: {low} ({one:g}) has to be less than {high} ({other:g})")
    yield from values


def _member(content: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in content:
        raise MofoError(f"{where}: {name!r} is missing")
    return content[name]


def _expect(good: bool, where: str, expected: str, value: Any) -> None:
    if not good:
        text = json.dumps(value)
        raise MofoError(f"{where}: {expected}, found {text[:40]}{'...' if len(text) > 40 else ''}")
