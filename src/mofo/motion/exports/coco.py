"""COCO: one JSON of frames as images and movers as annotations, with their videos and tracks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mofo.motion.exports import EXPORTS, AreaExport, numbers, paths_of, stems
from mofo.motion.exports.mask_images import column_runs, mover_mask
from mofo.motion.identities import movers_of
from mofo.motion.store import AreaStore
from mofo.system.files import replaced
from mofo.types import MotionArea

CATEGORY = {"id": 1, "name": "mover", "supercategory": "motion"}


@EXPORTS.register("coco")
class CocoBoxes(AreaExport):
    """Boxes; ``videos`` and ``track_id`` are those of video instance data sets."""

    line = "COCO JSON of boxes; images are named VIDEO/000000.jpg"
    masks = False

    def write(self, store: AreaStore, file: Path, *, clip_union: bool = False) -> int:
        """See ``AreaExport.write``."""
        names = stems(store)

        def each(part: Callable[..., Iterator[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
            first_frame, first_track = 1, 1
            for number, ((key, _), name) in enumerate(zip(paths_of(store), names, strict=True)):
                area = store[key]
                tracks = 0
                for entry in part(area, name, number + 1, first_frame):
                    if "track_id" in entry:
                        tracks = max(tracks, entry["track_id"])
                        entry["track_id"] += first_track - 1
                    yield entry
                first_frame, first_track = first_frame + len(area), first_track + tracks

        def annotations() -> Iterator[dict[str, Any]]:
            def part(area: MotionArea, name: str, video: int, first: int) -> Any:
                return coco_annotations(area, first, masks=self.masks, clip_union=clip_union)

            for number, entry in enumerate(each(part), 1):
                yield entry | {"id": number}

        videos = (
            {"id": number, "name": name, "file_name": path}
            for number, ((_, path), name) in enumerate(zip(paths_of(store), names, strict=True), 1)
        )
        parts = {"videos": videos, "images": each(coco_images), "annotations": annotations()}
        # Written as they come: the text of a large store would not fit into memory.
        with replaced(file) as temporary, temporary.open("w", encoding="utf-8") as out:
            out.write(
                f'{{"info": {{"description": "mofo"}}, "categories": [{json.dumps(CATEGORY)}]'
            )
            for title, entries in parts.items():
                between = f', "{title}": [\n'
                for entry in entries:
                    out.write(between + json.dumps(entry))
                    between = ",\n"
                out.write("]" if between == ",\n" else f"{between}]")
            out.write("}\n")
        return len(store)


@EXPORTS.register("coco-masks")
class CocoMasks(CocoBoxes):
    """The same, with the field inside each box as run-length encoded mask."""

    line = "the same with masks, run-length encoded, from the motion field"
    masks = True


def coco_images(area: MotionArea, name: str, video: int, first: int) -> Iterator[dict[str, Any]]:
    """Frames as COCO's images; ``first`` is the number of the first one."""
    for t, (frame, time) in enumerate(
        zip(area.frame_T.tolist(), area.time_T.tolist(), strict=True)
    ):
        yield {
            "id": first + t,
            "file_name": f"{name}/{frame:06d}.jpg",
            "width": area.width,
            "height": area.height,
            "video_id": video,
            "frame_index": frame,
            "time": time,
        }


def coco_annotations(
    area: MotionArea, first: int, *, masks: bool = False, clip_union: bool = False
) -> Iterator[dict[str, Any]]:
    """Movers as COCO's annotations; boxes are x, y, width, height."""
    for number, mover in enumerate(movers_of(area, clip_union=clip_union), 1):
        x1, y1, x2, y2 = (float(side) for side in numbers(mover.box_4))
        entry: dict[str, Any] = {
            "id": number,
            "image_id": first + mover.row,
            "category_id": CATEGORY["id"],
            "track_id": mover.number,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
            "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
        }
        if masks:
            mask_HW = mover_mask(area, mover)
            entry["segmentation"] = {
                "size": [area.height, area.width],
                "counts": column_runs(mask_HW),
            }
            entry["area"] = int(mask_HW.sum())
        yield entry


def to_coco(area: MotionArea, name: str) -> dict[str, Any]:
    """One video as a COCO data set, in memory."""
    return {
        "info": {"description": "mofo"},
        "categories": [CATEGORY],
        "videos": [{"id": 1, "name": name}],
        "images": list(coco_images(area, name, 1, 1)),
        "annotations": list(coco_annotations(area, 1)),
    }
